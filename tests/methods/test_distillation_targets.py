"""Standardised features of a teacher have mean 0 and deviation 1 over the clips that were learnt from."""

import pytest
import torch

from auricle.methods.distillation.standardising import RunningStandardiser

CLIPS, WIDTH = 16, 6


def features(seed: int, *shape: int) -> torch.Tensor:
    """Values of several means and scales; the last one never changes."""
    found = 3.0 + torch.arange(WIDTH) * torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))
    found[..., -1] = 7.0
    return found


@pytest.mark.parametrize("shape", [(CLIPS,), (CLIPS, 4)])
def test_the_statistics_are_those_of_all_clips_so_far(shape):
    standardiser, known = RunningStandardiser(WIDTH), torch.ones(CLIPS)
    for seed in range(5):
        found = standardiser(features(seed, *shape), known)
    rows = torch.cat([features(seed, *shape).reshape(-1, WIDTH) for seed in range(5)])
    torch.testing.assert_close(standardiser.mean, rows.mean(0))
    torch.testing.assert_close(standardiser.variance, rows.var(0, correction=0))
    last = features(4, *shape)[..., 1:-1]
    torch.testing.assert_close(found[..., 1:-1], (last - rows.mean(0)[1:-1]) / rows.std(0, correction=0)[1:-1])


def test_a_value_that_never_changes_becomes_zero():
    found = RunningStandardiser(WIDTH)(features(0, CLIPS), torch.ones(CLIPS))
    assert found[:, 0].eq(0).all()
    assert found[:, -1].eq(0).all()


def test_clips_that_the_teacher_does_not_know_do_not_count():
    known = (torch.arange(CLIPS) % 2).float()
    some, others = RunningStandardiser(WIDTH), RunningStandardiser(WIDTH)
    some(features(0, CLIPS), known)
    others(features(0, CLIPS)[1::2], torch.ones(CLIPS // 2))
    torch.testing.assert_close(some.variance, others.variance)
    some(features(1, CLIPS), torch.zeros(CLIPS))
    torch.testing.assert_close(some.mean, others.mean)


def test_the_statistics_rest_in_evaluation_mode_and_are_part_of_the_state():
    standardiser = RunningStandardiser(WIDTH)
    standardiser(features(0, CLIPS), torch.ones(CLIPS))
    before = {name: value.clone() for name, value in standardiser.state_dict().items()}
    assert set(before) == {"count", "mean", "variance"}
    standardiser.eval()(features(1, CLIPS), torch.ones(CLIPS))
    assert all(torch.equal(before[name], value) for name, value in standardiser.state_dict().items())
