"""Which parameters are trained at which rate: freezing, layer-wise decay of the rate, and own rates of encoder and head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from auricle.core.errors import AuricleError, nearest
from auricle.methods.supervised.config import LearningConfig
from auricle.models.base import Encoder

HEAD = "head"
# MAE gives the final norm the rate of the head ([finetuning 6.4](docs/specification/finetuning.md#s6-4))
WITH_THE_HEAD = (HEAD, "norm")


def frozen_groups(encoder: Encoder, wanted: Sequence[str]) -> set[str]:
    """Return the names of the groups that ``--freeze`` means.

    Args:
        wanted: names of groups; "encoder": all but the head; a number: so many from the input. "embed", what comes before
            the blocks, is the family's own ``freeze_embed``.

    Raises:
        AuricleError: for a name that no group has.
    """
    names = [group.name for group in encoder.layer_groups()]
    body = [name for name in names if name != HEAD]
    frozen: set[str] = set()
    for word in wanted:
        if word == "encoder":
            frozen.update(body)
        elif word == "embed":
            encoder.freeze_embed()
        elif word.isdigit():
            frozen.update(body[: int(word)])
        elif word in names:
            frozen.add(word)
        else:
            known = ["encoder", "embed", *names]
            raise AuricleError(
                f"--freeze: there is no layer group '{word}'{nearest(word, known)}; all: {', '.join(known)}"
            )
    return frozen


def freeze(encoder: Encoder, names: set[str]) -> None:
    """Switch off the gradients of these groups; those of all others stay as they are."""
    for group in encoder.layer_groups():
        if group.name in names:
            for parameter in group.parameters:
                parameter.requires_grad_(False)


def param_groups(encoder: Encoder, config: LearningConfig, lr: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return the optimiser's groups: ``lr_scale`` is the rate as a share of ``lr``.

    Groups are the layers by their decay of the rate, each with and without weight decay. Layer-wise decay follows MAE: the
    last group (head and final norm) has scale 1, each one before it ``layer_decay`` times the next
    ([finetuning 6.4](docs/specification/finetuning.md#s6-4)).

    Args:
        lr: the peak rate of the run.
        weight_decay: of matrices, and with ``decay_all`` of all parameters, but not of those that ``no_decay`` names.
    """
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    last = last_layer(encoder)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    layers = encoder.layer_groups()
    body = [group.name for group in layers if group.name not in WITH_THE_HEAD]
    for group in layers:
        depth = body.index(group.name) if group.name in body else len(body)
        for parameter in group.parameters:
            if not parameter.requires_grad:
                continue
            rate = _rate(config, group.name == HEAD, id(parameter) in last, lr)
            scale = (rate / lr if lr else 1.0) * config.layer_decay ** (len(body) - depth)
            name = names[id(parameter)]
            decays = config.decay_all or (parameter.ndim > 1 and not name.endswith(".bias"))
            decays = decays and name.rpartition(".")[2] not in config.no_decay
            groups.setdefault((scale, weight_decay if decays else 0.0), []).append(parameter)
    if not groups:
        raise AuricleError("--freeze leaves nothing to train")
    return [{"params": members, "lr_scale": scale, "weight_decay": decay} for (scale, decay), members in groups.items()]


def _rate(config: LearningConfig, head: bool, last: bool, lr: float) -> float:
    """``or`` as published: a part without a rate of its own follows the next larger part.

    See [efficientat_training 10](docs/specification/efficientat_training.md#s10).
    """
    if not head:
        return config.encoder_lr or lr
    if last:
        return config.last_layer_lr or config.head_lr or lr
    return config.head_lr or lr


def last_layer(encoder: Encoder) -> set[int]:
    """Return the ids of the parameters of the head's last layer: its last module that has any."""
    head = next((group for group in encoder.layer_groups() if group.name == HEAD), None)
    if head is None:
        return set()
    prefix = head.parameter_names[-1].rpartition(".")[0]
    return {id(p) for name, p in zip(head.parameter_names, head.parameters) if name.rpartition(".")[0] == prefix}
