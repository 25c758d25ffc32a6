"""What the loader hands to an objective. Ids, not order, say which clip is which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.data.datasets.base import Sample


@dataclass(frozen=True)
class Batch:
    """``audio (B, S)`` or ``spec (B, F, T)``, never both; everything else is per clip or None.

    lengths        (B,) valid samples of ``audio``, or valid frames of ``spec``
    front_end      id of the front end that made ``spec`` (None with audio)
    clean          same shape as the input, when the input was mixed with noise
    positions      position of each clip in the epoch's global order: the key of its random draws
    crop_start     (B,) seconds into the recording
    labels         (B, C) float; label_mask (B, C) 1 where annotated; frame_labels (B, T, C)
    targets        stored teacher outputs, (B, C) or (B, T', D); target_hop seconds; target_mask (B,) or (B, T')
    """

    lengths: Tensor
    ids: tuple[str, ...]
    rate: int
    audio: Tensor | None = None
    spec: Tensor | None = None
    front_end: str | None = None
    clean: Tensor | None = None
    epoch: int = 0
    positions: tuple[int, ...] = ()
    crop_start: Tensor | None = None
    labels: Tensor | None = None
    label_mask: Tensor | None = None
    frame_labels: Tensor | None = None
    targets: Tensor | None = None
    target_hop: float | None = None
    target_mask: Tensor | None = None

    def __post_init__(self) -> None:
        assert (self.audio is None) != (self.spec is None), "a batch holds audio or a spectrogram, exactly one of them"
        assert (self.spec is None) == (self.front_end is None), "a spectrogram names its front end, audio has none"
        assert len(self.ids) == len(self.lengths), "one id per clip"

    @property
    def input(self) -> Tensor:
        """The audio or the spectrogram, whichever it is."""
        return self.audio if self.audio is not None else self.spec  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        return self._map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Called by PyTorch's loader."""
        return self._map(lambda x: x.pin_memory())

    def _map(self, move: Callable[[Tensor], Tensor]) -> Batch:
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        moved: dict[str, Any] = {name: move(value) for name, value in values.items() if isinstance(value, Tensor)}
        return replace(self, **moved)


# Samples to a Batch.


def collate(samples: Sequence[Sample]) -> Batch:
    """A Batch of samples of one data set; unequal lengths are filled up with zeros at the end."""
    first = samples[0]
    values = stacked([s.cut.values for s in samples])
    return Batch(
        lengths=torch.tensor([s.cut.length for s in samples]),
        ids=tuple(s.id for s in samples),
        rate=first.rate,
        audio=values if first.front_end is None else None,
        spec=None if first.front_end is None else values,
        front_end=first.front_end,
        clean=_optional([s.cut.clean for s in samples]),
        epoch=first.item.epoch,
        positions=tuple(s.item.position for s in samples),
        crop_start=torch.tensor([s.cut.crop_start for s in samples]),
        labels=_optional([s.labels for s in samples]),
        label_mask=_optional([s.known for s in samples]),
        targets=_optional([s.cut.targets for s in samples]),
        target_hop=first.cut.target_hop,
    )


def stacked(arrays: Sequence[np.ndarray]) -> Tensor:
    """(..., N_i) arrays -> (B, ..., max N) with zeros at the end."""
    width = max(array.shape[-1] for array in arrays)
    out = np.zeros((len(arrays), *arrays[0].shape[:-1], width), np.float32)
    for row, array in zip(out, arrays):
        row[..., : array.shape[-1]] = array
    return torch.from_numpy(out)


def _optional(arrays: Sequence[np.ndarray | None]) -> Tensor | None:
    present = [array for array in arrays if array is not None]
    return stacked(present) if present else None
