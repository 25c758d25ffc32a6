"""The batch that the loader hands to an objective. Clips are identified by id, not by order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.data.datasets.base import Sample


@dataclass(frozen=True)
class Batch:
    """``audio`` or ``spec``, never both; everything that is optional is None where the data set does not give it.

    Attributes:
        lengths: (B,) valid samples of ``audio``, or valid frames of ``spec``.
        ids: Ids of the clips.
        rate: Sample rate of the audio in hertz.
        audio: (B, S) waveforms.
        spec: (B, F, T) log-mel spectrograms, not normalised.
        front_end: Id of the front end that made ``spec``; None with ``audio``.
        clean: The input without the noise that was mixed into it, in the shape of the input.
        epoch: Epoch of the batch.
        positions: Position of each clip in the epoch's global order: the key of its random draws.
        crop_start: (B,) where each crop starts in its recording, in seconds.
        labels: (B, C) 1 for classes that apply.
        label_mask: (B, C) 1 for classes that were annotated.
        frame_labels: (B, T, C) labels of each frame.
        targets: Stored outputs of a teacher by name: ``logits`` (B, C), ``clip`` (B, D), ``frames`` (B, T', D).
        target_hop: Seconds between the frames of the targets.
        target_mask: (B,) or (B, T') 1 where there are targets.
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
    targets: Mapping[str, Tensor] | None = None
    target_hop: float | None = None
    target_mask: Tensor | None = None

    def __post_init__(self) -> None:
        assert (self.audio is None) != (self.spec is None), "a batch holds audio or a spectrogram, exactly one of them"
        assert (self.spec is None) == (self.front_end is None), "a spectrogram names its front end, audio has none"
        assert len(self.ids) == len(self.lengths), "one id per clip"

    @property
    def input(self) -> Tensor:
        """``audio`` or ``spec``, whichever the batch holds."""
        return self.audio if self.audio is not None else self.spec  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """Return the batch on another device."""
        return self.map(lambda x: x.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """Return the batch in page-locked memory; PyTorch's loader calls this."""
        return self.map(lambda x: x.pin_memory())

    def take(self, rows: Sequence[int]) -> Batch:
        """Return the batch of these clips, in this order."""
        chosen = list(rows)
        ids, positions = (tuple(values[row] for row in chosen) for values in (self.ids, self.positions or self.ids))
        return self.map(lambda x: x[chosen], ids=ids, positions=positions if self.positions else ())

    def map(self, function: Callable[[Tensor], Tensor], **changes: Any) -> Batch:
        """Return the batch with ``function`` applied to every tensor, and with ``changes`` to other fields."""
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changes.setdefault(field.name, function(value))
            elif isinstance(value, Mapping):
                changes.setdefault(field.name, {name: function(tensor) for name, tensor in value.items()})
        return replace(self, **changes)


def collate(samples: Sequence[Sample]) -> Batch:
    """Make a batch of samples of one data set; shorter ones are zero-padded at the end."""
    first = samples[0]
    values = stack_padded([s.crop.values for s in samples])
    targets = _stack_optional([s.crop.targets for s in samples])
    return Batch(
        lengths=torch.tensor([s.crop.length for s in samples]),
        ids=tuple(s.id for s in samples),
        rate=first.rate,
        audio=values if first.front_end is None else None,
        spec=None if first.front_end is None else values,
        front_end=first.front_end,
        clean=_stack_optional([s.crop.clean for s in samples]),
        epoch=first.index.epoch,
        positions=tuple(s.index.position for s in samples),
        crop_start=torch.tensor([s.crop.crop_start for s in samples]),
        labels=_stack_optional([s.labels for s in samples]),
        label_mask=_stack_optional([s.known for s in samples]),
        frame_labels=_stack_optional([s.frame_labels for s in samples]),
        targets=None if targets is None else {"frames": targets},
        target_hop=first.crop.target_hop,
    )


def stack_padded(arrays: Sequence[np.ndarray]) -> Tensor:
    """Stack arrays (..., N_i) to (B, ..., max N), with zeros at the end of the shorter ones."""
    length = max(array.shape[-1] for array in arrays)
    out = np.zeros((len(arrays), *arrays[0].shape[:-1], length), np.float32)
    for row, array in zip(out, arrays):
        row[..., : array.shape[-1]] = array
    return torch.from_numpy(out)


def _stack_optional(arrays: Sequence[np.ndarray | None]) -> Tensor | None:
    present = [array for array in arrays if array is not None]
    return stack_padded(present) if present else None
