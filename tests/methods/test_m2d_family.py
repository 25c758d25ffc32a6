"""The relatives of M2D agree with vectors computed by the published program: M2D-X, -AS, -S, the data2vec-like one, MSM-MAE."""

from __future__ import annotations

import pytest
import torch

from auricle.hub.convert.m2d import to_ours, to_published
from auricle.methods.m2d.targets import ema_update
from auricle.models.layers.transformer import take
from auricle.models.masking.patches import unstructured
from auricle.training.optimizers import make_optimizer
from helpers.golden_files import close, read_golden, under
from helpers.m2d_golden import normalised_batch, relative
from helpers.paths import GOLDEN

OFFLINE = ["pretrain_m2dx_80x64p16x4", "pretrain_m2d_as_80x96p16x16", "pretrain_m2d_s_80x48p80x2"]
D2V, MAE = "pretrain_m2d_d2v_80x96p16x16", "pretrain_msm_mae_80x96p16x16"


def read(name):
    return read_golden(GOLDEN / "m2d" / f"{name}.safetensors")


@pytest.fixture(params=[*OFFLINE, D2V, MAE], scope="module")
def golden(request):
    return read(request.param)


@pytest.fixture(params=OFFLINE, scope="module")
def offline(request):
    return read(request.param)


def batch_of(built, tensors, meta):
    """The golden input, with the targets of the second loss."""
    target = tensors.get("target_offline")
    if target is None:
        return normalised_batch(built, tensors["x"])
    second = {"labels": target} if meta["kind"] == "m2d_as" else {"targets": {"frames": target}}
    return normalised_batch(built, tensors["x"], **second)


def masked(built, tensors, meta):
    """-> the golden mask, patches, latent and prediction."""
    mask = unstructured(tensors["noise"], meta["mask_ratio"])
    patches = built.patches(batch_of(built, tensors, meta))
    latent = built.latent(patches, mask)
    return mask, patches, latent, built.predictor.hidden(latent, mask)


class GoldenDraws:
    """Stands for BatchDraws: gives the stored noise."""

    def __init__(self, tensors):
        self.noise = tensors["noise"]

    def uniform(self, purpose, n):
        return self.noise


def loss_of(built, tensors, meta):
    from auricle.methods.base import TrainProgress

    return built(batch_of(built, tensors, meta), TrainProgress(0, 1, 0, 1, 0.0, 1), GoldenDraws(tensors))


def test_masks_latent_and_layers_agree(golden):
    tensors, meta = golden
    built = relative(tensors, meta)
    mask, patches, latent, _ = masked(built, tensors, meta)
    assert torch.equal(mask.ids_shuffle, tensors["ids_shuffle"])
    assert torch.equal(mask.ids_restore, tensors["ids_restore"])
    assert torch.equal(mask.binary, tensors["mask"])
    assert mask.len_keep == meta["len_keep"]
    close(latent, tensors["latent"], 1e-5)
    layers = built.online.transformer.layers(built.online.embed(patches), range(meta["depth"]))
    close(torch.stack(layers), tensors["layers_unmasked"], 1e-5)


def test_the_loss_and_its_parts_agree(golden):
    tensors, meta = golden
    loss, log = loss_of(relative(tensors, meta), tensors, meta)
    close(loss, tensors["loss"], 1e-5)
    for ours, published in (("loss_m2d", "loss_online"), ("loss_off", "loss_offline")):
        if published in tensors:
            close(log[ours], tensors[published], 1e-5)


def test_every_gradient_agrees_and_the_target_gets_none(golden):
    tensors, meta = golden
    wanted = under(tensors, "grad.")
    if not wanted:
        pytest.skip("this vector holds no gradients")
    built = relative(tensors, meta)
    loss_of(built, tensors, meta)[0].backward()
    grads = to_published({name: p.grad for name, p in built.named_parameters() if p.grad is not None})
    assert grads.keys() == wanted.keys()
    for name, grad in grads.items():
        close(grad, wanted[name], 1e-5)


