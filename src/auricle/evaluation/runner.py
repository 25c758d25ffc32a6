"""``evaluate``: one encoder on one task: embeddings from the cache, splits, a probe, baselines beside it, one result.

It is a function of an encoder, so the same code serves the command, the demo and the training loop.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.options import as_plain
from auricle.data.manifest.manifest import TRAINING_SPLITS, Manifest
from auricle.embeddings.cache import EmbeddingCache, cache_key
from auricle.evaluation.bootstrap import bootstrap_interval
from auricle.evaluation.compare import score_difference
from auricle.evaluation.evaluation import Coverage, Evaluation, Score, class_values, make_predictions, model_title
from auricle.evaluation.identity import task_identity
from auricle.evaluation.probes.base import Features, check_features
from auricle.evaluation.protocols import Protocol, protocol
from auricle.evaluation.scoring import (
    SplitScores,
    TaskPlan,
    TaskSplit,
    chance_scores,
    few_shot_curve,
    mean_and_std,
    score_features,
)
from auricle.evaluation.splits import split_notes
from auricle.evaluation.statistics import task_statistics
from auricle.evaluation.tasks import SEEDS, Task
from auricle.hub.run_folder import environment
from auricle.inference.config import EmbedSettings, EncodeSettings
from auricle.inference.embedder import vector_names
from auricle.metrics.table import metric
from auricle.models.base import Encoder
from auricle.models.log_mel_stats import LogMelStats
from auricle.models.registry import untrained


def evaluate(
    encoder: Encoder,
    task: Task | TaskPlan | str,
    how: str | Protocol = "logistic",
    *,
    manifest: Manifest | None = None,
    cache: EmbeddingCache | None = None,
    encode: EncodeSettings | None = None,
    seeds: Sequence[int] = SEEDS,
    baselines: bool = True,
    few_shot: bool = False,
    statistics: str = "own",
    place: str = "",
    clips_by_id: bool = False,
    command: str = "",
    quiet: bool = True,
) -> Evaluation:
    """Score an encoder and the baselines on a task under one protocol.

    Args:
        encoder: The encoder; it is not changed.
        task: The task, its source (a folder or a table), or a ``TaskPlan`` of it.
        how: A protocol or its name: "logistic", "logistic-cv", "knn-vote", "knn-cosine", "knn-xares", "fewshot", "evar".
        manifest: Clips to use in place of reading the task's source.
        cache: The embedding cache; default: the one in the cache folder.
        encode: Layers, pooling, precision and batch size of the embeddings.
        seeds: Seeds of probes that draw.
        baselines: Score the untrained encoder, log-mel statistics and chance beside it.
        few_shot: Add the curve over 1, 2, 4 and 8 training clips per class.
        statistics: What normalises the encoder's input: "own", or the task's, "pooled" over its frames or "published"
            as EVAR computes them.
        place: Absolute path of the run folder or weight file that the encoder is from; "" for others.
        clips_by_id: Tell by their ids whether the clips are those of another evaluation, not by what the files hold: for
            data sets that are kept at several sample rates.
        command: The command line, stored in the result.
        quiet: Show no progress.

    Raises:
        AuricleError: The number would mean nothing: no labels, no splits, one class, NaN features.
    """
    started = time.perf_counter()
    chosen = protocol(how) if isinstance(how, str) else how
    plan = _plan(task, manifest, few_shot or chosen.few_shot)
    task, candidates = plan.task, plan.candidates
    cache, encode = cache or EmbeddingCache(), encode or EncodeSettings()
    settings = embed_settings(encode, task)
    vector_names(encoder.info, settings)  # refuses blocks that the encoder lacks, before statistics are measured
    if statistics != "own":
        windows = embed_settings(encode, task, "random", seeds[0])  # the windows of training
        encoder = encoder.with_stats(*task_statistics(encoder, _training_clips(plan.whole), windows, statistics))
    embedded = cache.embed(candidates, encoder, settings, what=encoder.info.name, quiet=quiet)
    if not embedded.ids:
        first = next(iter(embedded.failed.values()))
        raise AuricleError(f"none of the {len(candidates)} clips could be embedded; the first: {first}")
    read = set(embedded.ids)
    usable = candidates.select(ids=read)
    split, lost = plan.split.take(np.flatnonzero([id in read for id in candidates.ids]))
    runner = TaskRunner(
        task, split, candidates, usable, chosen, tuple(seeds), plan.few_shot, encode, statistics, cache, place, quiet
    )
    results, own = runner.score(encoder)
    others, missing = runner.baselines(encoder) if baselines else ((), [])
    tested = np.unique(results.rows)
    leaks_by_split = split_notes(usable, split.targets, split.splits)
    notes = [*plan.notes, *lost, *plan.whole.notes_but_leaks(), *leaks_by_split, *missing]
    notes += baseline_notes(own, others, split.metric)
    classes, scores = split.targets.classes, results.predictions.astype(np.float32)
    return Evaluation(
        task=task.title,
        protocol=chosen.name,
        metric=split.metric,
        score=own,
        baselines=others,
        classes=classes,
        classes_scored=int(split.targets.values[tested].any(0).sum()),
        multilabel=split.targets.multilabel,
        coverage=_coverage(plan.whole, runner, tested),
        predictions=make_predictions(_tested_clips(results, usable), scores, classes),
        interval=_interval(results, split),
        failed=embedded.failed,
        notes=(*dict.fromkeys((*notes, *cache.notes)),),
        settings=as_plain(
            {"statistics": statistics, "task": task.with_absolute_paths(), "encode": encode, "seeds": tuple(seeds)}
        ),
        embeddings=cache_key(candidates, encoder, settings),
        seconds=round(time.perf_counter() - started, 3),
        environment=environment(),
        command=command,
        identity=task_identity(usable, split.targets.values, split.splits, task.seconds, by_id=clips_by_id),
        class_scores=class_values(scores, split.targets.values[results.rows], classes, split.targets.multilabel),
        all_scores=scores,
        version=chosen.version,
    )


def _plan(task: Task | TaskPlan | str, manifest: Manifest | None, few_shot: bool) -> TaskPlan:
    if isinstance(task, TaskPlan):
        return task if task.few_shot == few_shot else TaskPlan.of(task.task, task.whole, few_shot=few_shot)
    return TaskPlan.of(Task(task) if isinstance(task, str) else task, manifest, few_shot=few_shot)


@dataclass(frozen=True)
class TaskRunner:
    """One task with all that scores any encoder on it in the same way.

    Attributes:
        task: The task.
        split: Targets and splits of the usable clips.
        candidates: The labelled clips.
        usable: The clips that could be read, in the order of the targets' rows.
        protocol: The probe.
        seeds: Seeds of probes that draw.
        few_shot: Whether the few-shot curve is measured.
        encode: How clips are embedded.
        statistics: What normalises the encoder's input.
        cache: The embedding cache.
        place: Where the encoder is from.
        quiet: Show no progress.
    """

    task: Task
    split: TaskSplit
    candidates: Manifest
    usable: Manifest
    protocol: Protocol
    seeds: tuple[int, ...]
    few_shot: bool
    encode: EncodeSettings
    statistics: str
    cache: EmbeddingCache
    place: str
    quiet: bool

    def score(self, encoder: Encoder) -> tuple[SplitScores, Score]:
        """Score every split and seed, and the few-shot curve if it is wanted.

        Raises:
            AuricleError: Features are NaN, or this encoder alone cannot take a clip.
        """
        features = self._features(encoder, "start")
        if self.protocol.train_crop == "random" and self.task.seconds:
            features = replace(features, for_training=self._features(encoder, "random"))
        results = score_features(self.split, self.protocol, features, self.seeds)
        curve = few_shot_curve(self.split, features, seed=self.seeds[0]) if self.few_shot else ()
        average = mean_and_std(results.scores)
        return results, Score(self._name(encoder), *average, results.scores, encoder.fingerprint(), curve, self.place)

    def baselines(self, encoder: Encoder) -> tuple[tuple[Score, ...], list[str]]:
        """Score the untrained encoder, log-mel mean and standard deviation, and chance.

        Returns:
            The scores, and a note for each baseline that could not be measured.
        """
        scores, notes = [], []
        own_output = replace(self, encode=replace(self.encode, layers=(), pooling="clip"), statistics="own", place="")
        for make, runner in ((untrained_twin, self), (log_mel_baseline, own_output)):
            try:
                if (baseline := make(encoder)) is not None:
                    scores.append(runner.score(baseline)[1])
            except AuricleError as error:
                notes.append(f"a baseline is missing: {error}")
        chance = chance_scores(self.split)
        return (*scores, Score("chance", *mean_and_std(chance), chance)), notes

    def _features(self, encoder: Encoder, crop: str) -> Features:
        """A row per usable clip."""
        settings = embed_settings(self.encode, self.task, crop, self.seeds[0])
        embedded = self.cache.embed(self.candidates, encoder, settings, what=encoder.info.name, quiet=self.quiet)
        ids = set(embedded.ids)
        absent = [id for id in self.usable.ids if id not in ids]
        if absent:
            raise AuricleError(
                f"{encoder.info.name} cannot take {len(absent)} of the clips: {embedded.failed[absent[0]]}"
            )
        check_features(embedded.clip, embedded.ids)
        return Features.from_embeddings(embedded, self.usable.ids)

    def _name(self, encoder: Encoder) -> str:
        """The encoder's name, with what is not the default of how clips became vectors."""
        return model_title(encoder.info.name, asdict(self.encode), self.statistics)


