"""Suites of several models: resumed task by task, compared with one test, published scores beside them, faults said and counted."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.evaluation.bootstrap import _values, bootstrap_difference, bootstrap_interval
from auricle.evaluation.results import ResultsStore
from auricle.evaluation.suites.published import read_published_scores, shipped_tables
from auricle.evaluation.suites.read import read_suite, shipped_suites
from auricle.hub.weight_file import save_encoder
from auricle.metrics.table import METRICS
from helpers.encoders import m2d
from helpers.evaluation_data import corpus, table
from helpers.forks import fork
from helpers.sounds import write_sound


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A suite of two tasks on the same tones, one of them broken in places, one without data; and two small encoders."""
    folder = tmp_path_factory.mktemp("suite")
    manifest = corpus(folder / "tones")
    table(manifest, folder / "tones.csv")
    broken = corpus(folder / "broken")
    table(broken, folder / "broken.csv")
    (folder / "broken/low-0.wav").write_bytes(b"no sound")
    (folder / "published.csv").write_text(
        "model,task,protocol,metric,score,plus_minus,source\nOthers,tones,logistic,accuracy,0.9,0.01,a paper\n"
    )
    (folder / "toy.yaml").write_text(
        "title: Toy\npublished: [published.csv]\ntasks:\n"
        "  - {name: tones, source: tones, labels: tones.csv, split_by: folds, protocols: [linear, knn]}\n"
        "  - {name: broken, source: broken, labels: broken.csv, split_by: folds}\n"
        "  - {name: absent, dataset: cremad, split_by: split}\n"
        "  - {name: no split, source: tones, labels: tones.csv, split_by: split}\n"
    )
    for seed in (1, 2):
        save_encoder(m2d(seed=seed), folder / f"encoder{seed}.safetensors")
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))


def models(data):
    return [str(data / f"encoder{seed}.safetensors") for seed in (1, 2)]


def evaluate(data, *options):
    return main(["evaluate", "--suite", str(data / "toy.yaml"), "--model", *options, "--quiet", "--no-baselines"])


