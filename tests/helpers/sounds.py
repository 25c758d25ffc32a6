"""Generated audio files for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile


def tone(seconds: float = 0.5, rate: int = 16000, hertz: float = 440.0, seed: int = 0) -> np.ndarray:
    """(S,) a sine with a little noise, |x| < 1."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.5 * np.sin(2 * np.pi * hertz * time) + 0.05 * noise).astype(np.float32)


def write_sound(path: Path, wave: np.ndarray | None = None, rate: int = 16000) -> Path:
    """A sound file, its folders made when absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone(rate=rate) if wave is None else wave, rate)
    return path


def write_sounds(folder: Path, count: int, seconds: float = 0.5, rate: int = 16000, suffix: str = ".wav") -> list[str]:
    """``count`` tones of different pitch; returns their names."""
    names = [f"clip{i:03d}{suffix}" for i in range(count)]
    for i, name in enumerate(names):
        write_sound(folder / name, tone(seconds, rate, 200.0 + 10 * i, seed=i), rate)
    return names
