"""The files that make a run folder a detector's: ``evaluations/detector.json`` and ``evaluations/detector-scores.npz``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import dumps, make_folder, replacing, write_text, writing
from auricle.detectors.description_form import FORM, fault
from auricle.detectors.features import LabelledFeatures, check_rows, load_arrays
from auricle.detectors.selection import Trial
from auricle.hub.run_folder import RunFolder
from auricle.inference.decisions.calibration import Decisions
from auricle.metrics.classification import truth_of
from auricle.models.label_space import LabelSpace

FORMAT = 1
PART_NAMES = {"train": "training", "valid": "validation", "test": "test"}  # as files and as people name them


@dataclass(frozen=True)
class PartScores:
    """Uncalibrated logits of the clips of one part, which the scoring head did not learn from.

    Attributes:
        part: "train": each clip scored by the head that was fitted without its fold; "valid"; "test".
        ids: of the clips.
        groups: of the clips.
        seconds: (n,) lengths of the clips.
        logits: (n, C) float32.
        targets: (n, C) of 0 and 1.
        known: (n, C), 1 where a class was annotated.
    """

    part: str
    ids: tuple[str, ...]
    groups: tuple[str, ...]
    seconds: np.ndarray
    logits: np.ndarray
    targets: np.ndarray
    known: np.ndarray

    @classmethod
    def of(cls, part: str, features: LabelledFeatures, logits: np.ndarray) -> PartScores:
        """Return the logits (n, C) of all rows of the features."""
        return cls(
            part, features.ids, features.groups, features.seconds, logits, features.targets, features.known
        )  # fmt: skip

    def truth(self) -> np.ndarray:
        """Return the targets as metrics take them: NaN where a class was not annotated."""
        return truth_of(self.targets, self.known)

    def describe(self, space: LabelSpace) -> dict[str, Any]:
        """Return how many clips, seconds and groups there are, in all and of each class."""
        of_class = (self.targets * self.known) > 0
        groups = np.array(self.groups)
        classes = {
            id: {"clips": int(of_class[:, c].sum()), "groups": len(set(groups[of_class[:, c]]))}
            for c, id in enumerate(space.ids)
        }
        return {
            "clips": len(self.ids),
            "seconds": round(float(np.nansum(self.seconds)), 3),
            "groups": len(set(self.groups)),
            "classes": classes,
        }


def save_scores(run: RunFolder, parts: Sequence[PartScores]) -> None:
    """Write the scores of all parts to ``evaluations/detector-scores.npz``."""
    path = run.detector_scores
    make_folder(path.parent)
    arrays: dict[str, Any] = {
        "ids": np.array([id for part in parts for id in part.ids]),
        "part": np.array([part.part for part in parts for _ in part.ids]),
        "groups": np.array([group for part in parts for group in part.groups]),
        "seconds": np.concatenate([part.seconds for part in parts]).astype(np.float32),
        "logits": np.concatenate([part.logits for part in parts]).astype(np.float32),
        "targets": np.concatenate([part.targets for part in parts]).astype(np.uint8),
        "known": np.concatenate([part.known for part in parts]).astype(np.uint8),
    }
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def load_scores(run: Path | str) -> list[PartScores]:
    """Read the scores of a detector's run folder, part by part.

    Raises:
        AuricleError: the folder is not that of a detector, or the file is damaged.
    """
    path = RunFolder(Path(run)).detector_scores
    if not path.is_file():
        raise AuricleError(f"{run} holds no scores of a detector ({path.name}); auricle finetune writes them")
    try:
        arrays, found = load_arrays(path), []
        check_rows(arrays, ("ids", "groups", "part"), {"seconds": 1, "logits": 2, "targets": 2, "known": 2})
        if arrays["logits"].shape != arrays["targets"].shape:
            raise ValueError("'logits' and 'targets' are about other classes")
        for part in PART_NAMES:
            rows = np.flatnonzero(arrays["part"] == part)
            texts: dict[str, Any] = {name: tuple(map(str, arrays[name][rows])) for name in ("ids", "groups")}
            numbers: dict[str, Any] = {
                name: arrays[name][rows].astype(np.float32) for name in ("seconds", "logits", "targets", "known")
            }
            found += [PartScores(part, **texts, **numbers)] if len(rows) else []
        return found
    except (OSError, KeyError, ValueError, IndexError) as error:
        raise AuricleError(f"{path} cannot be read ({content_fault(error)}); train the detector again") from None


def describe_trial(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON values."""
    return {
        "head": trial.choice.kind,
        "settings": trial.choice.settings(),
        "metric": trial.metric,
        "score": trial.score,
        "se": trial.error,
        "fold_scores": list(trial.fold_scores),
        "loss": trial.loss,
        "seconds": round(trial.seconds, 3),
    }


