"""Our runs as M2D's published checkpoints, and published checkpoints as the start of our runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import auricle
from auricle.commands.models.models import ConvertConfig, convert
from auricle.hub.pickles import read_pickle
from auricle.hub.warm_start import read_tensors, resume
from auricle.hub.weight_file import save_encoder
from auricle.methods.base import Objective
from auricle.methods.m2d.config import M2DASConfig, M2DConfig, M2DSConfig, OfflineConfig
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from helpers.paths import GOLDEN

TRAINING = GOLDEN / "m2d" / "checkpoints" / "m2d_vit_base-80x208p16x16-golden-mr7" / "checkpoint-3.pth"
SPEECH = GOLDEN / "m2d" / "checkpoints" / "m2d_s_vit_base-80x60p80x2-golden" / "checkpoint-5.pth"
VIT, PREDICTOR = ViTConfig("80x64", "16x16", embed_dim=64, depth=2), PredictorConfig(32, 1, 1)
METHODS = {
    "m2d": lambda **o: M2D(VIT, PREDICTOR, M2DConfig(), **o),
    "m2d_x": lambda **o: M2DX(VIT, PREDICTOR, OfflineConfig(), features=24, **o),
    "m2d_as": lambda **o: M2DAS(VIT, PREDICTOR, M2DASConfig(), 7, **o),
    "m2d_s": lambda **o: M2DS(VIT, PREDICTOR, M2DSConfig(), 9, **o),
    "msm_mae": lambda **o: MsmMae(VIT, PREDICTOR, MsmMaeConfig(), **o),
}
ENCODER = (
    7 + 12 * VIT.depth
)  # norm_stats, cls_token, pos_embed, patch embedding, blocks and norm ([m2d 6.6](docs/specification/m2d.md#s6-6))


def run_folder(objective: Objective, folder: Path) -> Path:
    """What a run leaves: its encoder, and the state with everything that pre-training needs."""
    save_encoder(objective.encoder(), folder / "encoder.safetensors")
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    save_file(objective.state_dict(), folder / "checkpoints" / "step-00000001" / "weights.safetensors")
    return folder


def published(objective: Objective, folder: Path, method: str) -> Path:
    out = folder / f"{method}_vit_base-80x64p16x16p16k-mine" / "checkpoint-1.pth"
    out.parent.mkdir()
    convert(ConvertConfig(str(run_folder(objective, folder / "run")), "m2d", str(out)))
    return out


@pytest.mark.parametrize("method", METHODS)
def test_a_run_becomes_the_published_checkpoint_of_its_method(method, tmp_path):
    objective = METHODS[method](seed=3, stats=(-6.0, 3.0))
    out = published(objective, tmp_path, method)
    names = read_pickle(out)["model"].keys()
    offline = {"offline_predictor.weight", "offline_predictor.bias"} & names
    target = {name for name in names if name.startswith("target_")}
    decoder = {name for name in names if name.startswith("decoder_") or name == "mask_token"}
    assert len(offline) == (0 if method in ("m2d", "msm_mae") else 2)
    assert len(target) == (0 if method == "msm_mae" else 12 * VIT.depth + 2)
    assert len(decoder) == 2 + 2 + 12 + 2 + 2
    assert len(names) == ENCODER + len(offline) + len(target) + len(decoder)
    again, state = read_tensors(out), objective.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)
    assert auricle.load(out).fingerprint() == objective.encoder().fingerprint()


@pytest.mark.parametrize("method", METHODS)
def test_a_published_checkpoint_starts_a_run_whose_statistics_are_its_datas(method, tmp_path):
    objective = METHODS[method](seed=3, stats=(-6.0, 3.0))
    fresh = METHODS[method](seed=4, stats=(-9.0, 2.0))
    told = resume(fresh, published(objective, tmp_path, method))
    assert (told.missing, told.unexpected) == ((), ())
    assert fresh.encoder().statistics() == (-9.0, 2.0)
    ours, theirs = fresh.state_dict(), objective.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if not name.endswith("norm_stats"))


def test_the_golden_training_checkpoints_start_m2d_and_m2d_x():
    vit, predictor = ViTConfig("80x208", "16x16", embed_dim=128, depth=2), PredictorConfig(32, 1, 1)
    given = read_pickle(TRAINING)["model"]
    m2d = M2D(vit, predictor, M2DConfig(), stats=(-5.0, 5.0))
    told = resume(m2d, TRAINING)
    assert (told.missing, told.unexpected, told.loaded) == ((), (), len(given) - 1)
    assert torch.equal(m2d.target.norm.weight, given["target_norm.weight"])
    assert torch.equal(m2d.predictor.mask_token, given["mask_token"])
    assert m2d.online.statistics() == (-5.0, 5.0)
    m2d_x = M2DX(vit, predictor, OfflineConfig(), auricle.load(TRAINING))
    assert resume(m2d_x, TRAINING).missing == ("offline_predictor.bias", "offline_predictor.weight")
    speech = M2DS(ViTConfig("80x60", "80x2", embed_dim=64, depth=2), PredictorConfig(32, 1, 1), M2DSConfig(), 9)
    assert resume(speech, SPEECH).missing == ()


def test_a_resumed_objective_gives_the_loss_of_the_one_it_came_from(tmp_path):
    """Same weights, same masks."""
    from auricle.core.randomness import BatchKey
    from auricle.methods.base import TrainProgress
    from helpers.m2d_golden import normalised_batch

    objective = METHODS["m2d"](seed=3)
    fresh = METHODS["m2d"](seed=4)
    resume(fresh, published(objective, tmp_path, "m2d"))
    x = torch.randn(2, 1, 80, 64, generator=torch.Generator().manual_seed(0))
    key, progress = BatchKey(0, 0, (0, 1)), TrainProgress(0, 1, 0, 1, 0.0, 1.0)
    one, other = (o(normalised_batch(o, x), progress, key)[0] for o in (objective, fresh))
    assert torch.equal(one, other)
