"""Use an encoder as a scikit-learn transformer in a ``Pipeline``: it maps audio files to embeddings.

    make_pipeline(AudioEncoder("runs/first", seconds=5.0), StandardScaler(), LogisticRegression())

``cross_val_score`` clones the transformer and calls it once per fold; with ``cache=True`` every file is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.inference.config import EmbedSettings, layer_texts
from auricle.inference.embedder import embed
from auricle.inference.pipeline import as_encoder
from auricle.models.base import Encoder


class AudioEncoder(TransformerMixin, BaseEstimator):
    """A transformer from paths of audio files to embeddings (n, D), float32. ``fit`` does nothing.

    Args:
        model: an Encoder, or an argument of ``auricle.load``.
        seconds: crop or zero-pad every clip to this length; None: use the whole clip.
        layers: block indices or "all".
        pooling: "clip", "mean", "mean_std", "max" or "mean_max".
        batch_size: clips per forward pass.
        cache: store the embedding of each file in the embedding cache, so that folds and later runs do not encode again.
    """

    def __init__(
        self,
        model: Encoder | str | Path = "logmel-stats",
        *,
        seconds: float | None = None,
        layers: Sequence[int] | str = (),
        pooling: str = "clip",
        batch_size: int = 16,
        cache: bool = True,
    ):
        self.model = model
        self.seconds = seconds
        self.layers = layers
        self.pooling = pooling
        self.batch_size = batch_size
        self.cache = cache

    def fit(self, X: Sequence[str | Path], y: Any = None) -> AudioEncoder:
        """Return the transformer; there is nothing to fit."""
        return self

    def transform(self, X: Sequence[str | Path]) -> np.ndarray:
        """Encode audio files: paths (n,) -> embeddings (n, D).

        Raises:
            AuricleError: if a file cannot be read; the message names it.
        """
        encoder, paths = as_encoder(self.model), [str(path) for path in np.asarray(X, dtype=object).ravel()]
        options: dict[str, Any] = {
            "layers": layer_texts(self.layers),
            "pooling": self.pooling,
            "batch_size": self.batch_size,
        }
        settings = EmbedSettings(seconds=self.seconds, **options)
        manifest = Manifest(tuple(Clip(id=path, path=path) for path in dict.fromkeys(paths)))
        embeddings = (
            EmbeddingCache().embed(manifest, encoder, settings)
            if self.cache
            else embed(manifest, encoder, settings=settings)
        )
        if embeddings.failed:
            raise AuricleError(
                f"{len(embeddings.failed)} of {len(manifest)} files failed: {next(iter(embeddings.failed.values()))}"
            )
        row = {id: i for i, id in enumerate(embeddings.ids)}
        return embeddings.clip[[row[path] for path in paths]]

    def __sklearn_is_fitted__(self) -> bool:
        return True
