"""Calibration and thresholds: known answers, properties, and data that are too few."""

import itertools

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.inference.decisions.calibration import calibration_error, decision_scores, fit_decisions, probabilities
from auricle.inference.decisions.scaling import joint_line, lines_by_class
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelSpace

FROGS = LabelSpace("multilabel", ("frog", "cricket"))
BIRDS = LabelSpace("multiclass", ("owl", "rail", "quiet"), background=("quiet",))


def sample(count=400, seed=0, sharp=3.0, middle=-1.0):
    """Logits (n, 2) that are ``sharp`` times too large and shifted, and the targets drawn from the right probabilities."""
    rng = np.random.default_rng(seed)
    right = rng.normal(-1, 2, (count, 2))
    targets = (rng.random((count, 2)) < 1 / (1 + np.exp(-right))).astype(int)
    return (right - middle) * sharp, targets


def exclusive(count=600, seed=0, sharp=4.0):
    rng = np.random.default_rng(seed)
    right = rng.normal(0, 2, (count, 3))
    chance = np.exp(right) / np.exp(right).sum(1, keepdims=True)
    true = (rng.random((count, 1)) > chance.cumsum(1)).sum(1).clip(0, 2)
    return right * sharp, np.eye(3, dtype=int)[true]


def goal(precision=None, rate=None):
    return ThresholdGoal(target_precision=precision, false_alarms_per_hour=rate)


def test_platt_scaling_finds_scale_and_offset_again_and_lowers_the_error_on_new_clips():
    space = fit_decisions(FROGS, *sample(4000)).space
    assert np.allclose(space.scale, 1 / 3, atol=0.03)
    assert np.allclose(space.offset, -1, atol=0.15)
    new = sample(4000, seed=1)
    assert calibration_error(space, *new) < 0.3 * calibration_error(FROGS, *new)
    assert "validation" in space.calibration_fitted_on
    assert "best F1" in space.thresholds_fitted_on


def test_one_temperature_is_found_for_exclusive_classes():
    decisions = fit_decisions(BIRDS, *exclusive(4000))
    assert decisions.space.scale == pytest.approx((0.25,) * 3, abs=0.02)
    assert decisions.space.offset == (0, 0, 0)
    assert decisions.ece_after < 0.2 * decisions.ece_before
    assert [c.id for c in decisions.classes] == ["owl", "rail"]


@pytest.mark.parametrize(("space", "data"), [(FROGS, sample()), (BIRDS, exclusive())])
def test_calibration_never_changes_which_clip_or_class_is_likelier(space, data):
    calibrated = fit_decisions(space, *data).space
    if space.kind == "multilabel":
        before, after = np.argsort(data[0], 0, kind="stable"), np.argsort(data[0] * calibrated.scale, 0, kind="stable")
    else:
        before, after = data[0].argmax(1), probabilities(calibrated, data[0]).argmax(1)
    assert min(calibrated.scale) > 0
    assert np.array_equal(before, after)


@pytest.mark.parametrize("wanted", [goal(), goal(0.9), goal(rate=20)])
def test_the_order_of_the_clips_does_not_matter(wanted):
    logits, targets = sample()
    order = np.random.default_rng(1).permutation(len(logits))
    one = fit_decisions(FROGS, logits, targets, goal=wanted, hours_of_background=1.0).space
    other = fit_decisions(FROGS, logits[order], targets[order], goal=wanted, hours_of_background=1.0).space
    assert one.thresholds == pytest.approx(other.thresholds, abs=1e-6)
    assert one.scale == pytest.approx(other.scale)


@pytest.mark.parametrize(("space", "data"), [(FROGS, sample()), (BIRDS, exclusive())])
def test_a_higher_wanted_precision_and_fewer_wanted_alarms_never_lower_a_threshold(space, data):
    def thresholds(wanted):
        fitted = fit_decisions(space, *data, goal=wanted, hours_of_background=1.0).space
        return np.array([fitted.thresholds[c] for c in fitted.reported])

    by_precision = [thresholds(goal(p)) for p in (0.5, 0.7, 0.8, 0.9, 0.95, 0.999)]
    by_rate = [thresholds(goal(rate=r)) for r in (1000, 50, 10, 2, 0.5)]
    for steps in (by_precision, by_rate):
        assert all((after >= before).all() for before, after in itertools.pairwise(steps))
        assert (steps[-1] > steps[0]).all()


@pytest.mark.parametrize(("space", "draw"), [(FROGS, sample), (BIRDS, exclusive)])
def test_a_wanted_precision_holds_on_new_clips(space, draw):
    logits, targets = draw(1500)
    fitted = fit_decisions(space, logits, targets, goal=goal(0.9)).space
    new_logits, new_targets = draw(4000, seed=5)
    decided = fitted.decide(torch.from_numpy(new_logits)).numpy()
    for c in fitted.reported:
        assert new_targets[decided[:, c], c].mean() > 0.88


