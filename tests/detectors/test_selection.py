"""The choice between heads: folds, the rule of one standard error, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.detectors.frozen import select_head
from auricle.detectors.frozen_heads import FrozenHead
from auricle.detectors.selection import (
    Trial,
    can_be_validated,
    candidates,
    held_out_loss,
    inner_folds,
    more_candidates,
    simplest,
    trial_table,
    try_head,
    try_heads,
)
from auricle.metrics.table import metric
from helpers.frozen_features import drawn_features


def trial(kind: str, *scores: float) -> Trial:
    return Trial(FrozenHead(kind), "accuracy", scores, 0.5, 0.1, np.zeros((1, 2), np.float32))


def test_the_simplest_head_within_one_standard_error_of_the_difference_is_kept():
    close = [trial("linear", 0.8, 0.9, 0.7), trial("gated-layers", 0.8, 0.9, 0.71)]
    kept, reason = simplest(close)
    assert kept.choice.kind == "linear"
    assert "within one standard error" in reason


def test_a_head_that_is_better_on_every_fold_is_kept_though_the_folds_differ_much():
    kept, reason = simplest([trial("linear", 0.5, 0.9, 0.7), trial("gated-layers", 0.6, 1.0, 0.8)])
    assert kept.choice.kind == "gated-layers"
    assert "no simpler one" in reason


def test_lower_scores_are_better_where_the_metric_says_so():
    assert simplest([trial("linear", 0.5, 0.5), trial("prototype", 0.1, 0.1)], sign=-1)[0].choice.kind == "prototype"


def test_the_settings_of_a_kind_are_those_with_the_least_log_loss():
    worse, better = trial("linear", 1.0, 1.0), replace(trial("linear", 0.9, 1.0), loss=0.4)
    assert simplest([worse, better])[0] is better


def test_the_simplest_of_equal_heads_is_kept_and_said_to_be_that():
    kept, reason = simplest([trial("linear", 0.7, 0.8), trial("prototype", 0.8, 0.7)])
    assert kept.choice.kind == "linear"
    assert "it is the simplest of those with the best score" in reason


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_the_log_loss_is_that_of_pytorch(kind):
    features = drawn_features(20, 3)
    logits = np.random.default_rng(0).normal(0, 3, (20, 3)).astype(np.float32)
    given, wanted = torch.from_numpy(logits), torch.from_numpy(features.targets)
    functions = torch.nn.functional
    loss = functions.cross_entropy if kind == "multiclass" else functions.binary_cross_entropy_with_logits
    assert held_out_loss(logits, features.targets, features.known, kind) == pytest.approx(
        loss(given, wanted).item(), rel=1e-5
    )


def test_nothing_that_can_be_scored_is_said():
    with pytest.raises(AuricleError, match="no head could be scored"):
        simplest([trial("linear")])


def test_groups_stay_in_one_fold_and_every_fold_has_every_class():
    features = drawn_features(60, 3)
    features = replace(features, groups=tuple(f"speaker {i // 6}" for i in range(60)))
    folds = inner_folds(features)
    assert len(set(folds)) == 5
    assert all(len({fold for fold, g in zip(folds, features.groups) if g == group}) == 1 for group in features.groups)
    for fold in range(5):
        assert features.targets[folds == fold].any(0).all()


def test_one_group_or_one_clip_a_class_is_not_validated_but_gets_a_linear_head():
    alone = replace(drawn_features(6, 3), groups=("one",) * 6)
    single = drawn_features(3, 3)
    for features in (alone, single):
        assert not can_be_validated(features, inner_folds(features))
        selection = select_head(features, ("linear", "prototype"), "multiclass", metric("accuracy"))
        assert selection.kept.choice == FrozenHead("linear")
        assert "too few clips or groups" in selection.reason


def test_held_out_logits_are_those_of_a_head_that_did_not_learn_the_clip():
    features = drawn_features(30, 3)
    folds = inner_folds(features)
    moved = features.clip.copy()
    moved[folds == 0] += 100.0
    other = replace(features, clip=moved)
    first, second = (
        try_head(FrozenHead("linear"), x, folds, "multiclass", metric("accuracy")) for x in (features, other)
    )
    assert not np.allclose(first.logits[folds == 1], second.logits[folds == 1])
    assert np.isfinite(second.logits).all()


def test_heads_whose_features_are_not_there_are_not_tried():
    bare = replace(drawn_features(), frames=None, layers=())
    assert {head.kind for head in candidates(("linear", "gated-layers", "attentive"), bare)} == {"linear"}


def test_a_search_draws_on_and_the_table_names_what_was_kept():
    features = drawn_features(20, 2)
    more = more_candidates(("linear", "gated-layers"), features)
    drawn = {next(more) for _ in range(60)}
    assert len(drawn) > 20
    trials = try_heads([FrozenHead("linear")] * 3, features, inner_folds(features), "multiclass", metric("accuracy"))
    assert len(trials) == 1
    selection = select_head(features, ("linear", "prototype"), "multiclass", metric("accuracy"))
    table = trial_table(selection.trials, selection.kept).splitlines()
    assert table[0].split() == ["head", "accuracy", "standard", "error", "log", "loss", "seconds"]
    assert sum(line.startswith("* ") for line in table) == 1
