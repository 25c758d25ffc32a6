"""Queries of an index as a person writes them: sounds, spans, labels with scores, and near duplicates.

bark.wav                              sounds like this recording; a folder: like those in it
night.wav@12-15.5                     like this part of it (seconds, or m:ss)
#123                                  like a span of the index
label:Dog bark > 0.5                  spans with this score; also <, >= and <=, and several joined by "and"
label:Dog bark                        spans with any score of this label that was kept
duplicates                            groups of spans that are nearly the same
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from auricle.core.errors import AuricleError
from auricle.index.description import IndexInfo

LABEL, DUPLICATES = "label:", "duplicates"
SPAN = re.compile(r"#?(\d{1,18})", re.ASCII)
PART = re.compile(r"(?P<path>.+)@(?P<start>[\d.:]+)-(?P<end>[\d.:]+)", re.ASCII | re.DOTALL)
CONDITION = re.compile(
    r"\s*(?P<name>.+?)\s*(?P<sign>[<>]=?)\s*(?P<score>[^\s<>=]+)\s*(?:$|(?:\band\b|&&?)\s*)", re.DOTALL
)
KINDS = "a sound file, FILE@START-END (seconds), '#SPAN', 'label:NAME > SCORE' or duplicates"


@dataclass(frozen=True)
class SoundExample:
    """A recording, or a part of it.

    Attributes:
        path: absolute.
        start, end: seconds; None: from its beginning, to its end.
        name: as the user wrote it; "": made of the others.
    """

    path: str
    start: float | None = None
    end: float | None = None
    name: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.name or (self.path if self.start is None else f"{self.path}@{self.start:.12g}-{self.end:.12g}")


@dataclass(frozen=True)
class SpanExample:
    """A span of the index."""

    id: int

    def __str__(self) -> str:
        return f"#{self.id}"


@dataclass(frozen=True)
class LabelCondition:
    """The score of ``label`` is ``sign`` (">", ">=", "<" or "<=") ``score``, which is from 0 to 1."""

    label: str
    sign: str
    score: float

    def __str__(self) -> str:
        return self.label if (self.sign, self.score) == (">=", 0) else f"{self.label} {self.sign} {self.score:g}"

    @property
    def is_lower_bound(self) -> bool:
        """True for > and >=."""
        return self.sign.startswith(">")

    def holds(self, score: float) -> bool:
        """Return True if it holds for a score."""
        if score == self.score:
            return self.sign.endswith("=")
        return (score > self.score) == self.is_lower_bound


Example = SoundExample | SpanExample


@dataclass(frozen=True)
class SearchQuery:
    """What is looked for: spans for which all ``labels`` hold, those like ``like`` and unlike ``unlike`` first; or duplicates."""

    like: tuple[Example, ...] = ()
    unlike: tuple[Example, ...] = ()
    labels: tuple[LabelCondition, ...] = ()
    duplicates: bool = False

    def __str__(self) -> str:
        """Return what follows "spans": "like bark.wav and #12, unlike #7, with Dog > 0.5"."""
        if self.duplicates:
            return "in groups of near duplicates"
        parts = [f"{word} {' and '.join(map(str, what))}" for word, what in self._parts() if what]
        return ", ".join(parts)

    def _parts(self) -> tuple[tuple[str, Sequence[object]], ...]:
        return ("like", self.like), ("unlike", self.unlike), ("with", self.labels)


def read_query(texts: Sequence[str], unlike: Sequence[str], info: IndexInfo) -> SearchQuery:
    """Read the queries of a user.

    Args:
        texts: as above; several examples count together, and label conditions choose among what is like them.
        unlike: sounds or spans of the index that are not meant.
        info: of the index; its labels are known.

    Raises:
        AuricleError: for a file that does not exist, an unknown label with similar ones, an impossible score or part, and
            queries that do not go together.
    """
    like: list[Example] = []
    labels: list[LabelCondition] = []
    duplicates = False
    for text in texts:
        plain = text.strip()
        if plain.startswith(LABEL):
            labels += read_labels(plain.removeprefix(LABEL), info)
        elif plain == DUPLICATES and not os.path.exists(text):
            duplicates = True
        else:
            like.append(read_example(text, info))
    not_meant = [read_example(text, info) for text in unlike]
    like, not_meant = list(dict.fromkeys(like)), list(dict.fromkeys(not_meant))  # one that is named twice counts once
    query = SearchQuery(tuple(like), tuple(not_meant), tuple(labels), duplicates)
    if query.unlike and not query.like:
        raise AuricleError("--unlike needs an example that is meant; name a sound or a span of the index as QUERY")
    if both := set(query.like) & set(query.unlike):
        raise AuricleError(f"{both.pop()} is named as what is meant and, with --unlike, as what is not; leave one out")
    if duplicates and (like or labels):
        raise AuricleError("duplicates is a query of its own; leave the other queries out (filters may stay)")
    if not (like or labels or duplicates):
        raise AuricleError(f"nothing to look for; expected {KINDS}")
    return query


def read_example(text: str, info: IndexInfo | None = None) -> Example:
    """Read one example: a file, a part of one, or the number of a span.

    Args:
        text: what the user wrote. A file of that name comes first.
        info: of the index, for hints in the message.

    Raises:
        AuricleError: for anything else.
    """
    if os.path.exists(text) and text:
        return SoundExample(os.path.abspath(text), name=text)
    if span := SPAN.fullmatch(text.strip()):
        return SpanExample(int(span[1]))
    part = PART.fullmatch(text)
    if part is not None and os.path.exists(part["path"]):
        start, end = (_seconds(part[name], text) for name in ("start", "end"))
        if not start < end:
            raise AuricleError(f"'{text}': the end must come after the start")
        return SoundExample(os.path.abspath(part["path"]), start, end, text)
    hint = _label_hint(text, info)
    missing = part["path"] if part else text
    raise AuricleError(f"there is no file '{missing}'{hint}; a query is {KINDS}")


def _label_hint(text: str, info: IndexInfo | None) -> str:
    if info is None or not info.heads:
        return ""
    found = CONDITION.fullmatch(text)
    try:
        label = info.labels[info.label_number(found["name"] if found else text)]
    except AuricleError:
        return ""
    return f"; did you mean '{LABEL}{label}{text[found.end('name') :] if found else ''}'?"


def _seconds(text: str, where: str) -> float:
    """The seconds of "12.5", "1:02" or "1:02:03"."""
    try:
        parts = [float(part) for part in text.split(":")]
        if len(parts) > 3:
            raise ValueError
    except ValueError:
        raise AuricleError(f"'{where}': '{text}' is no time; expected seconds such as 12.5, or m:ss") from None
    return math.fsum(part * 60**power for power, part in enumerate(reversed(parts)))


def read_labels(text: str, info: IndexInfo) -> list[LabelCondition]:
    """Read conditions on scores: "Dog bark > 0.5 and Cat < 0.2". A label alone means every score that was kept.

    Args:
        text: without "label:" in front.
        info: of the index; labels are written as its labels, names or class ids, in letters of any case.

    Raises:
        AuricleError: for an unknown label with similar ones, a score that is no number from 0 to 1, and a bound below the
            scores that the index keeps.
    """
    conditions: list[LabelCondition] = []
    rest = text.strip()
    while rest:
        rest = rest.removeprefix(LABEL).lstrip()
        found = CONDITION.match(rest)
        name, sign, score = (found["name"], found["sign"], found["score"]) if found else (rest, ">=", "0")
        if not found and re.search("[<>=]", rest):
            raise AuricleError(
                f"'{LABEL}{text}': '{rest}' is no condition; expected NAME > SCORE, joined by 'and', such as "
                f"'{LABEL}Dog > 0.5 and Cat < 0.2'"
            )
        conditions.append(_condition(info, name, sign, score))
        rest = rest[found.end() :] if found else ""
        if found and not rest and re.search(r"(\band|&)\s*$", found[0]):
            raise AuricleError(f"'{LABEL}{text}' ends with 'and'; expected another condition behind it")
    if not conditions:
        raise AuricleError(f"'{LABEL}' names no label; write '{LABEL}NAME > SCORE'")
    return conditions


def _condition(info: IndexInfo, name: str, sign: str, text: str) -> LabelCondition:
    label = info.labels[info.label_number(name)]
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not 0 <= score <= 1:
        raise AuricleError(f"'{name} {sign} {text}': a score is a number from 0 to 1, not '{text}'")
    if not sign.startswith(">") and score < info.min_score:
        raise AuricleError(
            f"'{name} {sign} {text}' cannot be answered: this index keeps scores of at least {info.min_score:g} (the --min-score "
            f"it was made with)"
        )
    return LabelCondition(label, sign, score)
