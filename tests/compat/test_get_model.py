"""EfficientAT's get_model, for those who have scripts."""

import pytest
import torch

import auricle
from auricle.compat import get_model
from auricle.core.errors import AuricleError
from auricle.hub.convert.efficientat import to_published
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Files of two published names, with random weights, where the hub looks for them."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    folder = tmp_path / "weights" / "published"
    folder.mkdir(parents=True)
    mn, dymn = MN(MNConfig(width=0.1), seed=1), DyMN(DyMNConfig(width=0.4, num_classes=1000), seed=1)
    torch.save(to_published(mn.state_dict()), folder / "mn01_as_mAP_298.pt")
    torch.save(to_published(dymn.state_dict()), folder / "dymn04_im.pt")
    return folder


def mel(frames: int = 100) -> torch.Tensor:
    return torch.randn(2, 1, 128, frames, generator=torch.Generator().manual_seed(0))


def test_published_files_load_into_it_and_what_it_saves_is_one(published, tmp_path):
    model = get_model(width_mult=0.1)
    assert len(model.features) == 17
    assert model.load_state_dict(torch.load(published / "mn01_as_mAP_298.pt")).missing_keys == []
    torch.save(model.state_dict(), tmp_path / "again.pt")
    assert auricle.load(tmp_path / "again.pt").config.width == 0.1
    logits, features = model.eval()(mel())
    wanted, _ = get_model(pretrained_name="mn01_as").eval()(mel())
    assert torch.equal(logits, wanted)
    assert (logits.shape, features.shape) == ((2, 527), (2, model.classifier[2].in_features))


def test_training_mode_and_parameters_are_the_networks():
    model = get_model(width_mult=0.1, num_classes=5)
    assert [model.encoder.training, model.features.training] == [True, True]
    model.eval()
    assert [model.encoder.training, model.features.training] == [False, False]
    assert sum(p.numel() for p in model.parameters()) == sum(p.numel() for p in model.encoder.parameters())
    logits, maps = model(mel(), return_fmaps=True)
    assert (logits.shape, len(maps)) == ((2, 5), 17)


def test_a_pretrained_dynamic_network_has_temperature_one_by_default(published):
    model = get_model(pretrained_name="dymn04_im", num_classes=3)
    assert model.encoder.settings().temperature == 1.0
    model = get_model(pretrained_name="dymn04_im", pretrain_final_temp=30.0)
    assert model.encoder.settings().temperature == 30.0
    model.update_params(10)
    assert model.encoder.settings().temperature == 20.0
    assert get_model(width_mult=0.4, dynamic=True).encoder.settings().temperature == 30.0


def test_arguments_that_contradict_the_name_are_refused(published):
    assert get_model(pretrained_name="mn01_as", strides=[2, 2, 2, 2], width_mult=0.1, head_type="mlp") is not None
    for contradiction in (
        {"strides": (2, 2, 1, 1)}, {"head_type": "fully_convolutional"}, {"se_dims": "f"}, {"width_mult": 1.0},
        {"input_dim_f": 64}, {"T_max": 3},
    ):  # fmt: skip
        with pytest.raises(AuricleError, match=next(iter(contradiction))):
            get_model(pretrained_name="mn01_as", **contradiction)
    with pytest.raises(AuricleError, match="unknown argument 'widht_mult'"):
        get_model(widht_mult=0.4)
