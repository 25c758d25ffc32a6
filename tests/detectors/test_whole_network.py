"""The comparison of a trained network with a frozen head on clips that neither learnt from."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.detectors.files import PartScores
from auricle.detectors.whole_network import ENOUGH_CLIPS, compare, why_too_few
from auricle.metrics.table import metric


def scored(right: np.ndarray, ids: list[str] | None = None, groups: list[str] | None = None) -> PartScores:
    """Two classes in turn; a clip is right or wrong."""
    targets = np.eye(2, dtype=np.float32)[np.arange(len(right)) % 2]
    logits = np.where(right[:, None], targets, 1 - targets).astype(np.float32)
    names = tuple(ids or [f"{i}.wav" for i in range(len(right))])
    return PartScores(
        "valid", names, tuple(groups or names), np.ones(len(right)), logits, targets, np.ones_like(targets)
    )


def test_the_standard_error_of_the_gain_is_that_of_paired_differences():
    source = np.random.default_rng(0)
    before, after = source.random(200) < 0.7, source.random(200) < 0.8
    found = compare(scored(after), scored(before), "multiclass", metric("accuracy", "multiclass"))
    difference = after.astype(float) - before
    assert found.gain == pytest.approx(difference.mean())
    assert found.error == pytest.approx(difference.std(ddof=1) / 200**0.5, rel=0.2)
    assert found.clips == 200


def test_equal_scores_are_not_clearly_better():
    right = np.arange(40) % 5 > 0
    found = compare(scored(right), scored(right), "multiclass", metric("accuracy", "multiclass"))
    assert (found.gain, found.error, found.clearly_better) == (0.0, 0.0, False)


def test_clips_of_one_group_are_drawn_together():
    before, after = np.ones(40, bool), np.ones(40, bool)
    before[:8] = False
    accuracy, groups = metric("accuracy", "multiclass"), [f"speaker {i // 8}" for i in range(40)]
    alone = compare(scored(after), scored(before), "multiclass", accuracy)
    together = compare(scored(after, groups=groups), scored(before, groups=groups), "multiclass", accuracy)
    assert alone.clearly_better
    one = compare(scored(after, groups=["a"] * 40), scored(before, groups=["a"] * 40), "multiclass", accuracy)
    assert one.error == pytest.approx(alone.error, rel=0.2)
    assert together.error > 1.5 * alone.error


def test_windows_of_a_clip_are_averaged_and_clips_that_one_of_both_scored_are_left_out():
    ids = ["a.wav#window=0", "a.wav#window=1", "b.wav#window=0", "c.wav#window=0"]
    windows = scored(np.array([True, True, True, False]), ids)
    windows.targets[1] = windows.targets[0]
    whole = PartScores(
        "valid", ("b.wav", "a.wav"), ("b", "a"), np.ones(2), *(x[[2, 0]] for x in (windows.logits, windows.targets)),
        np.ones((2, 2), np.float32),
    )  # fmt: skip
    found = compare(windows, whole, "multiclass", metric("accuracy", "multiclass"))
    assert found.clips == 2
    assert found.frozen == 1.0


def test_few_clips_in_the_median_class_are_said():
    targets = np.repeat(np.eye(3), [ENOUGH_CLIPS, ENOUGH_CLIPS - 1, 500], axis=0)
    assert why_too_few(targets) == ""
    fewer = np.repeat(np.eye(3), [3, 7, 500], axis=0)
    assert why_too_few(fewer).startswith("the median class has 7 clips to learn from")
