"""The data of learning with labels: parts to train, validate and test on, classes, class balance, and the encoder's audio."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.data.augment.waveform import WaveAugment
from auricle.data.datasets.base import ClipDataset, CropConfig
from auricle.data.datasets.frame_labels import FrameLabels, with_event_labels, without_labels
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.loading.sampler import HeldOutBatches, ShuffledBatches
from auricle.data.loading.statistics import Statistics
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.lengths import with_lengths
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest, draw_folds
from auricle.hub.load import load, load_untrained
from auricle.methods.data import Processes, TrainingData, content_key
from auricle.methods.supervised.clips import LabelledWaveforms, scored_waveforms
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.contradictions import contradictions
from auricle.methods.supervised.groups import Groups, groups_of
from auricle.methods.supervised.mixing import CLASS_WEIGHTS
from auricle.metrics.table import default_metric
from auricle.models.base import Encoder
from auricle.models.label_space import LabelKind, LabelSpace
from auricle.models.outputs import Spectrogram

LONGEST = 10.0  # seconds of a training clip that is not asked for
WEIGHT_SCALE = 1000.0  # [efficientat_training 4](docs/specification/efficientat_training.md#s4)


@dataclass
class LabelledData(TrainingData):
    """Labelled clips with the encoder that learns from them.

    Attributes:
        encoder: as it was loaded, before it gets its head.
        space: the classes in the order of the logits.
        notes: what was understood of the data, for people.
        left_out: clips whose files cannot be opened.
    """

    encoder: Encoder | None = None
    space: LabelSpace | None = None
    notes: tuple[str, ...] = ()
    left_out: int = 0

    def replaced(self) -> int:
        return super().replaced() + self.left_out

    @property
    def batch_clips(self) -> int:
        """The batch size of the settings, or fewer where a process has not so many clips."""
        return max(1, min(super().batch_clips, self.clips // self.processes.world))

    @property
    def clips(self) -> int:
        config = self.config
        assert isinstance(config, FinetuneConfig)
        return min(len(self.dataset), config.data.epoch_clips or len(self.dataset))

    def warnings(self) -> list[str]:
        return contradictions(self.dataset.manifest) if self.dataset.labels is not None else []

    def training_sampler(self) -> ShuffledBatches:
        rank, world = self.processes.rank, self.processes.world
        return ShuffledBatches(
            len(self.dataset),
            self.batch_clips,
            self.train.seed,
            rank,
            world,
            weights=self.weights,
            drawn=self.clips,
            replacement=False,
        )

    def scoring_sampler(self) -> HeldOutBatches:
        """Score every clip once, in the order of the list."""
        rows = np.arange(len(self.dataset))
        batches = [rows[i : i + self.batch_clips] for i in range(0, len(rows), self.batch_clips)]
        return HeldOutBatches(batches, self.processes.rank, self.processes.world)

    def targets(self) -> np.ndarray:
        """Return the labels of all clips, (n, C) of 0 and 1. Raises AuricleError where no labels are learnt."""
        labels = self.dataset.labels
        if labels is None:
            raise AuricleError(
                "balanced sampling and balanced class weights need labels, and these clips have none to learn"
            )
        return np.stack([labels(clip)[0] for clip in self.dataset.manifest])


class Parts(NamedTuple):
    """Clips to train on, to validate on and to test on; how many were left out because their files cannot be opened."""

    train: Manifest
    valid: Manifest | None
    test: Manifest | None
    left_out: int = 0


def open_labelled(config: FinetuneConfig, processes: Processes) -> LabelledData:
    """Open the encoder and the labelled clips of a run.

    Raises:
        AuricleError: no labels, one class only, a fold that is not there, or settings that do not fit the data.
    """
    encoder = load_student(config)
    parts = read_parts(config, processes)
    classes = parts.train.label_classes()
    kind = kind_of(parts.train, config)
    check_classes(parts.train, classes, config)
    return open_parts(parts, encoder, LabelSpace.of([(name, name) for name in classes], kind), config, processes)


def load_student(config: FinetuneConfig) -> Encoder:
    """Load the encoder that learns."""
    if config.initial == "random":
        encoder = load_untrained(config.model, weights=config.weights, seed=config.train.seed)
    else:
        encoder = load(config.model, weights=config.weights)
    if config.augment.fmax is not None:
        encoder = encoder.with_fmax(config.augment.fmax)
    if config.data.front_end is not None:
        encoder = encoder.with_front_end(config.data.front_end)
    return encoder.with_stats(*config.data.norm_stats) if config.data.norm_stats else encoder


def read_parts(config: FinetuneConfig, processes: Processes) -> Parts:
    """Read the clips of a run and their lengths, and split them."""
    manifest = read_manifest(
        config.source,
        labels=config.data.labels,
        label_column=config.data.label_column,
        group_column=config.data.group_column,
        classes=config.data.classes,
    )
    readable = readable_clips(manifest, config.source, processes)
    left_out = len(manifest) - len(readable)
    train, valid, test, _ = split_parts(labelled(readable, config), config)
    if config.valid is not None:
        valid = labelled(readable_clips(read_manifest(config.valid), config.valid, processes), config)
    if config.test is not None:
        test = labelled(readable_clips(read_manifest(config.test), config.test, processes), config)
    return Parts(train, valid, test, left_out)


def readable_clips(manifest: Manifest, source: str, processes: Processes) -> Manifest:
    """Return the clips whose files can be opened, with their lengths, and print how many were left out."""
    readable = with_lengths(manifest, quiet=processes.quiet)
    if processes.is_main:
        for note in readable.notes[len(manifest.notes) :]:
            print(f"{source}: {note}", file=sys.stderr)
    return readable


def labelled(manifest: Manifest, config: FinetuneConfig) -> Manifest:
    """Return the clips with the labels that are learnt: their own, or the classes of their events."""
    return with_event_labels(manifest) if config.data.level == "frames" else manifest


def open_parts(
    parts: Parts,
    encoder: Encoder,
    space: LabelSpace,
    config: FinetuneConfig,
    processes: Processes,
    *,
    labels: bool = True,
) -> LabelledData:
    """Return the data of a run.

    Args:
        parts: the clips.
        encoder: the encoder that learns.
        space: the classes of its logits.
        labels: whether the clips' labels are learnt; without them, batches have none.
    """
    train = parts.train
    names = space.spelt_as(train.table.distinct("labels"))
    classes: tuple[str, ...] | None = names if labels else None
    seconds = config.data.seconds or min(LONGEST, float(np.nanmax(train.table.seconds())))
    if config.data.one_chunk:
        encoder = encoder.with_duration(int(encoder.front.num_frames(round(seconds * encoder.info.sample_rate))))
    stored = train.clips[0].has_spectrogram
    frames = frame_labels(encoder, names, seconds, stored) if config.data.level == "frames" else None
    dataset = training_clips(train, encoder, classes, seconds, config)
    dataset.frame_labels = frames
    notes = (*describe_parts(parts, classes or (), space.kind, seconds, frames), *unvalidated(parts, config))
    statistics, key = Statistics(*encoder.statistics()), content_key(train)
    data = LabelledData(dataset, statistics, key, config, processes, encoder=encoder, space=space, notes=notes)
    data.left_out = parts.left_out
    data.weights = clip_weights(data, config)
    for name, part in (("valid", parts.valid), ("test", parts.test)):
        if part is not None and len(part):
            known = part if classes is None else without_labels(part, classes)
            scored = scored_clips(known, encoder, classes, seconds, config)
            scored.frame_labels = frames
            setattr(data, name, replace(data, dataset=scored, weights=None, loaders=[], valid=None, test=None))
    return data


def split_parts(manifest: Manifest, config: FinetuneConfig) -> Parts:
    """Return the clips to train on, to validate on and to test on.

    The test part is the fold of the settings, or the clips whose split is called test; the validation part is the split
    of that name, or drawn from the training part: stratified, with groups kept together.
    """
    fold = config.data.fold
    train, valid, test = map(manifest.in_splits, (("", *TRAINING_SPLITS), VALIDATION_SPLITS, TEST_SPLITS))
    if fold is not None:
        folds = manifest.table.numbers("fold")
        if fold not in folds:
            known = ", ".join(map(str, sorted({int(number) for number in folds if number >= 0})))
            has = (
                f"has the folds {known}"
                if known
                else "has no folds; add a column fold to its table, or leave --fold out"
            )
            raise AuricleError(f"--fold {fold}: {config.source} {has}")
        test, train, valid = folds == fold, folds != fold, np.zeros(len(folds), bool)
    if config.data.validate_on == "test":
        if not test.any() and config.test is None:
            raise AuricleError(f"--validate-on test: {config.source} has no test part; leave it out, or name a --fold")
        train, valid = train | (valid if fold is None else False), test
    if not train.any():
        present = sorted({(clip.split or "").lower() for clip in manifest})
        raise AuricleError(f"{config.source} has no clips to learn from: its splits are {', '.join(present)}")
    if not valid.any() and config.valid is None and config.data.valid_ratio:
        valid = drawn_validation(manifest, train, config)
        train = train & ~valid
    classes = manifest.classes
    whole, drawn, held = (
        replace(manifest, clips=manifest.table.take(rows), classes=classes) for rows in (train, valid, test)
    )
    return Parts(whole, drawn if len(drawn) else None, held if len(held) else None)


def drawn_validation(manifest: Manifest, train: np.ndarray, config: FinetuneConfig) -> np.ndarray:
    """Draw the validation part of the training rows (mask over all clips). Empty where there are too few clips."""
    rows = np.flatnonzero(train)
    clips = [manifest.clips[int(row)] for row in rows]
    folds = round(1 / config.data.valid_ratio)
    groups = [clip.group if clip.group is not None else f"clip {clip.id}" for clip in clips]
    chosen = np.zeros(len(manifest), bool)
    if folds < 2 or len(set(groups)) < folds:
        return chosen
    names = sorted({label for clip in clips for label in clip.labels})
    index = {name: i for i, name in enumerate(names)}
    values = np.zeros((len(clips), len(names)))
    for row, clip in enumerate(clips):
        values[row, [index[label] for label in clip.labels]] = 1.0
    drawn = np.array(draw_folds(values, groups, folds, config.train.seed))
    chosen[rows[drawn == "1"]] = True
    return chosen


def kind_of(manifest: Manifest, config: FinetuneConfig) -> LabelKind:
    """Return whether exactly one label is given to every clip (multiclass), or any number (multilabel)."""
    if config.data.level == "frames":
        return "multilabel"
    counts = Counter(len(clip.labels) for clip in manifest)
    single = set(counts) == {1} and all(clip.known is None for clip in manifest)
    if config.data.kind == "multiclass" and not single:
        wrong = next(clip for clip in manifest if len(clip.labels) != 1)
        raise AuricleError(
            f"--kind multiclass needs exactly one label a clip; {wrong.id} has {len(wrong.labels)} "
            f"({', '.join(wrong.labels) or 'none'})"
        )
    if config.data.kind != "auto":
        return config.data.kind  # type: ignore[return-value]
    return "multiclass" if single else "multilabel"


def check_classes(manifest: Manifest, classes: Sequence[str], config: FinetuneConfig) -> None:
    """Raise AuricleError unless there is something to tell apart."""
    if not classes:
        raise AuricleError(
            f"{config.source} gives no labels; expected two or more folders named by class, a column label, or "
            "--labels TABLE"
        )
    if len(classes) == 1 and config.data.level == "clip" and all(clip.labels for clip in manifest):
        raise AuricleError(
            f"every clip has the one label '{classes[0]}': there is nothing to tell apart; add clips without it, in a folder "
            "named background"
        )


def training_clips(
    manifest: Manifest, encoder: Encoder, classes: Sequence[str] | None, seconds: float, config: FinetuneConfig
) -> ClipDataset:
    """Return the data set to learn from: stored spectrograms of the encoder's front end, or augmented waveforms."""
    crops = CropConfig(crop=config.data.crop, short=config.data.short)
    seed, augment, front = config.train.seed, config.augment, encoder.front
    if manifest.clips[0].has_spectrogram:
        if config.data.fade:
            raise AuricleError(
                "--fade is about recordings; these clips are stored spectrograms, which have no ends to fade"
            )
        frames = int(front.num_frames(round(seconds * front.sample_rate)))
        return Spectrograms(manifest, frames, seed=seed, config=crops, classes=classes)
    waves = WaveAugment(
        augment.gain or 0,
        augment.roll or 0,
        augment.impulse_responses or "",
        augment.impulse_ratio,
        encoder.info.sample_rate,
    )
    return LabelledWaveforms(
        manifest,
        encoder.info.sample_rate,
        seconds,
        augment=waves,
        mixup=augment.wave_mixup,
        mixup_alpha=augment.wave_mixup_alpha,
        binary_labels=augment.binary_labels,
        seed=seed,
        config=crops,
        classes=classes,
        resampler=front.resampler,
        fade=config.data.fade or 0.0,
    )


