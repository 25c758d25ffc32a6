"""What is reviewed: detections of ``auricle tag``, results of ``auricle search``, suggestions, or spans of an index.

A queue is drawn from what was found so that the whole range of scores is heard: the found spans of each class are divided by score
into strata of equal width, and about equally many are drawn from each. Every span keeps the probability with which it was drawn, so
that rates of the whole can be estimated from the answers (``precision.py``). The order is random: whoever stops in the middle has
answered a random part.
"""

from __future__ import annotations

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from auricle.core.errors import AuricleError, nearest
from auricle.core.randomness import RandomKey
from auricle.data.manifest.tables import text_file
from auricle.index.answers import NO, Answer

SAMPLE, STRATA = 100, 5


@dataclass(frozen=True)
class ReviewItem:
    """One question: is ``label`` in this span?

    Attributes:
        path: the recording, absolute.
        start, end: seconds; None: the whole recording.
        label: the class that is asked about.
        score: its calibrated score, 0 to 1; None where there is none.
        model: "NAME@FINGERPRINT" of the model that gave the score; "" if unknown.
        probability: with which the item was drawn; None where nothing was drawn.
    """

    path: str
    start: float | None
    end: float | None
    label: str
    score: float | None = None
    model: str = ""
    probability: float | None = None

    def __post_init__(self) -> None:
        self.answered(NO)  # raises for values that no answer can have

    def answered(self, answer: str, other: str = "", reviewer: str = "", time: str = "") -> Answer:
        """Return the answer to this question."""
        where = self.path, self.start, self.end
        return Answer(*where, self.label, answer, other, self.score, reviewer, time, self.model, self.probability)

    @property
    def question(self) -> tuple[str, float | None, float | None, str]:
        """What is asked, as ``Answer.question``."""
        return self.answered(NO).question


COLUMNS = tuple(field.name for field in fields(ReviewItem))


@dataclass(frozen=True)
class ReviewChoice:
    """Which of the found spans are reviewed.

    Attributes:
        labels: the classes to ask about; (): all.
        least, most: scores from and up to which spans are asked about; spans without a score are asked about too.
        sample: number of spans to draw; None: all.
        strata: number of equally wide ranges of scores from which equally many spans of each class are drawn.
        top_k: in place of a sample, the spans with the highest scores; None: a sample.
        seed: of the draw.
    """

    labels: tuple[str, ...] = ()
    least: float = 0.0
    most: float = 1.0
    sample: int | None = SAMPLE
    strata: int = STRATA
    top_k: int | None = None
    seed: int = 0


def choose(found: Sequence[ReviewItem], choice: ReviewChoice, answered: Iterable[Answer] = ()) -> list[ReviewItem]:
    """Choose which spans are reviewed.

    Args:
        found: all spans; of several about the same span and class, the one with the highest score counts.
        choice: how many and which.
        answered: answers; their questions are not asked again.

    Returns:
        The questions in the order in which they are asked: random, or with ``top_k`` the highest score first.

    Raises:
        AuricleError: where nothing is left to ask, with the reason.
    """
    known = sorted({item.label for item in found})
    for label in choice.labels:
        if label not in known:
            raise AuricleError(f"nothing of the class '{label}' was found{nearest(label, known)}")
    once: dict[tuple, ReviewItem] = {}
    for item in found:
        before = once.get(item.question)
        if before is None or (item.score or 0.0) > (before.score or 0.0):
            once[item.question] = item
    wanted = [item for item in once.values() if _is_wanted(item, choice)]
    if not wanted:
        raise AuricleError(
            f"none of the {len(once)} spans that were found has a score from {choice.least:g} to {choice.most:g}"
            if once
            else "nothing was found, so there is nothing to review"
        )
    done = {answer.question for answer in answered}
    left = [item for item in wanted if item.question not in done]
    if not left:
        raise AuricleError(f"all {len(wanted)} spans are answered already; name other detections, or another --exclude")
    if choice.top_k is not None:
        best = sorted(left, key=lambda item: -1.0 if item.score is None else -item.score)
        return best[: choice.top_k]
    drawn = draw(left, len(left) if choice.sample is None else choice.sample, choice.strata, choice.seed)
    return [drawn[i] for i in RandomKey(choice.seed).of("review order").permutation(len(drawn))]


def _is_wanted(item: ReviewItem, choice: ReviewChoice) -> bool:
    if choice.labels and item.label not in choice.labels:
        return False
    return item.score is None or choice.least <= item.score <= choice.most


def draw(items: Sequence[ReviewItem], number: int, strata: int, seed: int) -> list[ReviewItem]:
    """Draw items, about equally many from each class and range of scores, with the probability of each.

    Where a range holds fewer items than its part, all are taken and the others get more. An item that was drawn before (of a queue)
    keeps that in its probability: both are multiplied.

    Args:
        items: what is drawn from.
        number: how many; all, where there are not more.
        strata: number of equally wide ranges between the lowest and the highest score of a class; fewer, where ``number`` does
            not give each an item.
        seed: of the draw.
    """
    groups = next((groups for n in range(strata, 0, -1) if len(groups := _strata(items, n)) <= number), [list(items)])
    counts = shares([len(group) for group in groups], number)
    random, drawn = RandomKey(seed).of("review"), []
    for group, count in zip(groups, counts):
        probability = count / len(group)
        for place in sorted(random.permutation(len(group))[:count]):
            item = group[place]
            joint = probability * (item.probability or 1.0)
            drawn.append(replace(item, probability=joint if joint < 1 or item.probability is not None else None))
    return drawn


def _strata(items: Sequence[ReviewItem], strata: int) -> list[list[ReviewItem]]:
    """Divide the items by class and by score; those without a score are a stratum of their own."""
    by_label: dict[str, list[ReviewItem]] = defaultdict(list)
    for item in items:
        by_label[item.label].append(item)
    groups: dict[tuple[str, int], list[ReviewItem]] = defaultdict(list)
    for label, own in sorted(by_label.items()):
        scores = [item.score for item in own if item.score is not None]
        low, high = (min(scores), max(scores)) if scores else (0.0, 1.0)
        for item in own:
            place = -1
            if item.score is not None:
                place = min(strata - 1, int((item.score - low) / max(high - low, 1e-12) * strata))
            groups[label, place].append(item)
    return [groups[key] for key in sorted(groups)]


def shares(sizes: Sequence[int], number: int) -> list[int]:
    """Return how many of ``number`` are taken from groups of these sizes: equally many from each, as far as it has them.

    Example:
        >>> shares([2, 50, 50], 22)
        [2, 10, 10]
    """
    taken, left = [0] * len(sizes), number
    while left > 0:
        open_groups = [i for i, size in enumerate(sizes) if taken[i] < size]
        if not open_groups:
            break
        each = max(1, left // len(open_groups))
        for i in open_groups[: max(1, left)]:
            more = min(each, sizes[i] - taken[i], left)
            taken[i] += more
            left -= more
    return taken


def write_queue(path: Path, items: Iterable[ReviewItem]) -> Path:
    """Write a queue as a CSV table, which ``auricle review`` reads again: for a second reviewer."""
    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for item in items:
            values = [getattr(item, name) for name in COLUMNS]
            writer.writerow("" if v is None else f"{v:.12g}" if isinstance(v, float) else v for v in values)
    return path


def absolute(path: str, folder: Path) -> str:
    """Return the absolute path of a recording that results name: from the working folder, else from the results' folder."""
    if os.path.isabs(path) or os.path.exists(path) or not os.path.exists(folder / path):
        return os.path.abspath(path)
    return os.path.abspath(folder / path)