def embed_settings(encode: EncodeSettings, task: Task, crop: str = "start", seed: int = 0) -> EmbedSettings:
    """Return the settings with the task's length and the wanted window of each clip."""
    return EmbedSettings(**asdict(encode), seconds=task.seconds or 0.0, crop=crop, crop_seed=seed)


def untrained_twin(encoder: Encoder) -> Encoder | None:
    """Return the same architecture with random weights; None for an encoder without weights."""
    return untrained(encoder) if any(True for _ in encoder.parameters()) else None


def log_mel_baseline(encoder: Encoder) -> Encoder | None:
    """Return mean and standard deviation over time of a log-mel spectrogram; None if ``encoder`` is that."""
    return None if encoder.info.family == "logmel-stats" else LogMelStats().eval()


WITHIN = "; the difference is no larger than those between the splits"


def baseline_notes(own: Score, baselines: Sequence[Score], metric_name: str) -> list[str]:
    """Note every baseline that the model is not better than, by the test that reports and comparisons use."""
    sign, notes = metric(metric_name).sign, []
    for baseline in baselines:
        verdict = score_difference(own, baseline).verdict(metric_name)
        if verdict == "unsure":
            verdict = "worse" if sign * baseline.score >= sign * own.score else "better"
        if verdict != "better":
            why = WITHIN if verdict == "no difference" else ""
            notes.append(
                f"{baseline.model} does as well ({baseline.score:.4f}{why}): this task does not show that {own.model} is good"
            )
    return notes


