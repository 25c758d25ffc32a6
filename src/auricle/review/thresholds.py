"""New thresholds for a detector that exists: from reviewed detections, or from the held-out scores that its run folder keeps.

The weight file holds the thresholds (in the label space of its head), so ``auricle tag`` decides by the new ones at once. It is
replaced as a whole, and ``evaluations/detector.json`` after it. Copies that were exported or published before keep theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.console import number_of
from auricle.core.errors import AuricleError, nearest
from auricle.core.options import as_plain
from auricle.detectors.files import describe_decisions, load_description, load_scores, save_description
from auricle.detectors.frozen import decide
from auricle.hub.load import read_run
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import describe, save_encoder
from auricle.inference.decisions.calibration import Decisions, background_rows, class_figures, decision_scores
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.base import Encoder
from auricle.models.label_space import LabelSpace
from auricle.review.precision import ChosenThreshold, LabelPrecision, few_note

REVIEWED = "; reviewed: "  # before what reviews changed, in ``LabelSpace.thresholds_fitted_on``


@dataclass(frozen=True)
class NewThreshold:
    """The threshold of a class before and after an update."""

    label: str
    before: float
    after: float


@dataclass(frozen=True)
class ThresholdUpdate:
    """What an update changed.

    Attributes:
        run: the run folder.
        changed: new thresholds.
        kept: sentences about reviewed classes whose threshold stays.
        notes: what is doubtful.
    """

    run: Path
    changed: tuple[NewThreshold, ...]
    kept: tuple[str, ...]
    notes: tuple[str, ...]


def update_thresholds(run: str | Path, found: Sequence[LabelPrecision]) -> ThresholdUpdate:
    """Give a detector the thresholds that reviewed detections of it suggest.

    Args:
        run: its run folder.
        found: precision of the reviewed classes; a class with too few answers, or without a threshold that reaches the wanted
            precision, keeps the threshold that it has.

    Returns:
        ThresholdUpdate.

    Raises:
        AuricleError: for a folder that is no detector, scores of another model, classes that it does not have, and where no class
            can be changed; nothing is changed then.
    """
    folder, encoder = _opened(run)
    notes = _check_models(folder, encoder, found)
    spaces, changed, kept = list(encoder.info.label_spaces), list[NewThreshold](), list[str]()
    for of_label in found:
        head, place = _place_of(encoder, of_label.label, folder)
        chosen = of_label.chosen
        if of_label.few or chosen is None:
            kept.append(few_note([of_label]) or f"{of_label.label}: no right answer has a score")
        elif not chosen.reached:
            kept.append(
                f"{of_label.label}: no threshold has a precision of {chosen.wanted:g} on the reviewed spans; the nearest one, "
                f"{chosen.threshold:.3f}, has {chosen.precision:.2f} ({number_of(chosen.answers, 'answer')} at or above it)"
            )
        else:
            space = spaces[head]
            assert space is not None
            changed.append(NewThreshold(of_label.label, _thresholds(space)[place], chosen.threshold))
            spaces[head] = _with_threshold(space, place, of_label, chosen)
    if not changed:
        raise AuricleError(f"no threshold of {folder.path} was changed: {'; '.join(kept) or 'nothing was reviewed'}")
    encoder.info = replace(encoder.info, label_spaces=tuple(spaces))
    _save(folder, encoder)
    if folder.detector.is_file() and spaces[0] is not None:
        _describe_changes(folder, spaces[0], [item for item in found if item.label in {c.label for c in changed}])
    folder.note_command()
    return ThresholdUpdate(folder.path, tuple(changed), tuple(kept), tuple(notes))


def refit_thresholds(run: str | Path, goal: ThresholdGoal) -> Decisions:
    """Choose the thresholds of a detector for another goal, on the held-out scores that its run folder keeps; nothing is learnt.

    Args:
        run: its run folder.
        goal: what the thresholds are for.

    Returns:
        Decisions: with the new label space, which the run folder holds from now on.

    Raises:
        AuricleError: for a folder that keeps no scores of held-out clips.
    """
    folder, encoder = _opened(run)
    space, parts, described = encoder.info.label_space, load_scores(folder.path), load_description(folder.path)
    assert space is not None
    decisions = decide(parts, space, goal, int(described.get("folds", 1)))
    if decisions is None:
        raise AuricleError(
            f"{folder.path} keeps scores of test clips alone, which decide nothing; review its detections, or fit it again with "
            "validation clips"
        )
    encoder.set_label_space(decisions.space)
    _save(folder, encoder)
    save_description(folder, {**described, **describe_decisions(decisions)})
    settings = folder.read_config()
    if isinstance(settings.get("detector"), dict):  # a detector that grows from this one keeps the goal
        folder.write_config({**settings, "detector": {**settings["detector"], "goal": as_plain(goal)}})
    folder.note_command()
    return decisions


def is_exclusive(run: str | Path) -> bool:
    """Return True if the classes of a detector exclude each other."""
    space = _opened(run)[1].info.label_space
    return space is not None and space.kind == "multiclass"


def _opened(run: str | Path) -> tuple[RunFolder, Encoder]:
    folder = RunFolder.open(run)
    encoder = read_run(folder.path)
    if not encoder.info.label_spaces or encoder.info.label_space is None:
        raise AuricleError(f"{run} has no classes, so it has no thresholds; expected the run folder of a detector")
    return folder, encoder


def _check_models(folder: RunFolder, encoder: Encoder, found: Sequence[LabelPrecision]) -> list[str]:
    """Raise AuricleError for scores of another model; return a note about scores whose model is known by its name alone."""
    mine, named = encoder.fingerprint(), False
    for model in sorted({model for of_label in found for model in of_label.models}):
        name, _, fingerprint = model.rpartition("@")
        if fingerprint == mine and name:
            continue
        advice = (
            f"review what {folder.path} detects ('auricle tag … --model {folder.path} --out tags', 'auricle review tags'), or an "
            "index that it made"
        )
        if not model:
            raise AuricleError(
                f"the answers do not say which model gave the scores, so no threshold is changed: {advice}"
            )
        if "@" in model or model != encoder.info.name:
            raise AuricleError(
                f"the reviewed scores are those of {model}, and {folder.path} is another model ({mine}): {advice}"
            )
        named = True
    if not named:
        return []
    return [
        f"the answers name the model, {encoder.info.name}, without its fingerprint; they are taken for those of {folder.path}"
    ]


def _place_of(encoder: Encoder, label: str, folder: RunFolder) -> tuple[int, int]:
    """Return the number of the head and of the class in it that a label names: an id, a name, or "head: name"."""
    names, known = encoder.info.head_names, list[str]()
    for head, space in enumerate(encoder.info.label_spaces):
        before = f"{names[head]}: " if len(encoder.info.label_spaces) > 1 else ""
        for c in () if space is None else space.reported:
            assert space is not None
            if label in (before + space.names[c], before + space.ids[c]):
                return head, c
            known.append(before + space.names[c])
    raise AuricleError(f"{folder.path} has no class '{label}'{nearest(label, known)}")


def _thresholds(space: LabelSpace) -> tuple[float, ...]:
    return space.thresholds or (space.default_threshold,) * len(space)


def _with_threshold(space: LabelSpace, place: int, of_label: LabelPrecision, chosen: ChosenThreshold) -> LabelSpace:
    thresholds = list(_thresholds(space))
    thresholds[place] = chosen.threshold
    before, _, reviewed = space.thresholds_fitted_on.partition(REVIEWED)
    name = space.names[place]
    others = [text for text in reviewed.split(", ") if text and not text.startswith(f"{name} (")]
    new = f"{name} ({of_label.right + of_label.wrong} answers; precision {chosen.wanted:g})"
    return space.with_thresholds(thresholds, fitted_on=before + REVIEWED + ", ".join([*others, new]))


def _save(folder: RunFolder, encoder: Encoder) -> None:
    save_encoder(encoder, folder.encoder, lineage=describe(folder.encoder)["lineage"])


def _describe_changes(folder: RunFolder, space: LabelSpace, reviewed: Sequence[LabelPrecision]) -> None:
    """Bring ``detector.json`` up to date: thresholds, their figures on the held-out clips, and what was reviewed."""
    described = load_description(folder.path)
    reviews = {item.label: item.to_json() | {"curve": []} for item in reviewed}
    described["reviewed"] = {**described.get("reviewed", {}), **reviews}
    thresholds: dict[str, Any] | None = described.get("thresholds")
    if thresholds:
        thresholds["values"] = dict(zip(space.ids, space.thresholds))
        thresholds["fitted_on"] = space.thresholds_fitted_on
        thresholds["classes"] = _figures(folder, space, thresholds["classes"])
    save_description(folder, described)


def _figures(folder: RunFolder, space: LabelSpace, before: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the figures of all classes with the present thresholds, on the clips that the calibration was fitted on."""
    parts = [part for part in load_scores(folder.path) if part.part != "test"]
    if not parts:
        return before
    logits, truth = np.concatenate([part.logits for part in parts]), np.concatenate([part.truth() for part in parts])
    seconds = np.concatenate([part.seconds for part in parts])
    scores, background = decision_scores(space, logits), background_rows(space, truth)
    hours = float(np.nansum(seconds[background])) / 3600 or None
    shared = {item["id"]: bool(item.get("shared")) for item in before}
    return [
        class_figures(
            space.ids[c],
            scores[:, c],
            truth[:, c],
            space.thresholds[c],
            background,
            hours,
            shared.get(space.ids[c], False),
        ).to_json()
        for c in space.reported
    ]
