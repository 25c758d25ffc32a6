"""Mixed batches for networks without masks: clips of equal length are encoded together, as if each were alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from auricle.models.outputs import EncoderOutput, LayerOutput

Group = tuple[Tensor, EncoderOutput]  # row numbers of the batch, what the encoder says of them


def by_length(values: Tensor, lengths: Tensor, encode: Callable[[Tensor], EncoderOutput]) -> EncoderOutput:
    """``encode`` on each group of (b, F, T) with equal lengths, cut to it; (B,) lengths in frames.

    Time axes are zero-padded to the longest clip's.
    """
    sizes = sorted(set(lengths.tolist()))
    if len(sizes) == 1:
        return encode(values[..., : sizes[0]])
    rows = [(lengths == size).nonzero()[:, 0] for size in sizes]
    return joined([(row, encode(values[row, :, :size])) for row, size in zip(rows, sizes)])


def joined(groups: Sequence[Group]) -> EncoderOutput:
    """The groups' results in the batch's order; the last group is the longest and gives the times."""
    longest = groups[-1][1]

    def together(pick: Callable[[EncoderOutput], Tensor | None]) -> Tensor:
        return scattered([(rows, pick(part)) for rows, part in groups])  # type: ignore[misc]

    def optional(name: str) -> Tensor | None:
        return None if getattr(longest, name) is None else together(lambda part: getattr(part, name))

    return EncoderOutput(
        frames=optional("frames"),
        times=longest.times,
        lengths=together(lambda part: part.lengths),
        clip=together(lambda part: part.clip),
        logits=optional("logits"),
        frame_logits=optional("frame_logits"),
        tokens=optional("tokens"),
        layers=tuple(
            LayerOutput(
                together(lambda part, i=i: part.layers[i].frames),  # type: ignore[misc]
                layer.times,
                together(lambda part, i=i: part.layers[i].lengths),  # type: ignore[misc]
            )
            for i, layer in enumerate(longest.layers)
        ),
        taps={name: together(lambda part, name=name: part.taps[name]) for name in longest.taps},  # type: ignore[misc]
    )


def scattered(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Rows and their tensors (b, …) -> (B, …), every other axis zero-padded to the largest."""
    shape = [max(part.shape[axis] for _, part in parts) for axis in range(1, parts[0][1].ndim)]
    whole = parts[0][1].new_zeros(sum(len(rows) for rows, _ in parts), *shape)
    for rows, part in parts:
        place: tuple[Any, ...] = (rows, *(slice(0, size) for size in part.shape[1:]))
        whole[place] = part
    return whole
