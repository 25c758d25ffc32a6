"""The supervised objective: augment, encode, compare the logits with the labels; score whole clips on validation data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.mixing import Mix
from auricle.data.batch import Batch
from auricle.frontends.decibel_mel import DecibelMel
from auricle.methods.base import Objective, TrainProgress, spectrogram_of
from auricle.methods.supervised.clips import clip_of
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.groups import Groups
from auricle.methods.supervised.mixing import (
    LOSSES,
    batch_loss,
    mask_and_crop,
    mix_spectrograms,
    mix_waveforms,
    mixed_labels,
    noise_and_roll,
    scale_and_stripe,
    smoothed,
)
from auricle.methods.supervised.norms import NormWarmup
from auricle.methods.supervised.parameters import HEAD, freeze, frozen_groups, param_groups
from auricle.metrics import table as metrics
from auricle.metrics.classification import truth_of
from auricle.models.base import Encoder
from auricle.models.outputs import EncoderOutput

BY_KIND = {  # losses that depend on whether classes exclude each other
    "auto": {"multiclass": "cross-entropy", "multilabel": "bce"},
    "evar": {"multiclass": "nll", "multilabel": "bce"},
}


@dataclass(frozen=True)
class View:
    """What the network made of a batch.

    Attributes:
        output: of the encoder.
        batch: with the labels that the augmentation leaves.
        mix: how clips of the batch were mixed with each other; None if they were not.
    """

    output: EncoderOutput
    batch: Batch
    mix: Mix | None = None

    @property
    def logits(self) -> Tensor:
        """(B, C) of the main head."""
        assert self.output.logits is not None
        return self.output.logits


class Supervised(Objective):
    """Train an encoder with a head on labels.

    Args:
        encoder: with the head that is trained.
        learning: loss, freezing and rates.
        augment: augmentation of training batches.
        lr: peak rate of the run, of which groups have shares.
        class_weights: (C,) weights of the classes in the loss, or None.
        groups: how groups of clips are scored; None: clips alone are scored.
    """

    verb = "finetune"

    def __init__(
        self,
        encoder: Encoder,
        learning: LearningConfig,
        augment: AugmentConfig,
        *,
        lr: float,
        class_weights: Tensor | None = None,
        groups: Groups | None = None,
    ):
        super().__init__()
        assert encoder.info.label_space is not None, "a supervised encoder knows its classes"
        self.online, self.learning, self.augment, self.lr = encoder, learning, augment, lr
        self.kind = encoder.info.label_space.kind
        self.register_buffer("class_weights", class_weights)
        self.loss = LOSSES[BY_KIND.get(learning.loss, {}).get(self.kind, learning.loss)]
        self.metric = metrics.metric(
            metrics.default_metric(self.scored_kind) if learning.metric == "auto" else learning.metric, self.scored_kind
        ).for_classes(encoder.info.label_space.names)
        others = (metrics.metric(name, self.scored_kind) for name in learning.extra_metrics)
        self.extra_metrics = [other.for_classes(encoder.info.label_space.names) for other in others]
        self.groups, self.keeps_best = groups, learning.select != "last"
        self.best_by = self.metric.name, self.metric.sign
        if groups is not None and groups.choose:
            self.best_by = f"group_{groups.metric.name}", groups.metric.sign
        if augment.batch_range and encoder.info.front_end != DecibelMel().id:
            raise AuricleError(
                f"--batch-range is about decibels: {encoder.info.name} takes '{encoder.info.front_end}'; set --front-end "
                f"{DecibelMel().id}, or leave it out"
            )
        self.never_found: tuple[str, ...] = ()  # classes of the last scored part that were never predicted
        self.unfreezes = learning.unfreeze_epochs > 0
        self.unused_parameters = bool(encoder.params_without_grad) or self.unfreezes
        self.warm_norms = NormWarmup(encoder) if learning.norm_warmup else None
        encoder.trains_frame_logits = False
        self.frozen = frozen_groups(encoder, learning.freeze)
        freeze(encoder, self.frozen)
        encoder.augment_in_training(
            mel_edges=(augment.fmin_range, augment.fmax_range),
            mask_ratio=augment.training_mask or 0.0,
            published_mask=augment.published_mask,
        )

    @property
    def scored_kind(self) -> str:
        """Kind of task that is scored, a key of ``metrics.table.TASK_KINDS``."""
        return self.kind

    def encoder(self) -> Encoder:
        return self.online

    def train(self, mode: bool = True) -> Supervised:
        """Set the mode; frozen groups and fixed norms stay in evaluation mode, so that their statistics do not move."""
        super().train(mode)
        if mode and self.learning.fixed_norms:
            for module in self.online.modules():
                if isinstance(module, _BatchNorm):  # also one over all processes
                    module.eval()
        if mode and self.frozen:
            for group in self.online.layer_groups():
                if group.name in self.frozen:
                    for name in group.parameter_names:
                        self.online.get_submodule(name.rpartition(".")[0]).eval()
        return self

    def set_position(self, progress: TrainProgress) -> None:
        """Set what depends on the position: running statistics, the temperature of dynamic convolutions, and which groups are
        trained by now."""
        if self.warm_norms is not None:
            self.warm_norms()
        if self.learning.kernel_temperature is not None:
            self.online.set_temperature(max(1.0, self.learning.kernel_temperature - int(progress.epoch)))
        if not self.learning.unfreeze_epochs:
            return
        joined = int(progress.epoch / self.learning.unfreeze_epochs)
        body = [group for group in self.online.layer_groups() if group.name not in {HEAD, *self.frozen}]
        for place, group in enumerate(reversed(body)):
            for parameter in group.parameters:
                parameter.requires_grad_(place < joined)

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        if self.training:
            self.set_position(progress)
        view = self.encode(batch, key)
        loss = self.batch_label_loss(view)
        return loss, {"loss": loss.detach()}

    def passes(self, batch: Batch) -> int:
        front = self.online.front
        if batch.spec is not None:
            return self.online.training_passes(batch.lengths, batch.spec.shape[2])
        assert batch.audio is not None
        padded = max(batch.audio.shape[1], self.online.info.min_samples)
        return self.online.training_passes(front.num_frames(batch.lengths), front.num_frames(padded))

    def encode(self, batch: Batch, key: BatchKey) -> View:
        """Encode a batch, augmented in training mode."""
        front = self.online.front
        if not self.training:
            spec = spectrogram_of(batch, self.online)
            spec = replace(spec, values=scale_and_stripe(spec.values, front, self.augment, None))
            return View(self.online.encode(spec), batch)
        batch, mix = mix_waveforms(batch, self.augment, key)
        spec = (
            self.online.frontend(batch.audio, batch.lengths, key=key)
            if batch.audio is not None
            else spectrogram_of(batch, self.online)
        )
        values, spec_mix = mix_spectrograms(spec.values, self.augment, key)
        if spec_mix is not None:
            mix = spec_mix
            batch = mixed_labels(batch, mix)
            spec = replace(spec, lengths=mix.longest(spec.lengths))
        values = scale_and_stripe(values, front, self.augment, key)
        values = mask_and_crop(self.online.normalise(values), self.augment, key)
        values = noise_and_roll(values, self.augment, key)
        return View(self.online.encode(replace(spec, values=values, normalised=True), key=key), batch, mix)

    def label_loss(self, view: View) -> Tensor:
        """Loss of each clip against its labels, (B,)."""
        labels = view.batch.labels
        assert labels is not None
        if self.learning.label_smoothing and self.training:
            labels = smoothed(labels, self.learning.label_smoothing, multiclass=self.kind == "multiclass")
        return self.loss(view.logits.float(), labels, mask=view.batch.label_mask, weights=self.class_weights)

    def batch_label_loss(self, view: View) -> Tensor:
        """Loss of a batch against its labels."""
        return batch_loss(self.label_loss(view), self.clip_shares(view.batch.labels), self.learning.slices)

    def clip_shares(self, labels: Tensor | None) -> Tensor | None:
        """Return what each clip counts in the mean of a batch, (B,); None: all the same."""
        if self.learning.class_weights != "inverse" or labels is None or self.class_weights is None:
            return None
        assert isinstance(self.class_weights, Tensor)
        return labels.float() @ self.class_weights.to(labels.device)

    # ---- scores of clips that are not learnt from

    def validate(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> Any:
        """Return ids, logits, labels and annotated classes of a batch of windows."""
        view = self.encode(batch, key)
        assert batch.labels is not None
        mask = torch.ones_like(batch.labels) if batch.label_mask is None else batch.label_mask
        kept = len(batch) // self.learning.slices * self.learning.slices or len(batch)
        arrays = (values[:kept].float().cpu().numpy() for values in (view.logits, batch.labels, mask))
        return batch.ids[:kept], *arrays

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        """Average the logits of the windows of each clip; return the loss and the metrics of the clips."""
        ids, logits, labels, mask = by_clip(outputs)
        self.never_found = never_predicted(logits, labels * mask, self.names, multiclass=self.kind == "multiclass")
        weights = None if self.class_weights is None else self.class_weights.cpu()
        arrays = [torch.from_numpy(array) for array in (logits, labels, mask)]
        losses = self.loss(arrays[0], arrays[1], mask=arrays[2], weights=weights)
        scores = self.scores(logits, labels, mask)
        if self.groups is not None:
            scores |= self.groups.scores(ids, logits, labels)
        return {"loss": float(batch_loss(losses, self.clip_shares(arrays[1]))), **scores}

    def scores(self, logits: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> dict[str, float]:
        """Return the metrics of the settings with their parts, and how many classes could be scored.

        What was not annotated does not count.
        """
        truth = labels if self.kind == "multiclass" else truth_of(labels, mask)
        values: dict[str, float] = {}
        for metric in (self.metric, *self.extra_metrics):
            values |= metric.with_parts(logits, truth)
        return {**values, "classes_scored": float((labels * mask).any(0).sum())}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the classes in the order of the logits."""
        space = self.online.info.label_space
        assert space is not None
        return space.names

    def warnings(self, progress: TrainProgress) -> list[tuple[str, str]]:
        """In the second half of a run, warn of classes that the validation part has and that are never predicted."""
        if not self.never_found or 2 * progress.micro_step < progress.micro_steps:
            return []
        return [("never predicted", never_predicted_text(self.never_found))]

    def param_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        return param_groups(self.online, self.learning, self.lr, weight_decay)


