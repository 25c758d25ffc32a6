"""Fit the heads of a frozen encoder on stored features, in seconds.

A fitted head gives behind the encoder the logits that it gives on the stored features: what standardises its input is in its
weights or buffers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.devices import one_thread
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.detectors.features import LabelledFeatures
from auricle.evaluation.probes.base import StandardScaler
from auricle.evaluation.probes.logistic import logistic_weights
from auricle.models.heads.attentive import AttentiveHead
from auricle.models.heads.base import Head, HeadInputs
from auricle.models.heads.gated_layers import GatedLayersHead
from auricle.models.heads.vector import LinearHead, PrototypeHead
from auricle.models.label_space import LabelKind

SCALE_STEPS = 100  # of L-BFGS, for gate, scale and biases
ATTENTIVE_STEPS, ATTENTIVE_LR, ATTENTIVE_BATCH = 300, 3e-3, 64
ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class FrozenHead:
    """A kind of head with its settings.

    Attributes:
        kind: "linear", "prototype", "gated-layers" or "attentive".
        strength: C of the logistic regression (linear, and gated-layers with linear scores), the inverse weight of its L2
            penalty; of attentive, the inverse weight decay.
        scores: of gated-layers, "prototype" or "linear".
        layers: of gated-layers, the 0-based blocks; (): all of them.
        per_class: of attentive, weights over time for each class.
        seed: of attentive.
    """

    kind: str
    strength: float = 1.0
    scores: str = "prototype"
    layers: tuple[int, ...] = ()
    per_class: bool = False
    seed: int = 0

    def settings(self) -> dict[str, Any]:
        """Return the settings that this kind has."""
        blocks = {"layers": list(self.layers)} if self.layers else {}
        if self.kind == "linear":
            return {"strength": self.strength}
        if self.kind == "gated-layers":
            strength = {"strength": self.strength} if self.scores == "linear" else {}
            return {"scores": self.scores, **strength, **blocks}
        if self.kind == "attentive":
            return {"strength": self.strength, "per_class": self.per_class, "seed": self.seed}
        return {}

    @classmethod
    def of(cls, kind: str, settings: dict[str, Any]) -> FrozenHead:
        """Return the head whose ``settings()`` these are, also as JSON gives them back."""
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in settings.items()}
        return cls(kind, **values)

    def __str__(self) -> str:
        named = ", ".join(f"{name} {_text(value)}" for name, value in self.settings().items())
        return f"{self.kind} ({named})" if named else self.kind


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def fit_head(choice: FrozenHead, features: LabelledFeatures, kind: LabelKind) -> Head:
    """Fit a head on all rows of the features.

    Args:
        choice: kind and settings.
        features: of the training clips.
        kind: "multiclass": cross-entropy over classes; "multilabel": binary cross-entropy of the annotated classes.

    Raises:
        AuricleError: for an unknown kind, and where the features lack what the head reads.
    """
    if choice.kind not in FITS:
        raise AuricleError(f"unknown frozen head '{choice.kind}'; known: {', '.join(FITS)}")
    with one_thread():  # these products are so small that a second thread costs more than it brings
        return FITS[choice.kind](choice, features, kind).eval()


@torch.no_grad()
def logits_of(head: Head, features: LabelledFeatures) -> np.ndarray:
    """Return the logits (n, C) float32 of a fitted head on stored features."""
    parts = [
        head(head_inputs(head, features, np.arange(start, min(start + ROWS_AT_ONCE, len(features)))))
        for start in range(0, len(features), ROWS_AT_ONCE)
    ]
    return torch.cat(parts).numpy()


def head_inputs(head: Head, features: LabelledFeatures, rows: np.ndarray) -> HeadInputs:
    """Return what a head reads of some rows of stored features."""
    clip = torch.from_numpy(features.clip[rows])
    layers = [torch.from_numpy(features.layers[block][rows]) for block in head.layers]
    if head.kind != "attentive":
        return HeadInputs.of_vectors(clip, layers)
    frames, lengths = padded_frames(features, rows)
    return HeadInputs.of_vectors(clip, layers, frames=frames, lengths=lengths)


def padded_frames(features: LabelledFeatures, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the frames (B, T, D) float32 of some rows, zero-padded, and their numbers (B,)."""
    if features.frames is None:
        raise AuricleError("an attentive head learns from frames, and these features have none")
    arrays = [torch.from_numpy(features.frames[row].astype(np.float32)) for row in rows]
    return nn.utils.rnn.pad_sequence(arrays, batch_first=True), torch.tensor([len(array) for array in arrays])


def _linear(choice: FrozenHead, features: LabelledFeatures, kind: LabelKind) -> Head:
    """The exact solution of the logistic regression."""
    weights, biases = logistic_weights(
        features.clip, features.targets, features.known, choice.strength, multilabel=kind == "multilabel"
    )
    head = LinearHead(features.clip.shape[1], len(biases))
    _assign(head.linear.weight, weights)
    _assign(head.linear.bias, biases)
    return head


def _prototype(choice: FrozenHead, features: LabelledFeatures, kind: LabelKind) -> Head:
    """The prototypes are the means of the classes' standardised vectors; scale and biases are fitted."""
    scale = StandardScaler.fit(features.clip)
    head = PrototypeHead(features.clip.shape[1], features.targets.shape[1])
    head.set_input_stats(*_tensors(scale))
    _assign(head.prototypes.weight, class_means(scale(features.clip), features))
    return _fitted_by_lbfgs(head, [head.log_scale, head.bias], features, kind)


