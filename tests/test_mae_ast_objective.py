"""MAE-AST's objective agrees with vectors of the published program: losses, gradients, optimizer traces; and its options."""

from __future__ import annotations

import json
import math
import re

import pytest
import torch

from auricle.data.batch import Batch
from auricle.draws import BatchDraws
from auricle.hub.convert.mae_ast import to_ours
from auricle.models.masks import Mask
from auricle.models.masks_mae_ast import mask_of_flags
from auricle.objectives.base import Progress
from auricle.objectives.config_mae_ast import MAEASTObjectiveConfig
from auricle.objectives.contrastive import info_nce, reconstruction_loss
from auricle.objectives.mae_ast import MAEAST
from auricle.signal.fbank import fbank_id
from auricle.training.optimisers import make_optimiser
from auricle.training.schedules import polynomial_decay
from conftest import GOLDEN
from golden_files import close, read_golden, under
from mae_ast_golden import config_of

FOLDER = GOLDEN / "mae_ast"


def test_both_losses_agree_with_the_published_formulas():
    tensors, _ = read_golden(FOLDER / "criterion.safetensors")
    wanted = json.loads((FOLDER / "criterion.json").read_text())
    nce, accuracy = info_nce(tensors["pred"], tensors["target"])
    recon = reconstruction_loss(tensors["recon"], tensors["target"])
    assert float(nce) == pytest.approx(wanted["mae_ast"]["loss_info_nce"], abs=1e-6)
    assert float(recon) == pytest.approx(wanted["mae_ast"]["loss_recon"], abs=1e-6)
    assert float(nce + 10 * recon) / math.log(2) == pytest.approx(wanted["mae_ast"]["loss_logged_base2"], abs=1e-5)
    assert float(accuracy) == pytest.approx(wanted["mae_ast"]["accuracy_pred_to_target"])


def test_ssast_matches_the_other_way_round():
    tensors, _ = read_golden(FOLDER / "criterion.safetensors")
    wanted = json.loads((FOLDER / "criterion.json").read_text())["ssast"]
    nce, accuracy = info_nce(tensors["pred"], tensors["target"], among="predictions")
    assert float(nce) == pytest.approx(wanted["nce"], abs=1e-6)
    assert float(accuracy) == pytest.approx(wanted["acc"])


@pytest.mark.parametrize("among", ["targets", "predictions"])
def test_padding_is_neither_asked_nor_offered(among):
    torch.manual_seed(0)
    prediction, target, recon = torch.randn(3, 2, 7, 12)
    real = torch.arange(7) < torch.tensor([[7], [4]])
    whole, part = (info_nce(prediction[i : i + 1, :n], target[i : i + 1, :n], among=among) for i, n in ((0, 7), (1, 4)))
    both = info_nce(prediction, target, real, among=among)
    for one, seven, four in zip(both, whole, part):
        torch.testing.assert_close(one, (7 * seven + 4 * four) / 11)
    errors = [reconstruction_loss(recon[i, :n], target[i, :n]) for i, n in ((0, 7), (1, 4))]
    torch.testing.assert_close(reconstruction_loss(recon, target, real), (7 * errors[0] + 4 * errors[1]) / 11)


CASES = ["patch_random", "patch_chunk", "frame_random", "frame_spans"]


@pytest.fixture(params=CASES, scope="module")
def golden(request, shared):
    return read_golden(shared / "golden/mae_ast" / f"{request.param}.safetensors")


def objective_of(tensors: dict, meta: dict, **changes) -> MAEAST:
    """Strictly loaded with the golden weights; no dropout."""
    built = MAEAST(config_of(meta, stored_positions=True), MAEASTObjectiveConfig(**changes))
    built.online.load_state_dict({**to_ours(under(tensors, "w.")), "norm_stats": built.online.norm_stats})
    return built


def batch_of(fbank: torch.Tensor, lengths: list[int] | None = None) -> Batch:
    """(B, T, F) as the golden files have it -> a batch."""
    n = len(fbank)
    return Batch(
        lengths=torch.tensor(lengths or [fbank.shape[1]] * n),
        ids=tuple(map(str, range(n))),
        rate=16000,
        spec=fbank.transpose(1, 2),
        front_end=fbank_id(fbank.shape[2]),
        positions=tuple(range(n)),
    )


def given(mask: Mask):
    """The objective's own drawing, replaced by a mask of the golden file."""
    return lambda scene, draws, loss: mask


def mask_from(tensors: dict) -> Mask:
    order = torch.cat([tensors["mask.retained_order"], tensors["mask.masked_order"].sort(dim=1).values], dim=1)
    return Mask(order, tensors["mask.retained_order"].shape[1])


