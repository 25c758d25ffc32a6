"""Evaluate one encoder on one task: embeddings from the cache, folds, probe, baselines beside it, one result.

``evaluate`` is a function of an encoder, so the same code serves the command, the demo and the training loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from auricle.core.options import as_plain
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import TRAINING_SPLITS, Manifest
from auricle.embeddings.cache import EmbeddingCache, cache_key
from auricle.evaluation.evaluation import Evaluation, Prediction
from auricle.evaluation.labels import Coverage, Labels, labelled
from auricle.evaluation.probes.fewshot import check_few_shot
from auricle.evaluation.protocols import Protocol, protocol
from auricle.evaluation.scoring import Scored, TaskSplit
from auricle.evaluation.splits import fold_notes
from auricle.evaluation.statistics import task_statistics
from auricle.evaluation.task import SEEDS, Task
from auricle.evaluation.task_runner import TaskRunner, embed_settings, floor_notes, readable, setting_of
from auricle.hub.run_folder import environment
from auricle.inference.embed_config import EmbedSettings, EncodeSettings
from auricle.models.base import Encoder

BOOTSTRAP = 1000


def evaluate(
    encoder: Encoder,
    task: Task | str,
    how: str | Protocol = "logistic",
    *,
    manifest: Manifest | None = None,
    cache: EmbeddingCache | None = None,
    encode: EncodeSettings | None = None,
    seeds: Sequence[int] = SEEDS,
    baselines: bool = True,
    few_shot: bool = False,
    statistics: str = "own",
    command: str = "",
    quiet: bool = True,
) -> Evaluation:
    """Scores of ``encoder`` and of the baselines under one protocol.

    task      a Task, or its source; ``manifest``, if given, is used in place of reading it
    how       a protocol's name ("logistic", "logistic-cv", "knn-vote", "knn-cosine", "knn-xares", "evar") or a Protocol
    few_shot  also the curve over 1, 2, 4 and 8 clips per class
    statistics  "own", or the task's: "pooled" over its frames, or "published" as EVAR computes them

    Raises AuricleError for whatever makes the numbers meaningless: no labels, no folds, one class, NaN features.
    """
    started = time.perf_counter()
    task = Task(task) if isinstance(task, str) else task
    whole = manifest if manifest is not None else task.manifest()
    expected = setting_of(labelled(whole), task)  # before the first clip is decoded: a refusal costs nothing
    if few_shot:
        check_few_shot(expected)
    heard = embed_settings(encode or EncodeSettings(), task, "random", seeds[0])  # the windows of training
    encoder = _with_statistics(encoder, whole, heard, statistics)
    options = (cache or EmbeddingCache(), encode or EncodeSettings(), tuple(seeds), few_shot, quiet)
    bench, failed = _bench(encoder, whole, task, protocol(how) if isinstance(how, str) else how, *options)
    scored, own = bench.score(encoder)
    others, missing = bench.baselines(encoder) if baselines else ((), [])
    setting, tested = bench.setting, np.unique(scored.rows)
    told = whole.notes_but_leaks()  # leaks are told by fold, where they matter
    notes = [*told, *fold_notes(bench.usable, setting.labels, setting.folds), *missing, *floor_notes(own, others)]
    return Evaluation(
        task=task.title,
        protocol=bench.protocol.name,
        metric=setting.metric,
        score=own,
        baselines=others,
        classes=setting.labels.classes,
        classes_scored=int(setting.labels.targets[tested].any(0).sum()),
        multilabel=setting.labels.multilabel,
        coverage=_coverage(whole, bench, tested),
        predictions=_predictions(scored, bench.usable, setting.labels),
        interval=_interval(scored, setting),
        failed=failed,
        notes=(*notes, *bench.cache.notes),
        settings=as_plain(
            {"statistics": statistics, "task": task.anywhere(), "encode": bench.encode, "seeds": bench.seeds}
        ),
        embeddings=cache_key(bench.heard, encoder, embed_settings(bench.encode, task)),
        seconds=round(time.perf_counter() - started, 3),
        environment=environment(),
        command=command,
    )


def _with_statistics(encoder: Encoder, whole: Manifest, heard: EmbedSettings, form: str) -> Encoder:
    """Statistics of the clips that train (with folds every clip does, in some fold); two numbers, no labels."""
    if form == "own":
        return encoder
    training = [clip.id for clip in whole if (clip.split or "train").lower() in TRAINING_SPLITS]
    return encoder.with_stats(*task_statistics(encoder, whole.select(ids=training or whole.ids), heard, form))


def _bench(
    encoder: Encoder,
    whole: Manifest,
    task: Task,
    how: Protocol,
    cache: EmbeddingCache,
    encode: EncodeSettings,
    seeds: tuple[int, ...],
    few_shot: bool,
    quiet: bool,
) -> tuple[TaskRunner, dict[str, str]]:
    heard = labelled(whole)
    found = cache.embed(heard, encoder, embed_settings(encode, task), what=encoder.info.name, quiet=quiet)
    usable = readable(heard, found)
    setting = setting_of(usable, task)
    return TaskRunner(heard, usable, setting, task, how, seeds, few_shot, encode, cache, quiet), found.failed


def _predictions(scored: Scored, manifest: Manifest, labels: Labels) -> tuple[Prediction, ...]:
    best = scored.values.argmax(1)
    return tuple(
        Prediction(
            manifest.clips[row].id,
            fold,
            tuple(sorted(set(manifest.clips[row].labels))),
            labels.classes[best[i]],
            tuple(round(float(v), 6) for v in scored.values[i]),
        )
        for i, (row, fold) in enumerate(zip(scored.rows, scored.folds))
    )


def _interval(scored: Scored, setting: TaskSplit) -> tuple[float, float] | None:
    """2.5 and 97.5 % points of the accuracy over keyed bootstrap draws of the tested clips."""
    if setting.metric != "accuracy":
        return None
    right = scored.values.argmax(1) == setting.labels.index[scored.rows]
    key = RandomKey(0).of("bootstrap").integers(0, len(right), size=(BOOTSTRAP, len(right)))
    low, high = np.quantile(right[key].mean(1), (0.025, 0.975))
    return float(low), float(high)


def _coverage(whole: Manifest, bench: TaskRunner, tested: np.ndarray) -> Coverage:
    parts = np.unique(np.concatenate([np.concatenate([f.train, f.valid, f.test]) for f in bench.setting.folds]))
    unlabelled, failed = len(whole) - len(bench.heard), len(bench.heard) - len(bench.usable)
    return Coverage(len(whole), unlabelled, failed, len(bench.usable) - len(parts), len(tested))
