"""Use an encoder as a scikit-learn transformer in a ``Pipeline``: it maps recordings to embeddings.

    make_pipeline(AudioEncoder("runs/first", seconds=5.0), StandardScaler(), LogisticRegression())

``cross_val_score`` clones the transformer and calls it once per fold; with ``cache=True`` every file is encoded once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from auricle.audio.arrays import is_waveform
from auricle.audio.sources import as_list, is_one, is_path
from auricle.core.errors import AuricleError
from auricle.core.io import path_of
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.inference.config import EmbedSettings, layer_texts
from auricle.inference.embedder import Embedder, Embeddings
from auricle.inference.pipeline import as_encoder
from auricle.models.base import Encoder


class AudioEncoder(TransformerMixin, BaseEstimator):
    """A transformer from recordings to embeddings (n, D), float32. There is nothing to fit.

    Args:
        model: an Encoder, or an argument of ``auricle.load``.
        weights: a local file of a published name.
        seconds: crop or zero-pad every clip to this length; None: use the whole clip.
        layers: block indices or "all".
        pooling: "clip", "mean", "mean_std", "max" or "mean_max".
        sample_rate: in hertz, of waveforms that come without a rate.
        device: "auto", "cpu", "cuda", "cuda:1".
        batch_size: clips per forward pass.
        cache: store the embedding of each file in the embedding cache, so that folds and later runs do not encode again.

    Attributes:
        n_features_in_: 1, a recording per row; there after ``fit``.

    Example:
        pipeline = make_pipeline(AudioEncoder("mn04_as"), LogisticRegression()).fit(paths, labels)
        vectors = AudioEncoder(sample_rate=16000).transform(waveforms)
    """

    def __init__(
        self,
        model: Encoder | str | Path = "logmel-stats",
        *,
        weights: str | Path | None = None,
        seconds: float | None = None,
        layers: Sequence[int] | str = (),
        pooling: str = "clip",
        sample_rate: int | None = None,
        device: str = "auto",
        batch_size: int = 16,
        cache: bool = True,
    ):
        self.model = model
        self.weights = weights
        self.seconds = seconds
        self.layers = layers
        self.pooling = pooling
        self.sample_rate = sample_rate
        self.device = device
        self.batch_size = batch_size
        self.cache = cache

    def fit(self, X: Any, y: Any = None) -> AudioEncoder:
        """Return the transformer; there is nothing to fit."""
        self.n_features_in_ = 1
        return self

    def transform(self, X: Any) -> np.ndarray:
        """Encode recordings.

        Args:
            X: one recording per row: a list, array, Series or one-column table of paths; a list of what
                ``auricle.embed`` takes (waveforms, (waveform, rate), entries of a data set, bytes); waveforms (n, S).

        Returns:
            (n, D) float32.

        Raises:
            AuricleError: if a recording cannot be read; the message names it.
        """
        values = values_of(X)
        rows = recordings(values)
        encoder, settings = as_encoder(self.model, self.weights), self._settings()
        if is_waveform(values) and values.shape[1] < encoder.info.min_samples:
            raise AuricleError(
                f"X has the shape {tuple(values.shape)}: {values.shape[1]} numbers per row are less than one window of "
                f"audio ({encoder.info.min_samples} samples); expected paths, waveforms (n, samples), or a list of waveforms"
            )
        if all(is_path(row) for row in rows):
            return self._of_files([str(path_of(row)) for row in rows], encoder, settings)
        return _vectors(Embedder(encoder, settings=settings)(rows, sample_rate=self.sample_rate), len(rows))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the columns: "clip_0", or "layer5_0" of a block. Encodes silence to count them."""
        encoder = as_encoder(self.model, self.weights)
        embedder, rate = Embedder(encoder, settings=self._settings()), encoder.info.sample_rate
        widths = embedder(np.zeros(encoder.usable_samples(1.0), np.float32), sample_rate=rate).widths
        return np.array([f"{n}_{i}" for n, width in zip(embedder.names, widths) for i in range(width)], dtype=object)

    def _settings(self) -> EmbedSettings:
        return EmbedSettings(
            layers=layer_texts(self.layers),
            pooling=self.pooling,
            device=self.device,
            batch_size=self.batch_size,
            seconds=self.seconds,
        )

    def _of_files(self, paths: list[str], encoder: Encoder, settings: EmbedSettings) -> np.ndarray:
        manifest = Manifest(tuple(Clip(id=path, path=path) for path in dict.fromkeys(paths)))
        if self.cache:
            embeddings = EmbeddingCache().embed(manifest, encoder, settings)
        else:
            embeddings = Embedder(encoder, settings=settings)(manifest)
        row = {path: i for i, path in enumerate(manifest.ids)}
        return _vectors(embeddings, len(manifest))[[row[path] for path in paths]]

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.one_d_array, tags.input_tags.two_d_array = True, True, False
        tags.no_validation, tags.requires_fit = True, False
        return tags


def values_of(X: Any) -> Any:
    """Return the cells of a data frame or of a column of one as an array; anything else as it is."""
    return X.to_numpy() if hasattr(X, "to_numpy") else X


def recordings(values: Any) -> list[Any]:
    """Return the recordings of ``X``, one per row. Raises AuricleError for no rows, several columns and a lone waveform."""
    columns = getattr(values, "ndim", 1)
    if is_waveform(values) and columns != 2:
        raise AuricleError(
            f"X is one array of shape {tuple(values.shape)}; expected waveforms (n, samples), or [waveform]"
        )
    if isinstance(values, np.ndarray) and not is_waveform(values):
        if columns > 1 and values.shape[1:] != (1,):
            raise AuricleError(f"X has the shape {values.shape}; expected one column, of paths or recordings")
        values = values.ravel()
    rows = list(values) if is_waveform(values) else [values] if is_one(values) else as_list(values)
    if not rows:
        raise AuricleError("X is empty; expected one recording per row")
    if all(isinstance(row, list) and len(row) == 1 for row in rows):  # a table with one column
        rows = [row[0] for row in rows]
    return rows


def _vectors(embeddings: Embeddings, count: int) -> np.ndarray:
    """The embeddings of ``count`` recordings. Raises AuricleError if some failed or stand for another number of rows."""
    if embeddings.failed:
        reason = next(iter(embeddings.failed.values()))
        raise AuricleError(f"{len(embeddings.failed)} of {count} recordings failed: {reason}")
    if len(embeddings) != count:
        raise AuricleError(
            f"{count} rows hold {len(embeddings)} recordings; expected one per row: no folders, and no file twice among "
            "waveforms"
        )
    return embeddings.clip
