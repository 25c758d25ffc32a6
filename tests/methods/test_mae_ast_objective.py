"""MAE-AST's objective agrees with vectors of the published program: losses, gradients, optimizer traces; and its options."""

from __future__ import annotations

import json
import math

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.hub.convert.mae_ast import to_ours, to_published
from auricle.methods.base import TrainProgress
from auricle.methods.mae_ast.config import PRESETS, MAEASTObjectiveConfig
from auricle.methods.mae_ast.objective import MAEAST, info_nce, preserve_train_mode, reconstruction_loss
from auricle.models.layers.transformer import take
from auricle.models.masking.mae_ast import mask_of_flags
from auricle.models.masking.patches import Mask
from auricle.training.optimizers import make_optimizer
from auricle.training.schedules import polynomial_decay
from helpers.golden_files import close, read_golden, under
from helpers.mae_ast_golden import config_of
from helpers.mae_ast_tiny import batch, clips, tiny
from helpers.paths import GOLDEN
from helpers.plain import plain

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
def test_padding_is_neither_a_query_nor_a_candidate(among):
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


def given(mask: Mask):
    """The objective's own drawing, replaced by a mask of the golden file."""
    return lambda scene, key, loss: mask


def mask_from(tensors: dict) -> Mask:
    order = torch.cat([tensors["mask.retained_order"], tensors["mask.masked_order"].sort(dim=1).values], dim=1)
    return Mask(order, tensors["mask.retained_order"].shape[1])


PLACE, DRAWS = TrainProgress(0, 1, 0, 1, 0.0, None), BatchKey(0, 0, (0, 1))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_losses_accuracy_and_the_log_agree(golden, mode):
    tensors, meta = golden
    built, wanted = objective_of(tensors, meta).train(mode == "train"), meta["info"][mode]
    built.draw = given(mask_from(tensors))
    loss, log = built(batch(tensors["in.fbank"].transpose(1, 2)), PLACE, DRAWS)
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


def test_predictions_and_targets_of_the_heads_agree(golden):
    tensors, meta = golden
    built = objective_of(tensors, meta).eval()
    masked = built.masked(built.tokenise(batch(tensors["in.fbank"].transpose(1, 2))), mask_from(tensors))
    for loss, name in (("reconstruction", "recon"), ("classification", "class")):
        wanted = tensors[f"eval.{name}"]
        close(built.head(loss, masked.hidden), wanted, 1e-5 * (1 + float(wanted.abs().max())))
    close(masked.target, tensors["eval.target"], 1e-5)


def test_every_gradient_agrees_also_of_parameters_without_use(golden):
    tensors, meta = golden
    built = objective_of(tensors, meta)
    built.draw = given(mask_from(tensors))
    built(batch(tensors["in.fbank"].transpose(1, 2)), PLACE, DRAWS)[0].backward()
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
    optimizer = make_optimizer(built.param_groups(0.01), "adam", 1e-3)
    trained = optimizer.param_groups[0]["params"]
    for number, step in enumerate(trace["steps"]):
        flags = tensors[f"optim.masked.{number}"]
        built.draw = given(mask_of_flags(list(flags.numpy())))
        rate = polynomial_decay(number, 1e-3, 0.0, 2, 10)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss, _ = built(batch(tensors["in.fbank"].transpose(1, 2)), PLACE, DRAWS)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        assert rate == pytest.approx(step["lr"])
        assert float(loss.detach()) == pytest.approx(step["loss"], abs=1e-5)
        assert float(norm) == pytest.approx(step["grad_norm_before_clip"], rel=1e-5)
    state = to_published(built.online.state_dict())
    for name, value in under(tensors, "optim.final.").items():
        close(state[name], value, 1e-5)


# ------------------------------------------------------------------------------------------------------ properties, tiny
NAMES = tuple(PRESETS)


@pytest.mark.parametrize("name", NAMES)
def test_logged_losses_are_in_bits_and_add_up(name):
    built = tiny(name)
    loss, log = built(batch(clips(3)), PLACE, BatchKey(0, 0, (0, 1, 2)))
    parts = float(log["loss_info_nce"]) + 10 * float(log["loss_recon"])
    assert float(log["loss"]) == pytest.approx(parts, rel=1e-5)
    assert float(log["loss"]) == pytest.approx(float(loss.detach()) / math.log(2), rel=1e-6)
    assert 0 <= float(log["accuracy"]) <= 1
    assert 0.5 < float(log["masked_ratio"]) < 0.9


