"""Several encoders as one: frames of members on other grids, members that share weights."""

from __future__ import annotations

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.hub.weight_file import save_encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.ensemble import Ensemble
from helpers.encoders import m2d


def other_hop() -> Ensemble:
    config = MNConfig(width=0.1, num_classes=5)
    slow = MNConfig(width=0.1, num_classes=5, front_end=EfficientATMel(hop_length=800).id)
    return Ensemble([MN(config, seed=1), MN(slow, seed=2)]).eval()


def other_patches() -> Ensemble:
    return Ensemble([m2d("80x61", "16x16", pools="tokens"), m2d("80x64", "16x8", pools="tokens", seed=2)]).eval()


@pytest.mark.parametrize("make", [other_hop, other_patches])
def test_frames_of_members_on_other_grids_are_the_same_in_any_batch(make):
    ensemble = make()
    lengths = torch.tensor([8000, 18000, 23000, 28000, 33000, 43000, 53000, 64000])
    waves = 0.1 * torch.randn(len(lengths), 64000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        batch = ensemble(waves, lengths)
        for i, n in enumerate(lengths):
            alone, valid = ensemble(waves[i : i + 1, :n]), int(batch.lengths[i])
            torch.testing.assert_close(batch.frames[i, :valid], alone.frames[0], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(batch.frame_logits[i, :valid], alone.frame_logits[0], atol=1e-4, rtol=1e-4)


def test_members_that_share_weights_are_saved_and_loaded(tmp_path):
    member = m2d(pools="tokens")
    ensemble = Ensemble([member, member.with_stats(1.0, 2.0)]).eval()
    save_encoder(ensemble, tmp_path / "two.safetensors")
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    back = auricle.load(tmp_path / "two.safetensors")
    torch.testing.assert_close(back(wave).clip, ensemble(wave).clip)
    assert back.fingerprint() == ensemble.fingerprint()
    assert ensemble.statistics() == member.statistics()


def test_a_member_alone_and_members_of_other_classes_are_refused():
    with pytest.raises(AuricleError, match="at least two"):
        Ensemble([m2d(pools="tokens")])
    with pytest.raises(AuricleError, match="agree in their sample rate"):
        Ensemble([m2d(pools="tokens"), m2d("80x64", "16x8", 32000, pools="tokens")])
