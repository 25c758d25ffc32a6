"""Probes agree with the golden values of the original programs and with the reference accuracies (specification
evaluation)."""

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
from auricle.evaluation.probes.base import ProbeData, StandardScaler, check_features
from auricle.evaluation.probes.evar import EarlyStopping, evar_loss, evar_probe, hold_out
from auricle.evaluation.probes.fewshot import draw_shots, few_shot_curve
from auricle.evaluation.probes.knn import knn_cosine, knn_vote, knn_xares
from auricle.evaluation.probes.logistic import logistic, logistic_cv
from auricle.evaluation.protocols import PROTOCOLS, protocol
from auricle.evaluation.scoring import mean_and_deviation, score_features
from auricle.evaluation.statistics import PooledStatistics, PublishedStatistics
from helpers.evaluation_data import blobs, setting
from helpers.paths import GOLDEN

EVAR = json.loads((GOLDEN / "evaluation/evar.json").read_text())


@pytest.fixture(scope="module")
def evar():
    return load_file(GOLDEN / "evaluation/evar.safetensors")


def one_hot(index, classes):
    return np.eye(classes, dtype=np.float32)[index]


def problem_of(x, index, classes=3, **options):
    train = np.arange(len(x)) % 4 != 0
    return ProbeData(x[train], one_hot(index[train], classes), x[~train], **options), index[~train]


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
    problem = ProbeData(golden["train"], one_hot(golden["labels"], 4), golden["test"])
    assert np.abs(knn_cosine(problem) - golden["scores_per_sample_cosine"]).max() < 1e-5
    assert np.abs(knn_xares(problem) - golden["scores_original"]).max() < 1e-5


def test_knn_of_fewer_clips_than_neighbours_uses_all():
    x, index = blobs(12)
    problem, _ = problem_of(x, index)
    assert np.allclose(
        knn_vote(replace(problem, train=problem.train[:4], train_targets=problem.train_targets[:4])).sum(1), 1
    )


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_learns_separable_classes_and_repeats_itself(name):
    x, index = blobs(spread=0.3)
    problem, true = problem_of(x, index)
    first, second = (PROTOCOLS[name].probe(problem) for _ in range(2))
    assert first.shape == (len(true), 3)
    assert np.array_equal(first, second)
    if name != "knn-xares":  # no cosine: its mistakes are its own
        assert (first.argmax(1) == true).mean() > 0.9


@pytest.mark.parametrize("probe", [logistic, logistic_cv, knn_vote, evar_probe])
def test_several_labels_per_clip_are_scored_class_by_class(probe):
    x, index = blobs(spread=0.3)
    targets = one_hot(index, 3)
    targets[:, 0] = np.maximum(targets[:, 0], targets[:, 1])
    problem = ProbeData(x[:90], targets[:90], x[90:], multilabel=True, metric="mAP")
    scores = probe(problem)
    assert scores[targets[90:] == 1].mean() > scores[targets[90:] == 0].mean()


def test_a_class_without_training_clips_is_never_predicted():
    x, index = blobs()
    problem, _ = problem_of(x, index, classes=5)
    for probe in (logistic, knn_vote):
        assert not (probe(problem).argmax(1) >= 3).any()


def test_the_chosen_penalty_never_sees_the_test_part():
    x, index = blobs(spread=3.0)
    problem, _ = problem_of(x, index)
    moved = replace(problem, test=problem.test + 100)
    chosen = [logistic_cv(p) for p in (problem, moved)]
    assert not np.allclose(chosen[0], chosen[1])
    again = logistic_cv(replace(problem, test=problem.test[:3]))
    assert np.allclose(again, chosen[0][:3])


def test_a_validation_part_chooses_the_penalty_when_there_is_one():
    x, index = blobs(spread=3.0)
    problem, _ = problem_of(x, index)
    valid = replace(problem, valid=x[:30], valid_targets=one_hot(index[:30], 3))
    assert logistic_cv(valid).shape == logistic_cv(problem).shape


