"""Small files of every format, made in memory: ``auricle doctor`` and the tests decode them to see what works here."""

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


def encoded(wave: np.ndarray, rate: int, suffix: str) -> bytes:
    """(S,) or (channels, S) float32 in [-1, 1] at ``rate`` hertz -> a file of that suffix. Opus takes 48000 hertz.

    Raises ImportError where PyAV is needed and missing, and the library's own error where it cannot encode.
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
    """The wave as frames of the codec's sample format and size."""
    whole = av.AudioFrame.from_ndarray(np.ascontiguousarray(wave), format="fltp", layout=layout)
    whole.sample_rate, whole.pts = rate, 0
    fit = av.AudioResampler(format=codec.format.name, layout=layout, rate=rate, frame_size=codec.frame_size or None)
    return [*fit.resample(whole), *fit.resample(None)]
