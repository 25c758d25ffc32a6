"""Train and test the heads of one task: every split, every seed."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from auricle.core.console import progress_bar
from auricle.core.devices import pick_device
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.splits import Split
from auricle.evaluation.suites.contract import WorkContext
from auricle.evaluation.suites.superb.clips import TaskClips
from auricle.evaluation.suites.superb.featurizer import Featurizer
from auricle.evaluation.suites.superb.heads import ClassHead, PhoneHead, SpeakerHead
from auricle.evaluation.suites.superb.hidden_states import RATE, HiddenStates
from auricle.evaluation.suites.superb.inputs import Inputs, LiveInputs, Waves, readable_rows, store_means
from auricle.evaluation.suites.superb.settings import HeadSettings
from auricle.evaluation.suites.superb.training import Downstream, Predictions, Rows, class_weights, train_head
from auricle.metrics.speech import equal_error_rate, token_error_rate
from auricle.models.base import Encoder

FRAMES_NEEDED = ("phones", "speakers")  # kinds whose heads look at single frames
LEAST_SPEECH = 2 * RATE  # samples of a training clip of speaker verification


@dataclass(frozen=True)
class SplitScore:
    """One split with one seed.

    Attributes:
        split: Name of the split.
        seed: The seed.
        score: Score of the test part.
        validation: Of the validation part, higher is better; NaN without one.
        step: The update whose weights were tested.
        layer_weights: Share of every layer.
        skipped: Updates without a finite gradient.
    """

    split: str
    seed: int
    score: float
    validation: float
    step: int
    layer_weights: tuple[float, ...]
    skipped: int


@dataclass(frozen=True)
class Prepared:
    """A task and an encoder, ready for heads.

    Attributes:
        task: The clips that can be read.
        settings: How heads are trained.
        inputs: Hidden states of its rows.
        states: The encoder.
        failed: Why clips could not be read, by id.
    """

    task: TaskClips
    settings: HeadSettings
    inputs: Inputs
    states: HiddenStates
    failed: dict[str, str]


def prepare_task(encoder: Encoder, task: TaskClips, settings: HeadSettings, context: WorkContext) -> Prepared:
    """Read the clips, and encode them where they are encoded once.

    Args:
        encoder: The encoder; it is not changed.
        task: Clips, targets and splits.
        settings: How heads are trained.
        context: Device, batch size, progress.

    Raises:
        AuricleError: No clip of a part could be read, or the features mean nothing.
    """
    device = pick_device(context.encode.device)
    own = encoder.without_head()
    if settings.stats is not None and own.info.family == settings.stats_family:
        own = own.with_stats(*settings.stats)
    states = HiddenStates(copy.deepcopy(own).to(device).eval())
    live = LiveInputs(Waves(task.clips), states, settings.last_layer, settings.crop)
    if not (settings.train_encoder or settings.kind in FRAMES_NEEDED):
        stored, failed = store_means(live, context.encode.batch_size, encoder.info.name, context.quiet)
        return Prepared(_without(task, set(failed)), settings, stored, states, failed)
    samples, failed = readable_rows(live.waves)
    if settings.kind == "speakers":
        short = {row for row, count in samples.items() if count < LEAST_SPEECH}
        task = _without(task, {task.clips.clips[row].id for row in short}, training_alone=True)
    return Prepared(_without(task, set(failed)), settings, live, states, failed)


def measure_task(
    encoder: Encoder, task: TaskClips, settings: HeadSettings, seeds: Sequence[int], context: WorkContext
) -> tuple[list[SplitScore], dict[str, str]]:
    """Train a head for every split and seed, and test it.

    Args:
        encoder, task, settings, context: As of ``prepare_task``.
        seeds: Seeds of initialisation and order.

    Returns:
        The rounds, and why clips could not be read, by id.
    """
    ready = prepare_task(encoder, task, settings, context)
    splits, rounds = ready.task.splits, list[SplitScore]()
    with progress_bar(total=len(splits) * len(seeds) * settings.steps, what="head", quiet=context.quiet) as bar:
        for split in splits:
            rounds += [train_round(ready, split, seed, lambda: bar.update(1))[0] for seed in seeds]
    return rounds, ready.failed


def _without(task: TaskClips, ids: set[str], training_alone: bool = False) -> TaskClips:
    """The task whose parts lack some clips. Raises AuricleError where a part is empty."""
    if not ids:
        return task
    gone = np.array([row for row, id in enumerate(task.clips.ids) if id in ids])
    splits, trials = [], task.trials
    for split in task.splits:
        parts = {"train": np.setdiff1d(split.train, gone, assume_unique=True)}
        if not training_alone:
            parts |= {part: np.setdiff1d(getattr(split, part), gone, assume_unique=True) for part in ("valid", "test")}
            trials = trials[~np.isin(trials[:, :2], gone).any(1)]
        for part, rows in parts.items():
            if not len(rows) and len(getattr(split, part)):
                raise AuricleError(f"no clip of {split.name} ({part}) could be read or is long enough")
        splits.append(replace(split, **parts))  # type: ignore[arg-type]
    return replace(task, splits=splits, trials=trials)


def train_round(
    ready: Prepared, split: Split, seed: int, on_step: Callable[[], Any] = lambda: None
) -> tuple[SplitScore, Downstream]:
    """Train a head on a split and test it."""
    task, settings, key = ready.task, ready.settings, RandomKey(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = new_model(ready, seed)
        valid, weights = split.valid, None
        if settings.balanced:
            labels = np.array([int(target[0]) for target in task.targets])
            weights, share = class_weights(labels[split.train]), class_weights(labels[valid])
            drawn = key.of("superb/valid")
            valid = drawn.choice(valid, len(valid), p=share / share.sum()) if len(valid) else valid

        def validate(found: Predictions) -> float:
            sign = -1 if settings.kind in FRAMES_NEEDED else 1
            return sign * score_of(settings, task, found, valid)

        targets = [torch.from_numpy(target) for target in task.targets]
        trained = train_head(
            model, inputs, split.train, targets, settings, key,
            weights=weights, valid=valid, validate=validate, on_step=on_step,
        )  # fmt: skip
    score = score_model(ready, split.test, trained.model, inputs)
    row = SplitScore(split.name, seed, score, trained.validation, trained.step, trained.weights, trained.skipped)
    return row, trained.model


def new_model(ready: Prepared, seed: int = 0) -> tuple[Downstream, Inputs]:
    """Return an untrained head, and the hidden states that it reads: of an encoder of its own where that is trained too."""
    states, inputs, settings = ready.states, ready.inputs, ready.settings
    if isinstance(inputs, LiveInputs):
        states = copy.deepcopy(states) if settings.train_encoder else states
        inputs = LiveInputs(inputs.waves, states, inputs.last_layer, inputs.crop, np.random.default_rng(seed))
    with torch.no_grad():
        hidden, _ = inputs([int(ready.task.splits[0].train[0])])
    head = make_head(settings, hidden.shape[3], ready.task)
    model = Downstream(Featurizer(len(hidden)), head, states if settings.train_encoder else None)
    return model.to(hidden.device), inputs if settings.train_encoder else torch.no_grad()(inputs)


def score_model(ready: Prepared, rows: Rows, model: Downstream, inputs: Inputs) -> float:
    """Score a head on rows."""
    return score_of(ready.settings, ready.task, model.predict(inputs, rows, ready.settings.batch_size), rows)


def make_head(settings: HeadSettings, width: int, task: TaskClips) -> torch.nn.Module:
    """Return a new head for features of a width."""
    if settings.kind == "phones":
        return PhoneHead(width, len(task.names[0]))
    if settings.kind == "speakers":
        return SpeakerHead(width, len(task.names[0]))
    return ClassHead(width, [len(names) for names in task.names])


def score_of(settings: HeadSettings, task: TaskClips, found: Predictions, rows: Rows) -> float:
    """Score predictions of rows: the share of clips of which all slots are right, or an error rate."""
    if settings.kind == "speakers":
        first, second, same = task.trials.T
        similar = [float(found[int(a)] @ found[int(b)]) for a, b in zip(first, second)]
        return equal_error_rate(np.array(similar), same)
    if settings.kind == "phones":
        return token_error_rate(
            [found[int(row)].tolist() for row in rows], [task.targets[row].tolist() for row in rows]
        )
    return float(np.mean([bool((found[int(row)].numpy() == task.targets[row]).all()) for row in rows]))