def test_the_hold_out_is_a_tenth_with_every_class():
    targets = one_hot(np.arange(200) % 4, 4)
    held = hold_out(targets, RandomKey(1))
    assert held.sum() == 20
    assert targets[held].any(0).all()


def test_the_standardiser_leaves_constant_features_alone():
    x = np.array([[1.0, 5.0], [3.0, 5.0]])
    assert StandardScaler.of(x)(x).tolist() == [[-1.0, 0.0], [1.0, 0.0]]


def test_seeds_change_the_evar_probe_and_nothing_exact():
    x, index = blobs(spread=3.0)
    bench = setting(index, np.arange(len(x)) // 3 % 3)
    seeded = score_features(bench, protocol("evar"), x, (1, 2))
    exact = score_features(bench, protocol("logistic"), x, (1, 2))
    assert len(seeded.scores) == 6
    assert len({s.score for s in seeded.scores}) > 1
    assert [s.seed for s in exact.scores] == [0, 0, 0]
    assert mean_and_deviation(exact.scores)[0] == pytest.approx(np.mean([s.score for s in exact.scores]))


def test_few_shot_draws_are_nested_and_balanced():
    bench = setting(np.arange(60) % 3, np.arange(60) // 3 % 2)
    rows = bench.folds[0].train
    two, four = (draw_shots(bench.labels, rows, n, RandomKey(0)) for n in (2, 4))
    assert set(two) <= set(four) <= set(rows)
    assert np.bincount(bench.labels.index[four]).tolist() == [4, 4, 4]


def test_few_shot_scores_rise_with_the_shots():
    x, index = blobs(240, spread=2.0)
    points = few_shot_curve(setting(index, np.arange(240) // 3 % 3), x)
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


def reference_setting(shared, task):
    folder, part, label = {"esc10": ("esc10", "fold", "target"), "fsdd": ("fsdd", "speaker", "digit")}[task]
    with open(shared / "data" / folder / "meta.csv") as file:
        rows = list(csv.DictReader(file))
    return setting(np.array([int(row[label]) for row in rows]), np.array([row[part] for row in rows]))


@pytest.mark.parametrize("features", ["mn04_as", "logmel_mean_std"])
def test_stored_embeddings_score_as_the_reference_says(shared, features):
    stored = load_file(shared / "golden/evaluation/embeddings.safetensors")
    golden = EVAR["logistic_regression_accuracy"]
    cases = {
        "esc10": (f"esc10/{features}", golden[f"esc10/{features}"]),
        "fsdd": (f"fsdd/{features}_f16", list(golden[f"fsdd_digit_leave_one_speaker_out/{features}"].values())),
    }
    for task, (name, expected) in cases.items():
        bench = reference_setting(shared, task)
        scores = score_features(bench, protocol("logistic"), stored[name], (42,)).scores
        by_fold = {s.fold: s for s in scores}
        for (_, found), reference in zip(sorted(by_fold.items()), expected):
            assert abs(found.score - reference) * found.test <= 2.01


@pytest.mark.parametrize(("features", "expected"), [("mn04_as", 0.99), ("logmel_mean_std", 0.67)])
def test_ten_neighbours_score_as_the_reference_says(shared, features, expected):
    x = load_file(shared / "golden/evaluation/embeddings.safetensors")[f"esc10/{features}"]
    scores = score_features(reference_setting(shared, "esc10"), protocol("knn-vote"), x, (42,)).scores
    assert mean_and_deviation(scores)[0] == pytest.approx(expected, abs=0.0051)


def test_the_evar_probe_and_few_shots_score_as_the_reference_says(shared):
    x = load_file(shared / "golden/evaluation/embeddings.safetensors")["esc10/mn04_as"]
    bench = reference_setting(shared, "esc10")
    evar = mean_and_deviation(score_features(bench, protocol("evar"), x, (42,)).scores)[0]
    assert 0.97 <= evar <= 0.995
    curve = [point.score for point in few_shot_curve(bench, x, repeats=3)]
    assert curve == pytest.approx([0.891, 0.953, 0.969, 0.978], abs=0.03)
