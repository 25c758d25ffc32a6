"""Samples to a Batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from auricle.data.batch import Batch
from auricle.data.items import Sample


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
