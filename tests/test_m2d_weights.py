"""Every published layout of M2D's weight files loads, agrees with the published runtime, and is written again."""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.compat.portable_m2d import PortableM2D
from auricle.data.audioset import audioset_classes_by_id
from auricle.draws import BatchDraws
from auricle.errors import AuricleError
from auricle.hub import records
from auricle.hub.convert.m2d_names import parse_name
from auricle.hub.files import read_encoder, save_encoder
from auricle.hub.pickles import read_pickle
from auricle.models.config import HeadConfig, ViTConfig
from auricle.models.contract import mean_over_time
from auricle.models.m2d import M2DEncoder
from auricle.models.m2d_head import TrainingMask
from conftest import GOLDEN
from golden_files import close, read_golden

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


# ---- the published runtime
def test_sizes_rate_and_statistics_are_the_files(runtime):
    _, meta, encoder = runtime
    config = encoder.config
    assert (config.width, config.depth, config.num_heads) == (meta["embed_dim"], meta["depth"], meta["num_heads"])
    assert config.sample_rate == meta["sample_rate"]
    if "norm_stats" in meta:
        np.testing.assert_allclose(encoder.norm_stats, meta["norm_stats"])
        assert list(map(int, config.input_size.split("x"))) == meta["input_size"]
        assert encoder.info.frame_width == meta["feature_d"]


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


def test_the_file_name_speaks_where_the_folder_does_not(tmp_path):
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


def test_what_pre_training_needs_is_left_out_and_the_unknown_is_named(tmp_path, recwarn):
    auricle.load(checkpoint(SPEECH))
    assert not recwarn.list
    with pytest.warns(UserWarning, match="head_norm.running_mean"):
        auricle.load(checkpoint(PREFIXED))
    content = read_pickle(checkpoint(SPEECH))
    content["model"] |= {"surprise.weight": torch.ones(2), "logit_scale": torch.ones(())}
    file = saved(content, tmp_path)
    with pytest.warns(UserWarning, match="unknown here: surprise.weight$"):
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
    content["model"] = {"patch_embed.proj.weight": 1, "pos_embed": 2}
    with pytest.raises(AuricleError, match="which is no tensor"):
        auricle.load(saved(content, tmp_path))


def test_a_classifier_of_an_impossible_width_is_refused(tmp_path):
    content = read_pickle(checkpoint(FLAT_HEAD))
    content["module.head.mlp.mlp.0.weight"] = torch.zeros(13, 100)
    file = saved(content, tmp_path, "m2d_vit_base-80x201p16x16-x.pth")
    with pytest.raises(AuricleError, match="reads 100 numbers; expected 64"):
        auricle.load(file)


def test_settings_with_numpy_scalars_and_paths_are_read_as_data(tmp_path):
    args = argparse.Namespace(input_size=[80, 60], lr=np.float64(3e-4), seed=np.int64(3), out=Path("runs"))
    content = {"model": read_pickle(checkpoint(SPEECH))["model"], "args": args, "best": np.float32(0.5)}
    assert auricle.load(saved(content, tmp_path, "any.pth")).config.input_size == "80x60"
    assert read_pickle(tmp_path / "any.pth")["args"].seed == 3


# ---- the classifier
def test_the_head_says_what_it_pools_and_what_a_clip_is():
    flat = auricle.load(checkpoint(FLAT_HEAD))
    wave = torch.randn(2, 40000, generator=torch.Generator().manual_seed(0)) / 9
    out = flat(wave)
    assert flat.architecture()["head"] == {"num_classes": 13, "pools": "tokens"}
    assert (flat.info.clip_width, flat.info.frame_width) == (64, 320)
    close(out.clip, out.tokens.mean(1), 1e-5)
    close(flat.logits(wave), out.logits, 0)
    close(out.frame_logits.mean(1), out.logits, 1e-5)  # linear, with the running statistics
    assert flat.without_head()(wave).clip.shape == (2, 320)
    assert flat.without_head().info.classes is None
    assert flat(wave).logits is not None


def test_a_fresh_head_shares_the_weights_and_starts_near_zero():
    encoder = auricle.load(checkpoint(FLAT_HEAD))
    names = tuple((f"/m/{i}", f"class {i}") for i in range(5))
    twin = encoder.with_classes(5, classes=names, label_type="multiclass")
    assert (twin.info.classes, twin.head.config.pools) == (names, "tokens")
    assert twin.transformer is encoder.transformer
    assert 0 < twin.head.linear.weight.abs().max() < 1e-4
    assert encoder.head.linear.out_features == 13
    stacked = encoder.with_classes(5, pools="frames")
    assert stacked.head.linear.in_features == stacked.info.clip_width == 320


def test_in_training_the_head_learns_its_statistics_and_takes_a_batch_of_one():
    encoder = toy(HeadConfig(3, "frames")).train()
    wave = torch.randn(4, 8000, generator=torch.Generator().manual_seed(0))
    encoder(wave).logits.sum().backward()
    assert int(encoder.head.norm.num_batches_tracked) == 1
    assert encoder.head.norm.running_mean.abs().max() > 0
    assert torch.isfinite(encoder(wave[:1]).logits).all()
    assert int(encoder.head.norm.num_batches_tracked) == 1


def toy(head: HeadConfig | None = None, **changes) -> M2DEncoder:
    config = ViTConfig(**{"input_size": "80x64", "patch_size": "16x8", "width": 64, "depth": 1, **changes})
    return M2DEncoder(config, stats=(-7.0, 4.0), head=head, seed=1).eval()


