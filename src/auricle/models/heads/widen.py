"""A head for more classes: the rows of the old ones are kept, those of the new ones are drawn."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN, Head
from auricle.models.heads.make import build_head
from auricle.models.label_space import LabelSpace


def with_more_classes(encoder: Encoder, space: LabelSpace, *, seed: int = 0) -> Encoder:
    """Return a copy whose main head has more classes; the logits of the old ones are exactly those before.

    Args:
        encoder: with a head.
        space: the classes: those of the encoder, in their order, and behind them the new ones.
        seed: of the new rows.

    Raises:
        AuricleError: the encoder has no classes, or those of ``space`` do not begin with them.
    """
    old = encoder.info.label_space
    if old is None or space.ids[: len(old)] != old.ids:
        raise AuricleError(
            f"{encoder.info.name} has {'no classes' if old is None else 'other classes'}, so that none can be added behind them"
        )
    if len(space) == len(old):
        twin = encoder.with_only_heads(*encoder.info.head_names)
        twin.set_label_space(space)
        return twin
    if MAIN in encoder.heads:
        head = encoder.heads[MAIN]
        assert isinstance(head, Head)
        torch.manual_seed(seed)
        wide = encoder.without_head().with_head(widened_head(head, len(space)), space)
    else:
        wide = encoder.with_classes(
            len(space), classes=tuple(zip(space.ids, space.ids)), label_type=space.kind, seed=seed
        )
        _copy_rows(encoder.state_dict(), wide.state_dict(), len(old), len(space))
    wide.set_label_space(space)
    return wide.eval()


def widened_head(head: Head, num_classes: int) -> Head:
    """Return a head of the same kind with more classes, whose first rows are those of ``head``."""
    wide = build_head({**head.settings(), "num_classes": num_classes})
    _copy_rows(head.state_dict(), wide.state_dict(), head.num_classes, num_classes)
    return wide.eval()


def new_rows(head: Head, old: int) -> Iterator[tuple[str, Tensor, int]]:
    """Yield name, parameter and axis of the classes for every parameter that has rows of classes.

    Args:
        head: a widened head.
        old: number of the old classes.
    """
    narrow = dict(build_head({**head.settings(), "num_classes": old}).named_parameters())
    for name, parameter in head.named_parameters():
        axis = _class_axis(narrow[name].shape, parameter.shape, old, head.num_classes)
        if axis is not None:
            yield name, parameter, axis


@torch.no_grad()
def _copy_rows(source: dict[str, Tensor], target: dict[str, Tensor], old: int, new: int) -> None:
    for name, value in source.items():
        axis = _class_axis(value.shape, target[name].shape, old, new)
        place = target[name] if axis is None else target[name].narrow(axis, 0, old)
        place.copy_(value)


def _class_axis(narrow: torch.Size, wide: torch.Size, old: int, new: int) -> int | None:
    """Return the axis of the classes; None for a tensor without one."""
    if narrow == wide:
        return None
    differing = [axis for axis, sizes in enumerate(zip(narrow, wide)) if sizes != (sizes[0], sizes[0])]
    if len(narrow) != len(wide) or len(differing) != 1 or (narrow[differing[0]], wide[differing[0]]) != (old, new):
        raise AuricleError(f"this head cannot get more classes: a tensor of {tuple(narrow)} would be {tuple(wide)}")
    return differing[0]
