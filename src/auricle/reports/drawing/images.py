"""Arrays as small PNG images inside the page, written with zlib: one byte per pixel and a palette."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np

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
    height, width = pixels.shape
    raw = np.concatenate([np.zeros((height, 1), np.uint8), pixels], axis=1).tobytes()  # filter 0 before each row
    palette = np.concatenate([ramp(anchors), np.zeros((1, 3), np.uint8)]).tobytes()
    parts = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        _chunk(b"PLTE", palette),
        _chunk(b"tRNS", b"\xff" * LEVELS + b"\x00"),
        _chunk(b"IDAT", zlib.compress(raw, 9)),
        _chunk(b"IEND", b""),
    ]
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(parts)).decode()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def spectrogram(values: np.ndarray, low: float, high: float, anchors: str = MAGMA) -> str:
    """Return a spectrogram (F, T), low frequencies first, as an image with them at the bottom."""
    return png(levels(values[::-1], low, high), anchors)
