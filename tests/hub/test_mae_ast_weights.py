"""Published MAE-AST checkpoints are read without fairseq and written back as they were; damaged ones are refused in words."""

from __future__ import annotations

import copy
import enum
import json

import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.convert.mae_ast import published_content, to_ours, to_published
from auricle.hub.published import table as records
from auricle.hub.warm_start import resume
from auricle.hub.weight_file import read_encoder, save_encoder
from auricle.methods.mae_ast.config import MAEASTObjectiveConfig
from auricle.methods.mae_ast.objective import MAEAST
from auricle.models.layers.transformer import line_table
from auricle.models.mae_ast.encoder import MAEASTEncoder
from helpers.encoders import mae_ast
from helpers.golden_files import close, read_golden, under
from helpers.paths import GOLDEN

FILES = {kind: GOLDEN / "mae_ast" / f"checkpoint_tiny_{kind}.pt" for kind in ("patch", "frame")}


def content_of(kind: str = "patch") -> dict:
    return torch.load(FILES[kind], weights_only=True)


def saved(tmp_path, content, name: str = "changed.pt"):
    torch.save(content, tmp_path / name)
    return tmp_path / name


@pytest.mark.parametrize(("kind", "patch"), [("patch", "16x16"), ("frame", "128x2")])
def test_a_published_checkpoint_holds_its_settings(kind, patch):
    net = auricle.load(FILES[kind])
    assert isinstance(net, MAEASTEncoder)
    assert not net.training
    config = net.config
    assert (config.patch_size, config.embed_dim, config.depth, config.num_heads) == (patch, 32, 2, 2)
    assert (config.ffn_dim, config.decoder_depth, config.max_token_length) == (64, 1, 128)
    assert config.encoder_layerdrop == 0.0
    assert not config.stored_positions  # they are the computed ones
    running = content_of(kind)["model"]["batch_norm.running_mean"]
    assert torch.equal(net.batch_norm.running_mean, running)


@pytest.mark.parametrize("kind", FILES)
def test_writing_the_published_layout_gives_the_same_file_content(kind, tmp_path):
    out = tmp_path / "again.pt"
    assert main(["models", "convert", str(FILES[kind]), "--to", "mae-ast", "--out", str(out)]) == 0
    before, after = content_of(kind), torch.load(out, weights_only=True)
    assert before["model"].keys() == after["model"].keys()
    for name, value in before["model"].items():
        torch.testing.assert_close(after["model"][name], value, atol=1e-6, rtol=0, msg=name)
    given = before["cfg"]["model"]
    assert {key: after["cfg"]["model"][key] for key in given} == given
    assert after["cfg"]["task"]["feature_dim"] == 128
    assert before.keys() == after.keys()
    assert auricle.load(out).fingerprint() == auricle.load(FILES[kind]).fingerprint()


def test_names_go_both_ways():
    tensors = under(read_golden(GOLDEN / "mae_ast" / "patch_chunk.safetensors")[0], "w.")
    again = to_published(to_ours(tensors))
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], value) for name, value in tensors.items())


def test_tables_that_are_not_the_computed_ones_are_kept(tmp_path):
    content = content_of()
    for name in ("enc_sine_pos_embed.pe", "dec_sine_pos_embed.pe"):
        content["model"][name] = content["model"][name].half().float()  # as training in half precision leaves them
    net = auricle.load(saved(tmp_path, content))
    assert net.config.stored_positions
    assert torch.equal(net.positions("enc", 128), content["model"]["enc_sine_pos_embed.pe"][0])
    assert not torch.equal(net.positions("enc", 128), line_table(32, 128))
    save_encoder(net, tmp_path / "kept.safetensors")
    again = read_encoder(tmp_path / "kept.safetensors")
    assert torch.equal(again.positions("dec", 128), net.positions("dec", 128))
    assert torch.equal(
        published_content(again)["model"]["dec_sine_pos_embed.pe"], content["model"]["dec_sine_pos_embed.pe"]
    )


def test_unknown_settings_are_ignored_and_absent_ones_are_the_originals(tmp_path):
    content = content_of()
    content["cfg"]["model"] |= {"of_a_later_version": {"a": [1]}, "decoder_layerdrop": None}
    del content["cfg"]["model"]["attention_dropout"]
    net = auricle.load(saved(tmp_path, content))
    assert (net.config.attention_dropout, net.config.decoder_layerdrop) == (0.1, 0.0)


def test_statistics_from_elsewhere_are_written_as_running_ones():
    net = mae_ast().with_stats(-4.0, 5.0)
    model = published_content(net)["model"]
    close(model["batch_norm.running_mean"], torch.tensor([-4.0]), 1e-6)
    close(model["batch_norm.running_var"], torch.tensor([25.0]), 1e-4)


