"""A tagger whose label space has thresholds says what it detects, as ``LabelSpace.decide`` does; others are as before."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.inference.tag_results import FileTags
from auricle.inference.tag_summary import TagSummary
from auricle.models.label_space import Detection, LabelSpace, only_likeliest
from helpers.sounds import write_sound
from helpers.tagging import CLASSES, LoudestBand

RATE = 32000


def pure(seconds: float, hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


LOW_THEN_HIGH = np.concatenate([pure(3.0, 400.0), pure(3.0, 9000.0)])


def tagger(kind="multilabel", thresholds=(0.9, 0.9, 0.9), background=(), **options):
    encoder = LoudestBand(kind)
    space = replace(LabelSpace.of(CLASSES, kind), background=background, thresholds=thresholds)
    encoder.info = replace(encoder.info, label_spaces=(space,))
    return auricle.Tagger(encoder, **options)


def one(session, wave=LOW_THEN_HIGH):
    return session(wave, sample_rate=RATE).results[0]


def labels(tags):
    return [tag.label for tag in tags]


@pytest.mark.parametrize("kind", ["multilabel", "multiclass"])
@pytest.mark.parametrize("background", [(), ("m",)])
def test_detections_are_those_of_the_label_space(kind, background):
    logits = torch.from_numpy(np.random.default_rng(0).normal(0, 2, (500, 3)).astype(np.float32))
    space = replace(LabelSpace.of(CLASSES, kind), background=background, thresholds=(0.3, 0.5, 0.7))
    detection = Detection.of(space, space.reported)
    reached = detection.scores(space.probabilities(logits).numpy()) >= detection.thresholds
    assert np.array_equal(reached, space.decide(logits).numpy()[:, list(space.reported)])


def test_scores_of_all_but_the_likeliest_class_are_zero():
    assert only_likeliest(np.array([[0.2, 0.5, 0.3]])).tolist() == [[0.0, 0.5, 0.0]]


def test_without_thresholds_nothing_is_said_about_detections():
    result = one(tagger(thresholds=(), window=1.0))
    assert result.detected is None
    assert "detected" not in json.dumps(result.to_json() | {"windows": result.time_line()})
    assert "detected" not in result.text(time_line=True)


def test_each_class_has_its_own_threshold():
    assert labels(one(tagger(thresholds=(0.5, 0.5, 0.5)), pure(2.0, 400.0)).detected) == ["low"]
    assert one(tagger(thresholds=(1.0, 0.5, 0.5)), pure(2.0, 400.0)).detected == ()


def test_events_begin_at_the_threshold_of_the_class_unless_one_is_given():
    strict = one(tagger(thresholds=(0.5, 0.5, 1.0), window=1.0))
    assert labels(strict.events) == labels(strict.detected) == ["low"]
    typed = one(tagger(thresholds=(0.5, 0.5, 1.0), window=1.0, threshold=0.5))
    assert labels(typed.events) == ["low", "high"]
    assert set(labels(typed.detected)) == {"low", "high"}
    assert [labels(w.detected) for w in typed.windows][:2] == [["low"], ["low"]]


def test_background_is_never_detected_and_hides_what_is_less_likely():
    wave = pure(2.0, 400.0)
    assert one(tagger("multiclass", (0.0, 0.0, 0.0), background=("l",)), wave).detected == ()
    assert labels(one(tagger("multiclass", (0.0, 0.0, 0.0), background=("h",)), wave).detected) == ["low"]
    assert one(tagger("multiclass", (0.0, 0.0, 0.0), only=("high",)), wave).detected == ()
    hidden = one(tagger("multiclass", (0.0, 0.0, 0.0), background=("l",), window=1.0))
    assert labels(hidden.events) == ["high"]
    assert hidden.events[0].start == pytest.approx(3.0, abs=0.51)


def test_min_score_and_only_keep_their_meaning():
    wave = pure(2.0, 400.0)
    assert one(tagger(thresholds=(0.1, 0.0, 0.1), only=("low", "middle")), wave).detected[0].label == "low"
    assert all(tag.score >= 0.9 for tag in one(tagger(thresholds=(0.0, 0.0, 0.0), min_score=0.9), wave).detected)


def test_results_with_detections_are_read_back_from_json():
    result = one(tagger(thresholds=(0.5, 0.5, 0.5), window=1.0))
    plain = json.loads(json.dumps(result.to_json() | {"windows": result.time_line()}))
    again = FileTags.from_json(plain)
    assert labels(again.detected) == labels(result.detected)
    assert [labels(w.detected) for w in again.windows] == [labels(w.detected) for w in result.windows]


def test_text_marks_what_is_detected_and_says_when_it_is_none_of_the_classes():
    found = one(tagger(thresholds=(0.5, 0.5, 0.5), window=2.0)).text(time_line=True)
    assert "  detected" in found
    assert "Time line (*: detected)" in found
    assert "low 0.95*; " in found
    none = one(tagger(thresholds=(1.0, 1.0, 1.0), top_k=1), pure(2.0, 400.0)).text()
    assert none.splitlines()[1:] == ["  none of its classes; the likeliest:", none.splitlines()[2]]


def test_a_detected_label_beyond_the_top_ones_is_not_lost():
    result = one(tagger(thresholds=(0.0, 0.0, 0.0), top_k=1), pure(2.0, 400.0))
    assert len(result.tags) == 1
    assert len(result.detected) == 3
    assert result.text().count("detected") == 3
    assert [row[5] for row in result.rows()] == [True] * 3


def test_a_summary_counts_what_is_detected():
    summary = TagSummary(threshold=0.3)
    summary.add(one(tagger(thresholds=(1.0, 1.0, 1.0)), pure(2.0, 400.0)))
    assert summary.table("label")[1:] == []


def test_csv_has_a_column_of_detections_only_where_there_are_thresholds(tmp_path, monkeypatch, capsys):
    path = write_sound(tmp_path / "low.wav", pure(1.0, 400.0), RATE)
    for session, column in ((tagger(thresholds=(0.5, 0.5, 0.5)), True), (tagger(thresholds=()), False)):
        monkeypatch.setattr("auricle.inference.tagger.Tagger", lambda *a, s=session, **k: s)
        assert main(["tag", str(path), "--model", "loudest-band", "--csv", "--quiet"]) == 0
        rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
        assert [row.get("detected") for row in rows if row["label"] == "low"] == ["yes" if column else None]
