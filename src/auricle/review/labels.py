"""From answers to the table of labels that ``auricle finetune`` reads.

| answer | label | known |
|---|---|---|
| yes | the class | the class |
| no | none | the class: it is known not to hold |
| other, with a name | that name | both |
| other, without one | none | the class |
| unsure | left out | |

Several questions about one span are one row. Where classes exclude each other, there is no column ``known``: a yes or a named other
gives the label, and a no alone, which names no class, is left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.index.answers import DIGITS, Answer


@dataclass(frozen=True)
class LabelTable:
    """The labels of spans.

    Attributes:
        manifest: a clip for each span.
        notes: what is left out, as sentences.
    """

    manifest: Manifest
    notes: tuple[str, ...]


def label_table(answers: Iterable[Answer], *, exclusive: bool = False) -> LabelTable:
    """Make the table of labels.

    Args:
        answers: one to each question (``agreement.joined``).
        exclusive: classes exclude each other: each span has exactly one.

    Returns:
        LabelTable: clips in the order of recordings and times.

    Raises:
        AuricleError: where no answer gives a label.
    """
    spans: dict[tuple, list[Answer]] = defaultdict(list)
    for answer in answers:
        spans[answer.question[:3]].append(answer)
    clips, without, several = [], 0, 0
    for (path, start, end), given in sorted(
        spans.items(), key=lambda item: (item[0][0], item[0][1] or 0.0, item[0][2] or 0.0)
    ):
        labels, known = _labels(given)
        if not known or (exclusive and not labels):
            without += 1
        elif exclusive and len(labels) > 1:
            several += 1
        else:
            id = path if start is None else f"{path}@{start:.{DIGITS}f}-{end:.{DIGITS}f}"
            clips.append(Clip(id, path=path, start=start, end=end, labels=labels, known=None if exclusive else known))
    if not clips:
        raise AuricleError("no answer gives a label: answer some spans with yes or no")
    notes = []
    if without:
        why = "unsure, or a no that names no class" if exclusive else "unsure"
        notes.append(f"{number_of(without, 'span')} without a label ({why}) left out of the labels")
    if several:
        notes.append(
            f"{number_of(several, 'span')} with two classes left out of the labels: the classes exclude each other"
        )
    return LabelTable(Manifest(tuple(clips), Path("/")), tuple(notes))


def _labels(given: Iterable[Answer]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (labels, known classes) of the answers about one span."""
    labels: dict[str, None] = {}
    known: dict[str, None] = {}
    for answer in given:
        if answer.holds is None:
            continue
        known[answer.label] = None
        if answer.holds:
            labels[answer.label] = None
        elif answer.other:
            known[answer.other] = labels[answer.other] = None
    return tuple(labels), tuple(known)


def write_labels(table: LabelTable, path: Path) -> Path:
    """Write the table, whose paths are relative to its folder."""
    return write_manifest(table.manifest, path)