CLASSES_SHOWN = 5


def never_predicted(
    logits: np.ndarray, labels: np.ndarray, names: Sequence[str], *, multiclass: bool
) -> tuple[str, ...]:
    """Return the classes that have clips and are predicted for none: never the likeliest, or never likelier than not.

    Args:
        logits, labels: (n, C).
        names: of the classes.
    """
    found = {int(c) for c in logits.argmax(1)} if multiclass else {int(c) for c in np.flatnonzero((logits > 0).any(0))}
    return tuple(names[int(c)] for c in np.flatnonzero((labels > 0).any(0)) if int(c) not in found)


def never_predicted_text(names: Sequence[str]) -> str:
    """Return a warning about classes that are never predicted."""
    shown = listed(names, CLASSES_SHOWN)
    what = (
        "a class of the validation part is" if len(names) == 1 else f"{len(names)} classes of the validation part are"
    )
    return (
        f"{what} never predicted: {shown}; train longer, or give rare classes more weight (--sampling balanced, --class-weights "
        "balanced), and look at their recordings"
    )


def by_clip(outputs: list[Any]) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Join the outputs of ``validate``: ids; mean logits of the windows of a clip, labels and annotated classes, all (n, C)."""
    windows: dict[str, list[np.ndarray]] = defaultdict(list)
    truth: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for ids, logits, labels, mask in outputs:
        for row, id in enumerate(ids):
            clip = clip_of(id)
            windows[clip].append(logits[row])
            truth[clip] = labels[row], mask[row]
    mean = np.stack([np.mean(rows, axis=0) for rows in windows.values()])
    labels, mask = (np.stack(arrays) for arrays in zip(*(truth[clip] for clip in windows)))
    return list(windows), mean, labels, mask
