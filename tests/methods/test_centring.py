"""Centred targets hold nothing that is the same for a position or a clip."""

import pytest
import torch

from auricle.methods.m2d.targets import Centring, target_statistics

CLIPS, MASKED, POSITIONS, WIDTH = 16, 12, 20, 8


def batch(seed: int = 0):
    """Targets of positions, clips and something of their own, on three scales."""
    source = torch.Generator().manual_seed(seed)
    ids = torch.stack([torch.randperm(POSITIONS, generator=source)[:MASKED] for _ in range(CLIPS)])
    places = torch.randn(POSITIONS, WIDTH, generator=torch.Generator().manual_seed(99))
    clips = torch.randn(CLIPS, 1, WIDTH, generator=source)
    own = 0.1 * torch.randn(CLIPS, MASKED, WIDTH, generator=source)
    return 3 * places[ids] + 2 * clips + own, ids


@pytest.mark.parametrize(
    ("of", "gone", "left"), [("position", "target_position", "target_clip"), ("clip", "target_clip", "target_position")]
)
def test_the_named_means_are_removed_and_others_stay(of, gone, left):
    centring = Centring(of, POSITIONS, WIDTH)
    for seed in range(30):
        found = centring(*batch(seed))
    shares = target_statistics(found, batch(29)[1])
    assert shares[gone] < 0.1
    assert shares[left] > 0.5


def test_position_clip_removes_both_means():
    centring = Centring("position-clip", POSITIONS, WIDTH)
    for seed in range(200):
        found = centring(*batch(seed))
    shares = target_statistics(found, batch(199)[1])
    assert shares["target_clip"] < 0.01
    assert shares["target_position"] < 0.3
    torch.testing.assert_close(found.square().mean((0, 1)), torch.ones(WIDTH), atol=1e-2, rtol=0)


def test_the_means_rest_in_evaluation_mode_and_are_part_of_the_state():
    centring = Centring("position", POSITIONS, WIDTH)
    centring(*batch(0))
    before = {name: value.clone() for name, value in centring.state_dict().items()}
    assert set(before) == {"mean", "seen"}
    centring.eval()(*batch(1))
    assert all(torch.equal(before[name], value) for name, value in centring.state_dict().items())


def test_a_position_never_masked_keeps_its_mean():
    centring = Centring("position", POSITIONS + 1, WIDTH)
    centring(*batch(0))
    assert centring.mean[-1].eq(0).all()
    assert centring.seen[-1] == 0
