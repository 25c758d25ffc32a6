"""``auricle models push``, and the other verbs on ``hf://owner/name``, against a local server that speaks the hub's HTTP."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import auricle
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder
from auricle.models.base import Encoder
from helpers.detector_runs import make_detector
from helpers.encoders import logmel_stats
from helpers.fake_hub import WRITER, fake_hub

ID, NAME = "anna/frogs", "hf://anna/frogs"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = make_detector(tmp_path_factory.mktemp("secret") / "place", clips=12)
    file = RunFolder(run).detector
    described = json.loads(file.read_text())
    described["scores"] = {
        "train": {"accuracy": 0.875, "classes_scored": 3.0},
        "test": {"accuracy": 0.75, "classes_scored": 3.0},
    }
    file.write_text(json.dumps(described))
    return run


@pytest.fixture
def hub(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "AURICLE_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the fake has Git LFS alone
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_TOKEN", WRITER)
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def test_a_dry_run_prints_the_card_and_makes_no_request(run, hub, capsys):
    assert main(["models", "push", str(run), NAME, "--dry-run", "--licence", "cc-by-4.0"]) == 0
    shown = capsys.readouterr().out
    assert "license: cc-by-4.0" in shown
    assert (
        "| sounds | training | accuracy | 0.8750 | each clip scored by a head that did not learn from its fold (5 held-out folds) |"
        in shown
    )
    assert "| sounds | test | accuracy | 0.7500 | clips that were not learnt from |" in shown
    assert "classes_scored" not in shown
    assert "would be uploaded to hf://anna/frogs: README.md" in shown
    assert hub.requests == []


def test_a_run_is_published_and_used_by_its_name(run, hub, capsys, tmp_path):
    assert main(["models", "push", str(run), NAME, "--private", "--json"]) == 0
    printed = capsys.readouterr()
    assert "the weights state no licence" in printed.err
    assert json.loads(printed.out)["commit"] == hub.repositories[ID].refs["main"]
    uploaded = hub.repositories[ID].commits[hub.repositories[ID].refs["main"]]
    assert set(uploaded) == {".gitattributes", "README.md", "config.json", "model.safetensors"}
    assert not [
        name for name, content in uploaded.items() if b"secret" in content or os.fsencode(run.parent) in content
    ]

    assert main(["models", "show", NAME]) == 0
    shown = capsys.readouterr().out
    assert "accuracy, clips that were not learnt from: 0.75 on sounds, test" in shown
    assert f"not on this machine; 'auricle models get {NAME}' brings it" in shown
    assert "main: 3 classes" in shown
    assert main(["models", "list", "--repositories"]) == 0
    assert "no repository with weights" in capsys.readouterr().out

    assert main(["models", "get", NAME, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["kept"][0]["licence"] == "not stated"
    assert main(["models", "show", NAME, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["heads"]["main"]["thresholds"].keys() == {"<frog> & toad", "owl", "quiet"}
    assert facts["card: license"] == "unknown"
    assert main(["models", "list", "--repositories", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [NAME]
    assert main(["models", "verify", NAME]) == 0
    assert f"{NAME}: good" in capsys.readouterr().out

    sound = str(next((run.parent / "sounds" / "test").glob("*.wav")))
    answers = []
    for model in (str(run), NAME):
        assert main(["tag", sound, "--model", model, "--json"]) == 0
        answers.append(json.loads(capsys.readouterr().out)["results"])
    assert answers[0] == answers[1]
    assert main(["models", "convert", NAME, "--to", "auricle", "--out", str(tmp_path / "copy.safetensors")]) == 0


def test_a_published_weight_brings_its_score_and_its_papers(tmp_path, monkeypatch, capsys):
    from auricle.hub.published.table import get
    from auricle.hub.weight_file import save_encoder
    from auricle.models.efficientat.mn import MN

    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    save_encoder(MN(get("mn01_as").config, seed=0).eval(), tmp_path / "weights" / "mn01_as.safetensors")
    assert main(["models", "push", "mn01_as", NAME, "--dry-run", "--datasets", "owner/AudioSet"]) == 0
    shown = capsys.readouterr().out
    assert "| AudioSet | evaluation | mAP | 0.2980 | as published |" in shown
    assert "schmid2023efficient" in shown
    assert "- owner/AudioSet" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent", NAME], "neither a known model nor a file"),
        (["logmel-stats", "frogs"], "no name of a model repository"),
        (["logmel-stats", f"{NAME}/x.safetensors"], "names a file in a repository"),
        (["logmel-stats", NAME, "--message", " "], "--message is empty"),
    ],
)
def test_what_cannot_be_pushed_is_said(hub, capsys, words, message):
    assert main(["models", "push", *words]) == 2
    assert message in capsys.readouterr().err
    assert hub.requests == []


def test_a_damaged_description_costs_the_card_its_scores_and_is_said(run, capsys, tmp_path):
    import shutil

    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    RunFolder(copy).detector.write_text("[" * 100_000)
    assert main(["models", "push", str(copy), NAME, "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert "nested too deeply" in printed.err
    assert "None are known." in printed.out


def test_the_files_of_a_dry_run_can_be_kept_and_load(run, tmp_path, capsys):
    assert main(["models", "push", str(run), NAME, "--dry-run", "--out", str(tmp_path / "files")]) == 0
    assert isinstance(auricle.load(tmp_path / "files"), Encoder)
    assert main(["models", "show", str(tmp_path / "files")]) == 0
    assert main(["models", "verify", str(tmp_path / "files")]) == 0


def test_without_the_package_of_the_hub_an_upload_names_the_extra(hub, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(AuricleError, match=r"needs the \[hf\] extra"):
        logmel_stats().push_to_hub(ID)
    hub.add(ID, {"encoder.safetensors": b""})
    with pytest.raises(AuricleError, match="sent no bytes"):  # loading asks for no package
        auricle.load(NAME)
