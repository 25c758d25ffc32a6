"""An encoder as a scikit-learn transformer: audio files in, embeddings out, usable in a ``Pipeline``.

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
    """``transform(paths)`` -> (n, D) float32. Nothing is fitted; the parameters are those of EmbedSettings.

    model    an Encoder, or what ``auricle.load`` takes      seconds  cut or zero-pad every clip; None: as it is
    layers   block indices or "all"                          pooling  clip, mean, mean_std, max, mean_max
    cache    keep embeddings per file in the embedding cache, so that folds and later runs do not encode again

    Raises AuricleError, naming the file, when one cannot be read: a row cannot be left out here.
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
        """Nothing to learn."""
        return self

    def transform(self, X: Sequence[str | Path]) -> np.ndarray:
        """Paths (n,) -> (n, D)."""
        encoder, paths = as_encoder(self.model), [str(path) for path in np.asarray(X, dtype=object).ravel()]
        options: dict[str, Any] = {
            "layers": layer_texts(self.layers),
            "pooling": self.pooling,
            "batch_size": self.batch_size,
        }
        settings = EmbedSettings(seconds=self.seconds, **options)
        manifest = Manifest(tuple(Clip(id=path, path=path) for path in dict.fromkeys(paths)))
        found = (
            EmbeddingCache().embed(manifest, encoder, settings)
            if self.cache
            else embed(manifest, encoder, settings=settings)
        )
        if found.failed:
            raise AuricleError(
                f"{len(found.failed)} of {len(manifest)} files failed: {next(iter(found.failed.values()))}"
            )
        row = {id: i for i, id in enumerate(found.ids)}
        return found.clip[[row[path] for path in paths]]

    def __sklearn_is_fitted__(self) -> bool:
        return True