def test_our_own_files_keep_the_whole_network(tmp_path):
    net = mae_ast("128x2", use_post_enc_proj=True, decoder_embed_dim=48).with_decoder()
    save_encoder(net, tmp_path / "encoder.safetensors")
    again = auricle.load(tmp_path / "encoder.safetensors")
    assert again.through_decoder
    assert again.fingerprint() == net.fingerprint()
    assert auricle.load(tmp_path / "encoder.safetensors").info.depth == 3


@pytest.mark.parametrize("layout", ["published", "ours"])
def test_pre_training_continues_from_a_checkpoint(layout, tmp_path):
    source, net = FILES["patch"], auricle.load(FILES["patch"])
    if layout == "ours":
        source = tmp_path / "encoder.safetensors"
        save_encoder(net, source)
    objective = MAEAST(net.config, MAEASTObjectiveConfig(), seed=3)
    told = resume(objective, source)
    assert told.missing == told.unexpected == ()
    for name, value in net.state_dict().items():
        assert torch.equal(objective.state_dict()[f"online.{name}"], value)
    with pytest.raises(AuricleError, match="other sizes"):
        resume(MAEAST(mae_ast(ffn_dim=96).config, MAEASTObjectiveConfig()), source)


class Kind(enum.Enum):
    GELU = "gelu"


DAMAGE = {
    "another depth": (lambda c: c["cfg"]["model"].update(encoder_layers=6), "6 encoder layers, its tensors hold 2"),
    "another decoder": (lambda c: c["cfg"]["model"].update(decoder_layers=2), "2 decoder layers, its tensors hold 1"),
    "another width": (lambda c: c["cfg"]["model"].update(encoder_ffn_embed_dim=96), "instead of"),
    "a missing tensor": (lambda c: c["model"].pop("decoder_mask_emb"), "missing: decoder_mask_emb"),
    "a missing part": (lambda c: c["model"].pop("encoder.layers.1.self_attn.k_proj.bias"), "no k_proj"),
    "no settings": (lambda c: c.update(cfg=None), "cfg.model"),
    "another activation": (lambda c: c["cfg"]["model"].update(activation_fn="relu"), "activation_fn is 'relu'"),
    "overlap": (lambda c: c["cfg"]["model"].update(ast_kernel_stride_time=8), "overlap"),
    "other features": (lambda c: c["cfg"]["task"].update(feature_type="mfcc"), "feature_type is 'mfcc'"),
    "another rate": (lambda c: c["cfg"]["task"].update(sample_rate=8000), "sample_rate is 8000"),
    "no positions": (lambda c: c["model"].pop("enc_sine_pos_embed.pe"), "position table"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoints_are_refused_with_a_message(damage, tmp_path):
    content = copy.deepcopy(content_of())
    change, words = DAMAGE[damage]
    change(content)
    with pytest.raises(AuricleError, match=words):
        auricle.load(saved(tmp_path, content))


def test_only_data_is_read_and_a_truncated_file_is_reported(tmp_path):
    content = content_of()
    content["cfg"]["model"]["activation_fn"] = Kind.GELU  # a class of the writer's program
    with pytest.raises(AuricleError, match="more than tensors and settings"):
        auricle.load(saved(tmp_path, content))
    cut = tmp_path / "cut.pt"
    cut.write_bytes(FILES["patch"].read_bytes()[:100_000])
    with pytest.raises(AuricleError, match="truncated"):
        auricle.load(cut)


def test_records_carry_source_and_scores():
    patch, frame = records.get("mae_ast_patch"), records.get("random_frame_75_12LayerEncoder")
    assert frame.name == "mae_ast_frame"
    assert dict(patch.scores)["ESC-50"] == 0.9
    assert dict(frame.scores)["SUPERB SID"] == 0.633
    assert patch.urls[0].endswith("mae_ast/chunk_patch_75_12LayerEncoder.pt")
    assert patch.config is not None
    assert frame.config.patch_size == "128x2"


def test_a_file_of_another_network_is_not_recognised_as_a_published_one(tmp_path):
    with pytest.raises(AuricleError, match="another network than 'mae_ast_patch'"):
        auricle.load("mae_ast_patch", weights=FILES["patch"])
    with pytest.raises(AuricleError, match="of another kind"):
        auricle.load("mn04_as", weights=FILES["patch"])


def test_models_show_describes_a_checkpoint(capsys):
    assert main(["models", "show", str(FILES["frame"]), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["family"] == "mae-ast"
    assert said["architecture"]["patch_size"] == "128x2"
    assert main(["models", "show", "mae_ast_frame"]) == 0
    assert "0.633" in capsys.readouterr().out
    assert main(["models", "verify", str(FILES["patch"])]) == 0
