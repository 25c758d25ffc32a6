"""Every published layout of M2D's weight files loads, agrees with the published runtime, and is written again."""

from __future__ import annotations

import argparse
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.commands.models.models import ConvertConfig, convert
from auricle.compat import PortableM2D
from auricle.core.errors import AuricleError
from auricle.hub.convert.m2d_names import parse_name
from auricle.hub.pickles import read_pickle
from auricle.models.inputs import mean_over_time
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN

M2D = GOLDEN / "m2d"
RUNTIMES = sorted(M2D.glob("runtime_*.safetensors"))
FLAT_HEAD = "m2d_as_vit_base-80x201p16x16-golden_AS-FT_enconly/weights_ep1it9-0.12345.pth"
TRAINING = "m2d_vit_base-80x208p16x16-golden-mr7/checkpoint-3.pth"
SPEECH = "m2d_s_vit_base-80x60p80x2-golden/checkpoint-5.pth"
PREFIXED = "m2d_vit_base-80x80p16x16p16k-golden_prefixed/checkpoint-1.pth"
AT_32K = "m2d_as_vit_base-80x104p16x4p32k-golden_enconly/checkpoint-3.pth"


def checkpoint(name: str) -> Path:
    return M2D / "checkpoints" / name


@pytest.fixture(params=RUNTIMES, ids=lambda path: path.stem.removeprefix("runtime_"), scope="module")
def runtime(request):
    tensors, meta = read_golden(request.param)
    with pytest.warns(UserWarning, match="head_norm.running_mean") if "prefix" in request.param.stem else nothing():
        return tensors, meta, auricle.load(M2D / meta["checkpoint"])


def nothing():
    import contextlib

    return contextlib.nullcontext()


def test_front_end_kernels_in_a_runtime_file_give_no_warning(tmp_path):
    tensors = read_pickle(checkpoint(PREFIXED))
    tensors = {name: value for name, value in tensors.get("model", tensors).items() if "head_norm" not in name}
    file = tmp_path / Path(PREFIXED).parent.name / "checkpoint-1.pth"
    file.parent.mkdir()
    torch.save(tensors | {"to_spec.mel_basis": torch.zeros(80, 201)}, file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auricle.load(file)


# ---- the published runtime
def test_sizes_rate_and_statistics_are_the_files(runtime):
    _, meta, encoder = runtime
    config = encoder.config
    assert (config.embed_dim, config.depth, config.attention_heads) == (
        meta["embed_dim"],
        meta["depth"],
        meta["num_heads"],
    )
    assert config.sample_rate == meta["sample_rate"]
    if "norm_stats" in meta:
        np.testing.assert_allclose(encoder.norm_stats, meta["norm_stats"])
        assert list(map(int, config.input_size.split("x"))) == meta["input_size"]
        assert encoder.info.frame_dim == meta["feature_d"]


def test_every_vector_of_the_runtime_agrees(runtime):
    tensors, _, encoder = runtime
    checked = {name: agrees(encoder, tensors, *name.split(".", 1)) for name in tensors if name != "waveform"}
    assert all(checked.values())


@torch.no_grad()
def agrees(encoder, tensors, kind, key):
    """Compares ``tensors["kind.key"]``; key ends in the number of samples."""
    want, wave = tensors[f"{kind}.{key}"], tensors["waveform"][:, : int(key.split(".")[-1])]
    out = encoder(wave, layers="all")
    plain, flat = PortableM2D(encoder), PortableM2D(encoder, flat_features=True)
    got = {
        "frames": lambda: out.frames,
        "scene": lambda: mean_over_time(out.frames, out.lengths),
        "timestamps_ms": lambda: plain.get_timestamp_embeddings(wave)[1],
        "flat": lambda: out.tokens,
        "flat_time_average": lambda: flat.encode(wave, average_per_time_frame=True),
        "flat_timestamps_ms": lambda: flat.get_timestamp_embeddings(wave)[1],
        "logits": lambda: out.logits,
        "frame_logits": lambda: out.frame_logits,
        "frame_logits_timestamps_ms": lambda: PortableM2D(encoder, out.logits.shape[1]).forward_frames(wave)[1],
        "layers": lambda: torch.stack([layer.frames for layer in out.layers]),
        "logmel_normalised": lambda: plain.to_normalized_feature(wave),
        "dur_frames": lambda: encoder.with_duration(int(key.split(".")[0]))(wave).frames,
    }[kind]()
    close(got, want, 0 if "timestamps" in kind else 1e-4)
    return True


# ---- what a file says of itself
def test_names_follow_the_published_rule():
    said = parse_name("m2d_clap_vit_base-80x608p16x16p32kpBpTI-240128")
    assert (said.model, said.input_size, said.patch_size) == ("m2d_clap_vit_base", "80x608", "16x16")
    assert (said.sample_rate, said.extras) == (32000, ("B", "TI"))
    assert parse_name("m2d_vit_base-80x608p16x16-221006-mr7").sample_rate == 16000
    assert parse_name("checkpoint-300") is None
    assert parse_name("checkpoints") is None
    with pytest.raises(AuricleError, match="rate '48k'; M2D has 16k and 32k"):
        parse_name("m2d_vit_base-80x608p16x16p48k-1")


def test_the_file_name_is_used_where_the_folder_holds_no_sizes(tmp_path):
    file = shutil.copy(checkpoint(AT_32K), tmp_path / "m2d_as_vit_base-80x104p16x4p32k-mine.pth")
    encoder = auricle.load(file)
    assert (encoder.config.sample_rate, encoder.info.name) == (32000, "m2d_as_vit_base-80x104p16x4p32k-mine")


def test_a_renamed_file_needs_sizes_unless_it_holds_them(tmp_path):
    file = shutil.copy(checkpoint(AT_32K), tmp_path / "renamed.pth")
    with pytest.raises(AuricleError, match="input length is neither in the folder's name"):
        auricle.load(file)
    encoder = auricle.load(file, input_size="80x104", sample_rate=32000)
    assert encoder.fingerprint() == auricle.load(checkpoint(AT_32K)).fingerprint()
    with pytest.raises(AuricleError, match="positions for 130 patches"):
        auricle.load(file, input_size="80x208", sample_rate=32000)
    with pytest.raises(AuricleError, match="an input of 80x200 in patches of 16x4 has 5x50"):
        auricle.load(file, record="m2d_vit_base-80x200p16x4-230529")
    training = shutil.copy(checkpoint(TRAINING), tmp_path / "training.pth")  # its settings are in it
    assert auricle.load(training).config.input_size == "80x208"


def test_tensors_of_pre_training_are_left_out_and_unknown_ones_named(tmp_path, recwarn):
    auricle.load(checkpoint(SPEECH))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="head_norm.running_mean"):
        auricle.load(checkpoint(PREFIXED))
    content = read_pickle(checkpoint(SPEECH))
    content["model"] |= {"surprise.weight": torch.ones(2), "logit_scale": torch.ones(())}
    file = saved(content, tmp_path)
    with pytest.warns(UserWarning, match="unknown tensors are not used: surprise.weight$"):
        auricle.load(file)


