"""How many directions features fill: RankMe and the area under the spectrum."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.metrics.rank import Spectrum, rank_me, spectrum_auc
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN


def test_rank_and_area_agree_with_the_published_feature_analysis():
    tensors, _ = read_golden(GOLDEN / "m2d/feature_metrics.safetensors")
    features = tensors["features"].numpy()
    np.testing.assert_allclose(rank_me(features), tensors["rankme"], rtol=1e-3)
    np.testing.assert_allclose(spectrum_auc(features), tensors["auc"], rtol=1e-3)


def test_the_rank_counts_directions():
    assert rank_me(np.eye(16)) == pytest.approx(16, rel=1e-3)
    assert rank_me(np.ones((30, 16))) == pytest.approx(1, rel=1e-3)


def test_the_area_is_one_when_one_direction_holds_everything_and_lower_when_all_do():
    source = np.random.default_rng(0)
    one = source.normal(size=(200, 1)) * source.normal(size=(1, 8))
    assert spectrum_auc(one) == pytest.approx(1, abs=1e-6)
    assert spectrum_auc(source.normal(size=(2000, 8))) == pytest.approx(4.5 / 8, abs=0.02)


def test_pieces_give_the_value_of_the_whole():
    features = np.random.default_rng(1).normal(size=(500, 12)).astype(np.float32)
    pieces = Spectrum(12)
    for start in range(0, 500, 77):
        pieces.add(features[start : start + 77])
    assert pieces.rank_me() == pytest.approx(rank_me(features), rel=1e-9)
    assert pieces.auc() == pytest.approx(spectrum_auc(features), rel=1e-9)


def test_fewer_rows_than_channels_have_no_more_directions_than_rows():
    assert rank_me(np.random.default_rng(2).normal(size=(3, 50))) <= 3.001
    assert spectrum_auc(np.ones((1, 5))) == pytest.approx(0)
