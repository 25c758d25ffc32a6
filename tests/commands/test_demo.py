"""The demo at toy size: sounds in, a report out, and true words at the end."""

from __future__ import annotations

import json
import shlex

import pytest

from auricle.cli.flags import config_from
from auricle.cli.main import main, read
from auricle.commands.demo import RUN
from auricle.commands.evaluate import EvaluateConfig
from auricle.core.options import from_plain
from auricle.data.synthetic.corpus import make_corpus
from auricle.evaluation.results import ResultsStore
from auricle.evaluation.tasks import Task


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds") / "corpus"
    make_corpus(folder, clips_per_class=5, seconds=1.0, classes=("rain", "siren"), quiet=True)
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))


def test_a_labelled_folder_gets_scores_a_report_and_a_summary(sounds, tmp_path, capsys):
    out = tmp_path / "out"
    assert (
        main(["demo", str(sounds / "manifest.csv"), "--out", str(out), "--minutes", "0.01", "--quiet", "--json"]) == 0
    )
    answer = json.loads(capsys.readouterr().out)
    assert [e["protocol"] for e in answer["evaluations"]] == ["logistic", "knn-vote"]
    assert {b["model"] for b in answer["evaluations"][0]["baselines"]} >= {"logmel-stats", "chance"}
    assert "untrained" in answer["words"]
    for evaluation, typed in zip(answer["evaluations"], ("linear", "knn"), strict=True):
        values = read("evaluate", shlex.split(evaluation["command"])[2:])[1]  # the command that makes the score again
        again = config_from(EvaluateConfig, values)
        assert (again.protocol, again.model) == (typed, (str((out / RUN).resolve()),))
        assert again.task == from_plain(Task, evaluation["settings"]["task"])
    assert "<html" in (out / RUN / "report.html").read_text()
    assert main(["demo", str(sounds), "--out", str(out)]) == 2  # never overwritten


@pytest.mark.slow
def test_a_tree_of_classes_without_folds_is_measured_and_its_scores_are_in_the_store(sounds, tmp_path, capsys):
    tree = tmp_path / "birds"
    for i, path in enumerate(sorted(sounds.rglob("*.flac"))):
        (tree / f"class {i % 2}").mkdir(parents=True, exist_ok=True)
        (tree / f"class {i % 2}" / f"{i}.flac").write_bytes(path.read_bytes())
    assert main(["demo", str(tree), "--out", str(tmp_path / "out"), "--minutes", "0.01", "--quiet", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "5 stratified folds were drawn" in answer["evaluations"][0]["notes"][0]
    rows = ResultsStore(tmp_path / "cache/results.sqlite").select(task="birds", baselines=False)
    assert {row.protocol for row in rows} >= {"logistic", "knn-vote", "4-shot"}
    assert {row.place for row in rows} == {str(tmp_path / "out" / RUN)}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("{0},1,a\n{1},2,b\n", "one class only"),
        ("{0},1,a\n{1},1,b\n", "one class only"),
        ("nothing.wav,1,a\n", "nothing.wav"),
    ],
)
def test_labels_that_cannot_be_scored_are_refused_before_anything_is_made(sounds, tmp_path, capsys, rows, said):
    names = [path.relative_to(sounds).as_posix() for path in sorted(sounds.rglob("*.flac"))[:2]]
    (tmp_path / "labels.csv").write_text("filename,fold,label\n" + rows.format(*names))
    words = ["demo", str(sounds), "--labels", str(tmp_path / "labels.csv"), "--out", str(tmp_path / "out")]
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((sounds / name).read_bytes())
    words[1] = str(folder)
    assert main([*words, "--quiet"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_labels_nothing_is_measured_and_only_the_broken_file_is_left_out(sounds, tmp_path, capsys):
    folder = tmp_path / "flat"
    folder.mkdir()
    for i, path in enumerate(sorted(sounds.rglob("*.flac"))):
        (folder / f"{i}.flac").write_bytes(path.read_bytes())
    (folder / "broken.wav").write_text("not sound")
    assert main(["demo", str(folder), "--out", str(tmp_path / "out"), "--minutes", "0.01", "--quiet"]) == 1
    words = capsys.readouterr().out
    assert "1 recordings could not be read" in words
    assert "nothing was measured: the recordings have no labels" in words
    assert (tmp_path / "out" / RUN / "report.html").is_file()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["demo", "nowhere"], "nowhere"),
        (["demo", "SOUNDS", "--labels", "MANIFEST", "--label-column", "colour"], "colour"),
        (["demo", "SOUNDS", "--minutes", "0"], "--minutes"),
    ],
)
def test_impossible_requests_are_refused_with_exit_code_2(sounds, tmp_path, capsys, line, message):
    line = [word.replace("SOUNDS", str(sounds)).replace("MANIFEST", str(sounds / "manifest.csv")) for word in line]
    assert main([*line, "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_the_demo_ends_on_a_page_with_the_encoder_just_made(sounds, programs, tmp_path):
    pytest.importorskip("fastapi", reason="the [serve] extra is not installed")
    from helpers.serving import RunningServer, ids_of

    words = [str(sounds), "--out", str(tmp_path / "out"), "--minutes", "0.01", "--quiet", "--serve"]
    with RunningServer(words, tmp_path / "log.txt", "demo", programs / "python") as server:
        about = server.client.get("/api/about").json()
        assert [model["id"] for model in about["models"]] == [RUN]
        assert about["index"]["files"] == len(ids_of(server.client)) == 10
        example = {"recording": ids_of(server.client)[0]}
        assert server.client.post("/api/search", json={"examples": [example]}).json()["matches"]
        run = server.client.get("/api/runs").json()["runs"][0]
        assert "<html" in server.client.get(f"/api/runs/{run['id']}/report").text
        assert server.stop() == 0
