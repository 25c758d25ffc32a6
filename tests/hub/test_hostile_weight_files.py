"""Weight files that are damaged, forged or of another program: refused in words that name the file, before memory is used."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.pickles import read_pickle
from auricle.hub.run_folder import RunFolder
from auricle.hub.warm_start import read_tensors
from auricle.hub.weight_file import describe, read_encoder, save_encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.reports.page import build_report
from helpers.raw_weights import Sample, join, small_m2d


@pytest.fixture
def sample(tmp_path) -> Sample:
    return Sample(tmp_path)


def refused(path: Path) -> str:
    """The message of a file that cannot be loaded; it names the file, and neither show nor verify ends in a traceback."""
    with pytest.raises(AuricleError) as error:
        auricle.load(path)
    assert str(path) in str(error.value)
    assert main(["models", "show", str(path)]) == 2
    assert main(["models", "verify", str(path)]) == 1
    return str(error.value)


def loaded_or_refused(path: Path) -> str:
    """The family of a file, or "refused" if the message names the file."""
    try:
        return auricle.load(path).info.family
    except AuricleError as error:
        return "refused" if str(path) in str(error) else str(error)


# ---- descriptions
@pytest.mark.parametrize(
    "text",
    ["{", "null", "{}", "[]", "3", '"x"', "[" * 1_000_000, '{"architecture": ' * 100_000, "1" * 10_000, "\ufffd"],
)
def test_a_damaged_description_is_refused(sample, text):
    assert "description" in refused(sample.described(text))


CONFIG = ("architecture", "config")
DESCRIPTIONS = {
    "a setting of a newer version": ((*CONFIG, "new_setting"), 1, "newer version"),
    "a setting of a newer family": (("architecture", "new_setting"), 1, "newer version"),
    "another family": (("architecture", "family"), "m3d", "unknown family 'm3d'"),
    "no family": (("architecture", "family"), ["m2d"], "unknown family"),
    "no architecture": (("architecture",), [], "architecture"),
    "a config that is a list": (CONFIG, [1], "by name"),
    "a depth in words": ((*CONFIG, "depth"), "12", "expected a whole number"),
    "a broken depth": ((*CONFIG, "depth"), 1.5, "expected a whole number"),
    "a depth without end": ((*CONFIG, "depth"), 10**9, "blocks, the file"),
    "another depth": ((*CONFIG, "depth"), 2, "missing"),
    "a depth beyond the tensors": ((*CONFIG, "depth"), 900, "900 blocks, the file 19 tensors"),
    "a width without end": ((*CONFIG, "embed_dim"), 4 * 10**9, "--embed-dim must be"),
    "another width": ((*CONFIG, "embed_dim"), 65_536, "instead of"),
    "a negative width": ((*CONFIG, "embed_dim"), -16, "--embed-dim must be"),
    "a width of infinity": ((*CONFIG, "embed_dim"), float("inf"), "expected a whole number"),
    "heads that do not divide": ((*CONFIG, "num_heads"), 5, "must divide"),
    "an input without end": ((*CONFIG, "input_size"), "80x999999999999", "instead of"),
    "an input beyond all numbers": ((*CONFIG, "input_size"), "80x" + "9" * 30, ""),
    "an input of bands without end": ((*CONFIG, "input_size"), "999999x32", "mel bands"),
    "a size in other words": ((*CONFIG, "input_size"), "large", "expected a size"),
    "another rate": ((*CONFIG, "sample_rate"), 44100, "16000 and 32000"),
    "a classifier of classes without end": (("architecture", "head"), {"num_classes": 10**12}, "classes"),
    "a classifier that has no tensors": (("architecture", "head"), {"num_classes": 900_000}, "missing"),
    "a head of another kind": (("architecture", "heads"), {"main": {"kind": "magic"}}, "unknown head 'magic'"),
    "a head without settings": (("architecture", "heads"), {"main": {"kind": "linear"}}, "settings of a head"),
    "a head that is a number": (("architecture", "heads"), {"main": 3}, "mapping"),
    "heads in a list": (("architecture", "heads"), [1], "by name"),
    "a head with a dot in its name": (
        ("architecture", "heads"), {"a.b": {"kind": "linear", "input_dim": 80, "num_classes": 2}}, "",
    ),
    "a head too large": (
        ("architecture", "heads"), {"main": {"kind": "linear", "input_dim": 80, "num_classes": 10**12}}, "classes",
    ),
    "a head of layers without end": (
        ("architecture", "heads"),
        {"main": {"kind": "norm-linear", "input_dim": 80, "num_classes": 2, "hidden": [1] * 100_000}},
        "hidden layers",
    ),
    "a head of blocks without end": (
        ("architecture", "heads"),
        {"main": {"kind": "gated-layers", "layers": list(range(999)), "layer_dims": [1] * 999, "num_classes": 2}},
        "64 blocks",
    ),
    "a head of blocks that are not there": (
        ("architecture", "heads"),
        {"main": {"kind": "gated-layers", "layers": [77], "layer_dims": [8], "num_classes": 2}},
        "reads the blocks",
    ),
    "a head of blocks in words": (
        ("architecture", "heads"),
        {"main": {"kind": "gated-layers", "layers": "all", "layer_dims": [8], "num_classes": 2}},
        "blocks",
    ),
    "an attentive head too large": (
        ("architecture", "heads"), {"main": {"kind": "attentive", "input_dim": 10**12, "num_classes": 2}}, "inputs",
    ),
    "too many heads": (
        ("architecture", "heads"),
        {f"h{i}": {"kind": "linear", "input_dim": 1, "num_classes": 1} for i in range(300)},
        "256 heads",
    ),
    "a name that is a number": (("info", "name"), 3, "name"),
    "a licence without end": (("info", "licence"), "x" * 100_000, "licence"),
    "info in a list": (("info",), [1], "mapping"),
    "a lineage in words": (("lineage",), "from here", "mapping"),
    "label spaces without heads": (("info", "label_spaces"), [{"kind": "multilabel", "ids": ["a"]}], "label spaces"),
    "a format in words": (("format",), "two", "newer version"),
    "a newer format": (("format",), 99, "newer version"),
}  # fmt: skip


@pytest.mark.parametrize("case", DESCRIPTIONS)
def test_a_description_that_no_network_fits_is_refused(sample, case):
    keys, value, words = DESCRIPTIONS[case]
    assert words in refused(sample.changed(*keys, value=value))


def test_ensembles_without_end_are_refused(sample):
    member = sample.description["architecture"]
    wide = {"family": "ensemble", "members": [member] * 100}
    deep = member
    for _ in range(100):
        deep = {"family": "ensemble", "members": [deep, member]}
    for architecture in (wide, deep, {"family": "ensemble", "members": 3}, {"family": "ensemble", "members": [1, 2]}):
        refused(sample.changed("architecture", value=architecture))


def test_front_ends_and_networks_of_other_families_have_bounds(sample):
    mn = MN(MNConfig(width=0.1, num_classes=3)).architecture()
    for config in (
        {"front_end": "efficientat-mel/sr32000-m999999999-w800-h320-n1024-fmin0-fmax15000"},
        {"front_end": "efficientat-mel/sr32000-m128-w800-h1-n1024-fmin0-fmax15000"},
        {"front_end": "efficientat-mel/sr32000-m128-w800-h320-n99999998-fmin0-fmax15000"},
        {"front_end": "efficientat-mel/sr" + "9" * 5000 + "-m128-w800-h320-n1024-fmin0-fmax15000"},
        {"front_end": 7},
        {"width": 1e300},
        {"width": float("nan")},
        {"num_classes": 10**9},
        {"frames": 10**12, "se_dims": "t"},
        {"strides": [2, 2]},
        {"dropout": float("nan")},
    ):
        architecture = mn | {"config": mn["config"] | config}
        refused(sample.changed("architecture", value=architecture))
    for architecture in (
        {"family": "logmel-stats", "front_end_id": "m2d-logmel/16k-m99999"},
        {"family": "logmel-stats"},
        {"family": "dymn", "config": {"relu_lines": 10**9}},
        {"family": "dymn", "config": {"temperature": float("inf")}},
        {"family": "mae-ast", "config": {"depth": 10**9}},
        {"family": "mae-ast", "config": {"max_token_length": 10**12, "stored_positions": True}},
        {"family": "mae-ast", "config": {"n_mels": 10**9, "patch_size": "16x16"}},
    ):
        refused(sample.changed("architecture", value=architecture))


@pytest.mark.parametrize(
    "change",
    [
        {"ids": ["a"]}, {"ids": 3}, {"ids": [1, 2]}, {"ids": ["a", "a"]}, {"kind": "both"}, {"kind": None},
        {"names": ["a"]}, {"thresholds": [0.5]}, {"thresholds": [0.5, 7]}, {"thresholds": [0.5, float("nan")]},
        {"scale": [0, 1]}, {"scale": ["1", "1"]}, {"offset": [float("inf"), 0]}, {"background": ["c"]},
    ],
)  # fmt: skip
def test_a_label_space_that_does_not_fit_is_refused(tmp_path, change):
    encoder = small_m2d()
    detector = encoder.with_head(make_head("linear", encoder, 2), LabelSpace("multilabel", ("a", "b")))
    sample = Sample(tmp_path, detector)
    space = sample.description["info"]["label_spaces"][0]
    refused(sample.changed("info", "label_spaces", value=[space | change]))


# ---- headers and tensors
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 8, b"\xff" * 8, join(b"{}", b""), join(b"[" * 100_000, b""), b"RIFF" * 9]
)
def test_what_is_no_safetensors_file_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    refused(path)


def test_a_header_that_declares_more_than_there_is_is_refused(sample):
    path = sample.folder / "x.safetensors"
    for declared in (0, 7, 1 << 40, (1 << 64) - 1):
        path.write_bytes(join(sample.header, sample.body, declared))
        refused(path)
    path.write_bytes(join(sample.header, sample.body[:-4]))
    refused(path)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("cls_token", lambda x: x.to(torch.int64), "holds int64 instead of floating-point"),
        ("cls_token", lambda x: x.bool(), "holds bool instead of floating-point"),
        ("cls_token", lambda x: x * torch.nan, "1 tensors in .* hold NaN or infinity: cls_token"),
        ("cls_token", lambda x: x.double() + 1e300, "1 tensors in .* hold NaN or infinity: cls_token"),
        ("transformer.norm.bias", lambda x: x + torch.inf, "hold NaN or infinity"),
        ("norm_stats", lambda x: torch.tensor([0.0, 0.0]), "standard deviation that is not positive"),
        ("norm_stats", lambda x: torch.tensor([0.0, -1.0]), "standard deviation that is not positive"),
        ("cls_token", lambda x: x[..., :-1].contiguous(), "instead of"),
        ("cls_token", None, "1 missing: cls_token"),
        ("another", lambda _: torch.ones(3), "1 unexpected: another"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(tmp_path, name, change, words):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "x.safetensors"
    save_encoder(small_m2d(), path)
    tensors, description = load_file(path), describe(path)
    value = tensors.pop(name, None)
    if change is not None:
        tensors[name] = change(value)
    save_file(tensors, path, metadata={"auricle": json.dumps(description)})
    assert re.search(words, refused(path))


def test_weights_in_half_precision_still_load(tmp_path):
    from safetensors.torch import load_file, save_file

    path = tmp_path / "x.safetensors"
    save_encoder(small_m2d(), path)
    description = describe(path)
    for kind in (torch.float16, torch.bfloat16, torch.float64):
        save_file(
            {n: v.to(kind) for n, v in load_file(path).items()}, path, metadata={"auricle": json.dumps(description)}
        )
        assert read_encoder(path).cls_token.dtype == torch.float32


def test_damaged_headers_of_one_seed_load_or_are_refused(sample):
    """A short form of a longer search with other seeds."""
    draw = random.Random(15)
    good = join(sample.header, sample.body)
    path = sample.folder / "x.safetensors"
    start = 8 + len(json.dumps(sample.header).encode())
    for _ in range(300):
        content = bytearray(good)
        for _ in range(draw.choice((1, 1, 2, 8))):
            place = draw.randrange(8 if draw.random() < 0.1 else start)
            action = draw.random()
            if action < 0.5:
                content[place] = draw.randrange(256)
            elif action < 0.75:
                del content[place : place + draw.randrange(1, 9)]
            else:
                content[place:place] = draw.choice((b"0", b"9", b'"', b"[", b"{", b"null", b"1e9", b"-", b"\0"))
        path.write_bytes(content)
        assert loaded_or_refused(path) in ("m2d", "refused")


# ---- pickles
def mn_state() -> dict[str, torch.Tensor]:
    state = MN(MNConfig(width=0.1, num_classes=5), seed=1).state_dict()
    return {name: value for name, value in state.items() if name != "norm_stats"}


def saved(content, path: Path) -> Path:
    torch.save(content, path)
    return path


PICKLES = {
    "three million classes in one row": (
        {"classifier.5.weight": torch.zeros(1, 128).expand(3_000_000, 128),
         "classifier.5.bias": torch.zeros(1).expand(3_000_000)},
        "fewer numbers",
    ),
    "classes beyond all bounds": ({"classifier.5.bias": torch.zeros(2_000_000)}, "classes"),
    "whole numbers": ({"classifier.5.weight": torch.ones(5, 128, dtype=torch.int64)}, "holds int64 instead of"),
    "no numbers": ({"classifier.5.bias": torch.full((5,), torch.nan)}, "hold NaN or infinity: classifier.5.bias"),
    "a sparse tensor": ({"classifier.5.weight": torch.ones(5, 128).to_sparse()}, "dense tensor"),
    "complex numbers": ({"classifier.5.weight": torch.ones(5, 128, dtype=torch.complex64)}, "dense tensor"),
    "a tensor on no device": ({"classifier.5.weight": torch.ones(5, 128, device="meta")}, "dense tensor"),
    "a name that is a number": ({3: torch.ones(2)}, "expected text"),
    "text": ({"classifier.5.weight": "weights"}, "not a tensor"),
    "an empty stem": ({"features.0.0.weight": torch.zeros(0, 1, 3, 3)}, ""),
    "a stem that is a number": ({"features.0.0.weight": torch.tensor(3.0)}, ""),
    "another last block": ({"features.15.block.3.0.weight": torch.zeros(())}, ""),
    "a gate of another size": ({"features.15.block.2.conc_se_layers.0.fc1.weight": torch.zeros(9, 96)}, "squeeze ratio"),
    "a negative variance": ({"features.0.1.running_var": torch.full((8,), -1.0)}, "negative variance"),
}  # fmt: skip


@pytest.mark.parametrize("case", PICKLES)
def test_a_state_dictionary_with_impossible_tensors_is_refused(tmp_path, case):
    changes, words = PICKLES[case]
    assert words in refused(saved(mn_state() | changes, tmp_path / "x.pt"))


def test_many_names_for_one_tensor_are_refused(tmp_path):
    shared = torch.zeros(1000)
    content = {"features.0.0.weight": shared} | {f"t{i}": shared for i in range(100)}
    assert "claim" in refused(saved(content, tmp_path / "x.pt"))


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.hub.pickles.ROOM", 1000)
    path = saved({"features.0.0.weight": torch.zeros(400_000)}, tmp_path / "x.pt")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as packed:
        for member in archive.infolist():
            packed.writestr(member.filename, archive.read(member))
    path.unlink()
    assert "would unpack to" in refused(tmp_path / "y.pt")


@pytest.mark.parametrize(
    "content",
    [
        {"model": {"blocks.999999999.norm1.weight": torch.ones(1), "pos_embed": torch.zeros(1, 11, 16),
                   "patch_embed.proj.weight": torch.zeros(16, 1, 16, 16)}},
        {"pos_embed": torch.zeros(1, 11, 16), "patch_embed.proj.weight": torch.zeros(1_000_000, 1, 1, 1),
         "blocks.0.norm1.weight": torch.ones(1)},
        {"model": {"encoder_mask_emb": torch.ones(2), "post_extract_proj.weight": torch.ones(2)}, "cfg": 3},
        {"model": {"encoder_mask_emb": torch.ones(2), "post_extract_proj.weight": torch.ones(2)},
         "cfg": {"model": {"encoder_layers": "many"}, "task": {}}},
        {"model": {"encoder_mask_emb": torch.ones(2), "post_extract_proj.weight": torch.ones(2)},
         "cfg": {"model": {"encoder_embed_dim": 10**9}, "task": {"feature_dim": "x"}}},
        {"model": {"encoder_mask_emb": 1, "post_extract_proj.weight": 2}, "cfg": {"model": {}, "task": {}}},
        {"model": 3}, [], 3, "x", None, {}, {None: 1}, np.float64(3), {"args": 3, "model": {"a": 1}},
    ],
)  # fmt: skip
def test_checkpoints_of_other_layouts_are_refused(tmp_path, content):
    folder = tmp_path / "m2d_vit_base-80x32p16x16-x"
    folder.mkdir()
    refused(saved(content, folder / "x.pth"))


def test_damaged_pickles_of_one_seed_load_or_are_refused(tmp_path):
    draw, path = random.Random(15), saved(mn_state(), tmp_path / "good.pt")
    good = path.read_bytes()
    old = tmp_path / "old.pt"
    torch.save(mn_state(), old, _use_new_zipfile_serialization=False)
    for content in (good, old.read_bytes()):
        for _ in range(20):
            damaged = bytearray(content)
            for _ in range(draw.choice((1, 4))):
                damaged[draw.randrange(min(len(damaged), 4000) if draw.random() < 0.7 else len(damaged))] = (
                    draw.randrange(256)
                )
            (tmp_path / "x.pt").write_bytes(damaged[: draw.randrange(len(damaged))] if draw.random() < 0.2 else damaged)
            assert loaded_or_refused(tmp_path / "x.pt") in ("mn", "refused")


# ---- runs
def test_pre_training_does_not_start_from_damaged_weights(tmp_path):
    path = saved(mn_state() | {"x": 3}, tmp_path / "x.pt")
    with pytest.raises(AuricleError, match=r"x\.pt"):
        read_tensors(path)
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(AuricleError, match=r"cut\.safetensors cannot be read"):
        read_tensors(tmp_path / "cut.safetensors")
    encoder = small_m2d()
    with torch.no_grad():
        encoder.cls_token.fill_(torch.nan)
    save_encoder(encoder, tmp_path / "nan.safetensors")
    with pytest.raises(AuricleError, match=r"NaN or infinity: online\.cls_token"):
        read_tensors(tmp_path / "nan.safetensors")


# ---- places
def test_weight_files_are_written_and_read_under_a_name_that_is_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_encoder(small_m2d(), "a.safetensors")
    assert describe("a.safetensors")["info"]["name"] == "m2d"
    assert read_encoder("a.safetensors").fingerprint() == auricle.load("a.safetensors").fingerprint()
    assert isinstance(read_pickle(str(saved(mn_state(), tmp_path / "b.pt"))), dict)
    assert "online.cls_token" in read_tensors("a.safetensors")
    assert RunFolder.create("run", {"method": "m2d"}).path == RunFolder.open("run").path
    save_encoder(small_m2d(), "run/encoder.safetensors")
    assert build_report("run", out="page.html").is_file()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_weight_file_has_the_rights_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        save_encoder(small_m2d(), tmp_path / "a.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o640


@pytest.mark.parametrize("name", ["x" * 5000, "x" * 300 + ".safetensors", "a\0b", "/" + "d/" * 3000 + "x.pt"])
def test_names_that_no_file_can_have_are_answered_in_words(name):
    for call in (lambda: auricle.load(name), lambda: auricle.load("mn04_as", weights=name)):
        with pytest.raises(AuricleError):
            call()
    assert main(["models", "show", name]) == 2
    assert main(["models", "verify", name]) == 2