def test_one_command_measures_models_compares_them_and_writes_the_page(data, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert evaluate(data, *models(data), "--page", str(page), "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["evaluations"]) == 6
    assert {row["version"] for row in found["scores"]} == {"1"}
    reasons = {name.rpartition(": ")[2]: reason for name, reason in found["absent"].items()}
    assert "github.com/CheyneyComputerScience/CREMA-D" in reasons["absent/logistic"]
    assert "train and test" in reasons["no split/logistic"]
    first = found["comparison"][0]
    assert first["pairs"][0]["difference"]["pairs"] == 3
    assert first["published"][0]["source"] == "a paper"
    html = page.read_text()
    assert "a paper" in html
    assert "1 clips could not be read" in html


def test_what_is_finished_is_not_measured_again(data, tmp_path, capsys, monkeypatch):
    assert evaluate(data, models(data)[0], "--tasks", "tones") == 0
    rows = ResultsStore(tmp_path / "cache/results.sqlite").select()
    assert {row.protocol for row in rows} == {"logistic", "knn-vote"}
    assert all(row.work and row.interval for row in rows)
    monkeypatch.setattr("auricle.evaluation.runner.evaluate", None)  # would be an error
    assert evaluate(data, models(data)[0], "--tasks", "tones") == 0
    assert capsys.readouterr().out.count("--again measures it once more") == 2
    assert len(ResultsStore(tmp_path / "cache/results.sqlite").select()) == len(rows)
    assert evaluate(data, models(data)[0], "--tasks", "tones", "--again") == 2


def test_changed_labels_or_settings_are_another_work(data, tmp_path, capsys):
    for options in ((), ("--pooling", "mean_std"), ("--statistics", "pooled")):
        assert evaluate(data, models(data)[0], "--tasks", "tones", *options) == 0
    assert "once more" not in capsys.readouterr().out
    works = {row.work for row in ResultsStore(tmp_path / "cache/results.sqlite").select()}
    assert len(works) == 6


def test_a_suite_that_was_killed_goes_on(data, tmp_path):
    store = ResultsStore(tmp_path / "cache/results.sqlite")
    line = ["evaluate", "--suite", str(data / "toy.yaml"), "--model", *models(data), "--quiet", "--no-baselines"]
    process, said = fork(line)
    while process.is_alive() and not store.select():
        time.sleep(0.02)
    process.kill()
    process.join()
    said.close()
    before = store.select()
    assert before
    assert evaluate(data, *models(data)) == 1
    after = store.select()
    assert [row.id for row in after][: len(before)] == [row.id for row in before]
    assert len({(row.model, row.task, row.protocol) for row in after}) == len(after) == 6


@pytest.mark.slow
def test_several_processes_give_the_same_scores(data, quick_workers, capsys):
    scores = []
    for options in (("--parallel", "2"), ("--again",)):
        assert evaluate(data, *models(data), "--tasks", "tones", "--json", *options) == 0
        found = json.loads(capsys.readouterr().out)
        scores.append([(row["model"], row["protocol"], row["score"]) for row in found["scores"]])
    assert scores[0] == scores[1]


def test_a_model_that_cannot_be_loaded_costs_no_other(data, tmp_path, capsys):
    assert evaluate(data, models(data)[0], str(tmp_path / "none.safetensors"), "--tasks", "tones", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["evaluations"]) == 2
    assert "none.safetensors" in next(iter(found["absent"].values()))


def test_an_encoder_that_gives_nan_is_said_and_the_others_are_measured(data, tmp_path, capsys):
    encoder = m2d(seed=3)
    encoder.patch_embed.proj.weight.data.fill_(3e38)  # finite, and its products are not
    save_encoder(encoder, tmp_path / "nan.safetensors")
    assert evaluate(data, str(tmp_path / "nan.safetensors"), models(data)[0], "--tasks", "tones", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert len(found["evaluations"]) == 2
    assert all("gives no finite embedding" in reason for reason in found["absent"].values())
    assert len(found["absent"]) == 2


def test_several_models_on_one_folder_are_compared(data, capsys):
    folder = [str(data / "tones"), "--labels", str(data / "tones.csv"), "--split-by", "folds"]
    assert main(["evaluate", *folder, "--model", *models(data), "--quiet", "--no-baselines"]) == 0
    assert "3 pairs" in capsys.readouterr().out


def test_a_baseline_that_is_named_as_a_model_stands_in_the_comparison_once(data, capsys):
    folder = [str(data / "tones"), "--labels", str(data / "tones.csv"), "--split-by", "folds"]
    assert main(["evaluate", *folder, "--model", models(data)[0], "logmel-stats", "--quiet"]) == 0
    lines = capsys.readouterr().out.split("\n\n")[-1].splitlines()
    assert sum(line.split()[0] == "logmel-stats" for line in lines if line.strip()) == 1
    assert any("chance" in line for line in lines)


def test_an_unknown_task_is_refused_with_the_nearest(data, capsys):
    assert evaluate(data, "logmel-stats", "--tasks", "tone") == 2
    assert "has no task 'tone'; did you mean tones" in capsys.readouterr().err


def test_settings_that_a_suite_would_not_use_are_refused(data, capsys):
    tones = ["evaluate", str(data / "tones"), "--model", "logmel-stats", "--quiet"]
    for options, message in (
        (["--few-shot", "--page", "p.html"], "--few-shot is for one model"),
        (["--protocol", "audioset", "--lr", "0.1"], "has no learning rate"),
        (["--tasks", "tones"], "are for a suite"),
    ):
        assert main([*tones, *options]) == 2
        assert message in capsys.readouterr().err


def test_shipped_suites_and_tables_can_be_read():
    for name in shipped_suites():
        suite = read_suite(name)
        assert len(read_published_scores(suite.published)) >= len(suite.published)
    for name in shipped_tables():
        assert all(score.source and score.score > 0 for score in read_published_scores([name]))


# ---- taggers


@pytest.fixture(scope="module")
def tagged(tmp_path_factory):
    """Noise clips with AudioSet's names; two small taggers of three classes whose scores are those of random weights."""
    folder = tmp_path_factory.mktemp("tags")
    names, source = ("Dog", "Rain", "Speech"), np.random.default_rng(0)
    rows = ["file_name,label"]
    for i in range(12):
        write_sound(folder / f"audio/{i}.wav", source.standard_normal(4000).astype(np.float32) * 0.1 * (i + 1), 16000)
        rows.append(f'{i}.wav,"{names[i % 3]},{names[(i // 3) % 3]}"')
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    for seed in (1, 2):
        encoder = m2d(pools="frames", seed=seed).with_classes(3, classes=[(name, name) for name in names])
        save_encoder(encoder, folder / f"tagger{seed}.safetensors")
    return folder


def test_taggers_are_scored_on_the_clips_present_with_intervals_and_the_paired_difference(tagged, capsys):
    line = ["evaluate", str(tagged / "audio"), "--labels", str(tagged / "labels.csv"), "--protocol", "audioset"]
    taggers = [str(tagged / f"tagger{seed}.safetensors") for seed in (1, 2)]
    assert main([*line, "--model", *taggers, "--seconds", "0.25", "--quiet", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in found["scores"]} == {"mAP", "roc_auc", "d_prime_of_auc"}
    low, high = found["scores"][0]["interval"]
    assert low < found["scores"][0]["score"] < high
    pair = found["comparison"][0]["pairs"][0]["difference"]
    assert pair["pairs"] == 12
    assert pair["interval"][0] <= pair["mean"] <= pair["interval"][1]
    assert found["evaluations"][0]["classes"] == ["Speech", "Dog", "Rain"]  # AudioSet's order
    assert main(["results", "--compare", *taggers]) == 0  # the same test, not another one
    assert f"95 % from {-pair['interval'][1]:+.4f} to {-pair['interval'][0]:+.4f}" in capsys.readouterr().out
    assert main([*line, "--model", "logmel-stats", "--quiet"]) == 2
    assert "no named classes" in capsys.readouterr().err


@pytest.mark.parametrize("metric", ["accuracy", "mAP", "roc_auc", "d_prime_of_auc"])
def test_a_draw_of_the_bootstrap_is_the_metric_of_the_drawn_clips(metric):
    source, n = np.random.default_rng(0), 50
    targets = np.eye(4)[source.integers(0, 4, n)]
    scores = np.round(source.random((n, 4)) + 0.3 * targets, 1)  # with ties
    drawn = source.integers(0, n, n)
    weights = np.bincount(drawn, minlength=n)[None].astype(np.float32)
    assert _values(metric, scores, targets, weights)[0] == pytest.approx(METRICS[metric](scores[drawn], targets[drawn]))


def test_the_bootstrap_tells_better_from_equal():
    source, n = np.random.default_rng(1), 200
    targets = (source.random((n, 3)) < 0.3).astype(float)
    good, poor = targets + source.normal(0, 0.5, (n, 3)), targets + source.normal(0, 3, (n, 3))
    better = bootstrap_difference("mAP", good, poor, targets)
    assert better.interval[0] > 0
    assert better.p_value < 0.01
    assert bootstrap_difference("mAP", good, good, targets).p_value == 1
    low, high = bootstrap_interval("mAP", good, targets)
    assert low < METRICS["mAP"](good, targets) < high
    assert bootstrap_interval("respiratory_score", good, targets) is None
