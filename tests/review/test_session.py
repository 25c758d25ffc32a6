"""A review over an index: the next questions, answers on disk, undo, and the curve."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.index.database import SoundIndex
from auricle.review.queue import ReviewChoice
from auricle.review.session import ReviewSession
from helpers.reviews import small_index


@pytest.fixture
def session(tmp_path) -> ReviewSession:
    scores = np.linspace(0.1, 0.99, 40)
    index = small_index(tmp_path / "index", [(score, 0.0) for score in scores])
    return ReviewSession(index, reviewer="ann", choice=ReviewChoice(sample=30))


def test_questions_come_once_and_answers_outlive_the_session(session):
    first = session.next_items("frog", 3)
    assert len(first) == 3
    for item in first:
        session.record(item, "yes")
    again = ReviewSession(SoundIndex.open(session.index.folder), reviewer="ann", choice=session.choice)
    assert again.progress("Frog") == (3, 30)
    assert not {item.question for item in again.next_items("Frog", 100)} & {item.question for item in first}
    assert [answer.reviewer for answer in again.answers("Frog")] == ["ann"] * 3
    another = ReviewSession(again.index, reviewer="bob", choice=session.choice)
    assert another.next_items("Frog", 3) == first, "a second reviewer is asked the same"


def test_undo_takes_the_last_answer_of_this_reviewer_back(session):
    item = session.next_items("Frog")[0]
    session.record(item, "other", "Toad")
    ReviewSession(session.index, reviewer="bob").record(item, "no")
    assert session.undo().other == "Toad"
    assert session.undo() is None
    assert session.next_items("Frog")[0] == item
    assert [answer.reviewer for answer in session.index.answers()] == ["bob"]


def test_the_curve_grows_with_the_answers(session):
    assert session.curve("Frog") is None
    for item in session.next_items("Frog", 100):
        session.record(item, "yes" if item.score > 0.5 else "no")
    assert session.next_items("Frog") == []
    found = session.curve("Frog", 0.9)
    assert found.right + found.wrong == 30
    assert found.chosen.reached
    assert 0.3 < found.chosen.threshold < 0.55
    assert session.labels() == ["Frog"]


def test_events_are_reviewed_too_and_unknown_classes_are_refused(session):
    assert {item.score > 0.5 for item in session.next_items("Frog", 100, source="events")} == {True}
    with pytest.raises(AuricleError, match="no label 'Bat'"):
        session.next_items("Bat")
    with pytest.raises(AuricleError, match="nothing was found"):
        session.next_items("Owl")
    with pytest.raises(AuricleError, match="windows or events"):
        session.next_items("Frog", source="all")