def scored_clips(
    manifest: Manifest, encoder: Encoder, classes: Sequence[str] | None, seconds: float, config: FinetuneConfig
) -> ClipDataset:
    """Return the data set to score, without augmentation."""
    if manifest.clips[0].has_spectrogram:
        front = encoder.front
        frames = int(front.num_frames(round(seconds * front.sample_rate)))
        return Spectrograms(manifest, frames, config=CropConfig(crop="start"), classes=classes)
    return scored_waveforms(
        manifest,
        encoder.info.sample_rate,
        seconds,
        config.data.scored_windows,
        classes,
        short=config.data.short,
        resampler=encoder.front.resampler,
        fade=config.data.fade or 0.0,
    )


def frame_labels(encoder: Encoder, classes: Sequence[str], seconds: float, stored: bool) -> FrameLabels:
    """Return what turns events into labels of the encoder's frames, for crops of ``seconds``.

    Args:
        stored: the crops are stored spectrograms, not waveforms.
    """
    front = encoder.front
    samples = round(seconds * front.sample_rate)
    training = encoder.training
    with torch.no_grad():
        if stored:
            silence = torch.zeros(1, front.n_mels, int(front.num_frames(samples)))
            lengths = torch.tensor([silence.shape[2]])
            output = encoder.eval().encode(Spectrogram(silence, lengths, front.hop_seconds, front.id))
        else:
            output = encoder.eval()(torch.zeros(1, samples))
    encoder.train(training)
    return FrameLabels(tuple(classes), output.times.cpu().numpy(), seconds)


