"""Task sets: many tasks from one small file, by hand and while a run trains; absent data are said, never fatal."""

from __future__ import annotations

import json

import pytest

from auricle.cli.main import main
from auricle.data.synthetic import make_corpus
from auricle.errors import AuricleError
from auricle.evaluate.task_set import read_task_set
from auricle.training.log import read_log
from training_runs import flags, prepared


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    make_corpus(folder / "sounds", clips_per_class=5, seconds=0.5, classes=("rain", "beeps", "siren"), quiet=True)
    (folder / "tasks.yaml").write_text(
        "tasks:\n"
        "  - {name: small, source: sounds/manifest.csv, protocols: [logistic, knn-vote]}\n"
        "  - {name: elsewhere, source: not/here}\n"
    )
    return folder / "tasks.yaml"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))


def test_every_task_present_is_measured_and_the_absent_one_reported(tasks, capsys):
    assert main(["evaluate", "set", str(tasks), "--model", "logmel-stats", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [e["protocol"] for e in found["evaluations"]] == ["logistic", "knn-vote"]
    assert list(found["absent"]) == ["elsewhere/logistic"]


def test_a_run_measures_itself_on_the_way_and_at_the_end(tasks, tmp_path):
    words = flags(
        prepared(tmp_path / "data"), tmp_path / "run", epochs=2, eval_freq=1, quick_eval=str(tasks), all_eval=str(tasks)
    )
    assert main([*words, "--quiet"]) == 0
    rows = read_log(tmp_path / "run/metrics.jsonl", "evaluation")
    assert [row["epoch"] for row in rows] == [1.0, 2.0, 2.0]
    assert 0 <= rows[0]["small/logistic"] <= 1
    assert (tmp_path / "run/encoder-best.safetensors").is_file()
    assert (tmp_path / "run/evaluations/small-logistic.json").is_file()


def test_an_executable_is_called_with_the_checkpoint_and_may_fail(tmp_path):
    program = tmp_path / "measure.sh"
    program.write_text(f"#!/bin/sh\necho $1 >> {tmp_path}/called\nexit 3\n")
    program.chmod(0o755)
    words = flags(prepared(tmp_path / "data"), tmp_path / "run", epochs=2, eval_freq=1, quick_eval=str(program))
    assert main([*words, "--quiet"]) == 0
    assert (tmp_path / "called").read_text().splitlines()[0].endswith("encoder-epoch1.safetensors")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tasks: []", "no task set"),
        ("just words", "no task set"),
        ("tasks: [{name: x}]", "needs a 'source'"),
        ("tasks: [{source: a, folds: 5}]", "unknown setting folds"),
        ("tasks: [{source: a, protocols: [logistik]}]", "logistic"),
        ("tasks: [", "YAML"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_measured(tmp_path, text, said):
    (tmp_path / "set.yaml").write_text(text)
    with pytest.raises(AuricleError, match=said):
        read_task_set(tmp_path / "set.yaml")


def test_a_missing_file_and_model_are_refused_with_exit_2(tasks, tmp_path, capsys):
    assert main(["evaluate", "set", str(tmp_path / "none.yaml"), "--model", "logmel-stats"]) == 2
    assert main(["evaluate", "set", str(tasks)]) == 2
    assert "--model" in capsys.readouterr().err
