"""Task sets: many tasks from one small file, by hand and while a run trains; absent data are reported, never fatal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.synthetic.corpus import make_corpus
from auricle.evaluation.suites.read import read_suite
from auricle.training.log import read_log
from helpers.sounds import tone, write_sound
from helpers.training_runs import flags, prepared

SPLITS = ["train"] * 6 + ["valid"] * 2 + ["test"] * 2


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
    assert main(["evaluate", "--suite", str(tasks), "--model", "logmel-stats", "--json", "--quiet"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [e["protocol"] for e in found["evaluations"]] == ["logistic", "knn-vote"]
    assert list(found["absent"]) == ["elsewhere/logistic"]


def test_a_run_is_evaluated_during_training_and_at_the_end(tasks, tmp_path):
    command = flags(
        prepared(tmp_path / "data"), tmp_path / "run", epochs=2, eval_freq=1, quick_eval=str(tasks), all_eval=str(tasks)
    )
    assert main([*command, "--quiet"]) == 0
    rows = read_log(tmp_path / "run/metrics.jsonl", "evaluation")
    assert [row["epoch"] for row in rows] == [1.0, 2.0]  # the one at the end stands in place of the last on the way
    assert 0 <= rows[0]["small/logistic"] <= 1
    assert (tmp_path / "run/encoder-best.safetensors").is_file()
    assert (tmp_path / "run/evaluations/small-logistic.json").is_file()


def test_an_executable_is_called_with_the_checkpoint_and_may_fail(tmp_path):
    program = tmp_path / "measure.sh"
    program.write_text(f"#!/bin/sh\necho $1 >> {tmp_path}/called\nexit 3\n")
    program.chmod(0o755)
    command = flags(prepared(tmp_path / "data"), tmp_path / "run", epochs=2, eval_freq=1, quick_eval=str(program))
    assert main([*command, "--quiet"]) == 0
    assert (tmp_path / "called").read_text().splitlines()[0].endswith("encoder-epoch1.safetensors")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tasks: []", "is no suite"),
        ("just words", "is no suite"),
        ("tasks: [{name: x}]", "needs a 'source'"),
        ("tasks: [{source: a, folds: 5}]", "unknown setting folds"),
        ("tasks: [{source: a, protocols: [logistik]}]", "logistic"),
        ("tasks: [", "YAML"),
        ("seed: 1\ntasks: [{source: a}]", "unknown setting seed"),
        ("seeds: 42\ntasks: [{source: a}]", "list of whole numbers"),
        ("lr: fast\ntasks: [{source: a}]", "lr should be a number"),
        ("lr: .inf\ntasks: [{source: a}]", "lr should be a number"),
        ("seeds: [1, 1]\ntasks: [{source: a}]", "each once"),
        ("seeds: [-1]\ntasks: [{source: a}]", "from 0 up"),
        ("adapter: [probe]\ntasks: [{source: a}]", "unknown adapter"),
        ("tasks: [{source: a, adapter: {hear: 1}}]", "unknown adapter"),
        ("tasks: [{source: a, name: x}, {source: b, name: x}]", "two different tasks are named 'x'"),
        ("tasks: [{source: 5}]", "source should be text, found 5"),
        ("tasks: [{source: a, seconds: abc}]", "seconds should be a number of seconds"),
        ("tasks: [{source: a, protocols: logistic}]", "protocols should be a list of names"),
        ("tasks: [{source: a, protocols: [5]}]", "protocols should be a list of names"),
        ("tasks: [{source: a, 5: b}]", "unknown setting 5"),
        ("tasks: [{source: a, adapter: hero}]", "unknown adapter 'hero'"),
        ("tasks: [{dataset: esc5}]", "did you mean esc50"),
        ("adapter: tags\ntasks: [{source: a, protocols: [evar]}]", "unknown setting protocols"),
        ("adapter: tags\ntasks: [{source: 5}]", "source should be text, found 5"),
        ("adapter: retrieval\ntasks: [{source: a}]", "'labels', a table of captions"),
        ("adapter: zero-shot\ntasks: [{source: a, captions: no}]", "captions should be a text with {}"),
        ("root_from: [x]\ntasks: [{source: a}]", "root_from should be text"),
        ("published: x\ntasks: [{source: a}]", "list of tables of published scores"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_measured(tmp_path, text, message):
    (tmp_path / "set.yaml").write_text(text)
    with pytest.raises(AuricleError, match=message):
        read_suite(tmp_path / "set.yaml")


def test_the_first_editions_spellings_are_read(tmp_path):
    (tmp_path / "set.yaml").write_text("tasks: [{source: a, folding: drawn, metric: roc-auc, protocols: [knn]}]")
    (entry,) = read_suite(tmp_path / "set.yaml").tasks
    assert (entry.task.split_by, entry.task.metric) == ("drawn", "roc_auc")
    assert [p.name for p in entry.protocols_for("m2d")] == ["knn-vote"]


EVAR_TABLES = {
    "esc50": "file_name,label,fold\n"
    + "".join(f"{kind}-{i}.wav,{kind},{i % 2 + 1}\n" for kind in "ab" for i in range(10)),
    "cremad": "file_name,label,split\n"
    + "".join(f"{kind}-{i}.wav,{kind},{split}\n" for kind in "ab" for i, split in enumerate(SPLITS)),
}


@pytest.fixture
def evar(tmp_path, monkeypatch):
    """Two of the nine tasks in EVAR's folders, at 16 and 32 kHz; the folder is named by the environment."""
    for task, table in EVAR_TABLES.items():
        (tmp_path / "evar/evar/metadata").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"evar/evar/metadata/{task}.csv").write_text(table)
        for rate in (16000, 32000):
            for i in range(10):
                for kind, hertz in (("a", 300.0), ("b", 3000.0)):
                    path = tmp_path / f"evar/work/{rate // 1000}k/{task}/{kind}-{i}.wav"
                    write_sound(path, tone(0.3, rate, hertz + i, seed=i), rate)
    monkeypatch.setenv("EVAR", str(tmp_path / "evar"))