def test_one_optimiser_and_teacher_step_agrees(golden):
    tensors, meta = golden
    if not under(tensors, "after."):
        pytest.skip("this vector holds no step")
    built, step, wanted = relative(tensors, meta), meta["step"], to_ours(under(tensors, "grad."))
    for name, parameter in built.named_parameters():
        parameter.grad = wanted[name].clone() if name in wanted else None
    optimizer = make_optimizer(built.param_groups(step["weight_decay"]), "adamw", step["lr"])
    norm = torch.nn.utils.clip_grad_norm_([p for p in built.parameters() if p.grad is not None], step["clip_grad"])
    optimizer.step()
    if meta["kind"] != "mae":
        ema_update(built.target.parameters(), built.online.transformer.parameters(), step["ema_decay"])
    close(norm, tensors["grad_norm"], 1e-5)
    state = to_published(built.state_dict())
    for name, value in under(tensors, "after.").items():
        close(state[name], value, 1e-6)


def test_the_groups_of_weight_decay_are_the_published_ones(golden):
    tensors, meta = golden
    if "decay" not in meta:
        pytest.skip("this vector does not say its groups")
    built = relative(tensors, meta)
    names = {id(p): n for n, p in to_published(dict(built.named_parameters())).items()}
    plain, decay = ([names[id(p)] for p in group["params"]] for group in built.param_groups(0.05))
    assert sorted(plain) == sorted(meta["no_decay"])
    assert sorted(decay) == sorted(meta["decay"])


@pytest.mark.parametrize("loss_fn", ["norm_mse", "mse"])
@pytest.mark.parametrize("standardise", [True, False])
@pytest.mark.parametrize("name", [*OFFLINE, D2V])
def test_all_forms_of_the_masked_loss_agree(name, loss_fn, standardise):
    tensors, meta = read(name)
    built = relative(tensors, meta, loss_fn=loss_fn, norm_targets=standardise)
    mask, patches, _, prediction = masked(built, tensors, meta)
    target = built.raw_targets(patches, mask)
    close(prediction, tensors["pred"], 1e-5)
    close(target, tensors["target"], 1e-5)
    close(built.error(target, prediction).mean(), tensors[f"loss_m2d.{loss_fn}.norm_pix={standardise}"], 1e-5)


def test_the_second_head_reads_the_grid_time_step_by_time_step(offline):
    tensors, meta = offline
    built = relative(tensors, meta)
    mask, _, latent, prediction = masked(built, tensors, meta)
    stacked = built.stacked(latent, prediction, mask)
    close(stacked, tensors["z_online"], 1e-5)
    close(built.offline_predictor(stacked), tensors["pred_offline"], 1e-5)


def test_the_data2vec_like_target_sees_every_patch():
    tensors, meta = read(D2V)
    built = relative(tensors, meta)
    mask, patches, _, _ = masked(built, tensors, meta)
    everywhere = torch.arange(patches.shape[1]).expand(len(patches), -1)
    close(built.encode_target(patches, everywhere), tensors["target_all"], 1e-5)
    close(built.raw_targets(patches, mask), tensors["target"], 1e-5)


def test_msm_mae_rebuilds_every_patch_and_shows_it_as_published():
    tensors, meta = read(MAE)
    built = relative(tensors, meta)
    mask, patches, latent, _ = masked(built, tensors, meta)
    close(patches, tensors["patches"], 1e-6)
    close(built.predictor(latent, mask), tensors["pred"], 1e-5)
    reconstruction, error = built.visualise(tensors["x"][:, 0], mask)
    close(reconstruction, tensors["viz_recons"][:, 0], 1e-5)
    close(error, tensors["viz_errormap"][:, 0], 1e-5)


@pytest.mark.parametrize("standardise", [True, False])
def test_both_forms_of_the_reconstruction_loss_agree(standardise):
    tensors, meta = read(MAE)
    built = relative(tensors, meta, norm_targets=standardise)
    mask, patches, _, prediction = masked(built, tensors, meta)
    error = built.error(take(patches, mask.hidden), prediction)
    close(error.mean(), tensors[f"loss.norm_pix={standardise}"], 1e-5)
