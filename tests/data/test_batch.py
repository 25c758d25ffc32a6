"""The batch: what belongs to a clip stays with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.data.batch import Batch


def test_a_batch_moves_and_selects_clips_with_all_that_belongs_to_them():
    frames = torch.arange(6.0).reshape(3, 2, 1)
    batch = Batch(
        torch.tensor([4, 5, 6]), ("a", "b", "c"), 16000, audio=torch.eye(3, 6), positions=(7, 8, 9),
        targets={"frames": frames}, target_mask=torch.tensor([1, 0, 1]),
    )  # fmt: skip
    part = batch.take([2, 0])
    assert (part.ids, part.positions, part.lengths.tolist()) == (("c", "a"), (9, 7), [6, 4])
    assert part.targets["frames"].equal(frames[[2, 0]])
    assert part.target_mask.tolist() == [1, 1]
    assert part.to("cpu", non_blocking=True).targets["frames"].equal(part.targets["frames"])
    with pytest.raises(AssertionError, match="exactly one"):
        replace(batch, spec=torch.zeros(3, 2, 2), front_end="x")
