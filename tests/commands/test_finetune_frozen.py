"""``auricle finetune`` with nothing else given: heads on the frozen encoder, a calibrated detector, and its run folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.finetune.detector import way_of
from auricle.commands.finetune.finetune import continue_finetune, detector_run
from auricle.commands.keep_scores import store_path
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.detectors.features import load_features, read_features
from auricle.detectors.files import load_description, load_scores
from auricle.evaluation.results import ResultsStore
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from auricle.methods.supervised.config import FinetuneConfig
from auricle.reports.page import build_report
from helpers.finetune_runs import labelled_sounds, weight_file


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return labelled_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weight_file(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def folds(sounds):
    """A table of the sounds in two folds."""
    table = sounds / "labels.csv"
    rows = [f"{kind}/{i}.wav,{kind},{i % 2 + 1}" for kind in ("tone", "noise") for i in range(8)]
    table.write_text("\n".join(["file_name,label,fold", *rows]) + "\n")
    return table


@pytest.fixture(scope="module")
def result(folds, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("frozen") / "run"
    return auricle.finetune(folds, model=model, out=out, fold=2, quiet=True)


def test_nothing_else_given_makes_a_detector_that_tags_what_it_did_not_hear(result, sounds):
    assert result.training is None
    assert result.test["accuracy"] == 1.0
    assert auricle.tag(sounds / "tone" / "1.wav", model=result.run).results[0].tags[0].label == "tone"


def test_the_run_folder_explains_itself(result):
    names = {path.relative_to(result.run).as_posix() for path in result.run.rglob("*") if path.is_file()}
    assert {
        "config.yaml", "command.txt", "environment.json", "metrics.jsonl", "encoder.safetensors", "features.npz", "card.md",
        "evaluations/detector.json", "evaluations/detector-scores.npz",
    } <= names  # fmt: skip
    known = load_description(result.run)
    assert known["classes"] == ["noise", "tone"]
    assert known["parts"]["test"]["classes"]["tone"] == {"clips": 4, "groups": 4}
    assert (known["data"]["kind"], known["data"]["background"], known["data"]["doubts"]) == (
        "multiclass",
        ["noise"],
        [],
    )
    assert known["data"]["parts"]["train"]["classes"] == {"noise": 4, "tone": 4}
    assert known["head"]["kind"] in {trial["head"] for trial in known["trials"]}
    assert known["calibration"]["fitted_on"] == "5 held-out folds of the training clips"
    assert set(known["thresholds"]["values"]) == {"noise", "tone"}
    config = read_settings(RunFolder(result.run).read_config(), "config.yaml")
    assert isinstance(config, FinetuneConfig)
    assert config.data.fold == 2


def test_the_scores_in_the_run_folder_are_those_of_the_living_detector(result, sounds):
    encoder = auricle.load(result.run)
    space = encoder.info.label_space
    assert space.thresholds
    test = next(part for part in load_scores(result.run) if part.part == "test")
    assert len(test.ids) == 8
    tags = auricle.tag([sounds / id for id in test.ids], model=encoder, top_k=2)
    expected = space.probabilities(torch.from_numpy(test.logits)).numpy()
    for row, tagged in zip(expected, tags.results):
        given = {tag.label: tag.score for tag in tagged.tags}
        np.testing.assert_allclose(
            [given[space.names[c]] for c in space.reported], row[list(space.reported)], atol=1e-3
        )


def test_one_answer_for_a_recording_far_longer_than_the_clips_is_called_so(result, tmp_path, capsys):
    soundfile.write(tmp_path / "long.wav", np.zeros(16000 * 20, np.float32), 16000)
    assert main(["tag", str(tmp_path / "long.wav"), "--model", str(result.run)]) == 0
    assert "note: one answer each for 1 recording that is far longer" in capsys.readouterr().err
    assert main(["tag", str(tmp_path / "long.wav"), "--model", str(result.run), "--window", "1"]) == 0
    assert "far longer" not in capsys.readouterr().err


def test_features_and_labels_are_kept_so_that_the_detector_can_grow(result):
    features, classes = load_features(RunFolder(result.run).features)
    assert classes == ("noise", "tone")
    assert len(features) == 8
    assert features.clip.shape[1] == auricle.load(result.run).info.clip_dim
    assert features.targets.sum(0).tolist() == [4, 4]


def test_every_trial_is_in_the_results_store(result):
    place = str(result.run.resolve())
    rows = [row for row in ResultsStore(store_path(None)).select() if row.place == place]
    assert len(rows) == len(result.detector["trials"])
    assert all(row.protocol.startswith("finetune ") for row in rows)


def test_results_show_the_head_that_was_kept_and_the_others_as_candidates_on_request(result, capsys):
    place = str(result.run.resolve())
    assert main(["results", "--model", place, "--json"]) == 0
    (kept,) = json.loads(capsys.readouterr().out)
    assert kept["protocol"].startswith(f"finetune {result.detector['head']['kind']}")
    assert main(["results", "--model", place, "--candidates", "--json"]) == 0
    roles = [row["role"] for row in json.loads(capsys.readouterr().out)]
    assert sorted(roles) == [*["candidate"] * (len(result.detector["trials"]) - 1), "model"]


def test_a_detector_has_a_report_and_nothing_to_continue(result, tmp_path):
    assert "detector.json" not in build_report(result.run, out=tmp_path / "page.html").read_text()
    with pytest.raises(AuricleError, match="nothing is left to continue"):
        continue_finetune(result.run, quiet=True)


def test_every_fold_is_tested_by_heads_that_did_not_learn_it(folds, model, tmp_path):
    result = auricle.finetune(folds, model=model, out=tmp_path / "run", fold="all", how="probe", quiet=True)
    assert result.detector["data"]["origin"].startswith("every fold is tested by heads that did not learn it")
    parts = {part.part: part for part in load_scores(result.run)}
    assert len(parts["test"].ids) == len(parts["train"].ids) == 16
    assert result.detector["head"]["kind"] == "linear"
    assert 0 <= result.test["accuracy"] <= 1


def test_a_validation_part_of_the_data_is_scored_and_calibrates(sounds, model, tmp_path):
    table = tmp_path / "labels.csv"
    parts = ["train"] * 4 + ["valid"] * 2 + ["test"] * 2
    rows = [f"{sounds / kind / f'{i}.wav'},{kind},{part}" for kind in ("tone", "noise") for i, part in enumerate(parts)]
    table.write_text("\n".join(["file_name,label,split", *rows]) + "\n")
    result = auricle.finetune(table, model=model, out=tmp_path / "run", heads=("prototype",), quiet=True)
    assert {part.part: len(part.ids) for part in load_scores(result.run)} == {"train": 8, "valid": 4, "test": 4}
    assert result.detector["calibration"]["fitted_on"].endswith("and validation clips")
    assert result.detector["head"]["kind"] == "prototype"


def test_frames_are_held_in_half_precision_where_they_are_asked_for(sounds, model):
    manifest = auricle.Manifest.read(sounds).select(ids={"tone/0.wav", "noise/1.wav"})
    encoder = auricle.load(model)
    features, failed = read_features(manifest, encoder, ("noise", "tone"), frames=True)
    assert not failed
    for clip, frames in zip(features.clip, features.frames):
        assert frames.dtype == np.float16
        np.testing.assert_allclose(frames.astype(np.float32).mean(0), clip, rtol=2e-3, atol=1e-2)


def test_the_command_prints_what_it_understood_tried_and_how_to_use_it(sounds, model, tmp_path, capsys):
    out = tmp_path / "run"
    words = ["finetune", str(sounds), "--model", str(model), "--out", str(out), "--how", "head", "--heads", "linear"]
    assert main([*words, "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "noise 8, tone 8" in shown.err
    assert "linear (strength" in shown.err
    assert "is kept" in shown.err
    assert "thresholds for the best F1, from 5 held-out folds" in shown.out
    assert "held-out folds of the training clips: accuracy " in shown.out
    assert f"use it: auricle tag RECORDINGS --model {out}" in shown.out
    assert main([*words, "--device", "cpu"]) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_json_holds_the_detector_and_the_trials_of_a_search(sounds, model, tmp_path, capsys):
    words = ["finetune", str(sounds), "--model", str(model), "--out", str(tmp_path / "run"), "--how", "probe"]
    assert main([*words, "--autotune", "0.01", "--json", "--quiet"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["detector"]["head"]["kind"] == "linear"
    assert len(values["detector"]["trials"]) > 5  # those of the grid; the budget gives at least one more
    assert values["validation"]["classes_scored"] == 2


def plain(source="sounds", **changes) -> FinetuneConfig:
    return with_values(FinetuneConfig("supervised", source), changes)


def test_an_option_of_training_or_a_recipe_trains_the_whole_network():
    assert way_of(plain(), {"source", "out", "fold"})[0] == "auto"
    how, why = way_of(plain(), {"out", "epochs"})
    assert how == "full"
    assert "--epochs is an option of training" in why
    assert way_of(plain(), set(), "m2d-esc50")[0] == "full"
    assert way_of(plain(level="frames"), {"level"})[0] == "full"
    assert way_of(plain(how="full"), {"how"}) == ("full", "")
    with pytest.raises(AuricleError, match="--how head fits heads on the frozen encoder, and --lr is about"):
        way_of(plain(how="head"), {"how", "lr"})


def test_a_trained_network_becomes_a_calibrated_detector_too(sounds, model, tmp_path):
    small = {
        "epochs": 2,
        "warmup_epochs": 0.0,
        "batch_size": 4,
        "workers": 0,
        "lr": 1e-2,
        "device": "cpu",
        "valid_ratio": 0.25,
    }
    made = with_values(FinetuneConfig("supervised", str(sounds), str(tmp_path / "run"), model=str(model)), small)
    result = detector_run(made, small.keys(), quiet=True)
    assert result.training.steps > 0
    assert result.detector["how"] == "full"
    assert auricle.load(result.run).info.label_space.thresholds
    (valid,) = load_scores(result.run)
    assert valid.part == "valid"
    right = (valid.logits.argmax(1) == valid.targets.argmax(1)).mean()
    assert right == pytest.approx(result.validation["accuracy"])


def test_what_cannot_be_tested_or_read_is_refused_in_words(sounds, model, tmp_path):
    with pytest.raises(AuricleError, match="--fold all needs clips of two folds"):
        auricle.finetune(sounds, model=model, out=tmp_path / "run", fold="all", quiet=True)
    with pytest.raises(AuricleError, match="--fold all tests frozen heads"):
        auricle.finetune(sounds, model=model, out=tmp_path / "run", fold="all", how="full", quiet=True)
    with pytest.raises(AuricleError, match="--heads are of linear"):
        auricle.finetune(sounds, model=model, out=tmp_path / "run", heads=("svm",), quiet=True)
    with pytest.raises(AuricleError, match="there is no setting 'how'"):
        auricle.distill(sounds, teacher=model, model=model, out=tmp_path / "run", how="probe", quiet=True)
    assert not (tmp_path / "run").exists()


def test_one_folder_with_negatives_is_a_class_against_none(sounds, model, tmp_path, capsys):
    for folder in (sounds / "tone", tmp_path / "alone"):
        if folder.name == "alone":
            shutil.copytree(sounds / "tone", folder / "tone")
        out = tmp_path / f"run-{folder.name}"
        negatives = (str(sounds / "noise"),)
        auricle.finetune(folder, model=model, out=out, negatives=negatives, how="probe", device="cpu")
        space = auricle.load(out).info.label_space
        assert (space.ids, space.background) == (("background", "tone"), ("background",))
        assert "one class, tone, by the name of the folder" in capsys.readouterr().err
    with pytest.raises(AuricleError, match="gives no labels"):
        auricle.finetune(sounds / "tone", model=model, out=tmp_path / "none", how="probe", quiet=True)
