"""Stored spectrograms for tests: a folder of ``.npy`` log-mel files and its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from auricle.data.loading.statistics import Moments, Statistics
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.npy import open_array

FRONT_END = "m2d-logmel/16k"


def store(folder: Path, arrays: Mapping[str, np.ndarray], **fields) -> Manifest:
    """Arrays by id -> ``<id>.npy`` files; ``fields`` are set on every clip."""
    folder.mkdir(parents=True, exist_ok=True)
    for id, array in arrays.items():
        np.save(folder / f"{id}.npy", array)
    return Manifest(tuple(Clip(id=id, key=f"{id}.npy", **fields) for id in arrays), folder)


def ramps(count: int, frames: int = 40, bands: int = 4) -> dict[str, np.ndarray]:
    """(1, F, N) arrays whose value is 1000 * clip + frame, so that a crop says where it comes from."""
    return {f"c{i}": np.tile(1000.0 * i + np.arange(frames, dtype=np.float32), (1, bands, 1)) for i in range(count)}


def exact_statistics(manifest: Manifest) -> Statistics:
    """Over every value of every stored spectrogram."""
    moments = (Moments.of(open_array(manifest.spectrogram(clip))) for clip in manifest)
    return sum(moments, Moments()).statistics()