def saved(content, folder: Path, name: str = "m2d_s_vit_base-80x60p80x2-changed.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def test_every_missing_and_unexpected_tensor_of_the_encoder_is_named(tmp_path):
    content = read_pickle(checkpoint(SPEECH))
    gone = [f"blocks.{i}.norm{j}.{part}" for i in (0, 1) for j in (1, 2) for part in ("weight", "bias")]
    for name in gone:
        del content["model"][name]
    content["model"]["blocks.0.scale"] = torch.ones(64)
    with pytest.raises(AuricleError) as error:
        auricle.load(saved(content, tmp_path))
    for name in [*gone, "blocks.0.scale"]:
        assert f"transformer.{name}" in str(error.value)
    assert "8 missing" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pos_embed": 2}, "which is not a tensor"),
        ({"pos_embed": torch.zeros(31)}, r"pos_embed of the shape \(31,\)"),
        ({"patch_embed.proj.weight": torch.zeros(64, 160)}, "patch_embed.proj.weight of the shape"),
        ({"patch_embed.proj.weight": torch.zeros(64, 1, 33, 2)}, "an input of 80x60 in patches of 33x2 has 2x30"),
        ({"patch_embed.proj.weight": torch.zeros(64, 1, 99, 2)}, "80 mel bins cannot be cut into patches 99 high"),
        ({"patch_embed.proj.weight": torch.zeros(64, 3, 80, 2)}, "of another shape: patch_embed.proj.weight"),
        ({"blocks.last.norm1.weight": torch.zeros(64)}, "1 unexpected: transformer.blocks.last.norm1.weight"),
        ({"module.head.mlp.mlp.0.weight": torch.zeros(64)}, "module.head.mlp.mlp.0.weight of the shape"),
        ({"module.head.mlp.mlp.0.weight": torch.zeros(7, 64)}, "missing: head.linear.bias, head.norm"),
        ({"norm_stats": torch.zeros(3)}, r"norm_stats \(3,\) instead of \(2,\)"),
    ],
)
def test_tensors_of_impossible_shapes_are_refused_with_a_message(changes, message, tmp_path):
    content = read_pickle(checkpoint(SPEECH))
    content["model"] |= changes
    with pytest.raises(AuricleError, match=message):
        auricle.load(saved(content, tmp_path))


def test_a_classifier_of_an_impossible_width_is_refused(tmp_path):
    content = read_pickle(checkpoint(FLAT_HEAD))
    content["module.head.mlp.mlp.0.weight"] = torch.zeros(13, 100)
    file = saved(content, tmp_path, "m2d_vit_base-80x201p16x16-x.pth")
    with pytest.raises(AuricleError, match="has 100 inputs; expected 64"):
        auricle.load(file)


def test_settings_with_numpy_scalars_and_paths_are_read_as_data(tmp_path):
    args = argparse.Namespace(input_size=[80, 60], lr=np.float64(3e-4), seed=np.int64(3), out=Path("runs"))
    content = {"model": read_pickle(checkpoint(SPEECH))["model"], "args": args, "best": np.float32(0.5)}
    assert auricle.load(saved(content, tmp_path, "any.pth")).config.input_size == "80x60"
    assert read_pickle(tmp_path / "any.pth")["args"].seed == 3
    old = tmp_path / "numpy1.pth"  # NumPy 1 wrote its scalars under another name
    torch.save({"best": np.float64(0.5)}, old, _use_new_zipfile_serialization=False)
    old.write_bytes(old.read_bytes().replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert read_pickle(old) == {"best": 0.5}


# ---- written again
@pytest.mark.parametrize("name", [FLAT_HEAD, AT_32K, SPEECH])
def test_an_encoder_is_written_in_its_published_layout(name, tmp_path):
    source = checkpoint(name)
    out = tmp_path / source.parent.name / source.name
    out.parent.mkdir()
    convert(ConvertConfig(str(source), "m2d", str(out)))
    one, other = (read_pickle(path) for path in (source, out))
    one = one.get("model", one)
    kept = {key for key in other if key in one}
    assert all(torch.equal(one[key], other[key]) for key in kept)
    assert other.keys() - kept <= {"norm_stats"}
    assert all(
        "to_spec" in key or key.startswith(("decoder", "target", "mask", "offline")) for key in one.keys() - kept
    )
    assert auricle.load(out).fingerprint() == auricle.load(source).fingerprint()
