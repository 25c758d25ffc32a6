"""What the step benchmark compares with is the published computation: plain M2D-X, M2D-S and MSM-MAE agree with its vectors."""

from __future__ import annotations

import pytest

from helpers.golden_files import close, read_golden, under
from helpers.paths import GOLDEN
from helpers.plain import plain

family = plain("m2d_family_plain")


def sizes(meta: dict) -> dict:
    shared = (
        "embed_dim",
        "depth",
        "num_heads",
        "decoder_embed_dim",
        "decoder_depth",
        "decoder_num_heads",
        "mask_ratio",
    )
    return {name: meta[name] for name in ("input_size", "patch_size", *shared)}


def assert_agrees(model, tensors, *more):
    model.load_state_dict(under(tensors, "w."))
    loss = model(tensors["x"], tensors["noise"], *more)
    close(loss, tensors["loss"], 1e-5)
    loss.backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            close(parameter.grad, tensors["grad." + name], 1e-5)


@pytest.mark.parametrize(
    ("kind", "name"), [("M2DX", "pretrain_m2dx_80x64p16x4"), ("M2DS", "pretrain_m2d_s_80x48p80x2")]
)
def test_the_plain_forms_with_a_second_target_agree(kind, name):
    tensors, meta = read_golden(GOLDEN / "m2d" / f"{name}.safetensors")
    weights = {"loss_m2d": meta["loss_m2d"], "loss_off": meta["loss_off"]}
    model = getattr(family, kind)(off_emb_dim=meta["off_emb_dim"], **weights, **sizes(meta))
    assert_agrees(model, tensors, tensors["target_offline"])


def test_the_plain_masked_autoencoder_agrees():
    tensors, meta = read_golden(GOLDEN / "m2d" / "pretrain_msm_mae_80x96p16x16.safetensors")
    assert_agrees(family.MSMMAE(**sizes(meta)), tensors)
