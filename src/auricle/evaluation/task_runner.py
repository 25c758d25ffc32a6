"""The place where any encoder is scored on one task: its clips, labels, folds, protocol and the embedding cache."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.evaluation import Score
from auricle.evaluation.labels import labels_of
from auricle.evaluation.probes.base import check_features
from auricle.evaluation.probes.fewshot import few_shot_curve
from auricle.evaluation.protocols import Protocol
from auricle.evaluation.scoring import Scored, TaskSplit, mean_and_deviation, score_features
from auricle.evaluation.splits import make_folds
from auricle.evaluation.task import Task
from auricle.inference.embed_config import EmbedSettings, EncodeSettings
from auricle.inference.embedder import Embeddings
from auricle.metrics.classification import metric
from auricle.models.base import Encoder
from auricle.models.registry import untrained


@dataclass(frozen=True)
class TaskRunner:
    """heard: the labelled clips; usable: those of them that could be read, in the order of ``setting``'s labels."""

    heard: Manifest
    usable: Manifest
    setting: TaskSplit
    task: Task
    protocol: Protocol
    seeds: tuple[int, ...]
    few_shot: bool
    encode: EncodeSettings
    cache: EmbeddingCache
    quiet: bool

    def score(self, encoder: Encoder) -> tuple[Scored, Score]:
        """Every fold and seed of the protocol, and the few-shot curve if wished for.

        Raises AuricleError for NaN features, or a clip that this encoder alone cannot take.
        """
        features, train = self._features(encoder, "start"), None
        if self.protocol.train_crop == "random" and self.task.seconds:
            train = self._features(encoder, "random")
        scored = score_features(self.setting, self.protocol, features, self.seeds, train)
        curve = few_shot_curve(self.setting, features, seed=self.seeds[0]) if self.few_shot else ()
        average = mean_and_deviation(scored.scores)
        return scored, Score(self._name(encoder), *average, scored.scores, encoder.fingerprint(), curve)

    def _name(self, encoder: Encoder) -> str:
        """The encoder's name, and what of it was taken when that is not its own output."""
        parts = [f"layers {' '.join(self.encode.layers)}"] if self.encode.layers else []
        parts += [self.encode.pooling] if self.encode.pooling != "clip" else []
        return f"{encoder.info.name} ({', '.join(parts)})" if parts else encoder.info.name

    def baselines(self, encoder: Encoder) -> tuple[tuple[Score, ...], list[str]]:
        """The untrained twin, log-mel mean and deviation, and chance; with words for one that could not be had."""
        own_output = replace(self, encode=replace(self.encode, layers=(), pooling="clip"))
        rows, notes = [], []
        for make, bench in ((untrained_twin, self), (log_mel_floor, own_output)):
            try:
                if (rival := make(encoder)) is not None:
                    rows.append(bench.score(rival)[1])
            except AuricleError as error:
                notes.append(f"a baseline is missing: {error}")
        return (*rows, chance(self.setting)), notes

    def _features(self, encoder: Encoder, crop: str) -> np.ndarray:
        """(n, D), a row per usable clip."""
        settings = embed_settings(self.encode, self.task, crop, self.seeds[0])
        found = self.cache.embed(self.heard, encoder, settings, what=encoder.info.name, quiet=self.quiet)
        row = {id: i for i, id in enumerate(found.ids)}
        absent = [id for id in self.usable.ids if id not in row]
        if absent:
            raise AuricleError(f"{encoder.info.name} cannot take {len(absent)} of the clips: {found.failed[absent[0]]}")
        check_features(found.clip, found.ids)
        return found.clip[[row[id] for id in self.usable.ids]]


def embed_settings(encode: EncodeSettings, task: Task, crop: str = "start", seed: int = 0) -> EmbedSettings:
    return EmbedSettings(**asdict(encode), seconds=task.seconds, crop=crop, crop_seed=seed)


def readable(heard: Manifest, found: Embeddings) -> Manifest:
    """The clips that could be embedded. Raises AuricleError when none could."""
    if not found.ids:
        raise AuricleError(
            f"none of the {len(heard)} clips could be read; the first: {next(iter(found.failed.values()))}"
        )
    return heard.select(ids=set(found.ids))


def setting_of(manifest: Manifest, task: Task) -> TaskSplit:
    """Labels, folds, groups and metric of labelled clips."""
    labels = labels_of(manifest)
    name = task.metric if task.metric != "auto" else ("mAP" if labels.multilabel else "accuracy")
    metric(name, multilabel=labels.multilabel)
    groups = tuple(clip.group if clip.group is not None else f"clip {clip.id}" for clip in manifest)
    return TaskSplit(labels, make_folds(manifest, labels, task.folding), groups, name)


def untrained_twin(encoder: Encoder) -> Encoder | None:
    """The same architecture with random weights; None for an encoder that has none."""
    return untrained(encoder) if any(True for _ in encoder.parameters()) else None


def log_mel_floor(encoder: Encoder) -> Encoder | None:
    """Mean and deviation over time of a log-mel spectrogram; None when ``encoder`` is just that."""
    from auricle.models.log_mel_stats import LogMelStats

    return None if isinstance(encoder, LogMelStats) else LogMelStats().eval()


def chance(setting: TaskSplit) -> Score:
    """Every clip gets the training part's class frequencies: the most frequent class, or the prevalence as mAP."""
    scores = []
    for fold in setting.folds:
        shares = setting.labels.targets[fold.train].mean(0, dtype=np.float64)
        scores.append(setting.score(np.tile(shares, (len(fold.test), 1)), fold, 0))
    return Score("chance", *mean_and_deviation(scores), tuple(scores))


def floor_notes(own: Score, baselines: Sequence[Score]) -> list[str]:
    """A word for every baseline that does as well as the model."""
    return [
        f"{rival.model} does as well ({rival.score:.4f}): this task does not show that {own.model} is good"
        for rival in baselines
        if rival.score >= own.score
    ]
