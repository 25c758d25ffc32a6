"""Tables of the results, in markdown: means with standard deviations, and differences paired over folds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean, stdev

from auricle.metrics.calibration import wilson_interval
from benchmarks.detectors.heads import AUTO, PROBE
from benchmarks.detectors.results import Results, Row
from benchmarks.detectors.settings import ENCODERS, TASKS

KINDS = (PROBE, "linear", "prototype", "gated-layers", "attentive", AUTO)


def markdown(results: Results) -> str:
    parts: tuple[Callable[[Results], str], ...] = (
        esc10_table, background_table, heads_tables, against_probe, calibration_table, night_table, growing_text,
    )  # fmt: skip
    return "\n\n".join(filter(None, (part(results) for part in parts)))


def table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [names, ["---"] * len(names), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if rows else ""


def esc10_table(results: Results) -> str:
    names = ("accuracy", "by fold", "head of all clips", "seconds", "processor seconds", "threads", "beside")
    rows = [
        (
            f"{100 * row['accuracy']:.2f}",
            ", ".join(f"{100 * value:.2f}" for value in row["folds"]),
            row["head"]["kind"],
            f"{row['seconds']:.0f}",
            f"{row['processor_seconds']:.0f}",
            str(row["threads"]),
            row["note"],
        )
        for row in results.of(part="esc10")
    ]
    return table(names, rows)


def background_table(results: Results) -> str:
    rows = []
    found = results.of(part="background")
    for draw in sorted({row["draw"] for row in found}):
        for trained in (True, False):
            rows += [background_row(results.of(part="background", draw=draw, background=trained))]
    totals = [
        background_row([row for row in found if row["background"] is trained], "all") for trained in (True, False)
    ]
    names = (
        "classes",
        "background learnt",
        "folds",
        "background that fires",
        "found of the four",
        "decided as another",
    )
    return table(names, [row for row in (*rows, *totals) if row])


def background_row(rows: list[Row], name: str = "") -> tuple[str, ...]:
    if not rows:
        return ()
    sums = {key: sum(row[key] for row in rows) for key in ("fired", "others", "found", "wanted", "false")}
    return (
        name or rows[0]["classes"],
        "yes" if rows[0]["background"] else "no",
        str(len(rows)),
        share(sums["fired"], sums["others"]),
        share(sums["found"], sums["wanted"]),
        str(sums["false"]),
    )


def share(hits: int, total: int) -> str:
    low, high = wilson_interval(hits, total)
    return f"{100 * hits / total:.1f} % ({hits} of {total}; {100 * low:.1f} to {100 * high:.1f})"


def heads_tables(results: Results) -> str:
    tables = []
    for encoder in ENCODERS:
        for task in TASKS:
            rows = results.of(part="heads", encoder=encoder, task=task)
            counts = sorted({row["per_class"] for row in rows}, key=lambda count: count or 10**6)
            lines = [
                [kind, *(cell([row for row in rows if row["head"] == kind and row["per_class"] == n]) for n in counts)]
                for kind in KINDS
                if any(row["head"] == kind for row in rows)
            ]
            if lines:
                folds = len({row["fold"] for row in rows})
                names = ["head", *(f"{n} a class" if n else "all labels" for n in counts)]
                tables.append(f"{encoder}, {task} ({folds} held-out folds):\n\n{table(names, lines)}")
    return "\n\n".join(tables)


def cell(rows: list[Row]) -> str:
    """Mean and standard deviation: over draws of the mean over folds; with all labels over folds."""
    if not rows:
        return "not run"
    draws = sorted({row["draw"] for row in rows})
    by_draw = [fmean(100 * row["accuracy"] for row in rows if row["draw"] == draw) for draw in draws]
    values = by_draw if len(draws) > 1 else [100 * row["accuracy"] for row in rows]
    return f"{fmean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def against_probe(results: Results) -> str:
    """Each head less the probe, with all labels, paired over folds: mean ± standard error."""
    lines = []
    for encoder in ENCODERS:
        for task in TASKS:
            rows = results.of(part="heads", encoder=encoder, task=task, per_class=0)
            by_kind = {kind: {r["fold"]: 100 * r["accuracy"] for r in rows if r["head"] == kind} for kind in KINDS}
            probe = by_kind.pop(PROBE)
            for kind, found in by_kind.items():
                pairs = [found[fold] - probe[fold] for fold in found if fold in probe]
                if len(pairs) > 1:
                    error = stdev(pairs) / len(pairs) ** 0.5
                    each = ", ".join(f"{pair:+.1f}" for pair in pairs)
                    lines.append(f"{encoder}, {task}: {kind} less {PROBE} {fmean(pairs):+.1f} ± {error:.1f} ({each})")
    return "\n".join(lines)


def calibration_table(results: Results) -> str:
    names = ("task", "fold", "head", "ECE before", "ECE after", "precision (95 %)", "recall")
    lines, found = [], results.of(part="calibration")
    for heads, task in dict.fromkeys((row["heads"], row["task"]) for row in found):
        rows = results.of(part="calibration", heads=heads, task=task)
        for row in rows:
            precision = "none decided" if row["precision"] is None else f"{row['precision']:.3f}"
            interval = f"{precision} ({row['low']:.3f} to {row['high']:.3f})"
            errors = (f"{row['ece_before']:.4f}", f"{row['ece_after']:.4f}")
            lines.append((task, str(row["fold"]), row["head"], *errors, interval, f"{row['recall']:.3f}"))
        before, after = (fmean(row[key] for row in rows) for key in ("ece_before", "ece_after"))
        hits, decided, positives = (sum(row[key] for row in rows) for key in ("hits", "decided", "positives"))
        means = (f"{before:.4f}", f"{after:.4f}", f"{hits / max(decided, 1):.3f}", f"{hits / positives:.3f}")
        lines.append((task, "mean", heads, *means))
        for row in results.of(part="calibration of all folds", heads=heads, task=task):
            errors = (f"{row['ece_before']:.4f}", f"{row['ece_after']:.4f}")
            lines.append((task, "all clips together", heads, *errors, "", ""))
    return table(names, lines)


def night_table(results: Results) -> str:
    names = (
        "night", "learnt from, thresholds for", "window, hop, median", "event F", "event F, 1 s", "onset F", "segment F",
        "PSDS 1", "PSDS 2", "events", "met", "detected", "false alarms an hour",
    )  # fmt: skip
    lines = [
        (
            row["night"],
            row["way"],
            f"{row['window']:g}, {row['hop']:g}, {row['median']}",
            *(f"{row[key]:.3f}" for key in ("event_f", "event_f_1s", "onset_f", "segment_f")),
            *(f"{row[key]:.3f}" if key in row else "not run" for key in ("psds1", "psds2")),
            *(str(row[key]) for key in ("events", "met", "detected")),
            f"{row['false_alarms'] / row['hours']:.1f}",
        )
        for row in results.of(part="night")
    ]
    return table(names, lines)


def growing_text(results: Results) -> str:
    names = (
        "fold", "clips of the first four", "right before", "right after, of four", "of eight", "clips of all eight", "right after",
    )  # fmt: skip
    keys = ("clips", "before", "after", "among_eight", "all_clips", "of_all")
    rows = results.of(part="growing")
    lines = [(str(row["fold"]), *(str(row[key]) for key in keys)) for row in rows]
    lines += [("all", *(str(sum(row[key] for row in rows)) for key in keys))] if rows else []
    texts = [table(names, lines)] if rows else []
    texts += [
        f"Merged ({', '.join(row['heads'])}), {row['clips']} clips: the largest difference of a logit to that of the part is "
        f"{row['largest_difference']:g}."
        for row in results.of(part="merged")
    ]
    return "\n\n".join(texts)
