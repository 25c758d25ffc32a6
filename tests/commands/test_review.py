"""``auricle review``: a page of questions from what was found, and what the answers give."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.main import run
from auricle.data.manifest.formats import read_manifest
from auricle.hub.load import read_run
from auricle.index.answers import read_answers, write_answers
from auricle.review.detections import model_id, read_detections
from helpers.detector_runs import make_detector
from helpers.reviews import answered, small_index
from helpers.sounds import tone, write_sound


@pytest.fixture
def detections(tmp_path) -> Path:
    """A table of thirty detections in one recording, and one in a recording that cannot be read."""
    write_sound(tmp_path / "night.wav", tone(3.0, 16000), 16000)
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    rows = [("night.wav", i / 10, (i + 1) / 10, "Frog" if i % 3 else "Owl", round(0.3 + i / 50, 2)) for i in range(30)]
    with open(tmp_path / "events.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "start", "end", "label", "score"), *rows])
    return tmp_path / "events.csv"


def test_detections_become_a_page_and_a_queue(detections, tmp_path, capsys):
    out = tmp_path / "review"
    command = ["review", str(detections), "--sample", "12", "--reviewer", "ann", "--out", str(out), "--quiet"]
    assert run([*command, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["items"]) == 12
    assert answer["found"] == 30
    queue = read_detections([out / "queue.csv"]).items
    assert [(item.label, item.score) for item in queue] == [(i["label"], i["score"]) for i in answer["items"]]
    page = (out / "review.html").read_text(encoding="utf-8")
    assert page.count("data:audio/mpeg") == 12
    assert run(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*command, "--overwrite", "--link"]) == 0
    assert "data:audio/mpeg" not in (out / "review.html").read_text(encoding="utf-8")


def test_the_same_seed_draws_the_same_spans(detections, tmp_path, capsys):
    queues = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        out = tmp_path / name
        assert run(["review", str(detections), "--sample", "8", "--seed", seed, "--out", str(out), "--quiet"]) == 0
        queues.append((out / "queue.csv").read_text())
    assert queues[0] == queues[1] != queues[2]


def test_a_recording_that_cannot_be_read_costs_no_other(detections, tmp_path, capsys):
    with open(detections, "a", encoding="utf-8") as file:
        file.write("broken.wav,0,1,Frog,0.5\nabsent.wav,0,1,Frog,0.5\n")
    assert run(["review", str(detections), "--sample", "all", "--out", str(tmp_path / "out"), "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "broken.wav" in error
    assert "absent.wav" in error
    assert len(read_detections([tmp_path / "out" / "queue.csv"]).items) == 30
    assert run(["review", str(detections), "--label", "Toad", "--out", str(tmp_path / "no"), "--quiet"]) == 2
    assert not (tmp_path / "no").exists()


def test_one_class_is_asked_about_in_every_span_on_request(detections, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(["review", str(detections), "--ask", "Frog", "--top-k", "9", "--out", str(out), "--quiet"]) == 0
    items = read_detections([out / "queue.csv"]).items
    assert {item.label for item in items} == {"Frog"}
    error = capsys.readouterr().err
    assert "no fair sample" in error


def test_an_index_is_asked_and_what_was_answered_is_not_asked_again(tmp_path, capsys):
    recording = tmp_path / "night.wav"
    write_sound(recording, tone(4.0, 16000), 16000)
    small_index(tmp_path / "index", [(0.9, 0.1), (0.7, 0.1), (0.4, 0.1), (0.2, 0.1)], recording=recording)
    base = ["review", str(tmp_path / "index"), "label:Frog > 0.3"]
    assert run([*base, "--out", str(tmp_path / "one"), "--quiet"]) == 0
    first = read_detections([tmp_path / "one" / "queue.csv"]).items
    assert sorted(item.score for item in first) == [0.4, 0.7, 0.9]
    write_answers(tmp_path / "answers.csv", [first[0].answered("yes")])
    again = [*base, "--exclude", str(tmp_path / "answers.csv"), "--out", str(tmp_path / "two"), "--quiet"]
    assert run(again) == 0
    assert {i.question for i in read_detections([tmp_path / "two" / "queue.csv"]).items} == {
        i.question for i in first[1:]
    }


def test_answers_give_a_report_labels_and_agreement(tmp_path, capsys):
    scores = np.linspace(0.1, 0.95, 30)
    write_answers(tmp_path / "ann.csv", answered(scores, scores > 0.5, reviewer="ann"))
    write_answers(tmp_path / "bob.csv", answered(scores, scores > 0.6))
    files = [str(tmp_path / "ann.csv"), str(tmp_path / "bob.csv")]
    out = tmp_path / "out"
    assert run(["review", *files, "--target-precision", "0.8", "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    (frog,) = answer["classes"]
    assert frog["label"] == "Frog"
    assert frog["threshold"]["reached"]
    assert answer["agreement"][0]["reviewers"] == ["ann", "bob"]
    assert answer["agreement"][0]["kappa"] == pytest.approx(1 - (4 / 30) / (1 - (16 * 12 + 14 * 18) / 900), abs=0.02)
    assert len(answer["conflicts"]) == len(read_answers(out / "conflicts.csv")) / 2
    assert len(read_manifest(out / "labels.csv")) == 30 - len(answer["conflicts"])
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "Do reviewers agree?" in report
    assert "Cohen" in report
    assert (out / "precision.csv").read_text().startswith("label,threshold,precision,low,high,kept\n")
    assert run(["review", *files, "--out", str(out)]) == 0, "what answers give can be written again"
    assert "kappa" in capsys.readouterr().out


def test_a_detector_gets_the_thresholds_of_its_review_or_of_its_own_scores(tmp_path, capsys):
    detector = make_detector(tmp_path, "multilabel", sounds=False)
    scores = np.linspace(0.05, 0.99, 40)
    encoder = read_run(detector)
    model = model_id(encoder.info.name, encoder.fingerprint())
    write_answers(tmp_path / "answers.csv", answered(scores, scores > 0.6, "owl", model=model))
    command = ["review", str(tmp_path / "answers.csv"), "--out", str(tmp_path / "out")]
    assert run([*command, "--update", str(detector)]) == 0
    assert "threshold of owl: 0.5" in capsys.readouterr().out
    before = read_run(detector).info.label_space.thresholds
    assert run(["review", str(detector), "--refit", "--target-precision", "0.95"]) == 0
    assert "owl: threshold" in capsys.readouterr().out
    assert read_run(detector).info.label_space.thresholds != before


def test_files_of_the_user_in_the_output_folder_are_not_replaced(detections, tmp_path, capsys):
    write_answers(tmp_path / "ann.csv", answered(np.array([0.9, 0.5]), np.array([True, False])))
    for name, command in (("labels.csv", "ann.csv"), ("queue.csv", detections.name)):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine", encoding="utf-8")
        assert run(["review", str(tmp_path / command), "--out", str(folder), "--quiet"]) == 2
        assert f"{name} exists and is not of an earlier run" in capsys.readouterr().err
        assert [(path.name, path.read_text(encoding="utf-8")) for path in folder.iterdir()] == [(name, "mine")]


def test_conflicts_that_are_settled_are_gone_and_never_the_answers_themselves(tmp_path, capsys):
    scores, out = np.array([0.9, 0.5]), tmp_path / "out"
    write_answers(tmp_path / "ann.csv", answered(scores, np.array([True, False]), reviewer="ann"))
    for holds in (True, False):
        write_answers(tmp_path / "bob.csv", answered(scores, np.array([True, holds]), reviewer="bob"))
        assert run(["review", str(tmp_path / "ann.csv"), str(tmp_path / "bob.csv"), "--out", str(out)]) == 0
        assert (out / "conflicts.csv").exists() == holds
    write_answers(out / "conflicts.csv", answered(scores, np.array([True, True])))
    assert run(["review", str(out / "conflicts.csv"), "--out", str(out)]) == 2
    assert "a file that this review writes" in capsys.readouterr().err
    assert len(read_answers(out / "conflicts.csv")) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["EVENTS", "--update", "run"], "needs answers"),
        (["EVENTS", "ANSWERS"], "holds answers, the other files do not"),
        (["ANSWERS", "--label", "Bat"], "no answer is about Bat"),
        (["ANSWERS", "--threshold-for", "f1"], "--threshold-for f1 needs clips"),
        (["EVENTS", "--min-score", "0.9", "--max-score", "0.1"], "is above --max-score"),
        (["EVENTS", "--target-precision", "1"], "above 0 and below 1"),
        (["EVENTS", "--sample", "0"], "--sample must be a number of at least 1"),
        (["a", "b", "--refit"], "--refit needs the run folder of one detector"),
        (["EVENTS", "--refit"], "is not a run folder"),
        (["nothing"], "does not exist"),
    ],
)
def test_what_does_not_go_together_is_refused_in_words(detections, tmp_path, capsys, options, message):
    write_answers(tmp_path / "answers.csv", answered(np.array([0.5]), np.array([True])))
    names = {"EVENTS": str(detections), "ANSWERS": str(tmp_path / "answers.csv")}
    assert run(["review", *(names.get(o, o) for o in options), "--out", str(tmp_path / "out"), "--quiet"]) == 2
    assert message in capsys.readouterr().err
