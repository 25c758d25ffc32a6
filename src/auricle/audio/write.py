"""Encode small audio files of every format in memory. ``auricle doctor`` and the tests decode them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import soundfile

SOUND_FILE_FORMATS = {  # by libsndfile: suffix -> (format, subtype)
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".aiff": ("AIFF", "PCM_16"),
}
MEDIA_FORMATS = {  # by PyAV: suffix -> (container, codec)
    ".m4a": ("ipod", "aac"),
    ".aac": ("adts", "aac"),
    ".mp4": ("mp4", "aac"),
    ".mkv": ("matroska", "flac"),
    ".webm": ("webm", "libopus"),
}


def encode_audio(wave: np.ndarray, rate: int, suffix: str) -> bytes:
    """Encode a wave as a file of the format that ``suffix`` names.

    Args:
        wave: (S,) or (channels, S) float32 in [-1, 1].
        rate: hertz; Opus needs 48000.
        suffix: a key of SOUND_FILE_FORMATS or MEDIA_FORMATS, such as ".flac".

    Raises:
        ImportError: if the format needs PyAV and it is not installed.
        Exception: the library's own error, if it cannot encode.
    """
    wave = np.atleast_2d(wave).astype(np.float32)
    file = io.BytesIO()
    if suffix in SOUND_FILE_FORMATS:
        format, subtype = SOUND_FILE_FORMATS[suffix]
        soundfile.write(file, wave.T, rate, format=format, subtype=subtype)
    else:
        _write_media(file, wave, rate, *MEDIA_FORMATS[suffix])
    return file.getvalue()


def _write_media(file: io.BytesIO, wave: np.ndarray, rate: int, container: str, codec: str) -> None:
    import av

    layout = "mono" if len(wave) == 1 else "stereo"
    with av.open(file, "w", format=container) as out:
        stream: Any = out.add_stream(codec, rate=rate, layout=layout)
        for frame in _frames(av, stream.codec_context, wave, rate, layout):
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _frames(av: Any, codec: Any, wave: np.ndarray, rate: int, layout: str) -> list:
    """Convert the wave to frames of the codec's sample format and size."""
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout=layout)
    whole.sample_rate, whole.pts = rate, 0
    fit = av.AudioResampler(format=codec.format.name, layout=layout, rate=rate, frame_size=codec.frame_size or None)
    return [*fit.resample(whole), *fit.resample(None)]