def _training_clips(whole: Manifest) -> Manifest:
    """Clips that train; with folds every clip does, in some split."""
    ids = [clip.id for clip in whole if (clip.split or "train").lower() in TRAINING_SPLITS]
    return whole.select(ids=ids or whole.ids)


def _tested_clips(results: SplitScores, usable: Manifest) -> list[tuple[str, str, tuple[str, ...]]]:
    """Id, split and labels of every tested row."""
    clips = [usable.clips[row] for row in results.rows]
    return [(c.id, fold, tuple(sorted(set(c.labels)))) for c, fold in zip(clips, results.folds, strict=True)]


def _interval(results: SplitScores, split: TaskSplit) -> tuple[float, float] | None:
    """95 % interval of the metric over keyed bootstrap draws of the tested clips; of mAP and areas with one test part only."""
    if split.metric != "accuracy" and len(split.splits) > 1:
        return None  # scores of several probes are not ranked together
    return bootstrap_interval(split.metric, results.predictions, split.targets.values[results.rows])


def _coverage(whole: Manifest, runner: TaskRunner, tested: np.ndarray) -> Coverage:
    in_some_part = np.unique(np.concatenate([np.concatenate([s.train, s.valid, s.test]) for s in runner.split.splits]))
    unlabelled, failed = len(whole) - len(runner.candidates), len(runner.candidates) - len(runner.usable)
    return Coverage(len(whole), unlabelled, failed, len(runner.usable) - len(in_some_part), len(tested))
