"""ESC-10 and the spoken digits with the frozen features of an encoder, as the product reads them.

ESC-10 is read from its Vorbis files and has its five folds. The digits are the WAV files of ``with_labels``, zero-padded to 1 s
as those of the reference figures; their folds are the six speakers, which are groups too. "digits, as they are" are not padded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import auricle
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.detectors.features import LabelledFeatures, read_features
from auricle.inference.embedder import Embedder
from auricle.models.base import Encoder
from benchmarks.detectors.settings import MODEL, WEIGHTS
from benchmarks.small_scale.sounds import SPEAKERS, digits, esc10
from benchmarks.with_labels.sounds import clips, write_table


@dataclass(frozen=True)
class Clips:
    """Features of all clips of a task, the fold of each (n,), and the classes in the order of the targets."""

    features: LabelledFeatures
    folds: np.ndarray
    classes: tuple[str, ...]

    def rows(self, *folds: int) -> np.ndarray:
        return np.flatnonzero(np.isin(self.folds, folds))


@dataclass(frozen=True)
class Place:
    """Where things are: the shared folder, the folder that is written, and the run folder of the small encoder."""

    shared: Path
    out: Path
    small: Path

    @property
    def weights(self) -> Path:
        return self.shared / WEIGHTS

    def encoder(self, name: str) -> Encoder:
        return auricle.load(MODEL, weights=self.weights) if name == MODEL else auricle.load(self.small)

    def manifest(self, task: str) -> Manifest:
        """Return the clips of a task, with fold and group."""
        if task == "ESC-10":
            return esc10(self.shared)
        if task == "digits":
            rows = [row | {"group": SPEAKERS[int(row["fold"]) - 1]} for row in clips(self.shared, self.out)[task]]
            return read_manifest(write_table(rows, self.out / "digits.csv"))
        manifest = digits(self.shared)
        return replace(manifest, clips=tuple(replace(clip, fold=_speaker(clip)) for clip in manifest))

    def clips(self, encoder: str, task: str, *, frames: bool = False) -> Clips:
        """Read features from the embedding cache; frames are kept in the folder that is written."""
        manifest = self.manifest(task)
        classes = tuple(sorted({clip.labels[0] for clip in manifest}))
        features, _ = read_features(manifest, self.encoder(encoder), classes)
        places = {clip.id: clip.fold for clip in manifest}
        if frames:
            features = replace(features, frames=self.frames(encoder, task, features.ids))
        return Clips(features, np.array([places[id] for id in features.ids]), classes)

    def frames(self, encoder: str, task: str, ids: tuple[str, ...]) -> tuple[np.ndarray, ...]:
        path = self.out / f"frames-{encoder}-{task}.npz"
        if not path.is_file():
            found = Embedder(self.encoder(encoder), level="frames")(self.manifest(task))
            assert found.frames is not None
            path.parent.mkdir(parents=True, exist_ok=True)
            joined = np.concatenate(found.frames).astype(np.float16)
            np.savez(path, ids=np.array(found.ids), lengths=[len(frame) for frame in found.frames], frames=joined)
        with np.load(path) as file:
            parts = np.split(file["frames"], np.cumsum(file["lengths"])[:-1])
            by_id = dict(zip(map(str, file["ids"]), parts))
        return tuple(by_id[id] for id in ids)


def _speaker(clip: Clip) -> int:
    return SPEAKERS.index(str(clip.group)) + 1


def accuracy(logits: np.ndarray, targets: np.ndarray) -> float:
    return float((logits.argmax(1) == targets.argmax(1)).mean())
