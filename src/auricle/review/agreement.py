"""What several reviewers agree on: one answer to each question, kappa of every two, and the questions to talk about."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from auricle.index.answers import NO, UNSURE, YES, Answer, newest
from auricle.metrics.agreement import Kappa, cohen_kappa

DECIDED = (YES, NO)  # what kappa is about; "other" says no, too


@dataclass(frozen=True)
class Conflict:
    """A question to which reviewers gave different answers; the answers of all of them."""

    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Agreement:
    """How far two reviewers agree.

    Attributes:
        first, second: their names.
        common: questions that both answered.
        decided: questions to which both said yes or no ("other" is a no).
        same: decided questions with the same answer.
        kappa: Cohen's kappa of the decided questions, with its 95 % interval.
        counts: (2, 2): first said yes or no (rows), second said yes or no (columns).
    """

    first: str
    second: str
    common: int
    decided: int
    same: int
    kappa: Kappa
    counts: tuple[tuple[int, int], tuple[int, int]]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "reviewers": [self.first, self.second],
            "common": self.common,
            "decided": self.decided,
            "same": self.same,
            "kappa": self.kappa.value,
            "kappa_interval": [self.kappa.low, self.kappa.high],
            "counts": [list(row) for row in self.counts],
        }


def by_question(answers: Iterable[Answer]) -> dict[tuple, list[Answer]]:
    """Return the last answer of each reviewer to each question."""
    questions: dict[tuple, list[Answer]] = defaultdict(list)
    for answer in newest(answers):
        questions[answer.question].append(answer)
    return questions


def joined(answers: Iterable[Answer]) -> tuple[list[Answer], list[Conflict]]:
    """Return one answer to each question, and the questions on which reviewers differ.

    The answer of most reviewers counts; those who were unsure do not vote. Where as many said yes as no, the question is open: its
    answer is "unsure".

    Args:
        answers: of any number of reviewers.

    Returns:
        (answers, conflicts): conflicts are questions with a yes and a no, also those that a majority settled, and questions to
        which two other labels were given.
    """
    settled, conflicts = [], []
    for given in by_question(answers).values():
        votes = Counter(answer.holds for answer in given if answer.holds is not None)
        others = {answer.other for answer in given if answer.other}
        if len(votes) == 2 or len(others) > 1:
            conflicts.append(Conflict(tuple(given)))
        settled.append(_settled(given, votes, others))
    return settled, conflicts


def _settled(given: Sequence[Answer], votes: Counter, others: set[str]) -> Answer:
    if not votes or votes[True] == votes[False]:
        return replace(given[0], answer=UNSURE, other="")
    holds = votes[True] > votes[False]
    if holds:
        return next(answer for answer in given if answer.holds)
    refused = [answer for answer in given if answer.holds is False]
    named = [answer for answer in refused if answer.other]
    if len(others) == 1 and named:
        return named[0]
    return replace(refused[0], answer=NO if others else refused[0].answer, other="")


def agreements(answers: Iterable[Answer]) -> list[Agreement]:
    """Return how far every two reviewers agree who answered a question in common, by their names."""
    questions = by_question(answers)
    given: dict[str, dict[tuple, Answer]] = defaultdict(dict)
    for question, own in questions.items():
        for answer in own:
            given[answer.reviewer][question] = answer
    found = []
    for first, second in combinations(sorted(given), 2):
        common = given[first].keys() & given[second].keys()
        if common:
            found.append(
                _agreement(first, second, [(given[first][q], given[second][q]) for q in sorted(common, key=str)])
            )
    return found


def _agreement(first: str, second: str, pairs: Sequence[tuple[Answer, Answer]]) -> Agreement:
    counts = np.zeros((2, 2), np.int64)
    for one, other in pairs:
        if one.holds is not None and other.holds is not None:
            counts[int(not one.holds), int(not other.holds)] += 1
    table = tuple(tuple(map(int, row)) for row in counts)
    decided, same = int(counts.sum()), int(np.trace(counts))
    return Agreement(first, second, len(pairs), decided, same, cohen_kappa(counts), table)  # type: ignore[arg-type]