def _gated_layers(choice: FrozenHead, features: LabelledFeatures, kind: LabelKind) -> Head:
    """Prototype scores: the means of the classes in every block; gate, scale and biases are fitted. Linear scores: the exact
    solution of the logistic regression on all blocks joined, behind a gate that weighs all blocks alike."""
    blocks = choice.layers or tuple(range(len(features.layers)))
    if not blocks:
        raise AuricleError("a gated-layers head reads blocks, and this encoder has none")
    read = [features.layers[block] for block in blocks]
    dims, joined = [layer.shape[1] for layer in read], np.concatenate(read, axis=1)
    head = GatedLayersHead(blocks, dims, features.targets.shape[1], scores=choice.scores)  # type: ignore[arg-type]
    scale = StandardScaler.fit(joined)
    head.set_input_stats(*_tensors(scale))
    columns = np.cumsum(dims)[:-1]
    if choice.scores == "linear":
        weights, biases = logistic_weights(
            scale(joined), features.targets, features.known, choice.strength, multilabel=kind == "multilabel"
        )
        for layer, part in zip(head.layer_scores, np.split(weights * len(blocks), columns, axis=1)):
            _assign(layer.weight, part)  # type: ignore[arg-type]
        _assign(head.bias, biases)
        return head
    for layer, part in zip(head.layer_scores, np.split(scale(joined), columns, axis=1)):
        _assign(layer.weight, class_means(part, features))  # type: ignore[arg-type]
    return _fitted_by_lbfgs(head, [head.gate, head.log_scale, head.bias], features, kind)


def _attentive(choice: FrozenHead, features: LabelledFeatures, kind: LabelKind) -> Head:
    """Start at the logistic regression on the clips, which is the head that weighs all frames alike, and learn by AdamW."""
    frames, lengths = padded_frames(features, np.arange(len(features)))
    valid = torch.arange(frames.shape[1]) < lengths[:, None]
    mean, std = frames[valid].mean(0), frames[valid].std(0, correction=0)
    head = AttentiveHead(frames.shape[2], features.targets.shape[1], per_class=choice.per_class)
    head.set_input_stats(mean, std)
    pooled = (((frames - mean) / head.standardise.input_std) * valid[..., None]).sum(1) / lengths[:, None]
    weights, biases = logistic_weights(
        pooled.numpy(), features.targets, features.known, choice.strength, multilabel=kind == "multilabel"
    )
    _assign(head.linear.weight, weights)
    _assign(head.linear.bias, biases)
    optimizer = torch.optim.AdamW(head.parameters(), lr=ATTENTIVE_LR, weight_decay=0.1 / choice.strength)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ATTENTIVE_STEPS)
    draws, size = RandomKey(choice.seed).of("attentive batches"), min(ATTENTIVE_BATCH, len(features))
    for _ in range(ATTENTIVE_STEPS):
        rows = np.sort(draws.permutation(len(features))[:size])
        inputs = HeadInputs.of_vectors(frames[rows, 0], frames=frames[rows], lengths=lengths[rows])
        optimizer.zero_grad()
        labelled_loss(head(inputs), features, rows, kind).backward()
        optimizer.step()
        schedule.step()
    return head


FITS = {"linear": _linear, "prototype": _prototype, "gated-layers": _gated_layers, "attentive": _attentive}


def class_means(vectors: np.ndarray, features: LabelledFeatures) -> np.ndarray:
    """Return the mean of each class's vectors (n, D), (C, D); zeros for a class without clips."""
    weights = features.targets * features.known
    return (weights.T @ vectors) / weights.sum(0).clip(min=1)[:, None]


def _fitted_by_lbfgs(head: Head, parameters: list[Tensor], features: LabelledFeatures, kind: LabelKind) -> Head:
    """Fit a few parameters of a head by L-BFGS on all rows.

    By SciPy's: PyTorch's optimisers load its compiler first, which takes longer than such a fit.
    """
    from scipy.optimize import minimize

    rows = np.arange(len(features))
    inputs, vectors = head_inputs(head, features, rows), torch.nn.utils.parameters_to_vector(parameters)

    def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        torch.nn.utils.vector_to_parameters(torch.from_numpy(values).float(), parameters)
        loss = labelled_loss(head(inputs), features, rows, kind) + _penalty(parameters) / len(features)
        gradients = torch.autograd.grad(loss, parameters)
        return loss.item(), torch.nn.utils.parameters_to_vector(gradients).double().numpy()

    start = vectors.detach().double().numpy()
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": SCALE_STEPS})
    torch.nn.utils.vector_to_parameters(torch.from_numpy(found.x).float(), parameters)
    return head


def _penalty(parameters: list[Tensor]) -> Tensor:
    """Half the squares: separable clips would drive scale and biases to infinity."""
    return 0.5 * torch.stack([parameter.square().sum() for parameter in parameters]).sum()


def labelled_loss(logits: Tensor, features: LabelledFeatures, rows: np.ndarray, kind: LabelKind) -> Tensor:
    """Return the mean loss of logits of some rows of the features: cross-entropy, or binary cross-entropy of annotated classes."""
    targets = torch.from_numpy(features.targets[rows])
    if kind == "multiclass":
        return nn.functional.cross_entropy(logits, targets)
    known = torch.from_numpy(features.known[rows])
    loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    return (loss * known).sum() / known.sum().clamp(min=1)


def _tensors(scale: StandardScaler) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(scale.mean).float(), torch.from_numpy(scale.std).float()


@torch.no_grad()
def _assign(parameter: Tensor, values: np.ndarray) -> None:
    parameter.copy_(torch.from_numpy(values))
