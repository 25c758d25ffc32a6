"""A small index of noises in three bands, made with the tagger of toy size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from helpers.sounds import write_sound
from helpers.tagging import LoudestBand

RATE = 32000
HERTZ = {"low": (60, 1000), "middle": (1500, 4200), "high": (5500, 14000)}  # thirds of the mel bands of LoudestBand
# what is heard, second by second, in recordings named as an AudioMoth and a Song Meter name them
RECORDINGS = {
    "pond/20240601_220000.WAV": ("low", "low", "high"),
    "pond/20240602_030000.WAV": ("high", "middle", "high"),
    "hill/S4A01234_20240602_120000.wav": ("middle", "low", "middle", "high"),
}


@dataclass(frozen=True)
class ToneIndex:
    """The index, its model, the folder of recordings, and sounds that are not in it."""

    index: SoundIndex
    encoder: LoudestBand
    sounds: Path
    examples: Path


def band(name: str, seconds: float = 1.0, seed: int = 0) -> np.ndarray:
    """(S,) noise of a band: sines of other pitches for another seed."""
    random, times = np.random.default_rng(seed), np.arange(round(seconds * RATE)) / RATE
    hertz, phases = random.uniform(*HERTZ[name], 80), random.uniform(0, 2 * np.pi, 80)
    wave = np.sin(2 * np.pi * times[:, None] * hertz + phases).mean(1)
    return (wave / np.abs(wave).max() / 2).astype(np.float32)


def make_tone_index(folder: Path, **settings) -> ToneIndex:
    """Write recordings and examples, and index the recordings in windows of 1 s, half a second apart."""
    sounds, examples = folder / "sounds", folder / "examples"
    for number, (name, bands) in enumerate(RECORDINGS.items()):
        parts = [band(what, seed=10 * number + i) for i, what in enumerate(bands)]
        write_sound(sounds / name, np.concatenate(parts), RATE)
    for name in HERTZ:
        write_sound(examples / f"{name}.wav", band(name, seed=3), RATE)
    encoder = LoudestBand()
    config = IndexConfig((str(sounds),), out=str(folder / "INDEX"), window=1.0, hop=0.5, **settings)
    index_recordings(config, encoder)
    return ToneIndex(SoundIndex.open(folder / "INDEX"), encoder, sounds, examples)
