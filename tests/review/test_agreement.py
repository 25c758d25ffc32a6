"""Several reviewers: one answer to each question, how far they agree, and what they differ about."""

from __future__ import annotations

from auricle.index.answers import Answer
from auricle.review.agreement import agreements, joined


def given(second: float, *answers: tuple[str, str] | tuple[str, str, str]) -> list[Answer]:
    """Answers of named reviewers about one span: (name, answer[, other])."""
    return [
        Answer("/a.wav", second, second + 1, "Frog", answer, *other, reviewer=name) for name, answer, *other in answers
    ]


def test_most_reviewers_decide_and_a_tie_stays_open():
    answers = [
        *given(0, ("ann", "yes"), ("bob", "no"), ("cy", "yes")),
        *given(1, ("ann", "yes"), ("bob", "no")),
        *given(2, ("ann", "unsure"), ("bob", "no")),
        *given(3, ("ann", "other", "Toad"), ("bob", "no")),
        *given(4, ("ann", "other", "Toad"), ("bob", "other", "Newt")),
    ]
    settled, conflicts = joined(answers)
    assert [(a.answer, a.other) for a in settled] == [
        ("yes", ""),
        ("unsure", ""),
        ("no", ""),
        ("other", "Toad"),
        ("no", ""),
    ]
    assert [conflict.answers[0].start for conflict in conflicts] == [0, 1, 4]


def test_kappa_is_of_the_questions_that_both_decided():
    answers = []
    for second, (one, two) in enumerate(
        [("yes", "yes")] * 4 + [("no", "other")] * 3 + [("yes", "no"), ("unsure", "no")]
    ):
        answers += given(float(second), ("ann", one), ("bob", two))
    answers += given(50.0, ("ann", "yes"))
    (found,) = agreements(answers)
    assert (found.first, found.second, found.common, found.decided, found.same) == ("ann", "bob", 9, 8, 7)
    assert found.counts == ((4, 1), (0, 3))
    assert abs(found.kappa.value - 0.75) < 1e-9


def test_one_reviewer_agrees_with_nobody():
    assert agreements(given(0, ("ann", "yes"))) == []
    assert joined(given(0, ("ann", "yes")))[1] == []
