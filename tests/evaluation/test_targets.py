"""Targets of every task kind: read from a manifest where it holds them, checked, and scored by the table of metrics."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest, Segment
from auricle.evaluation.targets import (
    ClassTargets,
    EventTargets,
    PairTargets,
    RetrievalTargets,
    SequenceTargets,
    sequence_targets,
    targets_of,
)
from auricle.evaluation.tasks import Task
from auricle.metrics.table import METRICS, TASK_KINDS, Metric


def manifest(*clips, classes=None):
    return Manifest(tuple(Clip(id=str(i), **values) for i, values in enumerate(clips)), classes=classes)


BIRDS = (
    {"labels": ("crow",), "events": (Segment(0.5, 1.0, "crow"),), "transcript": "kra kra"},
    {"labels": ("owl",), "events": (), "transcript": "hu"},
    {"labels": ("owl",), "start": 10.0, "end": 12.0, "events": (Segment(9.0, 10.5, "owl"), Segment(13.0, 14.0, "owl"))},
)


def test_one_label_per_clip_is_multiclass_and_several_are_multilabel():
    single = targets_of(manifest(*BIRDS))
    assert (single.kind, single.scored_by.name, single.classes) == ("multiclass", "accuracy", ("crow", "owl"))
    assert single.index.tolist() == [0, 1, 1]
    several = targets_of(manifest(*BIRDS, {"labels": ("crow", "owl")}))
    assert (several.kind, several.scored_by.name, len(several)) == ("multilabel", "mAP", 4)


def test_a_kind_may_be_named():
    assert targets_of(manifest(*BIRDS), "multilabel").kind == "multilabel"
    with pytest.raises(AuricleError, match="exactly one label per clip; row 3 has 2"):
        targets_of(manifest(*BIRDS, {"labels": ("crow", "owl")}), "multiclass")
    with pytest.raises(AuricleError, match="unknown task kind 'chords'"):
        targets_of(manifest(*BIRDS), "chords")


def test_a_metric_of_another_task_kind_is_refused():
    with pytest.raises(AuricleError, match="applies to multiclass tasks"):
        targets_of(manifest(*BIRDS), "multilabel", "accuracy")
    with pytest.raises(AuricleError, match="applies to multiclass tasks"):
        Task("birds", kind="multilabel", metric="accuracy")


def test_events_are_in_seconds_of_the_clip_and_cut_to_it():
    targets = targets_of(manifest(*BIRDS), "events")
    assert targets.classes == ("crow", "owl")
    assert targets.events == ((Segment(0.5, 1.0, "crow"),), (), (Segment(0.0, 0.5, "owl"),))
    assert targets.truth(np.array([2, 0])) == [targets.events[2], targets.events[0]]
    assert targets_of(manifest(*BIRDS, classes=("owl", "crow")), "events").classes == ("owl", "crow")


def test_events_are_checked():
    with pytest.raises(AuricleError, match="none of the 1 clips has events"):
        targets_of(manifest({"labels": ("crow",)}), "events")
    with pytest.raises(AuricleError, match="runs from 2 to 1 s"):
        EventTargets(("crow",), ((Segment(2, 1, "crow"),),))
    with pytest.raises(AuricleError, match="not one of the classes"):
        EventTargets(("crow",), ((Segment(0, 1, "owl"),),))


def test_transcripts_become_tokens_of_characters_or_words():
    spoken = manifest({"transcript": "kra kra"}, {"transcript": "hu"}, {"transcript": ""})
    characters = targets_of(spoken, "sequence")
    assert "".join(characters.vocabulary[i] for i in characters.tokens[0]) == "kra kra"
    assert [len(tokens) for tokens in characters.tokens] == [7, 2, 0]
    tokens_of_words = sequence_targets(spoken, "words")
    assert tokens_of_words.vocabulary == ("hu", "kra")
    assert [tokens.tolist() for tokens in tokens_of_words.truth(np.array([0, 1]))] == [[1, 1], [0]]


def test_transcripts_are_checked():
    with pytest.raises(AuricleError, match="1 of 3 clips have no transcript"):
        targets_of(manifest(*BIRDS), "sequence")
    with pytest.raises(AuricleError, match="unknown unit"):
        sequence_targets(manifest(*BIRDS), "phones")
    with pytest.raises(AuricleError, match="outside the vocabulary of 2"):
        SequenceTargets(("a", "b"), (np.array([0, 2]),))
    with pytest.raises(AuricleError, match="not a vector of whole numbers"):
        SequenceTargets(("a", "b"), (np.array([0.5]),))


def test_pairs_are_scored_and_checked():
    pairs = PairTargets((("a", "b"), ("a", "c"), ("b", "c")), np.array([True, False, False]))
    assert pairs.score(np.array([[0.9], [0.1]]), np.array([0, 1])) == 1.0
    pairs.check_ids({"a", "b", "c"})
    with pytest.raises(AuricleError, match="1 clips of a pair are not in the manifest \\('c'"):
        pairs.check_ids({"a", "b"})
    with pytest.raises(AuricleError, match="at least one that is the same"):
        PairTargets((("a", "b"),), np.array([True]))
    with pytest.raises(AuricleError, match="as many truth values"):
        PairTargets((("a", "b"),), np.array([True, False]))


def test_relevance_is_checked():
    targets = RetrievalTargets(("q",), ("a", "b"), np.array([[0.0, 1.0]]))
    assert targets.truth(np.array([0])).tolist() == [[0.0, 1.0]]
    with pytest.raises(AuricleError, match="query or item"):
        targets.check_ids({"q", "a"})
    with pytest.raises(AuricleError, match="no relevant item"):
        RetrievalTargets(("q",), ("a",), np.zeros((1, 1)))
    with pytest.raises(AuricleError, match="is \\(1, 2\\), not"):
        RetrievalTargets(("q",), ("a", "b"), np.ones((2, 2)))
    with pytest.raises(AuricleError, match="not negative"):
        RetrievalTargets(("q",), ("a",), -np.ones((1, 1)))


@pytest.mark.parametrize("kind", ["pairs", "retrieval"])
def test_targets_that_a_manifest_cannot_hold_are_refused(kind):
    with pytest.raises(AuricleError, match="make them from a list of ids"):
        targets_of(manifest(*BIRDS), kind)


@pytest.mark.parametrize("kind", TASK_KINDS)
def test_every_kind_is_a_setting_of_a_task(kind):
    assert Task("birds", kind=kind).kind == kind


def test_a_lower_value_of_an_error_rate_has_more_merit(monkeypatch):
    error = Metric("error", lambda s, t: float((s.argmax(1) != t.argmax(1)).mean()), ("multiclass",), False)
    monkeypatch.setitem(METRICS, "error", error)
    targets = ClassTargets(("a", "b"), np.eye(2, dtype=np.float32), metric="error")
    right, wrong = np.eye(2), np.eye(2)[::-1]
    assert targets.score(right, np.arange(2)) < targets.score(wrong, np.arange(2))
    assert targets.merit(right, np.arange(2)) > targets.merit(wrong, np.arange(2))


def test_the_first_editions_settings_are_read():
    task = Task("birds", metric="roc-auc", seconds=0)
    assert (task.metric, task.seconds, task.title) == ("roc_auc", None, "birds")
