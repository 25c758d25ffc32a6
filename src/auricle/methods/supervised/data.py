"""The data of learning with labels: parts to train, validate and test on, classes, class balance, and the encoder's audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.data.augment.waveform import WaveAugment
from auricle.data.datasets.base import ClipDataset, CropConfig
from auricle.data.datasets.frame_labels import FrameLabels, without_labels
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.loading.sampler import HeldOutBatches, ShuffledBatches
from auricle.data.loading.statistics import Statistics
from auricle.data.manifest.manifest import Manifest
from auricle.hub.load import load, load_untrained
from auricle.methods.data import Processes, TrainingData, content_key
from auricle.methods.supervised.clips import LabelledWaveforms, scored_waveforms
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.groups import Groups, groups_of
from auricle.methods.supervised.labelled_clips.description import DataDescription, describe
from auricle.methods.supervised.labelled_clips.doubts import doubts
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.methods.supervised.labelled_clips.read import clip_seconds, read_labelled
from auricle.methods.supervised.mixing import CLASS_WEIGHTS
from auricle.metrics.table import default_metric
from auricle.models.base import Encoder
from auricle.models.efficientat.complexity import relative_macs
from auricle.models.label_space import LabelSpace
from auricle.models.outputs import Spectrogram

WEIGHT_SCALE = 1000.0  # [efficientat_training 4](docs/specification/efficientat_training.md#s4)


@dataclass
class LabelledData(TrainingData):
    """Labelled clips with the encoder that learns from them.

    Attributes:
        encoder: as it was loaded, before it gets its head.
        space: the classes in the order of the logits.
        parts: the clips.
        description: what was understood of the data.
        notes: the description and what else is to be said before training, for people.
        left_out: clips whose files cannot be opened.
    """

    encoder: Encoder | None = None
    space: LabelSpace | None = None
    parts: Parts | None = None
    description: DataDescription | None = None
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
        if self.dataset.labels is None or self.parts is None:
            return []
        return doubts(self.parts.present)

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
            shards=self.shards(),
            buffer=self.train.shuffle_buffer,
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


def open_labelled(config: FinetuneConfig, processes: Processes, classes: Sequence[str] = ()) -> LabelledData:
    """Open the encoder and the labelled clips of a run.

    Args:
        config: the settings.
        processes: of the run.
        classes: of a detector that grows: the class list begins with them.

    Raises:
        AuricleError: no labels, one class only, a fold that is not there, or settings that do not fit the data.
    """
    encoder = load_student(config)
    parts, space, reason = read_labelled(config, processes, classes)
    return open_parts(parts, encoder, space, config, processes, reason=reason)


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
    if config.data.frame_hop is not None:
        encoder = encoder.with_frame_hop(config.data.frame_hop)
    return encoder.with_stats(*config.data.norm_stats) if config.data.norm_stats else encoder


def open_parts(
    parts: Parts,
    encoder: Encoder,
    space: LabelSpace,
    config: FinetuneConfig,
    processes: Processes,
    *,
    labels: bool = True,
    reason: str = "",
) -> LabelledData:
    """Return the data of a run.

    Args:
        parts: the clips.
        encoder: the encoder that learns.
        space: the classes of its logits.
        labels: whether the clips' labels are learnt; without them, batches have none.
        reason: why clips have one label or any number.
    """
    train = parts.train
    names = space.spelt_as(train.table.distinct("labels"))
    classes: tuple[str, ...] | None = names if labels else None
    seconds = clip_seconds(parts, space.background, config)
    if config.data.one_chunk:
        encoder = encoder.with_duration(int(encoder.front.num_frames(round(seconds * encoder.info.sample_rate))))
    stored = train.clips[0].has_spectrogram
    frames = frame_labels(encoder, names, seconds, stored) if config.data.level == "frames" else None
    dataset = training_clips(train, encoder, classes, seconds, config)
    dataset.frame_labels = frames
    count = 0 if frames is None else len(frames.times)
    described = classes or ()
    growing = getattr(config.detector, "from_run", None) is not None
    if growing:  # the earlier clips hold its other classes, and more of those that have few new clips
        described = tuple(name for name in described if name in train.table.distinct("labels")) or described
    description = describe(parts, described, seconds=seconds, space=space, reason=reason, frames=count, growing=growing)
    notes = (*description.lines(), *unvalidated(parts, config))
    if config.data.frame_hop is not None:
        notes = (*notes, frame_hop_note(encoder, seconds))
    statistics, key = Statistics(*encoder.statistics()), content_key(train)
    data = LabelledData(dataset, statistics, key, config, processes, encoder=encoder, space=space, notes=notes)
    data.parts, data.description, data.left_out = parts, description, parts.left_out
    data.weights = clip_weights(data, config)
    for name, part in (("valid", parts.valid), ("test", parts.test)):
        if part is not None and len(part):
            known = part if classes is None else without_labels(part, classes)
            scored = scored_clips(known, encoder, classes, seconds, config)
            scored.frame_labels = frames
            setattr(data, name, replace(data, dataset=scored, weights=None, loaders=[], valid=None, test=None))
    return data


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


def frame_hop_note(encoder: Encoder, seconds: float) -> str:
    """Return a line on the distance of the frames and what a clip of ``seconds`` costs; "" for a family without a rule."""
    hop = f"frames are {encoder.info.hop_seconds:g} s apart"
    if encoder.info.family not in ("mn", "dymn"):
        return hop
    macs, times = relative_macs(encoder, seconds=seconds)
    return f"{hop}: {macs / 1e6:,.0f} million multiply-accumulates for {seconds:g} s, {times:.1f} times those of strides 2222"


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
