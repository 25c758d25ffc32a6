"""Fit the rows of new classes of a head on frozen features; what the head says of the old classes stays as it is."""

from __future__ import annotations

import numpy as np
import torch

from auricle.detectors.features import LabelledFeatures
from auricle.detectors.frozen_heads import SCALE_STEPS, head_inputs, labelled_loss
from auricle.models.heads.base import Head
from auricle.models.heads.widen import new_rows
from auricle.models.label_space import LabelKind

STRENGTH = 10.0  # C of the penalty, a weak one: new rows must reach the logits of old ones, which are large where they are certain


def fit_new_classes(head: Head, old: int, features: LabelledFeatures, kind: LabelKind) -> Head:
    """Fit the new rows of a widened head by L-BFGS, with the loss of all classes.

    Args:
        head: whose first ``old`` classes are fitted already.
        old: their number.
        features: of the clips, with the targets of all classes.
        kind: of the labels.
    """
    from scipy.optimize import minimize

    rows = np.arange(len(features))
    inputs, places = head_inputs(head, features, rows), list(new_rows(head, old))
    parameters = [parameter for _, parameter, _ in places]
    parts = [parameter.narrow(axis, old, parameter.shape[axis] - old) for _, parameter, axis in places]
    sizes = [part.numel() for part in parts]

    def set_rows(values: np.ndarray) -> None:
        with torch.no_grad():
            for part, piece in zip(parts, np.split(values, np.cumsum(sizes)[:-1])):
                part.copy_(torch.from_numpy(piece).view(part.shape))

    def loss_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        set_rows(values)
        gradients = torch.autograd.grad(loss := labelled_loss(head(inputs), features, rows, kind), parameters)
        own = [
            gradient.narrow(axis, old, gradient.shape[axis] - old).reshape(-1)
            for gradient, (_, _, axis) in zip(gradients, places)
        ]
        weight = 1 / (STRENGTH * len(features))
        gradient = torch.cat(own).double().numpy() + weight * values
        return loss.item() + 0.5 * weight * float(values @ values), gradient

    start = torch.cat([part.reshape(-1) for part in parts]).double().detach().numpy()
    found = minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": SCALE_STEPS})
    set_rows(found.x)
    return head.eval()
