"""Weights by name: the table, loading, what is kept, files of every layout, and every bad file in one clear message."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.data.audioset import audioset_classes, audioset_classes_by_id
from auricle.hub import weight_cache as weights
from auricle.hub.published import table as records
from auricle.hub.published.record import BIBTEX, PublishedRecord
from auricle.hub.weight_file import read_encoder, save_encoder
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.m2d.encoder import M2DEncoder
from helpers.efficientat_golden import golden
from helpers.paths import GOLDEN
from helpers.weight_server import mirror

REAL = "mn04_as_mAP_432.pt"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "cache"


def tiny(**options) -> MN:
    """Smallest published width: mn01."""
    return MN(MNConfig(width=0.1, **options), seed=3).eval()


def published(encoder: torch.nn.Module, path: Path, **changes: torch.Tensor | None) -> Path:
    """A file in EfficientAT's layout; a change of None leaves a tensor out."""
    state = {name: value for name, value in encoder.state_dict().items() if name != "norm_stats"} | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    return path


def no_statistics(state: dict) -> dict:
    return {name: value for name, value in state.items() if name != "norm_stats"}


def same(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def message(*args, **options) -> str:
    with pytest.raises(AuricleError) as error:
        auricle.load(*args, **options)
    return str(error.value)


# ---- the table
def test_audioset_ships_in_both_orders():
    assert len(audioset_classes()) == len(set(audioset_classes())) == 527
    assert audioset_classes()[0] == ("/m/09x0r", "Speech")
    assert audioset_classes_by_id()[:2] == (("/g/122z_qxw", "Firecracker"), ("/m/011k_j", "Timpani"))


def test_every_published_name_has_one_complete_row():
    names = [record.name for record in records.RECORDS]
    assert len(set(names)) == len(names) == 1 + 35 + 11 + 15 + 2
    for record in records.list_models("mn") + records.list_models("dymn") + records.list_models("m2d"):
        assert record.urls
        assert record.licence != "not stated"
        assert record.front_end
        assert set(record.papers) <= set(BIBTEX)
        assert json.dumps(record.row())
        assert record.classes is None or len(record.classes) == 527


def test_records_hold_the_settings_that_files_lack():
    hop, mels = records.get("mn10_as_hop_15"), records.get("mn10_as_mels_40")
    assert "-m128-" in hop.front_end
    assert "-h480-" in hop.front_end
    assert "-m40-" in mels.front_end
    assert "-h320-" in mels.front_end
    assert records.get("mn10_as_fc_s2211").config == MNConfig(head="fully_convolutional", strides=(2, 2, 1, 1))
    assert records.get("dymn04_im").config == DyMNConfig(width=0.4, temperature=30.0)
    assert records.get("dymn10_replace_se_as").config == DyMNConfig(dynamic_blocks="replace_se")
    m2d = records.get("m2d_as_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly")
    assert (m2d.config.input_size, m2d.config.sample_rate, m2d.score) == ("80x1001", 32000, 0.48)
    assert m2d.classes == audioset_classes_by_id()


def test_parameters_in_the_table_are_the_networks():
    sizes = {row["name"]: row["params"] for row in json.loads((GOLDEN / "efficientat" / "complexity.json").read_text())}
    compared = [r for r in records.RECORDS if r.parameters and r.name in sizes and r.family in ("mn", "dymn")]
    assert len(compared) >= 10
    assert {r.name: r.parameters for r in compared} == {r.name: sizes[r.name] for r in compared}


def test_the_table_filters_and_prints():
    assert {record.family for record in auricle.models(family="dymn")} == {"dymn"}
    assert "0.471" in str(auricle.models())
    assert "| mn10_as | mn |" in auricle.models().markdown()
    with pytest.raises(AuricleError, match="did you mean dymn"):
        auricle.models(family="dyms")


def test_errors_about_unknown_names_name_the_nearest():
    assert "did you mean" in message("mn04_sa")
    assert "mn04_as" in message("mn04_sa")
    assert "mn10_as" in message("mn10as", weights=__file__)
    assert "there is no weight file" in message("nowhere.pt")
    assert "is a published name, a weight file, a run folder or hf://owner/name, not a NoneType" in message(None)


# ---- EfficientAT's files
def test_a_local_file_of_a_name_has_the_settings_of_the_name(tmp_path):
    net = tiny()
    encoder = auricle.load("mn01_as", weights=published(net, tmp_path / "any.pt"))
    assert same(encoder, net)
    assert not encoder.training
    info = encoder.info
    assert (info.name, info.label_type, info.classes) == ("mn01_as", "multilabel", audioset_classes())
    assert info.licence.startswith("MIT")
    assert info.source.endswith("mn01_as_mAP_298.pt")


def test_a_record_determines_front_end_strides_and_temperature(tmp_path):
    net = DyMN(DyMNConfig(width=0.4), seed=1)
    encoder = auricle.load("dymn04_im", weights=published(net, tmp_path / "dymn.pt"))
    assert encoder.temperature == 30
    assert encoder.info.classes is None
    assert auricle.load(tmp_path / "dymn.pt").temperature == 1
    fc = MN(MNConfig(head="fully_convolutional", strides=(2, 2, 2, 1)))
    file = published(fc, tmp_path / "mn10_as_fc_s2221_mAP_466.pt")
    assert auricle.load(file).config.strides == (2, 2, 2, 1)  # a published file's own name is known
    assert auricle.load(file).info.name == "mn10_as_fc_s2221"


def test_a_fine_tuned_file_loads_by_itself_and_with_the_record_of_its_network(tmp_path):
    net = tiny(num_classes=10)
    file = published(net, tmp_path / "mine.pt")
    alone = auricle.load(file)
    assert same(alone, net)
    assert alone.info.classes is None
    assert alone.info.name == "mine"
    assert auricle.load(file, record="mn01_as").config.num_classes == 10
    said = message("mn01_as", weights=file)
    assert "10 classes" in said
    assert "527" in said
    assert "record='mn01_as'" in said


@pytest.mark.parametrize("name", ["mn_tiny_mlp_c", "mn_tiny_mhap4_c", "mn_tiny_fc_c", "dymn_tiny_replace_se"])
def test_architectures_are_inferred_from_tensors(tmp_path, name):
    tensors, _ = golden(name)
    state = {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}
    torch.save(state, tmp_path / "x.pt")
    encoder = auricle.load(tmp_path / "x.pt")
    assert no_statistics(encoder.state_dict()).keys() == state.keys()


def test_wrong_files_give_one_clear_message(tmp_path):
    file = published(tiny(), tmp_path / "mn01.pt")
    assert "width 0.1 (not 0.4)" in message("mn04_as", weights=file)
    assert "of another kind" in message("dymn04_as", weights=file)
    assert "of another kind" in message("m2d_vit_base-80x608p16x16-221006-mr7", weights=file)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    assert "truncated" in message("mn01_as", weights=cut)
    (tmp_path / "empty.pt").write_bytes(b"")
    assert "not a readable checkpoint" in message(tmp_path / "empty.pt")
    (tmp_path / "sound.pt").write_bytes(b"RIFF" + bytes(60))
    assert message(tmp_path / "sound.pt").endswith("(truncated, or another format)")
    torch.save({"epoch": 3}, tmp_path / "odd.pt")
    assert "unknown layout" in message(tmp_path / "odd.pt")
    lacking = published(tiny(), tmp_path / "lacking.pt", **{"features.9.block.1.1.bias": None})
    assert "1 missing: features.9.block.1.1.bias" in message(lacking)
    headless = published(tiny(), tmp_path / "headless.pt", **{"classifier.5.bias": None})
    assert "no classifier" in message(headless)


def test_nothing_in_a_pickle_is_executed(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"features.0.0.weight": Evil()}, tmp_path / "evil.pt")
    assert "refused" in message(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


# ---- what is kept
def test_a_name_is_downloaded_once_converted_and_kept(tmp_path, cache, monkeypatch):
    monkeypatch.delenv("AURICLE_OFFLINE")
    net = tiny()
    content = published(net, tmp_path / "file.pt").read_bytes()
    with mirror(content) as server:
        record = replace(records.get("mn01_as"), urls=(server.url("missing"), server.url("good")))
        monkeypatch.setattr(records, "RECORDS", (record,))
        first = auricle.load("mn01_as")
        assert server.requests == [("missing", ""), ("good", "")]
        second = auricle.load("mn01_as", offline=True)
        assert len(server.requests) == 2
    assert same(first, net)
    assert same(second, net)
    assert second.info == first.info
    assert (cache / "weights" / "published" / "mn01_as_mAP_298.pt").read_bytes() == content
    described = read_encoder(cache / "weights" / "mn01_as.safetensors")
    assert described.info.classes == audioset_classes()
    weights.published(record).unlink()
    assert same(auricle.load("mn01_as"), net)  # ours is enough


def test_a_kept_file_that_changed_is_refused(cache, tmp_path):
    record = records.get("mn01_as")
    path = weights.install(record, published(tiny(), tmp_path / "a.pt"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "has changed" in message("mn01_as")
    path.write_bytes(content[:-9])
    assert "truncated" in message("mn01_as")


def test_a_published_file_put_into_the_cache_serves_offline(cache):
    said = message("mn01_as")
    assert "switched off" in said
    assert str(cache / "weights" / "published" / "mn01_as_mAP_298.pt") in said
    net = tiny()
    published(net, cache / "weights" / "published" / "mn01_as_mAP_298.pt")
    assert same(auricle.load("mn01_as"), net)


def test_a_file_of_ours_must_be_the_named_network_too(tmp_path):
    save_encoder(tiny(), tmp_path / "ours.safetensors", lineage={})
    save_encoder(tiny(num_classes=3), tmp_path / "three.safetensors", lineage={})
    assert same(auricle.load("mn01_as", weights=tmp_path / "ours.safetensors"), tiny())
    assert "another network than 'mn04_as'" in message("mn04_as", weights=tmp_path / "ours.safetensors")
    assert "3 classes" in message("mn01_as", weights=tmp_path / "three.safetensors")
    assert "family mn" in message("dymn04_as", weights=tmp_path / "ours.safetensors")


def test_a_cache_that_cannot_be_written_is_reported(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "file"))
    with pytest.raises(AuricleError, match="set AURICLE_CACHE"):
        weights.install(records.get("mn01_as"), published(tiny(), tmp_path / "a.pt"))


# ---- M2D
def m2d_file(record: PublishedRecord, **extra: torch.Tensor) -> tuple[M2DEncoder, dict]:
    """A small network and the content of its file, which holds no statistics."""
    from auricle.hub.convert.m2d import to_published

    encoder = M2DEncoder(record.config, seed=2).eval()
    state = {f"online.{name}": value for name, value in no_statistics(encoder.state_dict()).items()}
    return encoder, to_published(state) | extra


@pytest.fixture
def small_m2d(monkeypatch) -> PublishedRecord:
    """A row like M2D's with a small network, since the real ones are 85 million parameters."""
    row = records.get("m2d_clap_vit_base-80x608p16x16-240128")
    config = replace(row.config, input_size="80x64", embed_dim=64, depth=2)
    record = replace(
        row, config=config, name="m2d_clap_vit_base-80x64p16x16-240128", folder="m2d_clap_vit_base-80x64p16x16-240128"
    )
    monkeypatch.setattr(records, "RECORDS", (record,))
    return record


def test_m2d_is_loaded_from_its_archive_as_an_encoder(cache, tmp_path, small_m2d, monkeypatch):
    monkeypatch.delenv("AURICLE_OFFLINE")
    net, content = m2d_file(small_m2d, logit_scale=torch.ones(()))
    torch.save({"model": content}, tmp_path / "checkpoint-300.pth")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "checkpoint-300.pth", f"{small_m2d.folder}/checkpoint-300.pth")
        archive.writestr(f"{small_m2d.folder}/log.txt", "log")
    with mirror((tmp_path / "a.zip").read_bytes()) as server:
        record = replace(small_m2d, urls=(server.url("good"),))
        monkeypatch.setattr(records, "RECORDS", (record,))
        with pytest.warns(UserWarning, match="plain audio encoder"):
            encoder = auricle.load(record.name)
    assert same(encoder, net)  # with the statistics of files that hold none
    assert encoder.info.name == record.name
    assert encoder.info.licence.startswith("NTT")
    kept = cache / "weights" / "published"
    assert sorted(path.name for path in kept.rglob("*") if path.suffix == ".pth") == ["checkpoint-300.pth"]
    assert not list(kept.glob("*.zip"))


def test_m2d_unpacked_by_hand_serves_offline_and_other_networks_are_refused(cache, tmp_path, small_m2d):
    with pytest.warns(UserWarning, match="plain audio encoder"):
        assert "unpacked" in message(small_m2d.name)
    net, content = m2d_file(small_m2d)
    place = cache / "weights" / "published" / small_m2d.folder
    place.mkdir(parents=True)
    torch.save(content, place / "checkpoint-300.pth")
    with pytest.warns(UserWarning, match="plain audio encoder"):
        assert same(auricle.load(small_m2d.name), net)
    torch.save({k: v for k, v in content.items() if not k.startswith("blocks.1.")}, tmp_path / "one.pth")
    with pytest.warns(UserWarning, match="plain audio encoder"):
        assert "depth 1 (not 2)" in message(small_m2d.name, weights=tmp_path / "one.pth")
    torch.save({k: v for k, v in content.items() if not k.startswith("blocks.")}, tmp_path / "none.pth")
    assert "no transformer blocks" in message(tmp_path / "none.pth")


# ---- the real file
def test_the_real_file_loads_under_its_name_and_is_verified(shared, cache):
    file = shared / "weights" / REAL
    encoder = auricle.load("mn04_as", weights=file)
    assert (encoder.info.name, len(encoder.info.classes)) == ("mn04_as", 527)
    assert sum(p.numel() for p in encoder.parameters()) == records.get("mn04_as").parameters
    place = cache / "weights" / "published" / REAL
    place.parent.mkdir(parents=True)
    place.write_bytes(file.read_bytes())
    assert same(auricle.load("mn04_as"), encoder)
    assert "width 0.4 (not 1.0)" in message("mn10_as", weights=file)
    weights.converted(records.get("mn04_as")).unlink()
    place.write_bytes(place.read_bytes()[:-100])
    assert "truncated" in message("mn04_as")  # its size is in the table


def test_our_own_files_keep_everything(tmp_path):
    encoder = auricle.load("mn01_as", weights=published(tiny(), tmp_path / "a.pt"))
    save_encoder(encoder, tmp_path / "a.safetensors")
    again = auricle.load(tmp_path / "a.safetensors")
    assert same(again, encoder)
    assert again.info == encoder.info
    assert again.fingerprint() == encoder.fingerprint()
