"""Sounds and pictures of a page, within a budget of bytes: short mono clips as MP3 with small spectrograms, and arrays as
PNG images, written with zlib.
"""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest

# Anchors of matplotlib's magma and cividis (CC0): ordered in lightness, so they survive colour blindness.
MAGMA = "000004 180f3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf"
CIVIDIS = "00224e 1b3a6d 434e6c 61656f 7d7c78 9a9476 baaf6e dac95e fee838"
LEVELS = 255  # the last palette entry is transparent
CLEAR = 255


def ramp(anchors: str) -> np.ndarray:
    """Interpolate (255, 3) uint8 colours between the anchors."""
    colours = np.array([[int(a[i : i + 2], 16) for i in (0, 2, 4)] for a in anchors.split()], float)
    at = np.linspace(0, len(colours) - 1, LEVELS)
    return (
        np.stack([np.interp(at, np.arange(len(colours)), colours[:, c]) for c in range(3)], 1).round().astype(np.uint8)
    )


def levels(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map values between low and high to palette entries 0 to 254, NaN to CLEAR."""
    span = max(high - low, 1e-9)
    scaled = np.nan_to_num((values - low) / span, nan=0.0).clip(0, 1) * (LEVELS - 1)
    return np.where(np.isnan(values), CLEAR, scaled.round()).astype(np.uint8)


def png(pixels: np.ndarray, anchors: str) -> str:
    """Return palette entries (rows, columns) uint8, first row at the top, as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes(pixels, anchors)).decode()


def png_bytes(pixels: np.ndarray, anchors: str, compression: int = 9) -> bytes:
    """Return palette entries (rows, columns) uint8, first row at the top, as a PNG file."""
    height, width = pixels.shape
    raw = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1).tobytes()  # filter 0 before each row
    palette = np.concatenate([ramp(anchors), np.zeros((1, 3), np.uint8)]).tobytes()
    parts = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", palette),
        _chunk(b"tRNS", b"\xff" * LEVELS + b"\x00"),
        _chunk(b"IDAT", zlib.compress(raw, compression)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def spectrogram(values: np.ndarray, low: float, high: float, anchors: str = MAGMA) -> str:
    """Return a spectrogram (F, T), low frequencies first, as an image with them at the bottom."""
    return png(levels(values[::-1], low, high), anchors)


RATE = 16000
SECONDS = 5.0
BUDGET = 6_000_000  # bytes of base64; the page has to stay under ten million
THUMBNAIL = (40, 100)  # rows, columns


@dataclass
class PageSounds:
    """Sounds of a page by key; ``missing`` counts clips that could not be read or did not fit the budget."""

    data: dict[str, str] = field(default_factory=dict)
    thumbnails: dict[str, str] = field(default_factory=dict)
    spent: int = 0
    missing: int = 0

    def add(self, id: str, wave: np.ndarray, rate: int = RATE, *, thumbnail: bool = True) -> str | None:
        """Add a waveform (S,) float32 at ``rate`` hertz; return its key, or None when the budget is spent."""
        key = f"{id}@{rate}:{len(wave)}"
        if key in self.data:
            return key
        encoded = base64.b64encode(mp3(wave, rate)).decode()
        if self.spent + len(encoded) > BUDGET:
            return None
        self.data[key] = encoded
        if thumbnail:
            self.thumbnails[key] = thumbnail_of(wave, rate)
            self.spent += len(self.thumbnails[key])
        self.spent += len(encoded)
        return key

    def add_clips(self, manifest: Manifest, ids: Iterable[str]) -> dict[str, str]:
        """Add the beginning of clips; return {id: key} of those whose recordings can be read."""
        keys = {}
        for id in ids:
            wave = first_seconds(manifest, id)
            key = None if wave is None else self.add(id, wave)
            if key is None:
                self.missing += 1
            else:
                keys[id] = key
        return keys


def first_seconds(manifest: Manifest, id: str) -> np.ndarray | None:
    """Read the beginning of a clip at 16 kHz, (S,); None when it cannot be read."""
    from auricle.audio.decode import read

    if id not in manifest:
        return None
    clip = manifest[id]
    start = clip.start or 0.0
    end = start + SECONDS if clip.end is None else min(clip.end, start + SECONDS)
    try:
        return read(manifest.audio(clip), start=start, end=end, rate=RATE).wave
    except AuricleError:
        return None


def mp3(wave: np.ndarray, rate: int) -> bytes:
    """Encode (S,) samples in [-1, 1] as mono MP3; quiet ones are made louder."""
    import soundfile

    peak = float(np.abs(wave).max(initial=0.0))
    louder = wave * (0.9 / peak) if 0 < peak < 0.9 else wave.clip(-1, 1)
    buffer = io.BytesIO()
    soundfile.write(buffer, louder, rate, format="MP3", compression_level=0.6, bitrate_mode="VARIABLE")
    return buffer.getvalue()


def thumbnail_of(wave: np.ndarray, rate: int) -> str:
    """Draw a small log-magnitude spectrogram of a waveform (S,)."""
    return log_spectrogram(wave, rate, THUMBNAIL)


def log_spectrogram(wave: np.ndarray, rate: int, size: tuple[int, int]) -> str:
    """Draw a log-magnitude spectrogram of a waveform (S,), 60 dB deep; rows are linear bands up to half the rate.

    Args:
        wave: samples.
        rate: hertz.
        size: (rows, columns) of the picture.
    """
    rows, columns = size
    width = 2 * rows
    padded = np.pad(wave, (0, max(0, width - len(wave))))
    starts = np.linspace(0, len(padded) - width, columns * 4).astype(int)
    frames = padded[starts[:, None] + np.arange(width)] * np.hanning(width)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))[:, 1:].reshape(columns, 4, rows).mean(1)
    decibels = 10 * np.log10(power.T + 1e-10)
    top = float(decibels.max())
    return spectrogram(decibels, top - 60, top)
