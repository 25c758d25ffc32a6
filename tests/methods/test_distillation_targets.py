"""What is learnt of a teacher: features with mean 0 and deviation 1 over the clips so far, and its probabilities."""

import pytest
import torch

from auricle.methods.distillation.standardising import RunningStandardiser
from auricle.methods.supervised.mixing import teacher_cross_entropy

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


def test_the_cross_entropy_with_a_teacher_is_least_at_its_own_probabilities_whatever_is_added_to_all_logits():
    teacher = torch.tensor([[2.0, -1.0, 0.5]])
    student = (teacher + 3.0).requires_grad_()
    loss = teacher_cross_entropy(student, teacher)
    probabilities = teacher.softmax(1)
    torch.testing.assert_close(loss, -(probabilities * probabilities.log()).sum(1))
    loss.sum().backward()
    torch.testing.assert_close(student.grad, torch.zeros_like(student), atol=1e-6, rtol=0)


def test_a_temperature_softens_the_probabilities_of_the_teacher():
    teacher, student = torch.tensor([[4.0, 0.0]]), torch.tensor([[4.0, 0.0]])
    torch.testing.assert_close(
        teacher_cross_entropy(student, teacher, 4.0), teacher_cross_entropy(student, teacher / 4.0)
    )
