"""Scores of a detector: a table per class, confusion, calibration, precision and recall against the threshold, learning curve."""

from __future__ import annotations

import math

import numpy as np

from auricle.core.console import duration
from auricle.detectors.learning_curve import LearningCurve
from auricle.inference.decisions.calibration import probabilities
from auricle.metrics.calibration import BINS, Reliability, reliability, threshold_curve, top_label, wilson_interval
from auricle.reports.detector_view import ClassFigures, DetectorView
from auricle.reports.drawing.charts import MOST_POINTS, Line, legend, line_chart
from auricle.reports.drawing.html import count, percent, section, subsection, table, text
from auricle.reports.sections.classes import MOST_CELLS, matrix

NONE = "none of these"
MOST_CHARTS = 9  # of thresholds: the weakest classes
WORSE = 0.03  # calibration error from which calibration is said not to help
MANY, FEW_BINS = 300, 5  # answers of a reliability diagram; the bins where there are fewer
TICK_WIDTH = 0.1  # share of an axis that a number takes
LEAST_SCORE = 1e-3  # at the left of the threshold charts


def detector_classes_section(view: DetectorView) -> str:
    """Return the section on single classes."""
    order = sorted(view.figures, key=lambda f: (math.isnan(f.average_precision), f.average_precision, f.name))
    head = ["class", "clips", "found, %", "right, %", "average precision, %", "threshold"]
    rows = [_row(view, f) for f in order]
    if view.background_hours:
        head.append("false alarms an hour")
        rows = [[*row, _rate(view.false_alarms(f.place))] for row, f in zip(rows, order)]
    body = table(head, rows, kind="detector", numeric=range(1, len(head)))
    goal = (view.described.get("thresholds") or {}).get("goal", {}).get("in_words")
    body += (
        '<p class="small">Found: of the clips that hold the class, how many were detected (recall). Right: of the detections, how '
        "many hold it (precision). In brackets the 95 % interval: with few clips the true figure may lie anywhere in it. Average "
        "precision looks at the order of the clips alone, whatever the threshold.</p>"
    )
    if hours := view.background_hours:
        body += (
            f'<p class="small">False alarms were counted in {duration(3600 * hours)} of sound without any of the classes: up to '
            f"{count(max(1, 3 / hours))} an hour are possible where none was found.</p>"
        )
    parts = [subsection("Class by class", body), subsection("Confusion", _confusion(view))]
    lead = f"{view.shown_in_words}{f'; the thresholds are for {goal}' if goal else '; no thresholds were fitted'}."
    return section("classes", "Which classes it finds", "".join(parts), text(lead))


def _row(view: DetectorView, figures: ClassFigures) -> list[str]:
    threshold = float(view.thresholds[figures.place])
    return [
        text(figures.name),
        str(figures.clips),
        _share(figures.recall, figures.recall_interval),
        _share(figures.precision, figures.precision_interval),
        percent(figures.average_precision, 0) if math.isfinite(figures.average_precision) else "–",
        f"{threshold:.2f}" if threshold else "likeliest",
    ]


def _share(value: float, interval: tuple[float, float]) -> str:
    if not math.isfinite(value):
        return "–"
    low, high = (percent(end, 0) for end in interval)
    return f"{percent(value, 0)} <span class=pm>({low}–{high})</span>"


def _rate(value: float) -> str:
    return count(value) if value >= 10 else f"{value:.2g}"


def _confusion(view: DetectorView) -> str:
    """What clips of each class were detected as; "" where classes may hold together or are too many."""
    space = view.space
    if space.kind != "multiclass" or len(space) > MOST_CELLS:
        return ""
    columns = [space.names[c] for c in space.reported] + [NONE]
    whole = ~np.isnan(view.truth).any(1) & (np.nansum(view.truth, 1) == 1)
    true = view.truth[whole].argmax(1)
    chosen = view.detected[whole][:, list(space.reported)]
    taken = np.where(chosen.any(1), chosen.argmax(1), len(columns) - 1)
    counts = np.zeros((len(space), len(columns)), np.int64)
    np.add.at(counts, (true, taken), 1)
    right = {(c, k) for k, c in enumerate(space.reported)}
    right |= {(space.ids.index(id), len(columns) - 1) for id in space.background}
    caption = (
        '<p class="small">Rows are what a clip is, columns what it was detected as; numbers are clips. A clip that reaches no '
        "threshold is in the last column.</p>"
    )
    return caption + matrix(space.names, columns, counts, right)


