"""Features of a frozen encoder that were drawn, not computed."""

from __future__ import annotations

import numpy as np

from auricle.detectors.features import LabelledFeatures


def drawn_features(n: int = 60, classes: int = 3, dims: tuple[int, ...] = (5, 7), seed: int = 0) -> LabelledFeatures:
    """Clouds of points, one per class, and frames that scatter around them; every layer shows the classes."""
    random = np.random.default_rng(seed)
    index = np.arange(n) % classes
    centres = [random.normal(0, 2, (classes, dim)) for dim in dims]
    layers = tuple((centre[index] + random.normal(0, 1, (n, len(centre[0])))).astype(np.float32) for centre in centres)
    frames = tuple(
        (row + random.normal(0, 0.3, (3 + i % 4, len(row)))).astype(np.float16) for i, row in enumerate(layers[-1])
    )
    clip = np.stack([frame.astype(np.float32).mean(0) for frame in frames])
    return LabelledFeatures(
        tuple(f"{i}.wav" for i in range(n)),
        tuple(f"clip {i}" for i in range(n)),
        np.full(n, 1.0),
        clip,
        layers,
        np.eye(classes, dtype=np.float32)[index],
        np.ones((n, classes), np.float32),
        frames,
    )