def test_figures_are_those_of_the_decisions_of_the_label_space():
    for space, data in ((FROGS, sample()), (BIRDS, exclusive())):
        decisions = fit_decisions(space, *data, goal=goal(0.8), hours_of_background=2.0)
        decided = decisions.space.decide(torch.from_numpy(data[0])).numpy()
        background = (data[1][:, list(space.reported)] == 0).all(1)
        for c, figures in zip(space.reported, decisions.classes):
            assert figures.decided == decided[:, c].sum()
            assert figures.hits == (decided[:, c] & (data[1][:, c] == 1)).sum()
            assert figures.precision_interval[0] <= figures.precision <= figures.precision_interval[1]
            assert figures.false_alarms_per_hour == decided[background, c].sum() / 2


def test_the_best_f1_is_the_best_of_all_thresholds():
    logits, targets = sample(200)
    decisions = fit_decisions(FROGS, logits, targets)
    scores = decision_scores(decisions.space, logits)
    for c, figures in enumerate(decisions.classes):
        decided = scores[:, c] >= scores[:, c][:, None]
        f1 = 2 * (decided & (targets[:, c] == 1)).sum(1) / (decided.sum(1) + targets[:, c].sum())
        assert figures.f1 == pytest.approx(f1.max())


def test_wanted_false_alarms_are_counted_in_the_background_alone():
    targets = np.zeros((100, 2), int)
    targets[:20, 0] = targets[10:30, 1] = 1
    logits = np.stack([np.linspace(5, -5, 100)] * 2, 1)
    decisions = fit_decisions(FROGS, logits, targets, goal=goal(rate=4), hours_of_background=0.5)
    assert [c.false_alarms_per_hour for c in decisions.classes] == [4.0, 4.0]
    assert not decisions.notes
    with pytest.raises(AuricleError, match="--negatives"):
        fit_decisions(FROGS, logits, targets, goal=goal(rate=4))
    short = fit_decisions(FROGS, logits, targets, goal=goal(rate=1), hours_of_background=0.5)
    assert [c.false_alarms_per_hour for c in short.classes] == [0.0, 0.0]
    assert "too short" in short.notes[0]


def test_what_was_not_annotated_changes_nothing():
    logits, targets = sample(300)
    known = np.ones_like(targets)
    known[200:, 1] = 0
    wrong = np.where(known == 1, targets, 1 - targets)
    one, other = (fit_decisions(FROGS, logits, t, known, goal=goal(0.9)) for t in (targets, wrong))
    assert one == other
    assert one.classes[1].positives + one.classes[1].negatives == 200


def test_scores_that_separate_the_classes_perfectly_give_finite_numbers_and_a_threshold_in_the_gap():
    targets = np.repeat([[1, 0], [0, 1], [0, 0]], 15, axis=0)
    logits = np.where(targets == 1, 1000.0, -1000.0) + np.random.default_rng(0).normal(0, 1, targets.shape)
    for wanted in (goal(), goal(0.9)):
        decisions = fit_decisions(FROGS, logits, targets, goal=wanted)
        assert np.isfinite(decisions.space.scale + decisions.space.offset).all()
        assert not decisions.notes
        assert all(0.2 < c.threshold < 1 and c.precision == c.recall == 1 for c in decisions.classes)
    sure = fit_decisions(BIRDS, np.eye(3)[np.arange(60) % 3] * 1000, np.eye(3)[np.arange(60) % 3])
    assert np.isfinite(sure.space.scale).all()
    assert [c.recall for c in sure.classes] == [1, 1]


def test_a_class_with_few_clips_takes_the_calibration_and_threshold_of_all_and_it_is_said():
    logits, targets = sample()
    rare = targets.copy()
    rare[np.flatnonzero(rare[:, 1])[3:], 1] = 0
    decisions = fit_decisions(FROGS, logits, rare)
    assert [c.shared for c in decisions.classes] == [False, True]
    assert all("cricket" in note and "fewer than 10" in note for note in decisions.notes)
    assert len(decisions.notes) == 2


