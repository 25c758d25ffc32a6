"""A random level and colour reaches what the encoder sees of a clip, and nothing else."""

from __future__ import annotations

import math

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.jitter import jitter
from auricle.methods.m2d.config import MaskConfig
from helpers.objectives import m2d, spectrograms

CLIPS = 500


def offsets(decibels: float = 6.0, std: float = 4.0):
    spec = torch.zeros(CLIPS, 80, 7)
    return jitter(spec, BatchKey(0, 0, tuple(range(CLIPS))), decibels=decibels, std=std)


def test_jitter_is_constant_within_a_clip_and_differs_between_clips():
    found = offsets()
    assert torch.equal(found, found[..., :1].expand_as(found))
    assert len(torch.unique(found[:, 0, 0])) == CLIPS


def test_level_and_tilt_have_the_requested_standard_deviation():
    found = offsets(decibels=6.0, std=4.0)[..., 0] * 4.0 * 10 / math.log(10)  # back to decibels
    assert abs(float(found.mean())) < 1
    assert float(found[:, 0].std()) == pytest.approx(6 * math.sqrt(2), rel=0.1)  # at a knot: gain and colour
    assert float((found[:, 0] - found[:, -1]).std()) == pytest.approx(6 * math.sqrt(2), rel=0.1)  # two knots


def test_it_is_smooth_over_the_bands():
    steps = offsets()[..., 0].diff(dim=1)
    assert float(steps.abs().max()) < 0.2


def test_targets_do_not_change():
    objective, batch = m2d(jitter=6.0), spectrograms(4)
    patches, seen = objective.views(batch, BatchKey(0, 0, batch.positions))
    assert torch.equal(patches, objective.patches(batch))
    assert not torch.equal(patches, seen)
    plain, same = m2d().views(batch, BatchKey(0, 0, batch.positions))
    assert plain is same


def test_impossible_decibels_are_refused():
    for wrong in (-1.0, math.nan, math.inf):
        with pytest.raises(AuricleError, match="jitter"):
            MaskConfig(jitter=wrong)
