"""Facts of a detector: what it gives in sentences, what it learnt from, which heads were tried, what it was not tested on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from auricle.core.console import duration, listed
from auricle.detectors.files import PART_NAMES
from auricle.reports.detector_view import DetectorView
from auricle.reports.drawing.html import count, measure_of, percent, section, subsection, table, text

MOST_NAMES = 6  # in a sentence
RARE = 0.02  # share of clips with a class below which precision says little


def sentences(view: DetectorView) -> list[str]:
    """Return the paragraphs at the top of the page."""
    described, figures = view.described, view.figures
    learnt = described.get("parts", {}).get("train", {})
    classes, head = len(view.space.reported), described.get("head", {}).get("kind", "")
    of = f" from {count(learnt['clips'])} clips ({duration(learnt['seconds'])})" if learnt.get("seconds") else ""
    how = (
        "by training the whole network"
        if head == "full"
        else f"with a {head} head on the frozen encoder {described.get('model')}"
    )
    first = f"This detector learnt {classes} class{'es' * (classes != 1)}{of}, {how}."
    hits, decided, clips = (sum(getattr(f, name) for f in figures) for name in ("hits", "decided", "clips"))
    found = f"it found {percent(hits / clips, 0)} % of the sounds of its classes" if clips else "no class occurs"
    right = (
        f", and {percent(hits / decided, 0)} % of its detections were right" if decided else ", and detected nothing"
    )
    second = f"In {view.shown_in_words} {found}{right}."
    if not view.tested:
        second += " Its head and thresholds were chosen on these clips, so the figures are a little too good."
    fired = int(view.detected[view.background].any(1).sum())
    silent = int(view.background.sum())
    third = f"Of {silent} clips without any of the classes, {fired} gave a detection." if silent else ""
    return [first, f"{second} {third}".strip()]


def detector_tiles(view: DetectorView) -> str:
    """Return the key figures."""
    hits, decided, clips = (sum(getattr(f, name) for f in view.figures) for name in ("hits", "decided", "clips"))
    before, after = view.calibration_errors
    learnt = view.described.get("parts", {}).get("train", {})
    silent = len(view.space.background)
    classes = f"{len(view.space) - silent} classes" + (" and background" if silent else "")
    items = [
        ("learnt from", count(learnt["clips"]), f"clips of {classes}") if learnt else None,
        ("found", percent(hits / clips, 0) + " %", f"of {count(clips)} sounds (recall)") if clips else None,
        ("right", percent(hits / decided, 0) + " %", f"of {count(decided)} detections (precision)")
        if decided
        else None,
        ("scores are off by", f"{100 * after:.1f}", f"points on average; {100 * before:.1f} before calibration")
        if view.space.calibration_fitted_on
        else ("scores are off by", f"{100 * before:.1f}", "points on average; not calibrated"),
    ]
    cells = [
        f"<div><dt>{text(name)}</dt><dd>{text(value)}<small>{text(more)}</small></dd></div>"
        for name, value, more in filter(None, items)
    ]
    return f'<dl class="tiles">{"".join(cells)}</dl>'


def learnt_section(view: DetectorView) -> str:
    """Return the section on the clips: per class and part, what was left out, what is doubtful."""
    parts: dict[str, Any] = view.described.get("parts", {})
    shown = [name for name in PART_NAMES if name in parts]
    head = ["class", *(f"{PART_NAMES[name]} clips" for name in shown), "groups"]
    rows = [_class_row(view, c, parts, shown) for c in range(len(view.space))]
    total = ["<b>all</b>", *(count(parts[name]["clips"]) for name in shown), ""]
    body = table(head, [*rows, total], kind="classes-learnt", numeric=range(1, len(head)))
    lengths = [f"{PART_NAMES[name]} {duration(parts[name]['seconds'])}" for name in shown if parts[name].get("seconds")]
    body += (
        f'<p class="small">Sound: {text(", ".join(lengths))}. Source: {text(view.described.get("source"))}. Groups are '
    )
    body += "speakers, sites or recordings of the training clips; where none are named, each recording is one.</p>"
    body += _list("What is doubtful", notes(view)) + _left_out(view)
    return section("learnt", "What it learnt from", body)


def notes(view: DetectorView) -> list[str]:
    """Return the sentences about data, calibration and thresholds that the run kept."""
    thresholds = view.described.get("thresholds") or {}
    return [*map(str, view.described.get("notes", ())), *map(str, thresholds.get("notes", ()))]


def _class_row(view: DetectorView, c: int, parts: dict[str, Any], shown: list[str]) -> list[str]:
    id, name = view.space.ids[c], text(view.space.names[c])
    counts = [parts[part]["classes"].get(id, {}) for part in shown]
    label = f"{name} <span class=pm>(background)</span>" if id in view.space.background else name
    groups = counts[0].get("groups") if counts else None
    return [label, *(count(of.get("clips", 0)) for of in counts), "–" if groups is None else count(groups)]


def _left_out(view: DetectorView) -> str:
    reasons = [f"{id}: {reason}" for id, reason in view.described.get("left_out", {}).items()]
    more = [f"and {len(reasons) - 10} more"] if len(reasons) > 10 else []
    return _list("Left out", [*reasons[:10], *more])


def _list(title: str, lines: list[str]) -> str:
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return subsection(title, f'<ul class="warnings">{items}</ul>' if items else "")


def heads_section(view: DetectorView) -> str:
    """Return the table of heads that were tried, the best of each kind; "" where there was no choice."""
    trials, kept = view.described.get("trials", []), view.described.get("head", {})
    if not trials:
        return ""
    measure = measure_of(view.metric.name)
    best: dict[str, dict[str, Any]] = {}
    for trial in trials:
        kind, own = trial["head"], {"kind": trial["head"], "settings": trial["settings"]} == kept
        known = best.get(kind)
        loss = float("inf") if trial.get("loss") is None else trial["loss"]  # chooses the settings, as on the terminal
        if own or known is None or (not known["kept"] and loss < known["rank"]):
            best[kind] = trial | {"kept": own, "rank": loss}
    rows = [_trial_row(trial, measure, trials) for trial in best.values()]
    lead = (
        f"Each head learnt from some folds of the training clips and was scored on the others ({view.described.get('folds')} "
        f"folds). {str(view.described.get('reason', '')).capitalize()}."
    )
    body = table(("", "head", view.metric.name, "± standard error", "seconds"), rows, kind="heads", numeric=(2, 3, 4))
    body += (
        '<p class="small">The head is the small part that learns the classes; the encoder before it stays as it is. Of heads that '
        "are about equally good the simplest is kept, because it is least likely to have been lucky.</p>"
    )
    return section("heads", "Which head was kept", body, text(lead))


def _trial_row(trial: dict[str, Any], measure: Any, trials: list[dict[str, Any]]) -> list[str]:
    settings = ", ".join(f"{name} {value}" for name, value in trial["settings"].items())
    spent = sum(other["seconds"] for other in trials if other["head"] == trial["head"])
    score, error = trial["score"], trial["se"]
    return [
        "kept" if trial["kept"] else "",
        f"{text(trial['head'])} <span class=pm>{text(settings)}</span>",
        "–" if score is None else measure.value(score),
        "–" if error is None or not np.isfinite(error) else measure.number(error),
        f"{spent:.1f}",
    ]


def untested_section(view: DetectorView) -> str:
    """Return what the figures of the page do not cover."""
    items = "".join(f"<li>{text(line)}</li>" for line in _untested(view))
    lead = "The figures above hold for sounds like the clips they come from. These questions they leave open."
    return section("untested", "What it was not tested on", f'<ul class="open">{items}</ul>', lead)


def _untested(view: DetectorView) -> Iterator[str]:
    part, figures = view.shown, view.figures
    if not view.tested:
        yield (
            "New clips: none were set aside for a test (a column fold or split, or a folder test). Head and thresholds were chosen "
            "on the clips that the figures come from."
        )
    if missing := [f.name for f in figures if not f.clips]:
        yield f"{listed(missing, MOST_NAMES)}: no {PART_NAMES[part.part]} clip holds the class."
    if few := [f.name for f in figures if 0 < f.clips < 10]:
        yield f"{listed(few, MOST_NAMES)}: fewer than 10 {PART_NAMES[part.part]} clips, so the intervals are wide."
    shared = set(part.groups) & {group for other in view.parts if other.part == "train" for group in other.groups}
    if shared and view.tested:
        yield (
            f"Other speakers, sites or recordings: {len(shared)} of the {len(set(part.groups))} groups of the test clips are in "
            "the training part too, so new ones may score lower."
        )
    elif all(group.startswith("clip ") for group in part.groups):
        yield "Other speakers, animals, sites and recorders: the data name no groups (--group-column)."
    elif len(set(part.groups)) < 5:
        yield f"More than the {len(set(part.groups))} groups (speakers, sites) that the {PART_NAMES[part.part]} clips come from."
    if not view.background.any():
        yield (
            "Sound without any of its classes: the clips hold none, so it may fire on anything. Add --negatives FOLDER or a "
            "class named background."
        )
    share = np.nanmean(view.truth[:, list(view.space.reported)] == 1, axis=0)
    if share.max() > RARE:
        yield (
            f"Rare sounds: a class holds in {_range(share)} % of these clips. Where it is rarer, more of the detections "
            "are false; recall stays."
        )
    seconds = part.seconds[np.isfinite(part.seconds)]
    if len(seconds):
        yield (
            f"Long recordings: it was scored on clips of about {np.median(seconds):.3g} s. Tag a night with --window "
            f"{max(1.0, round(float(np.median(seconds)), 1)):g} and listen to some of the detections."
        )


def _range(shares: np.ndarray) -> str:
    low, high = percent(float(shares.min()), 0), percent(float(shares.max()), 0)
    return low if low == high else f"{low} to {high}"
