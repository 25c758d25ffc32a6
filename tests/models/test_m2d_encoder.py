"""The M2D encoder agrees with the published runtime, position tables and masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.models.layers.transformer import grid_table, resized
from auricle.models.masking.patches import continuous_flags, mask_from_flags, structured_counts, structured_flags
from helpers.encoders import m2d, mae_ast
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN
from helpers.replays import NumpyReplay, TorchReplay

M2D = GOLDEN / "m2d"
CHECKPOINT = M2D / "checkpoints" / "m2d_vit_base-80x208p16x16-golden-mr7" / "checkpoint-3.pth"


@pytest.fixture(scope="module")
def runtime():
    return (*read_golden(M2D / "runtime_train_checkpoint_16k.safetensors"), auricle.load(CHECKPOINT))


def test_a_published_training_checkpoint_holds_its_settings(runtime):
    _, meta, encoder = runtime
    assert (encoder.config.embed_dim, encoder.config.depth, encoder.config.attention_heads) == (128, 2, 2)
    assert (encoder.config.input_size, encoder.config.patch_size) == ("80x208", "16x16")
    np.testing.assert_allclose(encoder.norm_stats, meta["norm_stats"])


@pytest.mark.parametrize("samples", [1701, 8000, 33000, 33120, 33280, 51237])
def test_frames_and_scene_agree_at_any_length(runtime, samples):
    tensors, _, encoder = runtime
    out = encoder(tensors["waveform"][:, :samples])
    close(out.frames, tensors[f"frames.{samples}"], 1e-4)
    close(out.clip, tensors[f"scene.{samples}"], 1e-4)


def test_layers_tokens_and_the_normalised_input_agree(runtime):
    tensors, _, encoder = runtime
    out = encoder(tensors["waveform"][:, :33000], layers="all")
    close(torch.stack([layer.frames for layer in out.layers]), tensors["layers.33000"], 1e-4)
    close(out.tokens, tensors["flat.33000"], 1e-4)
    spec = encoder.frontend(tensors["waveform"][:, :8000])
    close(encoder.normalise(spec.values), tensors["logmel_normalised.8000"][:, 0], 1e-4)


def test_a_visible_subset_of_all_tokens_is_the_whole(runtime):
    tensors, _, encoder = runtime
    wave = tensors["waveform"][:, :33000]
    spec = encoder.frontend(wave)
    everything = torch.arange(65).expand(2, -1)
    close(encoder.encode(spec, ids_keep=everything).tokens, encoder(wave).tokens, 1e-4)
    assert encoder.encode(spec, ids_keep=everything[:, :9]).frames is None


@pytest.mark.parametrize("make", [m2d, mae_ast])
def test_visible_tokens_of_a_mixed_batch_equal_one_by_one_and_wrong_ones_are_refused(make):
    encoder, keep = make(), torch.tensor([[0, 3], [0, 3]])
    waves = torch.randn(2, 8000, generator=torch.Generator().manual_seed(0))
    both = encoder.encode(encoder.frontend(waves, torch.tensor([8000, 4800])), ids_keep=keep)
    alone = encoder.encode(encoder.frontend(waves[1:, :4800]), ids_keep=keep[1:])
    close(both.tokens[1], alone.tokens[0], 1e-5)
    spec = encoder.frontend(waves)
    for wrong in (keep[:1], keep[:, :0], keep + 10**6, keep - 1, keep.float()):
        with pytest.raises(AuricleError, match="keep"):
            encoder.encode(spec, ids_keep=wrong)
    with pytest.raises(AuricleError, match="layers"):
        encoder.encode(spec, ids_keep=keep, layers="all")


def test_the_number_of_frames_is_the_published_table():
    encoder = auricle.load(CHECKPOINT)
    for seconds, frames in {0.1: 1, 0.5: 4, 1.0: 7, 2.0: 13, 2.95: 19, 5.0: 32, 6.08: 39, 10.0: 63, 30.0: 188}.items():
        assert encoder(torch.zeros(1, int(seconds * 16000))).frames.shape[1] == frames


def test_position_tables_and_their_resizing_agree():
    tensors, _ = read_golden(M2D / "pos_embed.safetensors")
    for name, table in tensors.items():
        kind, width, grid = name.split(".")
        if kind == "pos":
            close(grid_table(int(width), pair(grid))[0], table, 1e-6)
        else:
            old, new = (pair(part) for part in grid.split("to"))
            close(resized(grid_table(int(width), old), old, new)[0], table, 1e-5)


def pair(text):
    return tuple(int(part) for part in text.split("x"))


def test_structured_masks_agree_with_the_published_program():
    tensors, meta = read_golden(M2D / "masks.safetensors")
    for name in [key for key in meta if key.startswith("structured")]:
        case, key = meta[name], name.removesuffix(".params")
        clips, *grid = case["shape"]
        u = float(NumpyReplay(case["seed"]).random())
        assert u == case["u"]
        assert structured_counts(tuple(grid), case["mask_ratio"], u) == (case["NF"], case["NT"])
        flags = structured_flags(clips, tuple(grid), case["mask_ratio"], u, TorchReplay(case["seed"]))
        np.testing.assert_array_equal(flags, tensors[f"{key}.flags"].bool())
        assert_keeps_flagged_first(mask_from_flags(flags, published=True), flags, case["len_keep"])
        hidden = mask_from_flags(flags).binary.view(flags.shape).bool().numpy()
        np.testing.assert_array_equal(hidden, flags)


def assert_keeps_flagged_first(mask, flags, len_keep):
    assert mask.len_keep == len_keep
    kept = ~mask.binary.view(flags.shape).bool().numpy()
    wanted = min(len_keep, int(flags[0].sum()))
    assert ((kept & flags).reshape(len(flags), -1).sum(1) == wanted).all()


def test_continuous_masks_agree_with_the_published_program():
    tensors, meta = read_golden(M2D / "masks.safetensors")
    for name in [key for key in meta if key.startswith("cont1d")]:
        case, source = meta[name], NumpyReplay(meta[name]["seed"])
        clips, *grid = case["shape"]
        flags = [
            continuous_flags(tuple(grid), case["mask_ratio"], case["one_mask_frames"], source) for _ in range(clips)
        ]
        np.testing.assert_array_equal(np.stack(flags), tensors[name.removesuffix(".params") + ".masked"].bool())
        assert mask_from_flags(np.stack(flags)).len_keep == case["len_keep"]


def test_a_file_that_is_no_checkpoint_is_refused_with_a_message(tmp_path):
    path = tmp_path / "m2d_vit_base-80x208p16x16.pth"
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(AuricleError, match="not a readable checkpoint"):
        auricle.load(path)
    path.write_bytes(CHECKPOINT.read_bytes()[:100_000])
    with pytest.raises(AuricleError, match="truncated"):
        auricle.load(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    import os
    import pickle

    class Malicious:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    path = tmp_path / "evil.pth"
    torch.save({"model": Malicious()}, path, pickle_module=pickle)
    with pytest.raises(AuricleError, match="refused"):
        auricle.load(path)
    assert not (tmp_path / "owned").exists()


def test_errors_about_unknown_names_list_the_known_ones():
    with pytest.raises(AuricleError, match="logmel-stats"):
        auricle.load("logmel_stat")
