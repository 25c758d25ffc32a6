"""Losses of learning with labels, in float32.

See [finetuning 5.1](docs/specification/finetuning.md#s5-1) and
[efficientat_training 8](docs/specification/efficientat_training.md#s8).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from auricle.core.errors import AuricleError


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
