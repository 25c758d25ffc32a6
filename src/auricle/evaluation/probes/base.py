"""The ``Probe`` contract, the features that probes read, and what several probes share. No PyTorch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import ClassTargets, Targets

if TYPE_CHECKING:
    from auricle.inference.embedder import Embeddings


@dataclass(frozen=True)
class Features:
    """Features of n clips, in the order of the targets' rows, at one or more levels.

    Attributes:
        clip: (n, D), one vector per clip.
        layers: (n, L, D), one vector per clip and layer.
        frames: One (T, D) per clip; T differs.
        times: One (T,) per clip, seconds from its start.
        for_training: Features of the same clips for the training and validation rows, where those are cut in another
            way (EVAR trains on random windows); None where they are the same.
    """

    clip: np.ndarray | None = None
    layers: np.ndarray | None = None
    frames: tuple[np.ndarray, ...] | None = None
    times: tuple[np.ndarray, ...] | None = None
    for_training: Features | None = None

    def __post_init__(self) -> None:
        sizes = {
            name: len(values) for name in ("clip", "layers", "frames") if (values := getattr(self, name)) is not None
        }
        if not sizes:
            raise AuricleError("features need at least one of clip, layers and frames")
        if self.for_training is not None:
            sizes["for_training"] = len(self.for_training)
        if len(set(sizes.values())) > 1:
            raise AuricleError(f"features of different numbers of clips: {sizes}")
        if (
            self.frames is not None
            and self.times is not None
            and list(map(len, self.frames)) != list(map(len, self.times))
        ):
            raise AuricleError("every clip needs as many times as frames")

    def __len__(self) -> int:
        return len(next(x for x in (self.clip, self.layers, self.frames) if x is not None))

    @classmethod
    def from_embeddings(
        cls, embeddings: Embeddings, ids: Sequence[str], for_training: Features | None = None
    ) -> Features:
        """Take the rows of ``ids`` from stored embeddings; the layers become an array where all are equally wide."""
        row = {id: i for i, id in enumerate(embeddings.ids)}
        rows = [row[id] for id in ids]
        clip, widths = embeddings.clip[rows], embeddings.widths
        layers = clip.reshape(len(rows), len(widths), -1) if widths and len(set(widths)) == 1 else None
        frames, times = (
            None if values is None else tuple(values[i] for i in rows)
            for values in (embeddings.frames, embeddings.times)
        )
        return cls(clip, layers, frames, times, for_training)

    def vectors(self) -> np.ndarray:
        """Return one vector per clip, (n, D): ``clip``, else all layers joined.

        Raises:
            AuricleError: There are only frames.
        """
        if self.clip is not None:
            return self.clip
        if self.layers is None:
            raise AuricleError(
                "this probe needs one vector per clip and the features have only frames; pool them first"
            )
        return self.layers.reshape(len(self.layers), -1)


class Probe(Protocol):
    """A model that is trained on the training rows of a split and predicts its test rows. Settings are its fields."""

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> Any:
        """Train and predict.

        Args:
            features: Features of all rows.
            targets: Targets of all rows. Only those of ``split.train`` and ``split.valid`` may be read.
            split: Which rows train, validate and test.
            key: Key of every random number.

        Returns:
            Predictions for ``split.test``, in its order; for classes scores (n_test, C), higher is likelier.
        """


@dataclass(frozen=True)
class ProbeData:
    """The arrays of one split, for probes of classes from one vector per clip.

    Attributes:
        train: (n_train, D); train_targets (n_train, C) of 0 and 1.
        valid: (n_valid, D), n_valid may be 0; valid_targets (n_valid, C).
        test: (n_test, D).
        multilabel: False if every clip has exactly one label.
    """

    train: np.ndarray
    train_targets: np.ndarray
    valid: np.ndarray
    valid_targets: np.ndarray
    test: np.ndarray
    multilabel: bool

    @classmethod
    def of(cls, features: Features, targets: Targets, split: Split) -> ProbeData:
        """Cut the arrays. Raises AuricleError for targets that are not classes."""
        classes = class_targets_only(targets)
        train, test = (features.for_training or features).vectors(), features.vectors()
        return cls(
            train[split.train],
            classes.values[split.train],
            train[split.valid],
            classes.values[split.valid],
            test[split.test],
            classes.multilabel,
        )


def class_targets_only(targets: Targets) -> ClassTargets:
    """Return the targets as classes. Raises AuricleError for another kind."""
    if not isinstance(targets, ClassTargets):
        raise AuricleError(f"this probe predicts classes and cannot be used for a task of kind '{targets.kind}'")
    return targets


@dataclass(frozen=True)
class StandardScaler:
    """Subtract the mean and divide by the standard deviation of a training part; constant features are not divided.

    Attributes:
        mean: (D,).
        std: (D,), n divisor.
    """

    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> StandardScaler:
        """Measure features (n, D)."""
        features = np.asarray(features, dtype=np.float64)
        std = features.std(0)
        return cls(features.mean(0), np.where(std > 0, std, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        return (np.asarray(features, dtype=np.float64) - self.mean) / self.std


def check_features(features: np.ndarray, ids: Sequence[str]) -> None:
    """Raise AuricleError, naming the clips, when an embedding (n, D) holds NaN or infinity."""
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        shown = ", ".join(ids[i] for i in bad[:3])
        raise AuricleError(
            f"{len(bad)} of {len(features)} embeddings hold NaN or infinite values ({shown} …): the encoder is broken "
            "or overflows (try --precision float32); nothing was scored"
        )
