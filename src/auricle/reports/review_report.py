"""The page of a review: how often each class is right at each score, thresholds, and what reviewers differ about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from auricle.reports.drawing.charts import Line, legend, line_chart
from auricle.reports.drawing.html import percent, section, table, text
from auricle.reports.page import document
from auricle.review.agreement import Agreement, Conflict
from auricle.review.precision import LabelPrecision

MOST_CONFLICTS = 200  # rows of the page; conflicts.csv has all
EXPLAINED = (
    "A point of the curve is the share of right spans among those with at least this score; the dashed lines are the ends of its "
    "95 % interval. “Kept” is the share of the right spans that the threshold keeps, of those that were found."
)


def review_report(
    found: Sequence[LabelPrecision],
    agreed: Sequence[Agreement],
    conflicts: Sequence[Conflict],
    notes: Sequence[str],
    wanted: float,
) -> str:
    """Return the whole document.

    Args:
        found: precision of each reviewed class.
        agreed: agreement of every two reviewers.
        conflicts: questions on which reviewers differ.
        notes: what should be known, as sentences.
        wanted: the precision that thresholds were looked for.
    """
    answers = sum(one.right + one.wrong + one.unsure for one in found)
    words = f"{answers:,} answers about {len(found)} class{'es' * (len(found) != 1)}; thresholds for a precision of {wanted:g}."
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    header = (
        f'<header class="top"><p class="kicker">review · Auricle report</p><h1>How often is it right?</h1>'
        f'<div class="learnt"><p>{text(words)}</p></div>{f"<ul class=warnings>{items}</ul>" if items else ""}</header>'
    )
    body = "".join(
        (
            header,
            section("classes", "By class", _table(found)),
            section("curves", "By score", _charts(found, wanted), text(EXPLAINED)),
            section("agreement", "Do reviewers agree?", _agreement(agreed, conflicts)),
        )
    )
    return document("Review", body, "{}")


def interval(low: float, high: float) -> str:
    """Write the ends of an interval of a share as per cent: "81 to 95"."""
    return f"{percent(low, 0)} to {percent(high, 0)}"


def _table(found: Sequence[LabelPrecision]) -> str:
    rows = []
    for one in found:
        precision, low, high = one.at(0.0)
        chosen = one.chosen
        cells = [f"<b>{text(one.label)}</b>", f"{one.right}", f"{one.wrong}", f"{one.unsure}"]
        cells += ["–"] if np.isnan(precision) else [f"{percent(precision, 0)} ({interval(low, high)})"]
        if chosen is None or one.few:
            cells += ["–", "–", "–"]
        else:
            cells += [
                f"{chosen.threshold:.3f}" + ("" if chosen.reached else " (not reached)"),
                f"{percent(chosen.precision, 0)} ({interval(chosen.low, chosen.high)})",
                percent(chosen.kept, 0),
            ]
        rows.append(cells)
    head = ("", "yes", "no", "unsure", "right, %", "threshold", "right from there on, %", "kept, %")
    return table(head, rows, numeric=range(1, len(head)))


def _charts(found: Sequence[LabelPrecision], wanted: float) -> str:
    keys = legend(
        [("right (precision)", 0, False), ("95 % interval", 5, True), ("kept", 1, False), ("threshold", 6, True)]
    )
    charts = "".join(_chart(one, wanted) for one in found)
    return f'{keys}<div class="charts">{charts}</div>' if charts else ""


def _chart(one: LabelPrecision, wanted: float) -> str:
    rows = one.rows()
    if not rows:
        return ""
    x, precision, low, high, kept = (list(column) for column in zip(*rows))
    lines = [
        Line("right", x, precision, 0, dots=len(rows) == 1),
        Line("at least", x, low, 5, dashed=True),
        Line("at most", x, high, 5, dashed=True),
        Line("kept", x, kept, 1),
        Line("", [min(x), max(x)], [wanted, wanted], 7, faint=True),
    ]
    if one.chosen is not None and not one.few:
        lines.append(Line("threshold", [one.chosen.threshold] * 2, [0.0, 1.0], 6, dashed=True, faint=True))
    note = f"{one.right + one.wrong} answers"
    return line_chart(one.label, lines, note=note, x_label="least score", y_range=(0.0, 1.0))


def _agreement(agreed: Sequence[Agreement], conflicts: Sequence[Conflict]) -> str:
    if not agreed:
        return ""
    rows = []
    for pair in agreed:
        kappa = pair.kappa
        share = "–" if not pair.decided else percent(pair.same / pair.decided, 0)
        value = "–" if np.isnan(kappa.value) else f"{kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f})"
        names = f"{text(pair.first or 'unnamed')} and {text(pair.second or 'unnamed')}"
        rows.append([names, f"{pair.common}", f"{pair.decided}", share, value])
    head = ("", "both answered", "both decided", "same, %", "Cohen's kappa")
    lead = (
        '<p class="lead">Kappa is 1 where two reviewers always say the same, and 0 where they agree no more than by chance; in '
        "brackets its 95 % interval. Questions on which they differ are worth talking about.</p>"
    )
    return lead + table(head, rows, numeric=range(1, len(head))) + _conflicts(conflicts)


def _conflicts(conflicts: Sequence[Conflict]) -> str:
    rows = []
    for conflict in conflicts[:MOST_CONFLICTS]:
        first = conflict.answers[0]
        span = "whole" if first.start is None or first.end is None else f"{first.start:g}–{first.end:g} s"
        said = "; ".join(
            f"{text(answer.reviewer or 'unnamed')}: {answer.answer}{f' ({text(answer.other)})' if answer.other else ''}"
            for answer in conflict.answers
        )
        rows.append([text(Path(first.path).name), span, text(first.label), said])
    return f"<h3>Where they differ</h3>{table(('recording', 'span', 'class', 'answers'), rows)}" if rows else ""
