"""``auricle models``: list, show, get, convert, verify, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.hub.published import table as records
from auricle.hub.warm_start import read_tensors
from auricle.hub.weight_file import save_encoder
from auricle.methods.m2d.config import M2DConfig
from auricle.methods.m2d.objective import M2D
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.encoders import logmel_stats
from helpers.paths import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache"


@pytest.fixture
def models(capsys):
    """Runs ``auricle models …``: (exit code, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main(["models", *map(str, words)])
        return code, *capsys.readouterr()

    return call


@pytest.fixture
def mn01(tmp_path) -> Path:
    """A file in EfficientAT's layout, as mn01_as is."""
    state = MN(MNConfig(width=0.1), seed=3).state_dict()
    path = tmp_path / "mn01.pt"
    torch.save({name: value for name, value in state.items() if name != "norm_stats"}, path)
    return path


def test_list_prints_text_json_and_the_table_of_the_docs(models):
    code, text, _ = models("list")
    assert code == 0
    assert len(text.splitlines()) == 1 + len(records.RECORDS)
    rows = json.loads(models("list", "--family", "m2d", "--json")[1])
    assert {row["family"] for row in rows} == {"m2d"}
    assert all(row["licence"] for row in rows)
    assert models("list", "--format", "markdown")[1].strip() in (DOCS / "weights.md").read_text()
    code, _, error = models("list", "--family", "m3d")
    assert code == 2
    assert "did you mean m2d" in error


def test_show_prints_licence_front_end_and_score_of_a_name(models):
    _, text, _ = models("show", "mn10_as_hop_15")
    for words in ("MIT", "-h480-", "0.463", "4,876,831", "mn10_as_hop_15_mAP_463.pt"):
        assert words in text
    assert json.loads(models("show", "mn10_as", "--json")[1])["AudioSet mAP"] == 0.471
    assert "niizumi2023m2d4speech" in models("show", "m2d_s_vit_base-80x608p80x2-230220", "--bibtex")[1]
    shown = json.loads(models("show", "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly", "--json")[1])
    assert (shown["parameters"], shown["classes"], shown["class_order"]) == (85_659_407, 527, "audioset-by-id")
    assert (shown["release"], shown["further pre-training"]) == ("v0.3.0", False)
    assert shown["statistics"].startswith("in the file")
    code, _, error = models("show", "mn10_sa")
    assert code == 2
    assert "mn10_as" in error


def test_show_opens_files_and_run_folders(models, mn01, tmp_path):
    shown = json.loads(models("show", mn01, "--record", "mn01_as", "--json")[1])
    assert (shown["name"], shown["classes"], shown["parameters"]) == ("mn01_as", 527, 123_783)
    save_encoder(auricle.load(mn01), tmp_path / "run" / "encoder.safetensors", lineage={"from": "here"})
    shown = json.loads(models("show", tmp_path / "run", "--json")[1])
    assert shown["lineage"] == {"from": "here"}
    assert shown["fingerprint"] == auricle.load(mn01).fingerprint()


def test_get_installs_a_local_file_and_prints_the_licence(models, mn01, cache):
    code, text, _ = models("get", "mn01_as", "--weights", mn01)
    assert code == 0
    assert "licence: MIT" in text
    assert auricle.load("mn01_as").info.licence.startswith("MIT")
    code, text, error = models("get", "mn01_as", "mn10_as")
    assert code == 1
    assert "mn01_as: " in text
    assert "mn10_as: mn10_as_mAP_471.pt is not on this machine" in error
    assert models("get", "mn02_as")[0] == 2
    assert models("get", "mn01_as", "mn02_as", "--weights", mn01)[0] == 2
    assert models("get", "logmel-stats")[0] == 2


def test_verify_passes_good_files_and_fails_bad_ones(models, mn01, tmp_path):
    assert models("verify", "mn01_as")[0] == 2  # not here yet
    models("get", "mn01_as", "--weights", mn01)
    code, text, _ = models("verify", "mn01_as", mn01)
    assert code == 0
    assert text.count(": good") == 2
    state = torch.load(mn01, weights_only=True)
    state["classifier.5.bias"][0] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    (tmp_path / "cut.pt").write_bytes(mn01.read_bytes()[:-500])
    code, text, _ = models("verify", mn01, tmp_path / "nan.pt", tmp_path / "cut.pt", "--json")
    assert code == 1
    good, nan, cut = json.loads(text)
    assert (good["passed"], nan["passed"], cut["passed"]) == (True, False, False)
    assert any("classifier.5.bias" in check["detail"] for check in nan["checks"])
    assert any("truncated" in check["detail"] for check in cut["checks"])


@pytest.mark.parametrize("dims", ["t", "ct", "cft"])
def test_verify_gives_a_network_that_squeezes_along_time_as_much_as_it_takes(models, tmp_path, dims):
    save_encoder(MN(MNConfig(width=0.1, num_classes=3, se_dims=dims, frames=150)).eval(), tmp_path / "a.safetensors")
    code, text, _ = models("verify", tmp_path / "a.safetensors", "--json")
    (found,) = json.loads(text)
    assert (code, found["passed"]) == (0, True)
    assert "1.496 seconds give 5 frames" in found["checks"][-1]["detail"]


def test_verify_notices_changed_tensors_in_a_file_of_ours(models, mn01, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    save_encoder(auricle.load(mn01), tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        said = file.metadata()
    tensors["classifier.5.bias"] += 1
    save_file(tensors, tmp_path / "a.safetensors", metadata=said)
    code, text, _ = models("verify", tmp_path / "a.safetensors")
    assert code == 1
    assert "tensors or settings were changed" in text


def test_conversion_to_efficientat_and_back_keeps_every_tensor(models, mn01, tmp_path):
    assert models("convert", mn01, "--to", "auricle", "--out", "a.safetensors", "--record", "mn01_as")[0] == 0
    code, text, _ = models("convert", "a.safetensors", "--to", "efficientat", "--out", "b.pt")
    assert code == 0
    assert "strides" in text
    one, other = torch.load(mn01, weights_only=True), torch.load("b.pt", weights_only=True)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_settings_that_efficientats_layout_lacks_are_printed_or_refused(models, tmp_path):
    plain = DyMN(DyMNConfig(width=0.4, num_classes=3, temperature=5.0, coordinate_attention=False))
    save_encoder(plain, tmp_path / "a.safetensors", lineage={})
    code, text, _ = models("convert", "a.safetensors", "--to", "efficientat", "--out", "a.pt")
    assert (code, "temperature 5.0" in text, "coordinate_attention False" in text) == (0, True, True)
    save_encoder(plain.with_stats(0.3, 2.0), tmp_path / "b.safetensors", lineage={})
    code, _, said = models("convert", "b.safetensors", "--to", "efficientat", "--out", "b.pt")
    assert code == 2
    assert "normalises its input" in said


def toy_run(folder: Path) -> M2D:
    """A run folder of a small M2D with a saved state."""
    from safetensors.torch import save_file

    vit = ViTConfig("80x64", "16x16", embed_dim=64, depth=2)
    objective = M2D(vit, PredictorConfig(32, 1, 2), M2DConfig())
    save_encoder(objective.encoder(), folder / "encoder.safetensors")
    (folder / "checkpoints" / "step-00000001").mkdir(parents=True)
    save_file(objective.state_dict(), folder / "checkpoints" / "step-00000001" / "weights.safetensors")
    return objective


def test_a_run_becomes_a_published_m2d_checkpoint_and_an_encoder_file_an_encoder_only_one(models, tmp_path):
    objective = toy_run(tmp_path / "run")
    folder = tmp_path / "m2d_vit_base-80x64p16x16p16k-mine"
    out = folder / "checkpoint-1.pth"
    assert models("convert", "run", "--to", "m2d", "--out", out)[0] == 0
    content = torch.load(out, weights_only=True)["model"]
    assert {"norm_stats", "cls_token", "mask_token", "decoder_pred.weight", "target_norm.weight"} <= content.keys()
    again, state = read_tensors(out), objective.state_dict()
    assert again.keys() == state.keys()
    assert all(torch.equal(again[name], state[name]) for name in state)
    assert auricle.load(out).fingerprint() == auricle.load("run").fingerprint()
    code, text, _ = models("convert", out, "--to", "m2d", "--out", "encoder.pth")
    assert code == 0
    assert "m2d_vit_base-80x64p16x16p16k-NAME" in text
    assert not any("decoder" in name or "target" in name for name in torch.load("encoder.pth", weights_only=True))


def test_layouts_that_cannot_hold_an_encoder_are_refused(models, mn01, tmp_path):
    for words, said in (
        (("convert", mn01, "--to", "m2d", "--out", "x.pth"), "holds m2d, not mn"),
        (("convert", "logmel-stats", "--to", "efficientat", "--out", "x.pt"), "holds mn and dymn"),
        (("convert", mn01, "--to", "auricle", "--out", "x.pt"), "end in .safetensors"),
        (("convert", mn01, "--to", "efficientat", "--out", mn01), "the source itself"),
        (("convert", mn01, "--to", "efficientat", "--out", tmp_path), "is a folder"),
        (("convert", "nowhere.pt", "--to", "efficientat", "--out", "x.pt"), "no weight file"),
    ):
        code, _, error = models(*words)
        assert (code, said in error) == (2, True), error
    wide = M2DEncoder(ViTConfig("80x64", "16x16", embed_dim=64, depth=1, num_heads=4), seed=0)
    save_encoder(wide, tmp_path / "wide.safetensors")
    code, _, error = models("convert", "wide.safetensors", "--to", "m2d", "--out", "x.pth")
    assert code == 2
    assert "one head per 64 channels" in error


# ---- several heads
@pytest.fixture
def parts(tmp_path) -> tuple[Path, Path]:
    """Run folders of two detectors on the same weights."""
    encoder = logmel_stats()
    frogs = LabelSpace("multilabel", ("frog", "toad"), ("Frog", "Toad")).calibrated(
        (2.0, 1.0), (0.5, 0.0), fitted_on="pond"
    )
    rooms = LabelSpace("multiclass", ("hall", "street", "noise"), background=("noise",))
    for name, space in (("frogs", frogs.with_thresholds((0.3, 0.6), fitted_on="pond")), ("rooms", rooms)):
        detector = encoder.with_head(make_head("linear", encoder, len(space)), space)
        save_encoder(detector, tmp_path / "runs" / name / "encoder.safetensors")
    return tmp_path / "runs" / "frogs", tmp_path / "runs" / "rooms"


def test_detectors_are_merged_shown_verified_and_embed(models, parts, tmp_path):
    code, text, _ = models("merge", *parts, "--out", "runs/night")
    assert code == 0
    assert "2 heads: frogs (2 classes), rooms (3 classes)" in text
    code, text, _ = models("show", "runs/night")
    assert code == 0
    for words in (
        "head frogs",
        "Frog; Toad",
        "frog: scale 2, offset 0.5",
        "frog: 0.3; toad: 0.6",
        "background         noise",
    ):
        assert words in text
    heads = json.loads(models("show", "runs/night", "--json")[1])["heads"]
    assert heads["frogs"]["thresholds"] == {"frog": 0.3, "toad": 0.6}
    assert heads["rooms"]["classes"] == ["hall", "street"]
    assert heads["rooms"]["background"] == ["noise"]
    assert models("verify", "runs/night")[0] == 0
    wave = 0.1 * torch.randn(32000, generator=torch.Generator().manual_seed(0)).numpy()
    both = [auricle.embed(wave, path, sample_rate=32000).clip for path in ("runs/night", parts[0])]
    assert (both[0] == both[1]).all()


def test_a_layout_without_a_place_for_a_head_is_refused(models, tmp_path):
    encoder = MN(MNConfig(width=0.1), seed=3).eval()
    save_encoder(encoder.with_head(make_head("linear", encoder, 3)), tmp_path / "detector.safetensors")
    code, _, error = models("convert", "detector.safetensors", "--to", "efficientat", "--out", "detector.pt")
    assert code == 2
    assert "has no place for the head main" in error


def test_what_cannot_be_merged_is_refused(models, parts, mn01):
    for words, message in (
        ((*parts, "--out", parts[0]), "exists"),
        ((*parts, "--out", "both.pt"), ".safetensors"),
        ((parts[0], "--out", "one"), "two detectors"),
        ((parts[0], mn01, "--out", "both"), "families are"),
        ((*parts, "--out", "both", "--names", "a"), "1 names for 2 heads"),
    ):
        code, _, error = models("merge", *words)
        assert code == 2
        assert message in error
    assert not Path("both").exists()
