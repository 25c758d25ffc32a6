"""Augment a batch of labelled clips (mixup of waveforms or spectrograms, MixStyle, masks, the random resize crop), and the
losses of the mixed labels, in float32.

Source of the losses: [finetuning 5.1](docs/specification/finetuning.md#s5-1) and
[efficientat_training 8](docs/specification/efficientat_training.md#s8).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.mixing import Mix, draw_mix, draw_mixstyle, mixstyle
from auricle.data.augment.resize_crop import draw_boxes, resize_crop
from auricle.data.batch import Batch
from auricle.frontends.base import FrontEnd
from auricle.frontends.decibel_mel import scaled_by_batch
from auricle.frontends.spec_augment import mask_spans, masked
from auricle.methods.supervised.config import AugmentConfig


def mix_waveforms(batch: Batch, config: AugmentConfig, key: BatchKey) -> tuple[Batch, Mix | None]:
    """Apply mixup to the batch as the loader gives it, where the settings ask for that.

    A class counts as annotated where it was for the clip itself, as published.
    """
    if not config.mixup or config.mixup_input != "waveform":
        return batch, None
    mix = draw_mix(key, config.mixup, fold=config.mixup_fold)
    audio, spec = (None if x is None else mix(x) for x in (batch.audio, batch.spec))
    return replace(mixed_labels(batch, mix), audio=audio, spec=spec, lengths=mix.longest(batch.lengths)), mix


def mixed_labels(batch: Batch, mix: Mix) -> Batch:
    """Return the batch with mixed labels of clips and frames; what was annotated stays the clip's own, as published."""
    labels, frames = (None if x is None else mix(x) for x in (batch.labels, batch.frame_labels))
    return replace(batch, labels=labels, frame_labels=frames)


def mix_spectrograms(values: Tensor, config: AugmentConfig, key: BatchKey) -> tuple[Tensor, Mix | None]:
    """Apply mixup or MixStyle to spectrograms (B, F, T), not both
    ([efficientat_training 8](docs/specification/efficientat_training.md#s8)).

    Returns:
        The spectrograms, and the mixture that labels and targets have to follow; None where labels stay.
    """
    if config.mixstyle:
        style = draw_mixstyle(key, config.mixstyle, config.mixstyle_alpha)
        return (values if style is None else mixstyle(values, style.share, style.partner)), None
    if not config.mixup or config.mixup_input != "spectrogram":
        return values, None
    mix = draw_mix(key, config.mixup, fold=config.mixup_fold)
    return mix(values), mix


def scale_and_stripe(values: Tensor, front: FrontEnd, config: AugmentConfig, key: BatchKey | None) -> Tensor:
    """FilePart a batch to its range and write stripes, where the settings ask for that: before normalisation.

    See [finetuning 9.2](docs/specification/finetuning.md#s9-2).

    Args:
        values: (B, F, T) as the front end gives them.
        front: the front end; its value for digital silence may fill the stripes.
        key: random draws; None: no stripes (scoring).
    """
    if config.batch_range:
        values = scaled_by_batch(values)
    if key is None or (config.published_stripes and key.shared("stripe gate").normal() >= 1.0):
        return values
    for axis, longest, purpose in (
        (1, config.freq_stripes, "frequency stripe"),
        (2, config.time_stripes, "time stripe"),
    ):
        for number in range(config.stripes if longest else 0):
            spans = mask_spans(key.uniform(f"{purpose} {number}", 2), longest or 0, values.shape[axis])
            values = masked(values, spans, axis, front.silence if config.stripe_value == "silence" else 0.0)
    return values


def noise_and_roll(values: Tensor, config: AugmentConfig, key: BatchKey) -> Tensor:
    """Add uniform noise to normalised spectrograms (B, F, T) and shift them circularly, each clip by its own draws.

    See [mae_ast 12](docs/specification/mae_ast.md#s12).
    """
    if config.spectrogram_noise:
        level = torch.from_numpy(key.uniform("spectrogram noise level", 1)) * config.spectrogram_noise
        size = values[0].numel()
        noise = torch.from_numpy(key.uniform("spectrogram noise", size)).view(values.shape)
        values = values + (level[:, :, None] * noise).to(values)
    if config.time_roll:
        shifts = [int(source.integers(-config.time_roll, config.time_roll)) for source in key.each("time roll")]
        values = torch.stack([clip.roll(shift, -1) for clip, shift in zip(values, shifts)])
    return values


def mask_and_crop(values: Tensor, config: AugmentConfig, key: BatchKey) -> Tensor:
    """Apply one frequency and one time mask to the whole batch, then the random resize crop
    ([finetuning 3.2](docs/specification/finetuning.md#s3-2), 3.3).

    Args:
        values: (B, F, T) normalised; masks are filled with 0.
    """
    for axis, longest, purpose in ((1, config.freq_mask, "frequency mask"), (2, config.time_mask, "time mask")):
        if longest:
            uniform = key.shared(purpose).random((1, 2))
            spans = mask_spans(uniform, longest, values.shape[axis]).repeat(len(values), 0)
            values = masked(values, spans, axis, 0.0)
    if config.resize_crop:
        values = resize_crop(values, draw_boxes(key, *values.shape[1:]))
    return values


