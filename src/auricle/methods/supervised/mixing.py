"""Augment a batch of labelled clips: mixup of waveforms or spectrograms, MixStyle, masks and the random resize crop."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

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
    """Stretch a batch to its range and write stripes, where the settings ask for that: before normalisation.

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
