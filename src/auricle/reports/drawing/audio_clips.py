"""The sounds of a page: short mono clips as MP3, with small spectrograms, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.reports.drawing.images import spectrogram

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
    """Draw a small log-magnitude spectrogram, 60 dB deep; rows are linear bands up to half the rate."""
    rows, columns = THUMBNAIL
    size = 2 * rows
    padded = np.pad(wave, (0, max(0, size * columns - len(wave))))
    starts = np.linspace(0, len(padded) - size, columns * 4).astype(int)
    frames = padded[starts[:, None] + np.arange(size)] * np.hanning(size)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1)))[:, 1:].reshape(columns, 4, rows).mean(1)
    decibels = 10 * np.log10(power.T + 1e-10)
    top = float(decibels.max())
    return spectrogram(decibels, top - 60, top)