def test_published_taggers_know_audiosets_classes_in_the_order_of_ids(tmp_path):
    name = "m2d_as_vit_base-80x64p16x8-toy_AS-FT_enconly"
    save_encoder(toy(HeadConfig(527, "tokens")), tmp_path / "toy.safetensors")
    convert(tmp_path / "toy.safetensors", tmp_path / name / "weights_ep1it1-0.1.pth")
    encoder = auricle.load(tmp_path / name / "weights_ep1it1-0.1.pth")
    assert encoder.info.classes == audioset_classes_by_id()
    assert encoder.info.classes[:2] == (("/g/122z_qxw", "Firecracker"), ("/m/011k_j", "Timpani"))
    assert encoder.info.label_type == "multilabel"
    assert auricle.load(checkpoint(FLAT_HEAD)).info.classes is None  # 13 classes of nobody knows what
    record = records.get("m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly")
    assert records.of_file(Path(record.folder) / record.file) is record
    assert records.of_file(Path("elsewhere") / record.file) is None


# ---- training options
def test_a_longer_duration_is_one_piece_and_too_long_an_input_is_refused(tmp_path):
    encoder = auricle.load(checkpoint(TRAINING)).with_duration(260)
    assert encoder(torch.zeros(1, 259 * 160)).frames.shape[1] == 16
    assert encoder(torch.zeros(1, 200 * 160)).frames.shape[1] == 12  # 201 frames: the incomplete column is dropped
    assert encoder(torch.zeros(1, 1)).frames.shape[1] == 1
    with pytest.raises(AuricleError, match="up to 260 frames in one piece, the input has 261"):
        encoder(torch.zeros(1, 260 * 160))
    save_encoder(encoder, tmp_path / "long.safetensors")
    again = read_encoder(tmp_path / "long.safetensors")
    wave = torch.randn(1, 41440, generator=torch.Generator().manual_seed(0)) / 9
    assert (again.info, again.fingerprint()) == (encoder.info, encoder.fingerprint())
    close(again(wave).frames, encoder(wave).frames, 0)


@pytest.mark.parametrize("published", [False, True])
def test_the_training_mask_hides_whole_rows_and_columns_in_training_only(published):
    encoder = toy(HeadConfig(3, "tokens"), input_size="80x160")
    encoder.training_mask = TrainingMask(0.5, published)
    wave = torch.randn(2, 159 * 160, generator=torch.Generator().manual_seed(0))
    draws = BatchDraws(0, 0, (0, 1))
    assert encoder(wave, draws=draws).frames is not None
    encoder.train()
    out = encoder(wave, draws=draws)
    assert out.frames is None
    assert out.logits.shape == (2, 3)
    hidden = encoder.training_mask.draw(draws, (5, 20)).binary.view(2, 5, 20).bool()
    assert out.tokens.shape[1] == 100 - int(hidden[0].sum())
    whole = [torch.equal(grid.all(1)[:, None] | grid.all(0), grid) for grid in hidden]
    assert whole == ([False, False] if published else [True, True])
    close(out.tokens, encoder(wave, draws=draws).tokens, 0)
    with pytest.raises(AuricleError, match="pass draws="):
        encoder(wave)
    with pytest.raises(AuricleError, match="with_duration makes an encoder for longer ones"):
        encoder(torch.zeros(2, 40000), draws=draws)
    with pytest.raises(AuricleError, match="share between 0 and 1"):
        TrainingMask(1.0)


def test_a_part_of_the_tokens_of_a_short_clip_is_the_whole_when_all_are_kept():
    encoder = toy(input_size="80x160")
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))  # 51 frames: 7 columns of 20
    everything = torch.arange(35)[None]
    spec = encoder.frontend(wave)
    close(encoder.encode(spec, keep=everything).tokens, encoder(wave).tokens, 1e-5)
    with pytest.raises(AuricleError, match="reads whole frames"):
        toy(HeadConfig(3, "frames"), input_size="80x160").encode(spec, keep=everything)


def test_a_frozen_embedding_gets_no_gradient():
    encoder = toy().train()
    encoder.freeze_embed()
    encoder(torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))).clip.sum().backward()
    assert encoder.patch_embed.proj.weight.grad is None
    assert encoder.cls_token.grad is not None


def test_only_spectrograms_of_80_bands_fit():
    with pytest.raises(AuricleError, match="80 bands"):
        toy(input_size="64x64")


# ---- written again
def convert(source: Path, out: Path) -> None:
    from auricle.jobs.models import ConvertConfig
    from auricle.jobs.models import convert as job

    out.parent.mkdir(parents=True, exist_ok=True)
    job(ConvertConfig(str(source), "m2d", str(out)))


@pytest.mark.parametrize("name", [FLAT_HEAD, AT_32K, SPEECH])
def test_an_encoder_is_written_in_its_published_layout(name, tmp_path):
    source = checkpoint(name)
    out = tmp_path / source.parent.name / source.name
    convert(source, out)
    one, other = (read_pickle(path) for path in (source, out))
    one = one.get("model", one)
    kept = {key for key in other if key in one}
    assert all(torch.equal(one[key], other[key]) for key in kept)
    assert other.keys() - kept <= {"norm_stats"}
    assert all(
        "to_spec" in key or key.startswith(("decoder", "target", "mask", "offline")) for key in one.keys() - kept
    )
    assert auricle.load(out).fingerprint() == auricle.load(source).fingerprint()