@pytest.mark.parametrize("name", ["patch-chunk", "frame-random", "ssast-patch"])
def test_the_two_forms_of_the_decoder_agree(name):
    """In token order and whole, or in the mask's order and with nothing but the masked tokens at the end."""
    built = tiny(name, layer_norm_first=name == "frame-random", decoder_depth=2)
    for lengths in (None, [98, 70, 40]):
        tokens = built.tokenise(batch(clips(3), lengths))
        mask = built.draw(tokens, BatchKey(0, 0, (0, 1, 2)), "reconstruction")
        seen = built.online.encode_visible(tokens.tokens, mask.visible, tokens.real)
        whole = take(built.online.decode(seen, mask, tokens.real), mask.hidden)
        short = built.online.decode_masked(tokens.tokens, mask, tokens.real)
        real = slice(None) if tokens.real is None else tokens.real.gather(1, mask.hidden)
        torch.testing.assert_close(short[real], whole[real], atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize(("weights", "idle"), [((0.0, 10.0), "classification"), ((1.0, 0.0), "reconstruction")])
def test_a_term_of_weight_zero_is_not_computed(weights, idle):
    built = tiny(classification_weight=weights[0], reconstruction_weight=weights[1])
    built.head = only(built.head, idle)
    loss, log = built(batch(clips(2)), PLACE, DRAWS)
    loss.backward()
    assert ("loss_recon" in log) == (idle == "classification")
    assert ("accuracy" in log) == (idle == "reconstruction")
    left = [name for name, p in built.named_parameters() if p.requires_grad and p.grad is None]
    assert not left
    frozen = {name for name, p in built.named_parameters() if not p.requires_grad}
    assert frozen == {f"online.{n}.{p}" for n in ("layer_norm", f"final_proj_{idle}") for p in ("weight", "bias")}


def only(head, idle: str):
    def asked(loss: str, hidden: torch.Tensor) -> torch.Tensor:
        assert loss != idle
        return head(loss, hidden)

    return asked


@pytest.mark.parametrize("name", NAMES)
def test_every_trained_parameter_gets_a_gradient(name):
    built = tiny(name)
    built(batch(clips(2)), PLACE, DRAWS)[0].backward()
    assert not [name for name, p in built.named_parameters() if p.requires_grad and p.grad is None]
    assert not built.unused_parameters
    assert tiny(name, encoder_layerdrop=0.1).unused_parameters


@pytest.mark.parametrize("name", NAMES)
def test_values_in_the_padding_do_not_change_the_loss(name):
    built = tiny(name, chunk_per_clip=True).eval()
    values = clips(3)
    other = values.clone()
    other[1, :, 64:] += 3.0
    found = [built(batch(v, [98, 64, 98]), PLACE, BatchKey(0, 0, (0, 1, 2))) for v in (values, other)]
    for key, value in found[0][1].items():
        torch.testing.assert_close(found[1][1][key], value, msg=key)
    assert all(math.isfinite(float(value)) for value in found[0][1].values())


@pytest.mark.parametrize("name", NAMES)
def test_a_clip_of_one_token_among_longer_ones_gives_finite_gradients(name):
    built = tiny(name)
    loss, _ = built(batch(clips(3), [98, 3, 98]), PLACE, BatchKey(0, 0, (0, 1, 2)))
    loss.backward()
    assert all(p.grad.isfinite().all() for p in built.parameters() if p.grad is not None)


def test_clips_without_a_token_to_hide_are_refused_with_a_message():
    with pytest.raises(AuricleError, match="a clip of 1 tokens cannot be masked"):
        tiny("frame-random")(batch(clips(2, frames=3)), PLACE, DRAWS)
    with pytest.raises(AuricleError, match="16 frames or more, the spectrogram has 9"):
        tiny("patch-chunk")(batch(clips(2, frames=9)), PLACE, DRAWS)


def test_two_halves_of_a_batch_see_the_masks_of_the_whole():
    built = tiny("patch-chunk", chunk_per_clip=True).eval()
    values = clips(4)
    whole = built(batch(values), PLACE, BatchKey(0, 0, (0, 1, 2, 3)))[0]
    halves = [built(batch(values[i : i + 2], first=i), PLACE, BatchKey(0, 0, (i, i + 1)))[0] for i in (0, 2)]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_looking_from_outside_moves_nothing():
    built = tiny("frame-random", dropout=0.1)
    before = {name: value.clone() for name, value in built.state_dict().items()}
    given = batch(clips(3))
    found = built.diagnose(given, BatchKey(0, 0, (0, 1, 2)))
    built.preview(given, BatchKey(0, 0, (0, 1, 2)))
    assert built.training
    assert found.keys() == {"accuracy", "explained"}
    assert all(torch.equal(value, before[name]) for name, value in built.state_dict().items())


def test_validation_means_over_batches_and_perplexity_over_all_tokens():
    built = tiny("frame-random").eval()
    outputs = [
        built.validate(batch(clips(n, frames)), PLACE, BatchKey(0, 0, (0, 1))) for n, frames in ((2, 98), (2, 40))
    ]
    logs, found = [log for _, log in outputs], built.summarise(outputs)
    assert found["loss"] == pytest.approx((logs[0]["loss"] + logs[1]["loss"]) / 2)
    tokens = [49 - 12, 20 - 5]
    assert found["nll_loss"] == pytest.approx((logs[0]["loss"] + logs[1]["loss"]) / sum(tokens))
    assert found["ppl"] == pytest.approx(2 ** found["nll_loss"])
    assert built.summarise([]) == {}


@pytest.mark.parametrize("name", ["patch-chunk", "frame-random", "ssast-patch"])
def test_the_preview_shows_what_was_hidden_and_rebuilt(name):
    built = tiny(name)
    shown = built.preview(batch(clips(2), [98, 64]), DRAWS)
    rows, step = built.online.config.rows, built.online.config.patch[1]
    assert shown.spec.shape == (2, 128, 98 // step * step)
    assert shown.mask.shape == shown.error.shape == (2, rows, 98 // step)
    hidden = shown.mask.bool()
    padded = torch.zeros_like(hidden)
    padded[1, :, 64 // step :] = True
    assert torch.equal(shown.error.isnan(), ~hidden | padded)
    wide = hidden.repeat_interleave(128 // rows, 1).repeat_interleave(step, 2)
    assert torch.equal(shown.reconstruction[~wide], shown.spec[~wide])
    squares = (shown.reconstruction - shown.spec).square().unfold(1, 128 // rows, 128 // rows).unfold(2, step, step)
    torch.testing.assert_close(shown.error[hidden & ~padded], squares.mean(dim=(3, 4))[hidden & ~padded])


def test_a_preview_of_matching_alone_shows_its_loss():
    built = tiny("frame-random", reconstruction_weight=0.0).eval()
    shown = built.preview(batch(clips(2)), DRAWS)
    assert shown.reconstruction is None
    loss = built(batch(clips(2)), PLACE, DRAWS)[0].detach()
    torch.testing.assert_close(shown.error[~shown.error.isnan()].mean(), loss)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(random_mask_prob=1.2), "between 0 and 1 for random_mask"),
        (dict(classification_weight=0.0, reconstruction_weight=0.0), "not both 0"),
        (dict(mask_type="mask_spans", mask_length=0), "positive"),
        (dict(mask_type="mask_spans", mask_selection="uniform", mask_other=30.0), "from --mask-other to 20"),
    ],
)
def test_impossible_settings_are_refused(changes, message):
    with pytest.raises(AuricleError, match=message):
        MAEASTObjectiveConfig(**changes)


@pytest.mark.parametrize(("name", "tokens"), [("patch-chunk", "patch"), ("frame-spans", "frame")])
def test_five_updates_agree_with_the_plain_program(name, tokens):
    """Masks, losses, clipping, Adam and schedule in the plain form that ships with the benchmarks; no golden file needed."""
    program = plain("mae_ast_plain")
    built = tiny(name)
    torch.manual_seed(0)
    model = program.MaeAst(tokens, 2, 32, 64, 2, 1, 0.0, 0.0, 0.0, 0.0, 512)
    weights = {key: value for key, value in model.state_dict().items() if not key.endswith(".pe")}
    built.online.load_state_dict({**to_ours(weights), "norm_stats": built.online.norm_stats})
    theirs, ours = program.Adam(model.parameters()), make_optimizer(built.param_groups(0.01), "adam", 0.0)
    for update in range(5):
        values, key = clips(3, seed=update), BatchKey(0, update, (0, 1, 2))
        rate = program.learning_rate(update, 1e-3, 2, 10)
        ours.param_groups[0]["lr"] = polynomial_decay(update, 1e-3, 0.0, 2, 10)
        with preserve_train_mode(built):
            built.eval()  # the running statistics of the input move once per update
            mask = built.draw(built.tokenise(batch(values)), key, "classification")
        wanted = program.train_step(
            model, theirs, values.transpose(1, 2).contiguous(), mask.visible, mask.hidden, rate, clip=10.0
        )
        ours.zero_grad()
        loss, log = built(batch(values), PLACE, key)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(ours.param_groups[0]["params"], 10.0)
        ours.step()
        got = (
            float(loss.detach()),
            *(float(log[k]) * math.log(2) for k in ("loss_recon", "loss_info_nce")),
            float(norm),
        )
        assert got == pytest.approx(wanted, rel=2e-5)
