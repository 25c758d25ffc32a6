"""A detector gets new thresholds: from answers, or again from the scores that it keeps."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.detectors.files import load_description
from auricle.hub.load import read_run
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import describe
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.review.detections import model_id
from auricle.review.precision import precision_of
from auricle.review.thresholds import is_exclusive, refit_thresholds, update_thresholds
from helpers.detector_runs import make_detector
from helpers.reviews import answered


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_detector(tmp_path_factory.mktemp("detector"), "multilabel", sounds=False)


@pytest.fixture
def run(made, tmp_path):
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def reviewed(run, label: str = "owl", wanted: float = 0.9, **more):
    """Precision of 40 answers: right above a score of 0.6."""
    encoder = read_run(run)
    scores = np.linspace(0.05, 0.99, 40)
    more = {"model": model_id(encoder.info.name, encoder.fingerprint()), **more}
    return precision_of(answered(scores, scores > 0.6, label, **more), label, wanted)


def test_the_weight_file_and_the_description_hold_the_new_threshold(run):
    before, weights = read_run(run).info.label_space, describe(run / "encoder.safetensors")
    update = update_thresholds(run, [reviewed(run)])
    after = read_run(run).info.label_space
    change = update.changed[0]
    assert (change.label, change.before) == ("owl", before.thresholds[1])
    assert after.thresholds[1] == change.after
    assert 0.5 < change.after < 0.65
    assert (after.thresholds[0], after.thresholds[2]) == (before.thresholds[0], before.thresholds[2])
    assert (after.scale, after.offset) == (before.scale, before.offset)
    assert after.thresholds_fitted_on.endswith("; reviewed: owl (40 answers; precision 0.9)")
    assert before.thresholds_fitted_on in after.thresholds_fitted_on
    described = load_description(run)
    assert described["thresholds"]["values"]["owl"] == change.after
    assert described["reviewed"]["owl"]["yes"] == 17
    owl = next(item for item in described["thresholds"]["classes"] if item["id"] == "owl")
    assert owl["threshold"] == change.after
    assert describe(run / "encoder.safetensors")["lineage"] == weights["lineage"]
    assert read_run(run).fingerprint() == weights["fingerprint"], "the answers stay those of this model"


def test_a_second_review_replaces_what_the_first_one_said(run):
    update_thresholds(run, [reviewed(run)])
    update_thresholds(run, [reviewed(run, wanted=0.8), reviewed(run, "cricket")])
    fitted_on = read_run(run).info.label_space.thresholds_fitted_on
    assert fitted_on.endswith("; reviewed: owl (40 answers; precision 0.8), cricket (40 answers; precision 0.9)")


def test_classes_without_enough_answers_keep_their_threshold(run):
    found = reviewed(run)
    few = precision_of(answered(np.ones(5), np.ones(5), "cricket", model=found.models[0]), "cricket")
    update = update_thresholds(run, [found, few])
    assert [change.label for change in update.changed] == ["owl"]
    assert "review more of cricket (5, 5 yes)" in update.kept[0]
    assert not update.notes
    before = (run / "encoder.safetensors").read_bytes()
    with pytest.raises(AuricleError, match="no threshold of .* was changed: .*review more of cricket"):
        update_thresholds(run, [few])
    wrong = precision_of(answered(np.linspace(0.1, 1, 40), np.arange(40) % 2, "owl", model=found.models[0]), "owl")
    with pytest.raises(AuricleError, match=r"no threshold has a precision of 0\.9"):
        update_thresholds(run, [wrong])
    assert (run / "encoder.safetensors").read_bytes() == before


def test_scores_of_another_model_and_unknown_classes_are_refused(run, tmp_path):
    with pytest.raises(AuricleError, match="those of mn04_as@abc, and .* is another model"):
        update_thresholds(run, [reviewed(run, model="mn04_as@abc")])
    with pytest.raises(AuricleError, match="do not say which model"):
        update_thresholds(run, [reviewed(run, model="")])
    assert "without its fingerprint" in update_thresholds(run, [reviewed(run, model=read_run(run).info.name)]).notes[0]
    with pytest.raises(AuricleError, match="did you mean owl"):
        update_thresholds(run, [replace(reviewed(run), label="owls")])
    with pytest.raises(AuricleError, match="not a run folder"):
        update_thresholds(tmp_path / "nothing", [reviewed(run)])


def test_refitting_learns_nothing_and_keeps_the_goal_for_a_detector_that_grows(run):
    before = read_run(run)
    loose, strict = (
        refit_thresholds(run, ThresholdGoal(target_precision=precision)).space.thresholds for precision in (0.6, 0.99)
    )
    assert all(low <= high for low, high in zip(loose, strict))
    assert loose != strict
    after = read_run(run)
    assert after.info.label_space.thresholds == strict
    assert after.fingerprint() == before.fingerprint()
    assert load_description(run)["thresholds"]["goal"]["target_precision"] == 0.99
    assert RunFolder.open(run).read_config()["detector"]["goal"]["target_precision"] == 0.99


def test_whether_classes_exclude_each_other_is_read_from_the_detector(run):
    assert not is_exclusive(run)