def clip_weights(data: LabelledData, config: FinetuneConfig) -> np.ndarray | None:
    """Return how often each clip is drawn, or None for each once.

    See [efficientat_training 4](docs/specification/efficientat_training.md#s4).
    """
    if config.data.sampling == "shuffle":
        return None
    if config.data.sampling == "weighted":
        return data.dataset.manifest.table.numbers("weight").astype(np.float64)
    return balanced_clip_weights(data.targets(), config.data.balance_constant)


def balanced_clip_weights(targets: np.ndarray, constant: float) -> np.ndarray:
    """Return the weights (n,) of clips with labels (n, C): the sum over their classes of 1000 / (constant + clips of the class).

    See [efficientat_training 4](docs/specification/efficientat_training.md#s4).
    """
    return targets @ (WEIGHT_SCALE / (constant + targets.sum(0)))


def describe_parts(
    parts: Parts, classes: Sequence[str], kind: str, seconds: float, frames: FrameLabels | None = None
) -> list[str]:
    """Return lines that say what was understood of the data."""
    meaning = "exactly one a clip" if kind == "multiclass" else "any number a clip"
    if frames is not None:
        meaning = f"any number in each of {len(frames.times)} frames a clip"
    labels = f"{len(classes)} classes ({meaning})" if classes else "labels are not used"
    lines = [f"{labels}, clips of {seconds:g} s"]
    for name, part in (("train", parts.train), ("validation", parts.valid), ("test", parts.test)):
        if part is None or not len(part):
            lines.append(f"{name}: none")
            continue
        counts = Counter(label for clip in part for label in clip.labels)
        events = f" with {sum(len(clip.events) for clip in part)} events" if frames is not None else ""
        groups = len({clip.group for clip in part if clip.group is not None})
        shown = ", ".join(f"{label} {counts[label]}" for label in list(classes)[:12])
        more = f" and {len(classes) - 12} more" if len(classes) > 12 else ""
        lines.append(
            f"{name}: {len(part)} clips{events}{f' of {groups} groups' if groups else ''}{': ' if shown else ''}{shown}{more}"
        )
    return lines


