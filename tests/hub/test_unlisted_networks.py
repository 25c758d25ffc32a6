"""Published layouts of networks that nobody published: their tensors decide, or the caller does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.hub.convert import efficientat, m2d, mae_ast
from auricle.hub.weight_file import save_encoder
from auricle.methods.m2d.config import M2DConfig
from auricle.methods.m2d.objective import M2D
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.layers.transformer import line_table
from auricle.models.m2d.config import M2DHeadConfig, PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.mae_ast_tiny import tiny as tiny_mae_ast
from tolerances import TOLERANCES


def efficientat_file(encoder: MN | DyMN, folder: Path) -> Path:
    torch.save(efficientat.to_published(encoder.state_dict()), folder / "x.pt")
    return folder / "x.pt"


def m2d_file(encoder: M2DEncoder, folder: Path, **changes: torch.Tensor | None) -> Path:
    """A file in the layout that fits the encoder; a change of None leaves a tensor out."""
    config = encoder.config
    path = folder / f"m2d_vit_base-{config.input_size}p{config.patch_size}p16k-mine" / "checkpoint-1.pth"
    path.parent.mkdir(exist_ok=True)
    content, _ = m2d.m2d_content({f"online.{name}": value for name, value in encoder.state_dict().items()})
    torch.save({name: value for name, value in {**content, **changes}.items() if value is not None}, path)
    return path


# ---- EfficientAT
@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("width", [0.15, 0.3, 0.35, 0.7, 0.9, 1.1, 0.123])
def test_any_width_is_read_from_the_tensors_or_as_told(tmp_path, width, told):
    encoder = MN(MNConfig(width=width, num_classes=3), seed=1)
    again = efficientat.read_published(efficientat_file(encoder, tmp_path), **({"width": width} if told else {}))
    assert again.state_dict().keys() == encoder.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], value) for name, value in encoder.state_dict().items())
    assert again.config.width == pytest.approx(width, abs=0.02)
    assert not told or again.config == encoder.config


def test_a_width_that_does_not_fit_is_refused_with_what_was_told(tmp_path):
    file = efficientat_file(MN(MNConfig(width=0.3, num_classes=3)), tmp_path)
    with pytest.raises(AuricleError, match="the width multiplier 0.7 does not give these channels"):
        efficientat.read_published(file, width=0.7)


@pytest.mark.parametrize("width", [0.1, 0.2, 0.4, 0.6, 1.0, 0.33])
@pytest.mark.parametrize("ratio", [2, 3, 4, 8, 16])
def test_the_squeeze_ratio_gives_the_tensors_back(tmp_path, width, ratio):
    encoder = MN(MNConfig(width=width, se_ratio=ratio, num_classes=3), seed=None)
    inferred = efficientat.infer_config(efficientat.to_published(encoder.state_dict()))
    assert inferred.se_ratio == ratio or [g.shape for g in gates(MN(inferred, seed=None))] == [
        g.shape for g in gates(encoder)
    ]
    if ratio in (4, 8):
        assert inferred.se_ratio == ratio


def gates(encoder: MN) -> list[torch.Tensor]:
    return [value for name, value in encoder.state_dict().items() if "fc1.weight" in name]


def test_the_ratio_is_read_beside_other_axes_that_are_told(tmp_path):
    encoder = MN(MNConfig(width=0.2, se_dims="cf", se_ratio=8, num_classes=3), seed=1)
    again = efficientat.read_published(efficientat_file(encoder, tmp_path), se_dims="cf")
    assert again.config == encoder.config


@pytest.mark.parametrize(
    "options",
    [
        {"context_ratio": 8},
        {"context_ratio": 2, "min_context": 16},
        {"max_context": 64},
        {"min_context": 64, "width": 0.3},
    ],
)
def test_the_contexts_of_a_dymn_are_read_from_its_tensors(tmp_path, options):
    encoder = DyMN(DyMNConfig(**({"width": 0.4, "num_classes": 3} | options)), seed=1)
    again = efficientat.read_published(efficientat_file(encoder, tmp_path))
    assert again.state_dict().keys() == encoder.state_dict().keys()
    assert efficientat.read_published(tmp_path / "x.pt", **options).config == encoder.config


# ---- counters that older programs did not write
def without_counters(content: dict) -> dict:
    return {name: value for name, value in content.items() if not str(name).endswith("num_batches_tracked")}


def test_files_without_counters_of_batches_load(tmp_path):
    mn = MN(MNConfig(width=0.1, num_classes=3), seed=1)
    torch.save(without_counters(efficientat.to_published(mn.state_dict())), tmp_path / "mn.pt")
    assert auricle.load(tmp_path / "mn.pt").fingerprint() == mn.fingerprint()
    vit = M2DEncoder(ViTConfig("80x32", embed_dim=64, depth=1), head=M2DHeadConfig(4), seed=1)
    file = m2d_file(vit, tmp_path, **{"module.head.norm.num_batches_tracked": None})
    assert auricle.load(file).fingerprint() == vit.fingerprint()
    content = mae_ast.published_content(tiny_mae_ast().encoder())
    content["model"] = without_counters(content["model"])
    torch.save(content, tmp_path / "mae.pt")
    assert auricle.load(tmp_path / "mae.pt").fingerprint() == tiny_mae_ast().encoder().fingerprint()


# ---- M2D
GRIDS = [
    ("64x48", "16x16"),
    ("128x48", "16x16"),
    ("96x48", "96x2"),
    ("80x48", "33x16"),
    ("70x48", "16x16"),
    ("40x48", "40x4"),
]


@pytest.mark.parametrize(("size", "patch"), GRIDS)
def test_grids_of_other_heights_load_encode_and_are_saved(tmp_path, size, patch):
    vit = M2DEncoder(ViTConfig(size, patch, embed_dim=64, depth=1), seed=1).eval()
    encoder = auricle.load(m2d_file(vit, tmp_path))
    assert encoder.fingerprint() == vit.fingerprint()
    bands, height = int(size.split("x")[0]), int(patch.split("x")[0])
    assert encoder.front.n_mels == bands
    assert encoder.info.front_end == ("m2d-logmel/16k" if bands == 80 else f"m2d-logmel/16k-m{bands}")
    out = encoder(torch.randn(2, 8000))
    assert out.frames.shape[2] == encoder.info.frame_dim == bands // height * 64
    assert torch.isfinite(out.frames).all()
    save_encoder(encoder, tmp_path / "a.safetensors")
    assert auricle.load(tmp_path / "a.safetensors").fingerprint() == vit.fingerprint()


def test_patches_that_are_not_full_are_left_out_as_by_a_convolution():
    embed = M2DEncoder(ViTConfig("80x48", "33x16", embed_dim=64, depth=1), seed=1).patch_embed
    values = torch.randn(2, 80, 50)
    convolved = embed.proj(values[:, None]).flatten(2).transpose(1, 2)
    torch.testing.assert_close(embed(embed.cut(values)), convolved, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("size", "patch"), GRIDS)
def test_grids_of_other_heights_are_trained(size, patch):
    config = ViTConfig(size, patch, embed_dim=64, depth=1)
    batch = Batch(
        spec=torch.randn(2, int(size.split("x")[0]), 48),
        front_end=config.front_end,
        rate=16000,
        lengths=torch.tensor([48, 48]),
        ids=("a", "b"),
        epoch=0,
        positions=(0, 1),
    )
    key = BatchKey(0, 0, (0, 1))
    for objective in (
        M2D(config, PredictorConfig(32, 1, 2), M2DConfig()),
        MsmMae(config, PredictorConfig(32, 1, 2), MsmMaeConfig()),
    ):
        preview = objective.preview(batch, key)
        assert preview.spec.shape == batch.spec.shape
        assert preview.reconstruction is None or preview.reconstruction.shape == batch.spec.shape


def test_a_grid_lower_than_its_patches_is_refused():
    with pytest.raises(AuricleError, match="16 mel bins cannot be cut into patches 80 high"):
        ViTConfig("16x48", "80x2")


# ---- MAE-AST
@pytest.mark.parametrize("row", [3, 2000])
def test_a_position_table_of_another_processor_is_the_computed_one(tmp_path, row):
    """The last digit of an angle differs between processors; beyond row 64 it is worth more."""
    encoder = tiny_mae_ast(max_token_length=4096).encoder()
    content = mae_ast.published_content(encoder)
    table = content["model"]["enc_sine_pos_embed.pe"]
    assert torch.equal(table[0], line_table(table.shape[2], table.shape[1]))
    table[0, row] += 0.8 * TOLERANCES["positions below 64"].atol * max(1, row / 64)
    torch.save(content, tmp_path / "near.pt")
    assert auricle.load(tmp_path / "near.pt").fingerprint() == encoder.fingerprint()
    table[0, 3] += 3e-5
    torch.save(content, tmp_path / "other.pt")
    assert auricle.load(tmp_path / "other.pt").config.stored_positions