def to_published(ours: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = {}
    for name, value in ours.items():
        name = re.sub(r"^(encoder|decoder)\.blocks\.", r"\1.layers.", name)
        for old, new in ((".norm1.", ".self_attn_layer_norm."), (".norm2.", ".final_layer_norm."), (".mlp.", ".")):
            name = name.replace(old, new)
        name = re.sub(r"^(encoder|decoder)\.norm\.", r"\1.layer_norm.", name).replace(".attn.", ".self_attn.")
        parts = zip("qkv", value.chunk(3)) if ".qkv." in name else [("", value)]
        found |= {name.replace(".qkv.", f".{p}_proj.").replace("attn.proj.", "attn.out_proj."): v for p, v in parts}
    return found


PLACE, DRAWS = Progress(0, 1, 0, 1, 0.0, None), BatchDraws(0, 0, (0, 1))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses_accuracy_and_the_log_agree(golden, mode):
    tensors, meta = golden
    built, wanted = objective_of(tensors, meta).train(mode == "train"), meta["info"][mode]
    built.draw = given(mask_from(tensors))
    loss, log = built(batch_of(tensors["in.fbank"]), PLACE, DRAWS)
    assert float(loss.detach()) == pytest.approx(wanted["loss"], abs=5e-5)
    for name in ("loss", "loss_recon", "loss_info_nce"):
        assert float(log[name]) * math.log(2) == pytest.approx(wanted[name], abs=5e-5)
    if mode == "eval":
        assert float(log["accuracy"]) == pytest.approx(wanted["accuracy"], abs=1e-6)
        assert float(log["nll_loss"]) == pytest.approx(wanted["loss"] / wanted["ntokens"] / math.log(2), abs=1e-5)
        assert float(log["ppl"]) == pytest.approx(2 ** float(log["nll_loss"]))
    else:
        assert float(built.online.batch_norm.running_mean) == pytest.approx(wanted["running_mean_after"], abs=1e-5)
        assert float(built.online.batch_norm.running_var) == pytest.approx(wanted["running_var_after"], abs=1e-4)
    assert float(log["masked_ratio"]) == pytest.approx(tensors["mask.masked"].float().mean())


def test_what_the_heads_predict_and_are_asked_agrees(golden):
    tensors, meta = golden
    built = objective_of(tensors, meta).eval()
    masked = built.masked(built.scene(batch_of(tensors["in.fbank"])), mask_from(tensors))
    for loss, name in (("reconstruction", "recon"), ("classification", "class")):
        wanted = tensors[f"eval.{name}"]
        close(built.head(loss, masked.hidden), wanted, 1e-5 * (1 + float(wanted.abs().max())))
    close(masked.target, tensors["eval.target"], 1e-5)


def test_every_gradient_agrees_and_relics_get_what_the_original_gives_them(golden):
    tensors, meta = golden
    built = objective_of(tensors, meta)
    built.draw = given(mask_from(tensors))
    built(batch_of(tensors["in.fbank"]), PLACE, DRAWS)[0].backward()
    found = to_published({name: p.grad for name, p in built.online.named_parameters() if p.grad is not None})
    wanted = {name: norm for name, norm in meta["info"]["train"]["grad_norms"].items() if norm is not None}
    assert found.keys() == wanted.keys()
    for name, norm in wanted.items():
        assert float(found[name].norm()) == pytest.approx(norm, rel=1e-5, abs=1e-5), name
    for name, grad in under(tensors, "train.grad.").items():
        close(found[name], grad, 1e-5 * (1 + float(grad.abs().max())))
    assert found["encoder_mask_emb"].eq(0).all()


def test_the_optimizer_trace_agrees(golden):
    tensors, meta = golden
    built, trace = objective_of(tensors, meta), meta["info"]["optim"]
    optimiser = make_optimiser(built.param_groups(0.01), "adam", 1e-3)
    trained = optimiser.param_groups[0]["params"]
    for number, step in enumerate(trace["steps"]):
        flags = tensors[f"optim.masked.{number}"]
        built.draw = given(mask_of_flags(list(flags.numpy())))
        rate = polynomial_decay(number, 1e-3, 0.0, 2, 10)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        loss, _ = built(batch_of(tensors["in.fbank"]), PLACE, DRAWS)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        assert rate == pytest.approx(step["lr"])
        assert float(loss.detach()) == pytest.approx(step["loss"], abs=1e-5)
        assert float(norm) == pytest.approx(step["grad_norm_before_clip"], rel=1e-5)
    state = to_published(built.online.state_dict())
    for name, value in under(tensors, "optim.final.").items():
        close(state[name], value, 1e-5)