@pytest.mark.parametrize("name", ["quick", "all"])
def test_the_published_task_sets_are_shipped(name):
    entries = read_suite(Path(name)).tasks
    titles = [entry.name for entry in entries]
    assert titles[:4] == ["cremad", "gtzan", "spcv2", "esc50"]
    assert len(titles) == {"quick": 4, "all": 9}[name]
    assert {entry.seeds for entry in entries} == {{"quick": (42,), "all": (42, 43, 44)}[name]}
    for family, rate in (("m2d", "3e-05"), ("mn", "0.0003")):
        assert {probe.name for entry in entries for probe in entry.protocols_for(family)} == {f"evar, lr {rate}"}


def test_a_file_of_the_same_name_wins_over_a_shipped_set(tasks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quick").write_text("tasks: [{source: a, name: mine}]")
    assert [entry.name for entry in read_suite(Path("quick")).tasks] == ["mine"]


def test_a_task_is_read_at_the_models_rate(evar):
    entry = read_suite(Path("all")).tasks[3]
    assert entry.task_at(16000).source.endswith("work/16k/esc50")
    assert entry.task_at(32000).source.endswith("work/32k/esc50")
    assert entry.task_at(32000).labels == entry.task_at(16000).labels


def test_present_tasks_of_a_shipped_set_are_measured_and_missing_ones_named(evar, capsys):
    assert main(["evaluate", "set", "quick", "--model", "logmel-stats", "--json", "--quiet", "--no-baselines"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [(e["task"], e["protocol"]) for e in answer["evaluations"]] == [
        ("cremad", "evar, lr 0.0003"),
        ("esc50", "evar, lr 0.0003"),
    ]
    assert sorted(answer["absent"]) == ["gtzan/evar, lr 0.0003", "spcv2/evar, lr 0.0003"]


def test_a_run_continues_after_tasks_without_data(evar, tmp_path, capsys):
    command = flags(prepared(tmp_path / "data"), tmp_path / "run", epochs=2, eval_freq=1, quick_eval="quick")
    assert main([*command, "--quiet"]) == 0
    rows = read_log(tmp_path / "run/metrics.jsonl", "evaluation")
    assert [row["epoch"] for row in rows] == [1.0, 2.0]
    assert 0 <= rows[0]["esc50/evar, lr 3e-05"] <= 1
    assert capsys.readouterr().err.count("gtzan/evar, lr 3e-05 was not measured") == 1


def test_a_missing_file_and_model_are_refused_with_exit_2(tasks, tmp_path, capsys):
    assert main(["evaluate", "set", str(tmp_path / "none.yaml"), "--model", "logmel-stats"]) == 2
    assert main(["evaluate", "set", str(tasks)]) == 2
    assert "--model" in capsys.readouterr().err
