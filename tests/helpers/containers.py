"""Sound files byte by byte: whole ones, and ones whose headers say something else than what is there."""

from __future__ import annotations

import io
import struct

import numpy as np
import soundfile

RATE = 16000


def sweep(seconds: float = 2.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """(S,) float32: a rising tone with noise, no two stretches alike."""
    t = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(t))
    return (0.4 * np.sin(2 * np.pi * (300 + 60 * seed + 200 * t) * t) + 0.03 * noise).astype(np.float32)


def encoded(format: str, subtype: str, seconds: float = 2.0, rate: int = RATE, seed: int = 0, **options) -> bytes:
    """A file of libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, sweep(seconds, rate, seed), rate, format=format, subtype=subtype, **options)
    return file.getvalue()


def mp3(seconds: float = 4.0, rate: int = RATE, seed: int = 0, mode: str = "CONSTANT") -> bytes:
    """An MP3 with the length header that LAME writes: "Info" for a constant bit rate, "Xing" for a variable one."""
    return encoded("MP3", "MPEG_LAYER_III", seconds, rate, seed, bitrate_mode=mode, compression_level=0.5)


def pcm(wave: np.ndarray) -> bytes:
    return (np.clip(wave, -1, 1) * 32767).astype("<i2").tobytes()


def chunk(id: bytes, body: bytes) -> bytes:
    return id + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def fmt(tag: int = 1, channels: int = 1, rate: int = RATE, bits: int = 16, more: bytes = b"") -> bytes:
    align = max(1, channels * bits // 8) & 0xFFFF
    return chunk(b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, min(rate * align, 2**32 - 1), align, bits) + more)


def riff(*chunks: bytes, id: bytes = b"RIFF") -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return id + struct.pack("<I", len(body)) + body


def wav(samples: bytes, declared: int | None = None, header: bytes | None = None) -> bytes:
    """A WAV of 16-bit samples whose data chunk declares so many bytes."""
    data = b"data" + struct.pack("<I", len(samples) if declared is None else declared) + samples
    return riff(header or fmt(), data)


def wide_wav(samples: bytes, declared: int, id: bytes = b"RF64") -> bytes:
    """An RF64 or BW64 file whose ds64 chunk declares so many bytes of samples."""
    sizes = chunk(b"ds64", struct.pack("<QQQI", declared + 72, declared, declared // 2, 0))
    return (
        id
        + struct.pack("<I", 0xFFFFFFFF)
        + b"WAVE"
        + sizes
        + fmt()
        + struct.pack("<4sI", b"data", 0xFFFFFFFF)
        + samples
    )


def patched(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def with_field(content: bytes, mark: bytes, offset: int, new: bytes) -> bytes:
    """The file with other bytes ``offset`` bytes behind the first ``mark``."""
    return patched(content, content.index(mark) + offset, new)
