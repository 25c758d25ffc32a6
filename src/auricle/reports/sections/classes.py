"""Classes: a table of recall per class, the confusion matrix, and the most confident mistakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set

import numpy as np

from auricle.evaluation.evaluation import Evaluation, Prediction
from auricle.reports.drawing.html import percent, play, section, subsection, table, text

MOST_CELLS = 32  # classes; a larger matrix would be unreadable, its largest entries are listed instead
MISTAKES = 20
LISTED = 20


def classes_section(evaluation: Evaluation | None, sounds: dict[str, str]) -> str:
    """Return the section; ``sounds`` maps clip ids to keys of the page's sounds."""
    if evaluation is None or not evaluation.predictions:
        return ""
    parts = [subsection("Class by class", per_class(evaluation))]
    if not evaluation.multilabel:
        parts.append(subsection("Confusion", confusion(evaluation)))
    parts.append(subsection("Most confident mistakes", mistakes(evaluation, sounds)))
    lead = f"{evaluation.task}, {evaluation.protocol}; every tested clip once, by the probe that did not see it."
    return section("classes", "Which classes are recognised", "".join(parts), text(lead))


def per_class(evaluation: Evaluation) -> str:
    """Return a table of the classes, the weakest first."""
    tested = Counter(label for p in evaluation.predictions for label in p.true)
    wrong: dict[str, Counter] = {name: Counter() for name in tested}
    for p in evaluation.predictions:
        for name in () if p.right else p.true:
            wrong[name][p.predicted] += 1
    values = evaluation.per_class()
    order = sorted(evaluation.classes, key=lambda name: (values[name] is None, values[name] or 0.0, name))
    rows = [_class_row(name, values[name], tested[name], wrong.get(name, Counter())) for name in order]
    what = "average precision, %" if evaluation.multilabel else "recognised, %"
    return table(("class", what, "", "clips", "most often taken for"), rows, kind="classes", numeric=(1, 3))


def _class_row(name: str, value: float | None, tested: int, wrong: Counter) -> list[str]:
    meter = "" if value is None else f'<i class="meter"><i style="width:{100 * value:.0f}%"></i></i>'
    taken_for = "".join(f"{text(label)} ({n})" for label, n in wrong.most_common(1))
    return [text(name), percent(value, 0), meter, str(tested), taken_for]


def confusion(evaluation: Evaluation) -> str:
    """Return the confusion matrix; a table of its largest entries where there are too many classes."""
    if len(evaluation.classes) > MOST_CELLS:
        return _largest(evaluation)
    classes = evaluation.classes
    caption = '<p class="small">Rows are what a clip is, columns what it was taken for; numbers are clips.</p>'
    return caption + matrix(classes, classes, evaluation.confusion, {(i, i) for i in range(len(classes))})


def matrix(rows: Sequence[str], columns: Sequence[str], counts: np.ndarray, right: Set[tuple[int, int]]) -> str:
    """Return a table of counts (rows, columns) whose cells are coloured: those in ``right`` in one colour, others in another."""
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    head = "".join(f'<th scope="col"><span>{text(name)}</span></th>' for name in columns)
    lines = []
    for i, name in enumerate(rows):
        cells = (
            _cell(name, column, counts[i, j], shares[i, j], int(counts[i].sum()), (i, j) in right)
            for j, column in enumerate(columns)
        )
        lines.append(f'<tr><th scope="row">{text(name)}</th>{"".join(cells)}</tr>')
    table = f'<table class="confusion"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'
    return f'<div class="scroll">{table}</div>'


def _cell(row: str, column: str, number: int, share: float, total: int, right: bool) -> str:
    if not number:
        return "<td></td>"
    kind = ("right" if right else "wrong") + (" deep" if share > 0.55 else "")
    title = f"{row} taken for {column}: {number} of {total}"
    return f'<td class="{kind}" style="--p:{share:.2f}" title="{text(title)}">{number}</td>'


def _largest(evaluation: Evaluation) -> str:
    """The most frequent confusions, where there are too many classes for a matrix."""
    place = {name: i for i, name in enumerate(evaluation.classes)}
    counts = Counter((p.true[0], p.predicted) for p in evaluation.predictions if not p.right)
    order = sorted(counts, key=lambda pair: (-counts[pair], place[pair[0]], place[pair[1]]))[:LISTED]
    rows = [[text(true), text(predicted), str(counts[true, predicted])] for true, predicted in order]
    return table(("a clip of", "was taken for", "clips"), rows, numeric=(2,))


def mistakes(evaluation: Evaluation, sounds: dict[str, str]) -> str:
    """Return a table of the most confident mistakes, with a play button where the page holds the sound."""
    wrong = evaluation.mistakes(MISTAKES)
    if not wrong:
        return '<p class="none">None: every tested clip was recognised.</p>'
    rows = [_mistake(p, sounds) for p in wrong]
    head = ("", "is", "was taken for", "score", "clip", "held out in")
    return table(head, rows, kind="mistakes", numeric=(3,))


def _mistake(p: Prediction, sounds: dict[str, str]) -> list[str]:
    button = play(sounds.get(p.id), f"play {p.id}")
    labels = ", ".join(p.true) or "–"
    score = f"{max(p.scores, default=0.0):.2f}"
    return [button, text(labels), text(p.predicted), score, text(p.id), text(p.fold)]
