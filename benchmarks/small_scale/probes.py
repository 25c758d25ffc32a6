"""What an encoder is worth: logistic regression and kNN, two poolings, all labels and few, kept as files beside the runs.

A file maps "task/probe/pooling/labels" to accuracy. The untrained network of a seed is probed once for all contenders that
share its architecture, log-mel statistics and chance once for a part.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.evaluation import Score
from auricle.evaluation.probes.base import Features
from auricle.evaluation.protocols import protocol
from auricle.evaluation.runner import evaluate
from auricle.evaluation.scoring import TaskSplit, few_shot_curve, mean_and_std, score_features
from auricle.evaluation.tasks import SEEDS, Task
from auricle.hub.load import load
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import Embeddings
from auricle.models.base import Encoder
from auricle.models.log_mel_stats import LogMelStats
from auricle.models.registry import untrained
from benchmarks.small_scale.sounds import INNER

POOLINGS = ("mean", "mean_std")
PROBES = ("logistic", "knn-vote")
Scores = dict[str, float]


def probe(run: Path, seed: int, named: dict[str, Task], layers: Sequence[str] = ()) -> None:
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


def suffix(layers: Sequence[str]) -> str:
    return "".join(f"-{layer}" for layer in layers)


def scores_file(run: Path, layers: Sequence[str] = ()) -> Path:
    return run / f"scores{suffix(layers)}.json"


def scores(encoder: Encoder, named: dict[str, Task], layers: Sequence[str]) -> Scores:
    """Each clip is encoded once: mean and deviation hold the mean, the test part's table holds the training clips."""
    found: Scores = {}
    for sounds in dict.fromkeys(name.removesuffix(INNER) for name in named):
        settings = EmbedSettings(pooling="mean_std", layers=tuple(layers))
        embedded = EmbeddingCache().embed(named.get(sounds, named.get(sounds + INNER)).manifest(), encoder, settings)
        for name in {sounds, sounds + INNER} & named.keys():
            found |= of_task(named[name], embedded, max(1, len(layers)))
    return found


def of_task(task: Task, embedded: Embeddings, blocks: int) -> Scores:
    """Both probes of both poolings; ``blocks`` of the encoder stand side by side in each vector."""
    manifest, rows = task.manifest(), {id: i for i, id in enumerate(embedded.ids)}
    split, found = TaskSplit.of(manifest, task), Scores()
    both = embedded.clip[[rows[clip.id] for clip in manifest]]
    mean = both.reshape(len(both), blocks, 2, -1)[:, :, 0].reshape(len(both), -1)
    for pooling, features in zip(POOLINGS, (mean, both)):
        for how in PROBES:
            scored = score_features(split, protocol(how), Features(features), SEEDS)
            few = few_shot_curve(split, Features(features)) if curve(task, how) else ()
            score = Score("", *mean_and_std(scored.scores), scored.scores, few_shot=few)
            found |= by_labels(f"{task.title}/{how}/{pooling}", score)
    return found


def curve(task: Task, how: str) -> bool:
    """Few labels are asked of the test part alone."""
    return how == "logistic" and not task.title.endswith(INNER)


def by_labels(key: str, score: Score) -> Scores:
    return {f"{key}/all": score.score, **{f"{key}/{point.shots}": point.score for point in score.few_shot}}