def calibration_section(view: DetectorView) -> str:
    """Return the reliability diagram with the calibration error in words."""
    before, after = view.calibration_errors
    fitted = view.space.calibration_fitted_on
    bins = [_reliability(view, calibrated=False), _reliability(view, calibrated=True)]
    names = ("before calibration", "after calibration")
    lines = [Line("right scores", [0.0, 1.0], [0.0, 1.0], colour=6, dashed=True, faint=True)]
    shown = zip(bins[: 2 if fitted else 1], names, (1, 0))
    lines += [_reliability_line(of, name, colour) for of, name, colour in shown]
    chart = line_chart(
        "Score and truth",
        lines,
        note="share of clips that hold the class, by their score",
        x_label="score",
        y_range=(0.0, 1.0),
    )
    keys = legend([(line.name, line.colour, line.dashed) for line in lines])
    what = "the likeliest class of each clip" if view.space.kind == "multiclass" else "all classes together"
    if fitted:
        lead = (
            f"Scores were off by {100 * before:.1f} points on average before calibration and by {100 * after:.1f} after it "
            f"(expected calibration error, {view.shown_in_words}, {what}). The calibration was fitted on {fitted}."
        )
        if after > before and view.shown.part == "train":
            lead += " With few clips, certain scores are made less certain on purpose: twelve right answers prove no certainty."
        elif after > before + WORSE:
            lead += " These clips differ from those (other groups, or easier), so here the calibration does not help."
    else:
        reason = (view.described.get("calibration") or {}).get("reason")
        lead = (
            f"The scores are not calibrated; they are off by {100 * before:.1f} points on average (expected calibration error, "
            f"{view.shown_in_words}, {what})." + (f" What was tried: {reason}." if reason else "")
        )
    caption = (
        '<p class="small">On the dashed line scores tell the truth: of clips with a score of 0.8, eight in ten hold the class. '
        "Below it the detector is too sure, above it not sure enough. Points of few clips scatter; whiskers show how far.</p>"
    )
    return section(
        "calibration",
        "Can its scores be trusted?",
        f'{keys}<div class="charts wide">{chart}</div>{caption}',
        text(lead),
    )


def _reliability(view: DetectorView, *, calibrated: bool) -> Reliability:
    space = view.space if calibrated else view.space.uncalibrated()
    scores = probabilities(space, view.shown.logits)
    if space.kind == "multiclass":
        score, right = top_label(scores, view.truth)
    else:
        score, right = (values[:, list(space.reported)].ravel() for values in (scores, view.truth))
    return reliability(score, right, BINS if len(score) >= MANY else FEW_BINS)


def _reliability_line(bins: Reliability, name: str, colour: int) -> Line:
    filled = bins.counts > 0
    pairs = zip(bins.positive_share[filled], bins.counts[filled])
    ends = [wilson_interval(share * number, number) for share, number in pairs]
    whiskers = [
        min((high - low) / 2, share, 1 - share) for (low, high), share in zip(ends, bins.positive_share[filled])
    ]
    return Line(
        name,
        bins.mean_score[filled].tolist(),
        bins.positive_share[filled].tolist(),
        colour,
        whiskers=whiskers,
        dots=True,
    )


def thresholds_section(view: DetectorView) -> str:
    """Return precision and recall against the threshold, a chart per class, the weakest classes first."""
    scored = sorted((f for f in view.figures if f.clips), key=lambda f: (f.average_precision, f.name))
    charts = "".join(_threshold_chart(view, figures) for figures in scored[:MOST_CHARTS])
    if not charts:
        return ""
    keys = legend([("right (precision)", 0, False), ("found (recall)", 1, False), ("its threshold", 6, True)])
    more = f" The {MOST_CHARTS} weakest of {len(scored)} classes." if len(scored) > MOST_CHARTS else ""
    lead = f"What other thresholds would give, in {view.shown_in_words}.{more}"
    caption = (
        '<p class="small">To the right fewer clips are detected: more of them are right, and more sounds are missed. '
        "Choose another threshold with <code>auricle tag --threshold</code>, or train with <code>--target-precision</code>.</p>"
    )
    return section("thresholds", "Another threshold?", f'{keys}<div class="charts">{charts}</div>{caption}', text(lead))