def bce(logits: Tensor, targets: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of each clip, mean over classes: (B,).

    Args:
        logits, targets: (B, C); targets from 0 to 1.
        mask: (B, C); entries of 0 do not count, but stay in the denominator C, as published for OpenMIC.
        weights: (C,) of the classes.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if mask is not None:
        loss = loss * mask
    if weights is not None:
        loss = loss * weights
    return loss.mean(1)


def frame_bce(
    logits: Tensor, targets: Tensor, valid: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of each clip, mean over its valid frames and over classes: (B,).

    Args:
        logits, targets: (B, T, C); targets from 0 to 1.
        valid: (B, T) bool, False in padding.
        mask: (B, C); classes of 0 were not annotated and do not count, but stay in the denominator C.
        weights: (C,) of the classes.
    """
    loss = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if mask is not None:
        loss = loss * mask[:, None]
    if weights is not None:
        loss = loss * weights
    frames = loss.mean(2) * valid
    return frames.sum(1) / valid.sum(1).clamp(min=1)


def cross_entropy(
    logits: Tensor, targets: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of each clip with target probabilities: -sum of w_c y_c log softmax(logits)_c, (B,).

    Args:
        logits, targets: (B, C); targets sum to 1.
        mask: not supported; classes that exclude each other are annotated together.
        weights: (C,) of the classes.
    """
    if mask is not None and bool((mask == 0).any()):
        raise AuricleError("a multiclass loss needs clips whose classes are all annotated; use --loss bce")
    loss = -targets * logits.log_softmax(1)
    return (loss if weights is None else loss * weights).sum(1)


def nll(logits: Tensor, targets: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None) -> Tensor:
    """Cross-entropy divided by the number of classes, as EVAR's program: (B,).

    See [finetuning 5.1](docs/specification/finetuning.md#s5-1).
    """
    return cross_entropy(logits, targets, mask=mask, weights=weights) / logits.shape[1]


def double_softmax(
    logits: Tensor, targets: Tensor, *, mask: Tensor | None = None, weights: Tensor | None = None
) -> Tensor:
    """Cross-entropy of softmax(logits) as if these were logits, as the published heart murmur program: (B,).

    See [finetuning 10.2](docs/specification/finetuning.md#s10-2).
    """
    return cross_entropy(logits.softmax(1), targets, mask=mask, weights=weights)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "bce": bce,
    "cross-entropy": cross_entropy,
    "nll": nll,
    "double-softmax": double_softmax,
}


def balanced_weights(targets: Tensor) -> Tensor:
    """Return n / (C n_c) for the classes of targets (n, C); 0 for a class without a clip.

    See [finetuning 5.1](docs/specification/finetuning.md#s5-1).
    """
    counts = targets.sum(0)
    return torch.where(counts > 0, targets.shape[0] / (targets.shape[1] * counts.clamp(min=1)), 0.0)


def inverse_weights(targets: Tensor) -> Tensor:
    """Return (1 / n_c) / sum of 1 / n for the classes of targets (n, C); 0 for a class without a clip.

    See [finetuning 9.3](docs/specification/finetuning.md#s9-3).
    """
    counts = targets.sum(0)
    shares = torch.where(counts > 0, 1.0 / counts.clamp(min=1), 0.0)
    return shares / shares.sum()


CLASS_WEIGHTS = {"balanced": balanced_weights, "inverse": inverse_weights}


def batch_loss(losses: Tensor, shares: Tensor | None = None, slices: int = 1) -> Tensor:
    """Reduce the losses of clips (B,) to the loss of a batch: the sum over slices of the mean of each slice.

    With B clips and K slices, slice i holds the clips from i (B // K) to (i + 1) (B // K); the last B mod K clips do not
    count, and a batch of fewer clips than slices has the loss 0 and no gradient
    ([finetuning 9.3](docs/specification/finetuning.md#s9-3)).

    Args:
        losses: (B,).
        shares: (B,) what each clip counts in the mean of its slice; None: all the same. Losses are weighted already.
        slices: how many slices, K.
    """
    size = len(losses) // slices
    if not size:
        return losses.sum() * 0.0
    parts = losses[: size * slices].view(slices, size)
    if shares is None:
        return parts.mean(1).sum()
    return (parts.sum(1) / shares[: size * slices].view(slices, size).sum(1)).sum()


def smoothed(targets: Tensor, share: float, *, multiclass: bool) -> Tensor:
    """Spread ``share`` of targets (B, C): over all classes where they exclude each other, else towards one half."""
    return targets * (1 - share) + share * (1 / targets.shape[1] if multiclass else 0.5)


def teacher_bce(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Distillation loss of each clip, mean over classes: BCE against sigmoid(teacher / temperature), (B,).

    The student's logits are not divided by the temperature and the loss has no factor of its square
    ([efficientat_training 9](docs/specification/efficientat_training.md#s9)).

    Args:
        logits, teacher: (B, C) logits.
    """
    return bce(logits, (teacher.float() / temperature).sigmoid())


def teacher_cross_entropy(logits: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Distillation loss of each clip whose classes exclude each other: cross-entropy against softmax(teacher / temperature), (B,).

    The student's logits are not divided by the temperature, as in ``teacher_bce``.

    Args:
        logits, teacher: (B, C) logits.
    """
    return cross_entropy(logits, (teacher.float() / temperature).softmax(1))
