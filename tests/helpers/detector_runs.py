"""Run folders of detectors with drawn scores: nothing is trained, and all parts that a report shows are there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from auricle.core.options import as_plain
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.detectors.features import LabelledFeatures, save_features
from auricle.detectors.files import (
    PartScores,
    describe_decisions,
    describe_space,
    save_description,
    save_scores,
)
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import save_encoder
from auricle.inference.decisions.calibration import fit_decisions
from auricle.methods.supervised.config import FinetuneConfig
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from helpers.encoders import FAMILIES
from helpers.sounds import tone, write_sound

SPACES = {
    "multiclass": LabelSpace("multiclass", ("<frog> & toad", "owl", "quiet"), background=("quiet",)),
    "multilabel": LabelSpace("multilabel", ("<frog> & toad", "owl", "cricket")),
}


def make_detector(folder: Path, kind: str = "multiclass", *, clips: int = 60, sounds: bool = True) -> Path:
    """Return a run folder ``folder/run`` of a detector that makes some mistakes, beside the recordings that it learnt from."""
    space, source = SPACES[kind], folder / "sounds"
    train, test = (_part(name, clips, space, seed) for seed, name in enumerate(("train", "test")))
    _write_recordings(source, [train, test], space, sounds)
    config = FinetuneConfig("supervised", str(source), str(folder / "run"))
    run = RunFolder.create(folder / "run", as_plain(config))
    decisions = fit_decisions(
        space, train.logits, train.targets, goal=ThresholdGoal(target_precision=0.8), fitted_on="5 held-out folds"
    )
    encoder = FAMILIES["mn"].make()
    save_encoder(encoder.with_head(make_head("linear", encoder, num_classes=len(space)), decisions.space), run.encoder)
    save_scores(run, [train, test])
    save_features(_features(train), run.features, space.ids)
    trials = [
        {"head": head, "settings": settings, "metric": metric_of(kind), "score": score, "se": 0.01, "seconds": 1.0}
        for head, settings, score in (("linear", {"strength": 1.0}, 0.9), ("prototype", {}, 0.8))
    ]
    described = {
        **describe_space(space),
        "model": "mn04_as",
        "source": str(source),
        "how": "auto",
        "head": {"kind": "linear", "settings": {"strength": 1.0}},
        "reason": "linear is kept: it is the best one",
        "folds": 5,
        "trials": trials,
        "parts": {part.part: part.describe(space) for part in (train, test)},
        "scores": {},
        **describe_decisions(decisions),
        "notes": ["a note about <the data>"],
        "left_out": {"broken.wav": "no audio"},
    }
    save_description(run, described)
    return run.path


def metric_of(kind: str) -> str:
    return "accuracy" if kind == "multiclass" else "mAP"


def _part(part: str, clips: int, space: LabelSpace, seed: int) -> PartScores:
    """Logits that are too large by three and wrong in about every tenth clip."""
    random = np.random.default_rng(seed)
    targets = np.eye(3)[np.arange(clips) % 3]
    if space.kind == "multilabel":
        targets[::4] = 0.0
        targets[1::5, 2] = 1.0
    logits = 3.0 * (4.0 * targets - 2.0 + random.normal(0, 1.5, targets.shape))
    ids = tuple(f"{part}/{i:02d}.wav" for i in range(clips))
    known = np.ones_like(targets)
    if space.kind == "multilabel":
        known[5:8, 1] = 0.0
    seconds, groups = np.full(clips, 0.3), tuple(f"clip {id}" for id in ids)
    return PartScores(part, ids, groups, seconds, logits.astype(np.float32), targets, known)


def _features(part: PartScores) -> LabelledFeatures:
    vectors = (part.logits + 1.0).astype(np.float32)
    targets, known = part.targets.astype(np.float32), part.known.astype(np.float32)
    return LabelledFeatures(part.ids, part.groups, part.seconds, vectors, (vectors,), targets, known)


def _write_recordings(source: Path, parts: list[PartScores], space: LabelSpace, sounds: bool) -> None:
    clips = []
    for part in parts:
        for i, id in enumerate(part.ids):
            if sounds and part.part == "test":
                write_sound(source / id, tone(0.3, hertz=200.0 + 30 * i, seed=i))
            labels = tuple(name for name, holds in zip(space.ids, part.targets[i]) if holds)
            clips.append(Clip(id, path=id, labels=labels, split=part.part))
    source.mkdir(exist_ok=True, parents=True)
    write_manifest(Manifest(tuple(clips), source), source / "manifest.csv")