def _threshold_chart(view: DetectorView, figures: ClassFigures) -> str:
    curve = threshold_curve(view.compared[:, figures.place], view.truth[:, figures.place])
    rows = np.flatnonzero(curve.thresholds >= LEAST_SCORE)
    if not len(rows):
        return ""
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), MOST_POINTS)).astype(int))]
    rows = np.append(rows, rows[-1])  # from the least score on, a lower threshold changes nothing
    x, threshold = [*curve.thresholds[rows[:-1]].tolist(), 0.0], float(view.thresholds[figures.place])
    lines = [
        Line("right", x, curve.precision[rows].tolist(), 0),
        Line("found", x, curve.recall[rows].tolist(), 1),
        Line("threshold", [threshold, threshold], [0.0, 1.0], 6, dashed=True, faint=True),
        Line("", [0.0, 1.0], [0.0, 0.0], 6, faint=True),  # the whole axis, whatever the scores
    ]
    note = f"{figures.clips} clips, threshold {threshold:.2f}"
    return line_chart(figures.name, lines, note=note, x_label="threshold", y_range=(0.0, 1.0))


def labels_section(view: DetectorView) -> str:
    """Return the learning curve: how many more labels would help."""
    curve = view.curve
    if curve is None or len(curve.points) < 2:
        return ""
    clips = [point.clips for point in curve.points]
    lines = [
        Line(
            "measured",
            clips,
            [100 * point.score for point in curve.points],
            0,
            dots=True,
            whiskers=[100 * point.error if math.isfinite(point.error) else None for point in curve.points],
        )
    ]
    if curve.expected:
        ahead = [curve.points[-1], *curve.expected]
        lines.append(
            Line("extrapolated, not measured", [p.clips for p in ahead], [100 * p.score for p in ahead], 1, dashed=True)
        )
    ticks = [float(p.clips) for p in (*curve.points, *curve.expected)]
    chart = line_chart(
        "Labels and score",
        lines,
        note=f"{curve.metric}, % of held-out training clips",
        x_label="labelled clips per class",
        x_ticks=_apart(ticks),
        log_x=True,
    )
    keys = legend([(line.name, line.colour, line.dashed) for line in lines])
    caption = (
        '<p class="small">The kept head learnt again from fewer clips of each class, and was scored on clips held out of the '
        "training part; whiskers are standard errors over folds. The dashed part continues the line as a power law "
        "and may be wrong: clips of another kind than those you have help more than more of the same.</p>"
    )
    return section(
        "labels",
        "Would more labels help?",
        f'{keys}<div class="charts wide">{chart}</div>{caption}',
        text(labels_sentence(curve)),
    )


def labels_sentence(curve: LearningCurve) -> str:
    """Return what the curve says, in words."""
    last = curve.points[-1]
    reached = f"With {last.clips} clips per class it reaches {100 * last.score:.1f} % ({curve.metric})."
    if not curve.expected:
        return f"{reached} There are too few points to say what more would give."
    doubled = curve.expected[0]
    gain = 100 * (doubled.score - last.score)
    small = gain < max(0.5, 100 * last.error if math.isfinite(last.error) else 0.0)
    if small:
        return f"{reached} Twice as many like them would change little; other sites, recorders or backgrounds may."
    return (
        f"{reached} If the curve goes on as it did, {doubled.clips} clips per class would give about {100 * doubled.score:.0f} % "
        "(extrapolated)."
    )


def _apart(ticks: list[float]) -> list[float]:
    """The ticks that do not run into the next one on a logarithmic axis."""
    kept: list[float] = []
    least = TICK_WIDTH * math.log(ticks[-1] / ticks[0])
    for tick in reversed(ticks):
        if not kept or math.log(kept[-1] / tick) > least:
            kept.append(tick)
    return kept[::-1]
