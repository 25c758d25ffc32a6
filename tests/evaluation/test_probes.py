"""Probes agree with the golden values of the original programs and with the reference accuracies
([evaluation 10](docs/specification/evaluation.md#s10))."""

from __future__ import annotations

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, StandardScaler, check_features
from auricle.evaluation.probes.evar import EarlyStopping, EvarProbe, draw_hold_out, evar_loss
from auricle.evaluation.probes.fewshot import FewShot
from auricle.evaluation.probes.knn import KNN
from auricle.evaluation.probes.logistic import Logistic, LogisticCV
from auricle.evaluation.protocols import PROTOCOLS, protocol
from auricle.evaluation.scoring import few_shot_curve, mean_and_std, score_features
from auricle.evaluation.splits import NO_ROWS, Split
from auricle.evaluation.statistics import PooledStatistics, PublishedStatistics
from auricle.evaluation.targets import ClassTargets, EventTargets
from helpers.evaluation_data import blobs, task_split
from helpers.paths import GOLDEN

EVAR = json.loads((GOLDEN / "evaluation/evar.json").read_text())


@pytest.fixture(scope="module")
def evar():
    return load_file(GOLDEN / "evaluation/evar.safetensors")


def one_hot(index, classes):
    return np.eye(classes, dtype=np.float32)[index]


def fit_predict(probe, x, targets, split, *, multilabel=False, metric="auto", seed=42):
    """Features (n, D) and targets (n, C) of all rows -> scores of the test rows."""
    names = tuple(map(str, range(targets.shape[1])))
    return probe.fit_predict(Features(x), ClassTargets(names, targets, multilabel, metric), split, RandomKey(seed))


def quarter_tested(count):
    test = np.arange(count) % 4 == 0
    return Split("test", np.flatnonzero(~test), NO_ROWS, np.flatnonzero(test))


def test_the_published_running_statistics_forget_the_first_batch(evar):
    statistics = PublishedStatistics()
    for i, (mean, std) in enumerate(EVAR["running_stats"]["after_each_batch"]):
        statistics.add(torch.from_numpy(evar[f"stats/batch{i}"]))
        assert statistics.mean == pytest.approx(mean, rel=1e-9)
        assert statistics.std == pytest.approx(std, rel=1e-9)


def test_pooled_statistics_are_those_of_all_values_at_once(evar):
    batches, statistics = [torch.from_numpy(evar[f"stats/batch{i}"]) for i in range(6)], PooledStatistics()
    for batch in batches:
        statistics.add(batch)
    values = torch.cat([batch.flatten() for batch in batches])
    assert statistics.mean == pytest.approx(float(values.mean()))
    assert statistics.std == pytest.approx(float(values.std(correction=0)))


def test_early_stopping_replays_the_golden_trace():
    trace = EVAR["early_stopping"]
    stopping = EarlyStopping(trace["patience"])
    flags = [stopping.stop(value) for value in trace["values"][: len(trace["stop_flag_after_epoch"])]]
    assert flags == trace["stop_flag_after_epoch"]
    assert stopping.best_epoch == trace["best_epoch"]


def test_the_evar_loss_is_divided_by_the_number_of_classes(evar):
    logits, target, soft = (torch.from_numpy(evar[f"loss/{name}"]) for name in ("logits", "target", "soft_target"))
    loss = EVAR["loss"]
    assert float(evar_loss(logits, target.double())) == pytest.approx(loss["nll_onehot"], rel=1e-9)
    assert float(evar_loss(logits, soft)) == pytest.approx(loss["nll_soft"], rel=1e-9)
    assert 4 * loss["nll_onehot"] == pytest.approx(loss["ce_mean_over_samples"])


def test_knn_has_the_golden_scores_of_both_forms():
    golden = load_file(GOLDEN / "evaluation/knn.safetensors")
    x = np.concatenate([golden["train"], golden["test"]])
    targets = one_hot(np.concatenate([golden["labels"], np.zeros(len(golden["test"]), int)]), 4)
    split = Split("test", np.arange(len(golden["train"])), NO_ROWS, np.arange(len(golden["train"]), len(x)))
    for form, name in (("cosine", "scores_per_sample_cosine"), ("xares", "scores_original")):
        assert np.abs(fit_predict(KNN(form), x, targets, split) - golden[name]).max() < 1e-5


