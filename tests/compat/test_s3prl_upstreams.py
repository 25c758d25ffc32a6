"""SUPERB's upstreams: the contract of s3prl, lengths, checkpoint strings, running statistics, the featurizer as published."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from auricle.compat import s3prl
from auricle.compat.s3prl.checkpoints import UpstreamWeights, parse_checkpoint
from auricle.compat.s3prl.upstreams import EncoderUpstream, M2DCalcNorm, M2DUpstream, MAEASTUpstream
from auricle.core.errors import AuricleError
from auricle.evaluation.suites.superb.featurizer import TOLERANCE, Featurizer
from auricle.frontends.running_norm import RunningNorm
from helpers.encoders import FAMILIES, m2d, mae_ast
from helpers.golden_files import close
from helpers.paths import GOLDEN

SPEECH = GOLDEN / "m2d/checkpoints/m2d_s_vit_base-80x60p80x2-golden"
LENGTHS = (16000, 9041, 12347, 1700)


def waves(lengths=LENGTHS):
    source = torch.Generator().manual_seed(3)
    return [0.1 * torch.randn(n, generator=source) for n in lengths]


def weight_file() -> str:
    return str(next(SPEECH.glob("*.pth")))


@pytest.mark.parametrize(
    "name", ["m2d", "m2d-speech-file", "m2d-ragged-chunks", "mae-ast-patch", "mae-ast-frame", "mn", "logmel-stats"]
)
@torch.no_grad()
def test_clips_of_several_lengths_come_out_as_if_each_were_alone(name):
    upstream = EncoderUpstream(FAMILIES[name].make()).eval()
    out, rate = upstream(waves()), upstream.get_downsample_rates("hidden_states")
    layers = out["hidden_states"]
    assert len({layer.shape for layer in layers}) == 1
    assert abs(layers[0].shape[1] - round(max(LENGTHS) / rate)) < TOLERANCE
    assert torch.equal(out["last_hidden_state"], layers[-1])
    for i, wave in enumerate(waves()):
        for layer, alone in zip(layers, upstream([wave])["hidden_states"], strict=True):
            count = alone.shape[1]
            close(layer[i, :count], alone[0], 1e-4)
            assert not layer[i, count:].any()


def test_every_block_is_a_layer_and_learns_where_the_upstream_is_trained():
    upstream = MAEASTUpstream(mae_ast("128x2", depth=3)).train()
    out = upstream(waves())
    assert len(out["hidden_states"]) == 3
    assert upstream.get_downsample_rates("last_hidden_state") == 320
    assert MAEASTUpstream(mae_ast()).get_downsample_rates("last_hidden_state") == 2560
    out["last_hidden_state"].square().mean().backward()
    assert upstream.encoder.post_extract_proj.weight.grad.abs().sum() > 0


@torch.no_grad()
def test_m2d_takes_the_statistics_of_the_checkpoint_string_in_place_of_the_files():
    upstream = s3prl.m2d(ckpt=f"{weight_file()},-11.5,4.25", model_config=None, refresh=False).eval()
    assert upstream.encoder.statistics() == (-11.5, 4.25)
    assert upstream.get_downsample_rates("hidden_states") == 320
    published = M2DUpstream(f"{weight_file()},-11.5,4.25", {"padding": "published"}).eval()
    whole = upstream([wave := waves()[0]])["hidden_states"]
    close(torch.stack(published([wave])["hidden_states"]), torch.stack(whole), 1e-4)
    padded = published(waves())["hidden_states"][0]
    assert padded[3].any(1).all()  # padding is encoded as sound


def test_checkpoint_strings_are_read_from_their_end_and_refused_in_words():
    assert parse_checkpoint("a,b/x.pth,-11.5,4.3", "m2d", stats_needed=True) == UpstreamWeights(
        "a,b/x.pth", (-11.5, 4.3)
    )
    assert parse_checkpoint("mn04_as", "auricle") == UpstreamWeights("mn04_as")
    for text, words in {
        "x.pth": "m2d_calcnorm",
        "x.pth,1.0": "MEAN,STD",
        "x.pth,a,1": "two numbers",
        "x.pth,1,0": "above 0",
        "x.pth,nan,1": "two numbers",
    }.items():
        with pytest.raises(AuricleError, match=words):
            parse_checkpoint(text, "m2d", stats_needed=True)
    with pytest.raises(AuricleError, match="needs a checkpoint"):
        s3prl.auricle()
    with pytest.raises(AuricleError, match="the upstream auricle takes every encoder"):
        MAEASTUpstream(m2d())
    with pytest.raises(AuricleError, match="did you mean padding"):
        s3prl.m2d(f"{weight_file()},0,1", {"paddings": "exact"})


def test_running_statistics_are_those_of_the_padded_batches_and_end_the_process_with_three_lines(capsys):
    encoder = m2d()
    upstream, want = M2DCalcNorm(encoder, {"updates": 3}), RunningNorm()
    for i in range(2):
        batch = waves(LENGTHS[i : i + 2])
        spec = encoder.frontend(torch.nn.utils.rnn.pad_sequence(batch, batch_first=True))
        want.update(spec.values)
        out = upstream(batch)
        states = encoder.with_stats(want.mean.item(), want.std.item()).encode(spec, layers="all")
        close(out["hidden_states"][0], states.layers[0].frames, 1e-4)
    with pytest.raises(SystemExit) as end:
        upstream(waves(LENGTHS[2:]))
    first, second, third = capsys.readouterr().out.splitlines()
    assert end.value.code == 0
    assert first == ("*** Running Norm has finished updates over 3 times, using the following stats from now on. ***")
    assert second == f"mean={upstream.norm.mean.item()}, std={upstream.norm.std.item()}"
    assert third == "*** Please use these statistics in your model. EXIT... ***"
    assert s3prl.m2d_calcnorm(f"{weight_file()},1,2").norm.updates == 10000  # text from the first comma on is left out


@pytest.mark.parametrize(("kind", "normalise"), [("plain", False), ("layernorm", True)])
def test_the_featurizer_weighs_layers_as_published(kind, normalise):
    tensors = load_file(GOLDEN / "evaluation/superb_featurizer.safetensors")
    featurizer = Featurizer(3, normalise=normalise)
    featurizer.weights.data = torch.tensor([0.3, -1.0, 0.7])
    samples = [len(tensors[f"wav{i}"]) for i in range(3)]
    found = featurizer.features([tensors[f"hidden{i}"] for i in range(3)], samples, 320)
    for i, clip in enumerate(found):
        close(clip, tensors[f"{kind}/out{i}"], 1e-5)
    with pytest.raises(AuricleError, match="100 frames, found 50"):
        featurizer.features([tensors[f"hidden{i}"] for i in range(3)], [32000, 1, 1], 320)


def test_the_names_come_with_one_line_and_without_s3prl_or_pytorchs_models():
    code = (
        "import sys\nfrom auricle.compat.s3prl import *\n"
        "print(sorted(n for n in dir() if n[0] != '_' and callable(globals()[n])))\n"
        "print('s3prl' in sys.modules, 'auricle.models.base' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["['auricle', 'm2d', 'm2d_calcnorm', 'mae_ast']", "False False"]