def describe_space(space: LabelSpace) -> dict[str, Any]:
    """Return the classes as ``detector.json`` names them."""
    return {
        "classes": list(space.ids),
        "names": list(space.names),
        "kind": space.kind,
        "background": list(space.background),
    }


def described_space(described: dict[str, Any]) -> LabelSpace:
    """Return the classes that ``describe_space`` described, without calibration and thresholds."""
    names, background = described.get("names", ()), described.get("background", ())
    return LabelSpace(described["kind"], described["classes"], names, background)


def describe_decisions(decisions: Decisions | None) -> dict[str, Any]:
    """Return calibration and thresholds as ``detector.json`` holds them; null where none were fitted."""
    if decisions is None:
        return {"calibration": None, "thresholds": None}
    values, space = decisions.to_json(), decisions.space
    calibration = {name: values.pop(name) for name in ("ece_before", "ece_after")} | values.pop("calibration")
    return {
        "calibration": calibration,
        "thresholds": {**values, "values": dict(zip(space.ids, space.thresholds))},
    }


def describe_parts(parts: Sequence[PartScores], space: LabelSpace, decisions: Decisions | None) -> dict[str, Any]:
    """Return what ``detector.json`` holds of the classes, the clips of each part, calibration and thresholds."""
    counts = {part.part: part.describe(space) for part in parts}
    return {**describe_space(space), "parts": counts, **describe_decisions(decisions)}


def append_trials(run: RunFolder, trials: Sequence[dict[str, Any]]) -> None:
    """Append trials, as ``detector.json`` lists them, to ``metrics.jsonl``."""
    with writing(run.metrics), open(run.metrics, "a", encoding="utf-8") as file:
        file.writelines(json.dumps({"kind": "trial", "step": 0, "epoch": 0.0, **trial}) + "\n" for trial in trials)


def save_description(run: RunFolder, values: dict[str, Any]) -> None:
    """Write ``evaluations/detector.json``."""
    make_folder(run.detector.parent)
    write_text(run.detector, dumps({"format": FORMAT, **values}, indent=1) + "\n")


def load_description(run: Path | str) -> dict[str, Any]:
    """Read ``evaluations/detector.json`` of a run folder.

    Raises:
        AuricleError: the folder is not that of a detector, or the file is damaged.
    """
    path = RunFolder(Path(run)).detector
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AuricleError(
            f"{run} is not the run folder of a detector: {path} cannot be read ({content_fault(error)})"
        ) from None
    if not isinstance(values, dict) or not isinstance(values.get("format"), int):
        raise AuricleError(f"{path} does not describe a detector")
    if values["format"] > FORMAT:
        raise AuricleError(
            f"{path} was written by a newer version of auricle (format {values['format']}): update auricle"
        )
    wrong = fault(values, FORM) or ("" if values.get("classes") else "classes")
    if wrong:
        raise AuricleError(f"{path} is damaged: its '{wrong}' cannot be read; train the detector again")
    return values


def learnt_clip_seconds(model: str | Path) -> float | None:
    """Return the mean length of the clips that a detector learnt from; None where it is not known.

    Args:
        model: a run folder of a detector; any other name, or one with a damaged description, tells nothing.
    """
    folder = Path(model).expanduser()
    if not str(model) or not RunFolder(folder).detector.is_file():
        return None
    try:
        learnt = load_description(folder)["parts"].get("train") or {}
    except AuricleError:
        return None
    return round(learnt["seconds"] / learnt["clips"], 3) if learnt.get("clips") and learnt.get("seconds") else None
