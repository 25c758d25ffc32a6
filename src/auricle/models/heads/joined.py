"""Of a detector with several heads: one of them alone, or the answers of all as those of one head."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError, nearest
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN, Head, HeadInputs
from auricle.models.label_space import LabelSpace


class JoinedHead(Head):
    """The logits of several heads side by side, each class for itself.

    Of classes that exclude each other the logit is the log odds of their probability, so that a sigmoid gives what their own head
    gives by a softmax. Calibrations are part of the logits. It is no head of a weight file: weight files hold its parts.

    Args:
        heads: the heads.
        spaces: their classes.
    """

    kind = "joined"

    def __init__(self, heads: Sequence[Head], spaces: Sequence[LabelSpace]):
        super().__init__()
        self.parts, self.spaces = nn.ModuleList(heads), tuple(spaces)
        self.num_classes = sum(len(space) for space in spaces)
        self.layers = tuple(block for head in heads for block in head.layers)

    def forward(self, inputs: HeadInputs) -> Tensor:
        logits, first = [], 0
        for head, space in zip(self.parts, self.spaces):
            assert isinstance(head, Head)
            stop = first + len(head.layers)
            own = inputs._replace(layers=inputs.layers[first:stop], layer_lengths=inputs.layer_lengths[first:stop])
            logits.append(separate_logits(head(own), space))
            first = stop
        return torch.cat(logits, -1)

    def per_frame(self, frames: Tensor) -> Tensor | None:
        logits = []
        for head, space in zip(self.parts, self.spaces):
            assert isinstance(head, Head)
            own = head.per_frame(frames)
            if own is None:
                return None
            logits.append(separate_logits(own, space))
        return torch.cat(logits, -1)

    def settings(self) -> dict[str, Any]:
        parts = [head.settings() for head in self.parts if isinstance(head, Head)]
        return {"kind": self.kind, "parts": parts, "spaces": [space.as_json() for space in self.spaces]}


def separate_logits(logits: Tensor, space: LabelSpace) -> Tensor:
    """Return calibrated logits (..., C) whose sigmoid is the probability of each class in its label space."""
    logits = logits.float()
    if space.scale:
        logits = logits * logits.new_tensor(space.scale)
    if space.offset:
        logits = logits + logits.new_tensor(space.offset)
    if space.kind == "multilabel" or logits.shape[-1] == 1:
        return logits
    hidden = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    others = logits[..., None, :].expand(*logits.shape, logits.shape[-1]).masked_fill(hidden, float("-inf"))
    return logits - others.logsumexp(-1)


def joined_space(names: Sequence[str], spaces: Sequence[LabelSpace]) -> LabelSpace:
    """Return the classes of several heads as classes that hold or not; equal ones get the name of their head before them.

    Thresholds are those of the heads; where none were fitted, or another class only had to be less likely, 0.5.
    """
    every = [id for space in spaces for id in space.ids]
    ids, shown, background, thresholds = list[str](), list[str](), list[str](), list[float]()
    for head, space in zip(names, spaces):
        for c, (id, name) in enumerate(zip(space.ids, space.names)):
            own = f"{head}: {id}" if every.count(id) > 1 else id
            ids.append(own)
            shown.append(f"{head}: {name}" if every.count(id) > 1 else name)
            background += [own] if id in space.background else []
            fitted = space.thresholds[c] if space.thresholds else 0.5
            thresholds.append(max(fitted, 0.5) if space.kind == "multiclass" else fitted)
    fitted_on = "; ".join(dict.fromkeys(space.thresholds_fitted_on for space in spaces if space.thresholds_fitted_on))
    joined = LabelSpace("multilabel", tuple(ids), tuple(shown), tuple(background))
    return joined.with_thresholds(thresholds, fitted_on=fitted_on) if fitted_on else joined


def with_all_heads(encoder: Encoder) -> Encoder:
    """Return the encoder with one head that gives the answers of all of its heads; one with a single head as it is.

    Raises:
        AuricleError: one of several heads is a part of the network itself.
    """
    names = encoder.info.head_names
    if len(names) < 2:
        return encoder
    if inside := [name for name in names if name not in encoder.heads]:
        raise AuricleError(
            f"the head {inside[0]} of {encoder.info.name} is a part of the published network, whose logits cannot be joined with "
            f"those of others: name one of the heads {', '.join(names)} with --head"
        )
    spaces = [_space(encoder, name) for name in names]
    head = JoinedHead([_copied(encoder, name) for name in names], spaces)
    twin: Encoder = encoder.without_head().with_head(head.eval(), joined_space(names, spaces))
    return twin


def with_one_head(encoder: Encoder, name: str) -> Encoder:
    """Return the encoder with one of its heads alone, which becomes the main one.

    Raises:
        AuricleError: there is no such head; the message names those that are there.
    """
    names = encoder.info.head_names
    if name not in names:
        known = f"its heads are {', '.join(names)}" if names else "it has none"
        raise AuricleError(f"{encoder.info.name} has no head '{name}'{nearest(name, names)}; {known}")
    if name not in encoder.heads:
        return encoder.with_only_heads(MAIN)
    twin: Encoder = encoder.without_head().with_head(_copied(encoder, name), _space(encoder, name))
    return twin


def chosen_heads(encoder: Encoder, name: str | None) -> Encoder:
    """Return the encoder with the named head alone, or with the answers of all heads as one where none is named."""
    return with_all_heads(encoder) if name is None else with_one_head(encoder, name)


def _space(encoder: Encoder, name: str) -> LabelSpace:
    space = encoder.info.label_spaces[encoder.info.head_names.index(name)]
    return space or replace(LabelSpace.unnamed(encoder.num_classes(name) or 1, "multilabel"))


def _copied(encoder: Encoder, name: str) -> Head:
    head = copy.deepcopy(encoder.heads[name])
    assert isinstance(head, Head)
    return head
