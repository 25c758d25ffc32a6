"""A review over an index, question by question: what the page of ``auricle serve`` does. The answers are kept in the index."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import replace

from auricle.core.errors import AuricleError
from auricle.index.answers import Answer, now
from auricle.index.database import SoundIndex
from auricle.review.agreement import joined
from auricle.review.detections import EVENTS, WINDOWS, indexed_events, scored_spans
from auricle.review.precision import CAUTIOUS, LabelPrecision, precision_of
from auricle.review.queue import ReviewChoice, ReviewItem, choose


class ReviewSession:
    """Questions about one index and the answers to them. Calls from several threads take turns.

    Args:
        index: spans, scores, events and earlier answers.
        reviewer: name that is kept with each answer.
        choice: how many questions a sample has and how it is drawn; classes and scores are named in ``next_items``.

    Example:
        session = ReviewSession(SoundIndex.open("INDEX"), reviewer="ann")
        for item in session.next_items("Dog bark", 10):
            session.record(item, "yes")
        print(session.curve("Dog bark").chosen)
    """

    def __init__(self, index: SoundIndex, *, reviewer: str = "", choice: ReviewChoice | None = None):
        self.index, self.reviewer, self.choice = index, reviewer, choice or ReviewChoice()
        self._drawn: dict[tuple, list[ReviewItem]] = {}
        self._lock = threading.Lock()

    def next_items(
        self, label: str, count: int = 1, *, source: str = WINDOWS, least: float | None = None, most: float = 1.0
    ) -> list[ReviewItem]:
        """Return the next questions about a class that this reviewer has not answered.

        One sample is drawn for each class and range of scores, and its order is random: whenever a reviewer stops, the answers are
        those of a random part.

        Args:
            label: a class of the index.
            count: how many at most.
            source: "windows": spans by score; "events": events of the detector.
            least, most: range of scores; None: all that the index keeps.

        Returns:
            ReviewItem: fewer than ``count``, or none, at the end of the sample.

        Raises:
            AuricleError: for a class that the index does not have, and one of which it has nothing.
        """
        lowest = self.index.info.min_score if least is None else least
        done = {answer.question for answer in self.index.answers() if answer.reviewer == self.reviewer}
        sample = self._sample(label, source, lowest, most)
        return [item for item in sample if item.question not in done][:count]

    def progress(self, label: str, source: str = WINDOWS) -> tuple[int, int]:
        """Return how many questions of the sample of a class this reviewer has answered, and how many it has."""
        done = {answer.question for answer in self.index.answers() if answer.reviewer == self.reviewer}
        sample = self._sample(label, source, self.index.info.min_score, 1.0)
        return sum(item.question in done for item in sample), len(sample)

    def _sample(self, label: str, source: str, least: float, most: float) -> list[ReviewItem]:
        """Draw the sample of a class, or return the one that was drawn; anew after the index has changed."""
        if source not in (WINDOWS, EVENTS):
            raise AuricleError(f"what is reviewed is {WINDOWS} or {EVENTS}, not '{source}'")
        key = (label, source, least, most, self.index.changes())
        with self._lock:
            if key not in self._drawn:
                windows = source == WINDOWS
                found = scored_spans(self.index, label, least, most) if windows else indexed_events(self.index, label)
                self._drawn[key] = choose(list(found), replace(self.choice, labels=(), least=least, most=most))
            return self._drawn[key]

    def drawn(self, question: tuple[str, float | None, float | None, str]) -> ReviewItem | None:
        """Return the item of a sample that asks a question (``ReviewItem.question``); None if none that was drawn does."""
        with self._lock:
            items = [item for sample in self._drawn.values() for item in sample]
        return next((item for item in items if item.question == question), None)

    def record(self, item: ReviewItem, answer: str, other: str = "") -> Answer:
        """Keep an answer; when this returns, it is on disk.

        Args:
            item: the question.
            answer: "yes", "no", "other" or "unsure".
            other: with "other", the name of what it is.
        """
        return self.record_all([(item, answer, other)])[0]

    def record_all(self, answers: Iterable[tuple[ReviewItem, str, str]]) -> list[Answer]:
        """Keep several answers, as ``record`` takes them: all of them, or none where one cannot be kept."""
        given = [item.answered(answer, other, self.reviewer, now()) for item, answer, other in answers]
        self.index.add_answers(given)
        return given

    def undo(self) -> Answer | None:
        """Remove the last answer of this reviewer and return it; None if there is none."""
        return self.index.undo_answer(self.reviewer)

    def answers(self, label: str | None = None) -> list[Answer]:
        """Return one answer to each question, of all reviewers (``agreement.joined``)."""
        settled, _ = joined(self.index.answers())
        return [answer for answer in settled if label is None or answer.label == label]

    def curve(self, label: str, wanted: float = 0.9, bound: str = CAUTIOUS) -> LabelPrecision | None:
        """Return how often a class is right at each score, with a threshold for the wanted precision; None without answers."""
        own = self.answers(label)
        return precision_of(own, label, wanted, bound) if own else None

    def labels(self) -> list[str]:
        """Return the classes that were reviewed."""
        return sorted({answer.label for answer in self.index.answers()})
