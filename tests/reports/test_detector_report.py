"""The report of a detector shows what its files hold, in words, and leaves out what they lack."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.detectors.files import load_description
from auricle.detectors.learning_curve import CurvePoint, LearningCurve
from auricle.reports.detector_view import DetectorView
from auricle.reports.page import build_report
from auricle.reports.run_view import RunView
from auricle.reports.sections.detector_clips import confident_mistakes, doubtful_clips
from auricle.reports.sections.detector_facts import sentences
from auricle.reports.sections.detector_scores import labels_sentence
from helpers.detector_runs import make_detector

SECTIONS = ("classes", "calibration", "thresholds", "clips", "labels", "untested", "learnt", "heads")


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    return {kind: make_detector(tmp_path_factory.mktemp(kind), kind) for kind in ("multiclass", "multilabel")}


@pytest.fixture
def run(runs, tmp_path) -> Path:
    """A copy that a test may damage, without the features: its page has no learning curve, which takes longest."""
    copied = Path(shutil.copytree(runs["multiclass"], tmp_path / "run"))
    (copied / "features.npz").unlink()
    return copied


def view_of(run: Path) -> DetectorView:
    view = DetectorView.open(RunView.open(run))
    assert view is not None
    return view


def page_of(run: Path) -> str:
    return build_report(run).read_text()


@pytest.fixture(scope="module")
def pages(runs) -> dict[str, str]:
    return {kind: page_of(run) for kind, run in runs.items()}


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_every_part_is_on_the_page_with_sound_and_pictures(pages, kind):
    page = pages[kind]
    assert all(f'<section id="{name}">' in page for name in SECTIONS)
    assert "&lt;frog&gt; &amp; toad" in page
    assert "<frog>" not in page
    store = json.loads(re.search(r'id="store">(.*?)</script>', page).group(1))
    pictures = set(re.findall(r'data-picture="([^"]*)"', page))
    assert pictures
    assert pictures <= store["pictures"].keys() == store["sounds"].keys()
    assert len(page) < 1_000_000
    assert page.count('<table class="confusion">') == (kind == "multiclass")


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_figures_are_those_of_the_label_space_on_the_test_clips(runs, kind):
    view = view_of(runs[kind])
    decided = view.scores >= view.thresholds
    if kind == "multiclass":
        decided &= view.scores == view.scores.max(1, keepdims=True)
        decided[:, view.space.ids.index("quiet")] = False
    assert view.tested
    assert 0 < decided.sum() < decided.size
    assert np.array_equal(view.detected, decided)
    for figures in view.figures:
        known = view.shown.known[:, figures.place] > 0
        right = (view.shown.targets[:, figures.place] == 1) & known
        assert (figures.clips, figures.decided) == (right.sum(), (decided[:, figures.place] & known).sum())
        assert figures.hits == (decided[:, figures.place] & right).sum()


def test_background_classes_are_never_reported_and_their_right_answer_is_none(runs, pages):
    view = view_of(runs["multiclass"])
    assert [figures.name for figures in view.figures] == ["<frog> & toad", "owl"]
    page = pages["multiclass"]
    assert re.search(r'class="right[^"]*" style="[^"]*" title="quiet taken for none of these', page)
    assert "clips without any of the classes" in " ".join(sentences(view))


def test_mistakes_are_mistakes_the_most_confident_first_and_doubts_are_near_the_threshold(runs):
    view = view_of(runs["multilabel"])
    place = {id: i for i, id in enumerate(view.shown.ids)}
    wrong = confident_mistakes(view)
    assert wrong
    for clip in wrong:
        known = view.shown.known[place[clip.id]] > 0
        assert (view.detected[place[clip.id]] != (view.shown.targets[place[clip.id]] == 1))[known].any()
    doubts = [
        float(re.search(r"score ([\d.]+), threshold ([\d.]+)", clip.more).group(1)) for clip in doubtful_clips(view)
    ]
    assert all(0.02 < score < 0.98 for score in doubts)


def test_without_recordings_the_page_keeps_all_but_the_sounds(run):
    (run / "config.yaml").write_text((run / "config.yaml").read_text().replace("source: /", "source: /nowhere/"))
    page = page_of(run)
    assert '<section id="clips">' in page
    assert "<img" not in page


def test_without_test_clips_it_says_that_the_figures_are_too_good(run):
    scores = run / "evaluations" / "detector-scores.npz"
    with np.load(scores) as file:
        arrays = {name: file[name] for name in file.files}
    rows = arrays["part"] == "train"
    np.savez(scores, **{name: values[rows] for name, values in arrays.items()})
    page = page_of(run)
    assert "a little too good" in page
    assert "none were set aside for a test" in page


def test_without_features_there_is_no_learning_curve_and_without_a_test_of_heads_no_table_of_them(run):
    assert not (run / "features.npz").exists()
    described = json.loads((run / "evaluations" / "detector.json").read_text())
    write_text(run / "evaluations" / "detector.json", json.dumps(described | {"trials": []}))
    page = page_of(run)
    assert '<section id="labels">' not in page
    assert '<section id="heads">' not in page


def test_a_damaged_file_is_named_and_the_rest_of_the_run_is_shown(run):
    (run / "evaluations" / "detector.json").write_text("{")
    page = page_of(run)
    assert "detector.json cannot be read" in page
    assert '<section id="again">' in page


def test_the_learning_curve_is_put_into_words():
    rising = [CurvePoint(4, 0.7, 0.01), CurvePoint(8, 0.8, 0.01)]
    more = LearningCurve("accuracy", tuple(rising), (CurvePoint(16, 0.87, 0.0),))
    assert labels_sentence(more).endswith("16 clips per class would give about 87 % (extrapolated).")
    flat = LearningCurve("accuracy", tuple(rising), (CurvePoint(16, 0.803, 0.0),))
    assert "change little" in labels_sentence(flat)
    assert "too few points" in labels_sentence(LearningCurve("accuracy", tuple(rising), ()))


@pytest.mark.parametrize("change", [{"classes": None}, {"names": 3.5}, {"head": {"settings": None}}, {"trials": ["x"]}])
def test_a_description_of_another_form_is_refused_in_words(tmp_path, change):
    run = make_detector(tmp_path, clips=8, sounds=False)
    file = run / "evaluations/detector.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(AuricleError, match=f"detector.json is damaged: its '{next(iter(change))}.*' cannot be read"):
        load_description(run)