def test_knn_of_fewer_clips_than_neighbours_uses_all():
    x, index = blobs(12)
    split = quarter_tested(12)
    assert np.allclose(fit_predict(KNN(), x, one_hot(index, 3), replace(split, train=split.train[:4])).sum(1), 1)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_learns_separable_classes_and_repeats_itself(name):
    x, index = blobs(spread=0.3)
    split, true = quarter_tested(len(x)), index[::4]
    first, second = (fit_predict(PROTOCOLS[name].probe, x, one_hot(index, 3), split) for _ in range(2))
    assert first.shape == (len(true), 3)
    assert np.array_equal(first, second)
    if name != "knn-xares":  # no cosine: its mistakes are its own
        assert (first.argmax(1) == true).mean() > 0.9


@pytest.mark.parametrize("probe", [Logistic(), LogisticCV(), KNN(), EvarProbe()])
def test_several_labels_per_clip_are_scored_class_by_class(probe):
    x, index = blobs(spread=0.3)
    targets = one_hot(index, 3)
    targets[:, 0] = np.maximum(targets[:, 0], targets[:, 1])
    split = Split("test", np.arange(90), NO_ROWS, np.arange(90, 120))
    scores = fit_predict(probe, x, targets, split, multilabel=True, metric="mAP")
    assert scores[targets[90:] == 1].mean() > scores[targets[90:] == 0].mean()


def test_a_class_without_training_clips_is_never_predicted():
    x, index = blobs()
    for probe in (Logistic(), KNN()):
        assert not (fit_predict(probe, x, one_hot(index, 5), quarter_tested(len(x))).argmax(1) >= 3).any()


def test_the_chosen_penalty_never_sees_the_test_part():
    x, index = blobs(spread=3.0)
    split, targets = quarter_tested(len(x)), one_hot(index, 3)
    moved = x.copy()
    moved[split.test] += 100
    chosen = [fit_predict(LogisticCV(), features, targets, split) for features in (x, moved)]
    assert not np.allclose(chosen[0], chosen[1])
    again = fit_predict(LogisticCV(), x, targets, replace(split, test=split.test[:3]))
    assert np.allclose(again, chosen[0][:3])


def test_a_validation_part_chooses_the_penalty_when_there_is_one():
    x, index = blobs(spread=3.0)
    split, targets = quarter_tested(len(x)), one_hot(index, 3)
    valid = replace(split, valid=split.train[:30], train=split.train[30:])
    assert fit_predict(LogisticCV(), x, targets, valid).shape == fit_predict(LogisticCV(), x, targets, split).shape


@pytest.mark.parametrize("probe", [Logistic(), LogisticCV(), KNN(), FewShot(4), EvarProbe(epochs=3)])
def test_a_probe_reads_no_targets_of_the_test_part(probe):
    x, index = blobs(spread=3.0)
    split, targets = quarter_tested(len(x)), one_hot(index, 3)
    other = targets.copy()
    other[split.test] = targets[split.test][:, [1, 2, 0]]
    assert np.array_equal(fit_predict(probe, x, targets, split), fit_predict(probe, x, other, split))


def test_layers_are_joined_and_frames_alone_are_refused():
    x, index = blobs(spread=0.3)
    targets, split = ClassTargets(("0", "1", "2"), one_hot(index, 3)), quarter_tested(len(x))
    layers = Features(layers=x.reshape(len(x), 2, 4))
    joined = Logistic().fit_predict(layers, targets, split, RandomKey(0))
    assert np.array_equal(joined, Logistic().fit_predict(Features(x), targets, split, RandomKey(0)))
    frames = Features(frames=tuple(np.ones((3 + i % 2, 8)) for i in range(len(x))))
    with pytest.raises(AuricleError, match="only frames"):
        Logistic().fit_predict(frames, targets, split, RandomKey(0))


def test_features_of_training_windows_train_and_the_others_are_tested():
    x, index = blobs(spread=0.3)
    targets, split = ClassTargets(("0", "1", "2"), one_hot(index, 3)), quarter_tested(len(x))
    shuffled = Features(x, for_training=Features(x[::-1].copy()))
    scores = Logistic().fit_predict(shuffled, targets, split, RandomKey(0))
    assert not np.array_equal(scores, Logistic().fit_predict(Features(x), targets, split, RandomKey(0)))


def test_features_of_different_lengths_are_refused():
    with pytest.raises(AuricleError, match="different numbers of clips"):
        Features(clip=np.ones((3, 2)), layers=np.ones((4, 1, 2)))
    with pytest.raises(AuricleError, match="as many times as frames"):
        Features(frames=(np.ones((3, 2)),), times=(np.ones(2),))
    with pytest.raises(AuricleError, match="at least one of"):
        Features()


def test_a_probe_of_classes_refuses_targets_of_another_kind():
    events = EventTargets((), ((),) * 8)
    with pytest.raises(AuricleError, match="kind 'events'"):
        Logistic().fit_predict(Features(np.ones((8, 2))), events, quarter_tested(8), RandomKey(0))


