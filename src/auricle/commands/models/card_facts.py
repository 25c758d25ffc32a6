"""What is known of a model beside its weights, for the model card: data and scores of a run folder, or a published record."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.console import listed, number_of
from auricle.core.errors import AuricleError
from auricle.hub.huggingface.card import CardFacts, CardScore
from auricle.hub.huggingface.publish import facts_from_lineage, publishable

if TYPE_CHECKING:
    from auricle.hub.published.record import PublishedRecord

NOT_SCORES = ("classes_scored",)


def facts_of_record(record: PublishedRecord) -> CardFacts:
    """Return what is published about a weight."""
    from auricle.hub.published.record import bibtex

    scores = [] if record.score is None else [CardScore("AudioSet", "evaluation", "mAP", record.score, "as published")]
    scores += [CardScore(task, "", "score", value, "as published, after fine-tuning") for task, value in record.scores]
    lineage = {"published as": record.name, "source": record.source, "release": record.release}
    return CardFacts(
        scores=tuple(scores),
        lineage={key: value for key, value in lineage.items() if value},
        notes=(record.note,) if record.note else (),
        bibtex=bibtex(record.papers),
    )


def facts_of_run(folder: Path, lineage: dict[str, Any]) -> tuple[CardFacts, list[str]]:
    """Return what a run folder holds for the card, and sentences on what could not be read."""
    from auricle.hub.run_folder import RunFolder
    from auricle.reports.run_view import RunView

    facts, problems = facts_from_lineage(lineage), list[str]()
    if not RunFolder(folder).config.is_file():
        return facts, problems
    scores: list[CardScore] = []
    if RunFolder(folder).detector.is_file():
        try:
            described = _described(folder)
            facts = replace(facts, **_learnt_from(described))
            scores += _detector_scores(described)
        except AuricleError as error:
            problems.append(f"{error}: the card has nothing of it")
    try:
        view = RunView.open(folder)
        problems += view.problems
        for evaluation in view.evaluations:
            how = f"protocol {evaluation.protocol}, {evaluation.coverage}" + (
                f", {evaluation.variant}" if evaluation.variant else ""
            )
            scores.append(CardScore(evaluation.task, "", evaluation.metric, evaluation.score.score, how))
    except AuricleError as error:
        problems.append(str(error))
    kept = tuple(score for score in scores if math.isfinite(score.value))
    return replace(facts, scores=kept), problems


def _described(folder: Path) -> dict[str, Any]:
    from auricle.detectors.files import load_description

    return load_description(folder)


def _learnt_from(described: dict[str, Any]) -> dict[str, Any]:
    """Return rows about the clips, and notes, of what ``detector.json`` holds."""
    from auricle.detectors.files import PART_NAMES

    source = described.get("source")
    data = {"recordings": publishable(source)} if isinstance(source, str) and source else {}
    for part, values in described.get("parts", {}).items():
        if isinstance(values, dict) and part in PART_NAMES and isinstance(values.get("clips"), int):
            data[f"{PART_NAMES[part]} part"] = _counted(values)
    head = described.get("head", {})
    rows = {"head": head.get("kind"), "why this head": described.get("reason"), "learnt on": described.get("model")}
    data |= {
        key: publishable(value) if key == "learnt on" else value
        for key, value in rows.items()
        if isinstance(value, str)
    }
    notes = tuple(note for note in described.get("notes", ()) if isinstance(note, str))
    return {"data": data, "notes": notes}  # the name of a folder is no data set of the hub: --datasets names those


def _counted(values: dict[str, Any]) -> str:
    """ "60 clips, 18 s; frog 20, owl 20": how many clips each class has."""
    seconds = values.get("seconds")
    length = f", {seconds:g} s" if isinstance(seconds, (int, float)) and math.isfinite(seconds) else ""
    classes = values.get("classes")
    counts = [
        f"{name} {row['clips']}"
        for name, row in (classes.items() if isinstance(classes, dict) else ())
        if isinstance(row, dict) and isinstance(row.get("clips"), int)
    ]
    return f"{number_of(values['clips'], 'clip')}{length}" + (f"; {listed(counts, 30)}" if counts else "")


def _detector_scores(described: dict[str, Any]) -> list[CardScore]:
    from auricle.detectors.files import PART_NAMES

    name = publishable(str(described.get("source") or "labelled recordings"))
    trained = described.get("how") == "full"
    folds = described.get("folds", 1)
    protocols = {
        "train": f"each clip scored by a head that did not learn from its fold ({folds} held-out folds)",
        "valid": "clips that the best epoch was chosen by" if trained else "clips that were not learnt from",
        "test": "clips that were not learnt from",
    }
    found = []
    for part, values in described.get("scores", {}).items():
        for metric, value in values.items() if isinstance(values, dict) and part in protocols else ():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and metric not in NOT_SCORES:
                found.append(CardScore(name, PART_NAMES[part], str(metric), float(value), protocols[part]))
    return found