def unvalidated(parts: Parts, config: FinetuneConfig) -> list[str]:
    """Return a line that says why no validation part could be drawn; [] where there is one, or none was asked for."""
    ratio = config.data.valid_ratio
    if parts.valid is not None or not ratio:
        return []
    return [
        f"no clips to validate on: a share of {ratio:g} (--valid-ratio) needs {round(1 / ratio)} clips or groups; "
        "give it more, or name a part with --valid TABLE; the weights of the last epoch are kept"
    ]


def scored_groups(data: LabelledData, config: FinetuneConfig) -> Groups | None:
    """Return how groups of clips are scored, as the settings want it."""
    assert data.space is not None
    parts = [part.dataset.manifest for part in (data.valid, data.test) if part is not None]
    wanted = config.learning.metric
    return groups_of(parts, data.space, config.data, default_metric(data.space.kind) if wanted == "auto" else wanted)


def check_slices(data: LabelledData, config: FinetuneConfig) -> None:
    """Raise AuricleError for batches that do not fill their slices: nothing would be learnt from them."""
    slices = config.learning.slices
    if config.train.batch_size is not None and data.batch_clips < slices:
        raise AuricleError(
            f"a batch of {data.batch_clips} clips does not fill --slices {slices}; raise --batch-size, or set --slices 1"
        )


def class_weights(data: LabelledData, config: FinetuneConfig) -> Tensor | None:
    """Return the weights of the classes in the loss."""
    if config.learning.class_weights == "none":
        return None
    return CLASS_WEIGHTS[config.learning.class_weights](torch.from_numpy(data.targets())).float()
