"""Augment a batch of labelled clips: mixup of waveforms or spectrograms, MixStyle, masks and the random resize crop."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from auricle.core.randomness import BatchKey
from auricle.data.augment.mixing import Mix, draw_mix, draw_mixstyle, mixstyle
from auricle.data.augment.resize_crop import draw_boxes, resize_crop
from auricle.data.batch import Batch
from auricle.frontends.spec_augment import mask_spans, masked
from auricle.methods.supervised.config import AugmentConfig


def mix_waveforms(batch: Batch, config: AugmentConfig, key: BatchKey) -> tuple[Batch, Mix | None]:
    """Apply mixup to the batch as the loader gives it, where the settings ask for that.

    A class counts as annotated where it was for the clip itself, as published.
    """
    if not config.mixup or config.mixup_input != "waveform":
        return batch, None
    mix = draw_mix(key, config.mixup, fold=config.mixup_fold)
    audio, spec, labels = (None if x is None else mix(x) for x in (batch.audio, batch.spec, batch.labels))
    return replace(batch, audio=audio, spec=spec, labels=labels, lengths=mix.longest(batch.lengths)), mix


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