@pytest.mark.parametrize(
    ("logits", "targets", "said"),
    [
        (np.zeros((40, 2)), np.eye(2, dtype=int)[np.arange(40) % 2], "no higher where it holds"),
        (np.ones((40, 2)) * np.linspace(-1, 1, 40)[:, None], np.ones((40, 2), int), ""),
        (np.ones((40, 2)) * np.linspace(-1, 1, 40)[:, None], np.zeros((40, 2), int), "fewer than 10"),
        (np.linspace(1, -1, 40)[:, None] * [1, 1], (np.arange(40)[:, None] // 20).repeat(2, 1), "no higher"),
    ],
)
def test_labels_that_nothing_can_be_fitted_to_are_pointed_out(logits, targets, said):
    for wanted in (goal(), goal(0.9)):
        decisions = fit_decisions(FROGS, logits, targets, goal=wanted)
        assert any(said in note for note in (*decisions.notes, "")), decisions.notes
        assert np.isfinite(decisions.space.thresholds).all()
        assert decisions.scaling.kind in ("none", "all classes")
        assert decisions.ece_after <= decisions.ece_before


def test_one_class_and_one_clip_are_possible():
    alone = fit_decisions(LabelSpace("multiclass", ("owl",)), np.ones((1, 1)), np.ones((1, 1)))
    assert alone.notes
    assert alone.space.scale == ()
    assert "too few" in alone.scaling.reason
    assert alone.to_json()["classes"][0]["positives"] == 1
    assert fit_decisions(LabelSpace("multilabel", ("owl",)), np.ones((1, 1)), np.zeros((1, 1))).notes


def test_scores_that_are_right_already_are_left_as_they_are():
    """Fitted to few clips, a calibration would make them worse on new ones."""
    for space, draw in ((FROGS, sample), (BIRDS, exclusive)):
        middle = {"middle": 0.0} if space is FROGS else {}
        kinds = [fit_decisions(space, *draw(80, seed, 1.0, **middle)).scaling.kind for seed in range(20)]
        assert kinds.count("none") >= 16


def test_a_gain_that_only_some_speakers_have_is_no_gain():
    """Two of four speakers are more certain than they may be, the others less: no line is right for the next one."""
    parts = [exclusive(100, seed, sharp) for seed, sharp in enumerate((1.5, 1.5, 0.7, 0.7))]
    logits, targets = (np.concatenate(values) for values in zip(*parts))
    speakers = np.repeat(["anna", "bela", "carl", "dora"], 100)
    assert fit_decisions(BIRDS, logits, targets, groups=speakers).scaling.kind == "none"
    sharp = fit_decisions(BIRDS, 6 * logits, targets, groups=speakers)
    assert sharp.scaling.kind == "temperature"
    assert sharp.scaling.folds == 4
    assert "on 4 held-out folds" in sharp.scaling.reason


def test_the_line_of_a_class_with_few_clips_is_drawn_to_that_of_all_classes():
    logits, targets = sample(600)
    logits[:, 1] = 2 * logits[:, 1] + 3  # the cricket needs another line
    scale = [lines_by_class(logits[:n], targets[:n].astype(float), few=10)[0] for n in (600, 60)]
    joint = [joint_line(logits[:n], targets[:n].astype(float))[0][1] for n in (600, 60)]
    assert scale[0][1] == pytest.approx(1 / 6, abs=0.03)
    assert abs(scale[1][1] - joint[1]) < abs(scale[0][1] - joint[0])
    assert np.allclose(
        lines_by_class(logits, targets.astype(float), few=601), joint_line(logits, targets.astype(float))
    )


def test_a_class_whose_clips_all_come_from_one_group_is_pointed_out():
    logits, targets = sample()
    groups = ["pond" if own else f"site {i % 3}" for i, own in enumerate(targets[:, 0])]
    notes = fit_decisions(FROGS, logits, targets, groups=groups).notes
    assert len(notes) == 1
    assert notes[0].startswith("frog: all clips")
    assert "one group" in notes[0]


def test_a_precision_that_is_out_of_reach_is_said():
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (60, 2))
    decisions = fit_decisions(FROGS, rng.normal(size=(60, 2)) + 0.2 * targets, targets, goal=goal(0.99))
    assert any("no threshold has a precision of 0.99" in note for note in decisions.notes)


def test_scores_that_are_not_finite_and_arrays_of_other_shapes_are_refused():
    logits, targets = sample(30)
    logits[3, 1] = np.nan
    with pytest.raises(AuricleError, match="cricket are not finite"):
        fit_decisions(FROGS, logits, targets)
    with pytest.raises(AuricleError, match="2 classes"):
        fit_decisions(FROGS, sample(30)[0], targets[:20])
    with pytest.raises(AuricleError, match="0 or 1"):
        fit_decisions(FROGS, sample(30)[0], targets * 2)


def test_the_goal_is_read_from_the_options():
    assert ThresholdGoal().chosen == "f1"
    assert goal(0.95).chosen == "precision"
    assert goal(rate=2).chosen == "false-alarms"
    assert ThresholdGoal("precision").wanted_precision == 0.9
    assert ThresholdGoal("false-alarms").wanted_rate == 1
    for wrong in (
        {"target_precision": 1.0},
        {"target_precision": 0.9, "false_alarms_per_hour": 1.0},
        {"threshold_for": "f2"},
    ):
        with pytest.raises(AuricleError):
            ThresholdGoal(**wrong)
    with pytest.raises(AuricleError, match="--target-precision needs --threshold-for precision"):
        ThresholdGoal("f1", target_precision=0.9)
