"""What an encoder is worth: logistic regression and kNN, two poolings, all labels and few, kept as files beside the runs.

A file maps "task/probe/pooling/labels" to accuracy. The untrained network of a seed is probed once for all contenders that
share its architecture, log-mel statistics and chance once for a part.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from auricle.evaluate.evaluation import Score
from auricle.evaluate.run import evaluate
from auricle.evaluate.task import Task
from auricle.hub.families import untrained
from auricle.hub.load import load
from auricle.inference.embed_settings import EncodeSettings
from auricle.models.contract import Encoder
from auricle.models.logmel_stats import LogMelStats

POOLINGS = ("mean", "mean_std")
PROBES = ("logistic", "knn-vote")
Scores = dict[str, float]


def probe(run: Path, seed: int, named: dict[str, Task], layers: Iterable[str] = ()) -> None:
    """Scores of a run and of its untrained twin, unless they are there."""
    kept = scores_file(run, layers)
    if kept.is_file():
        return
    encoder = load(run)
    twin = untrained(encoder, seed)
    fresh = run.parent / f"untrained-{twin.fingerprint()[:16]}{suffix(layers)}.json"
    if not fresh.is_file():
        fresh.write_text(json.dumps(scores(twin, named, layers), indent=1))
    found = scores(encoder, named, layers)
    kept.write_text(json.dumps({"untrained": fresh.name, "scores": found}, indent=1))


def floor(folder: Path, named: dict[str, Task]) -> None:
    """Log-mel mean and deviation, and chance."""
    kept = folder / "floor.json"
    if kept.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Scores] = {"log-mel mean+std": {}, "chance": {}}
    for task in named.values():
        for how in PROBES:
            result = evaluate(LogMelStats().eval(), task, how, few_shot=curve(task, how))
            for name, score in zip(found, (result.score, result.baselines[-1])):
                for pooling in POOLINGS:
                    found[name] |= by_labels(f"{task.title}/{how}/{pooling}", score)
    kept.write_text(json.dumps(found, indent=1))


def suffix(layers: Iterable[str]) -> str:
    return "".join(f"-{layer}" for layer in layers)


def scores_file(run: Path, layers: Iterable[str] = ()) -> Path:
    return run / f"scores{suffix(layers)}.json"


def scores(encoder: Encoder, named: dict[str, Task], layers: Iterable[str]) -> Scores:
    found: Scores = {}
    for task in named.values():
        for pooling in POOLINGS:
            encode = EncodeSettings(pooling=pooling, layers=tuple(layers))
            for how in PROBES:
                result = evaluate(encoder, task, how, encode=encode, baselines=False, few_shot=curve(task, how))
                found |= by_labels(f"{task.title}/{how}/{pooling}", result.score)
    return found


def curve(task: Task, how: str) -> bool:
    """Few labels are asked of the test part alone."""
    return how == "logistic" and not task.title.endswith("cv")


def by_labels(key: str, score: Score) -> Scores:
    return {f"{key}/all": score.score, **{f"{key}/{point.shots}": point.score for point in score.few_shot}}