def test_the_hold_out_is_a_tenth_with_every_class():
    targets = one_hot(np.arange(200) % 4, 4)
    held = draw_hold_out(targets, RandomKey(1))
    assert held.sum() == 20
    assert targets[held].any(0).all()


def test_the_scaler_leaves_constant_features_alone():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert StandardScaler.fit(x)(x).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_seeds_change_the_evar_probe_and_nothing_exact():
    x, index = blobs(spread=3.0)
    task = task_split(index, np.arange(len(x)) // 3 % 3)
    seeded = score_features(task, protocol("evar"), Features(x), (1, 2))
    exact = score_features(task, protocol("logistic"), Features(x), (1, 2))
    assert len(seeded.scores) == 6
    assert len({s.score for s in seeded.scores}) > 1
    assert [s.seed for s in exact.scores] == [0, 0, 0]
    assert mean_and_std(exact.scores)[0] == pytest.approx(np.mean([s.score for s in exact.scores]))


def test_few_shot_draws_are_nested_and_balanced():
    task = task_split(np.arange(60) % 3, np.arange(60) // 3 % 2)
    two, four = (FewShot(n).draw(task.targets, task.splits[0], RandomKey(0)).train for n in (2, 4))
    assert set(two) <= set(four) <= set(task.splits[0].train)
    assert np.bincount(task.targets.index[four]).tolist() == [4, 4, 4]


def test_few_shot_scores_rise_with_the_shots():
    x, index = blobs(240, spread=2.0)
    points = few_shot_curve(task_split(index, np.arange(240) // 3 % 3), Features(x))
    assert [p.shots for p in points] == [1, 2, 4, 8]
    assert points[-1].score > points[0].score
    assert len(points[0].scores) == 15


def test_nan_features_are_refused_by_name():
    with pytest.raises(AuricleError, match=r"1 of 2 embeddings hold NaN .*bad\.wav"):
        check_features(np.array([[0.0], [np.nan]]), ["good.wav", "bad.wav"])


def test_unknown_protocols_are_refused_with_the_nearest():
    with pytest.raises(AuricleError, match="did you mean logistic"):
        protocol("logistik")
    with pytest.raises(AuricleError, match="no learning rate"):
        protocol("logistic").with_lr(0.1)


def reference_task(shared, task):
    folder, part, label = {"esc10": ("esc10", "fold", "target"), "fsdd": ("fsdd", "speaker", "digit")}[task]
    with open(shared / "data" / folder / "meta.csv") as file:
        rows = list(csv.DictReader(file))
    return task_split(np.array([int(row[label]) for row in rows]), np.array([row[part] for row in rows]))


@pytest.mark.parametrize("features", ["mn04_as", "logmel_mean_std"])
def test_stored_embeddings_score_as_the_reference_says(shared, features):
    stored = load_file(shared / "golden/evaluation/embeddings.safetensors")
    golden = EVAR["logistic_regression_accuracy"]
    cases = {
        "esc10": (f"esc10/{features}", golden[f"esc10/{features}"]),
        "fsdd": (f"fsdd/{features}_f16", list(golden[f"fsdd_digit_leave_one_speaker_out/{features}"].values())),
    }
    for data, (name, expected) in cases.items():
        task = reference_task(shared, data)
        scores = score_features(task, protocol("logistic"), Features(stored[name]), (42,)).scores
        by_fold = {s.fold: s for s in scores}
        for (_, found), reference in zip(sorted(by_fold.items()), expected):
            assert abs(found.score - reference) * found.test <= 2.01


@pytest.mark.parametrize(("features", "expected"), [("mn04_as", 0.99), ("logmel_mean_std", 0.67)])
def test_ten_neighbours_score_as_the_reference_says(shared, features, expected):
    x = load_file(shared / "golden/evaluation/embeddings.safetensors")[f"esc10/{features}"]
    scores = score_features(reference_task(shared, "esc10"), protocol("knn-vote"), Features(x), (42,)).scores
    assert mean_and_std(scores)[0] == pytest.approx(expected, abs=0.0051)


def test_the_evar_probe_and_few_shots_score_as_the_reference_says(shared):
    x = load_file(shared / "golden/evaluation/embeddings.safetensors")["esc10/mn04_as"]
    task = reference_task(shared, "esc10")
    evar = mean_and_std(score_features(task, protocol("evar"), Features(x), (42,)).scores)[0]
    assert 0.97 <= evar <= 0.995
    curve = [point.score for point in few_shot_curve(task, Features(x), repeats=3)]
    assert curve == pytest.approx([0.891, 0.953, 0.969, 0.978], abs=0.03)
