"""``build_report``: one HTML file that loads nothing else, from what a run folder holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.reports.detector_view import DetectorView
from auricle.reports.drawing.html import script_safe, style, text
from auricle.reports.drawing.media import PageSounds
from auricle.reports.run_view import RunView, main_evaluation, named_apart
from auricle.reports.sections.classes import classes_section
from auricle.reports.sections.detector_clips import detector_clips_section
from auricle.reports.sections.detector_facts import (
    detector_tiles,
    heads_section,
    learnt_section,
    sentences,
    untested_section,
)
from auricle.reports.sections.detector_scores import (
    calibration_section,
    detector_classes_section,
    labels_section,
    thresholds_section,
)
from auricle.reports.sections.embedding_map import clips_to_play, map_section, task_manifest
from auricle.reports.sections.masked_clips import clips_section
from auricle.reports.sections.run_facts import data_section, recipe_section, tiles
from auricle.reports.sections.scores import scores_section
from auricle.reports.sections.training_curves import Reference, curves_section, shipped_references
from auricle.reports.verdicts import compared, learnt
from auricle.version import __version__

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data: blob:"
)


def build_report(
    run: Path | str,
    others: Sequence[Path | str] = (),
    *,
    references: Sequence[Path | str] = (),
    out: Path | str | None = None,
) -> Path:
    """Write the report of a run; parts that a run lacks are left out with a sentence.

    Args:
        run: Run folder.
        others: Run folders to compare with: curves share charts, scores share tables.
        references: ``log.txt`` files of original programs, drawn as dashed curves; the reference of the small preset is
            added where a run uses that preset.
        out: File to write; default: ``report.html`` in the run folder.

    Returns:
        The file.

    Raises:
        AuricleError: A folder is no run, or a reference is not an original's log.
    """
    paths = {path.resolve(): path for path in map(Path, [run, *others])}
    runs = named_apart([RunView.open(path) for path in paths.values()])
    curves = [*(Reference.read(Path(path)) for path in references), *shipped_references(runs)]
    target = Path(out or runs[0].folder.report)
    if target.is_dir():
        raise AuricleError(f"{target} is a folder; name a file with --out")
    write_text(target, page(runs, curves))
    return target


def page(runs: Sequence[RunView], references: Sequence[Reference] = ()) -> str:
    """Return the whole document."""
    first, sounds = runs[0], PageSounds()
    detector, problems = detector_of(first)
    evaluation = main_evaluation(first.evaluations)
    manifest = task_manifest(evaluation) if evaluation else None
    playable = sounds.add_clips(manifest, clips_to_play(evaluation)) if evaluation and manifest else {}
    sections = [
        _header(runs, detector, problems),
        detector_sections(detector, sounds) if detector else "",
        scores_section(runs) if detector is None or any(run.evaluations for run in runs) else "",
        curves_section(runs, references) if any(run.rows("step") for run in runs) else "",
        f'<p class="aside">From here on: {text(first.name)} alone.</p>' if len(runs) > 1 else "",
        clips_section(first.snapshot, sounds) if first.predicts else "",
        map_section(first, evaluation, manifest, playable),
        classes_section(evaluation, playable),
        "" if detector else data_section(first),
        recipe_section(runs),
    ]
    store = json.dumps({"sounds": sounds.data, "pictures": sounds.thumbnails}, separators=(",", ":"))
    return document(" and ".join(run.name for run in runs), "".join(sections), store)


def detector_of(run: RunView) -> tuple[DetectorView | None, list[str]]:
    """Return the detector that a run gave, None for another run; and what could not be read."""
    try:
        return DetectorView.open(run), []
    except AuricleError as error:
        return None, [str(error)]


def detector_sections(view: DetectorView, sounds: PageSounds) -> str:
    """Return the sections on a detector."""
    sections = (
        detector_classes_section(view),
        calibration_section(view),
        thresholds_section(view),
        detector_clips_section(view, sounds),
        labels_section(view),
        untested_section(view),
        learnt_section(view),
        heads_section(view),
    )
    return "".join(sections)


def _header(runs: Sequence[RunView], detector: DetectorView | None = None, problems: Sequence[str] = ()) -> str:
    """Names, what was learnt, key figures, and what could not be read."""
    first = runs[0]
    kicker = f"{'detector' if detector else first.config.get('method', 'encoder')} · Auricle report"
    title = " <span>against</span> ".join(text(run.name) for run in runs)
    if len(runs) > 1:
        paragraphs = [*compared(runs), *(f"{run.name}: {' '.join(learnt(run))}" for run in runs)]
    else:
        paragraphs = sentences(detector) if detector else learnt(first)
    summary = "".join(f"<p>{text(paragraph)}</p>" for paragraph in paragraphs)
    listed = [*problems, *(problem for run in runs for problem in run.problems)]
    items = "".join(f"<li>{text(problem)}</li>" for problem in listed)
    warnings = f'<ul class="warnings">{items}</ul>' if items else ""
    figures = detector_tiles(detector) if detector and len(runs) == 1 else tiles(runs)
    return (
        f'<header class="top"><p class="kicker">{text(kicker)}</p><h1>{title}</h1>'
        f'<div class="learnt">{summary}</div>{warnings}{figures}</header>'
    )


def document(title: str, body: str, store: str) -> str:
    """Return a page of this body (HTML) and store (JSON); it loads nothing from elsewhere."""
    script = files(__package__).joinpath("report.js").read_text("utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)} · Auricle</title><style>{style('report.css')}</style></head><body><main>{body}</main>"
        f"<footer>Written by Auricle {text(__version__)}; nothing on this page is loaded from elsewhere.</footer>"
        '<div id="tip" hidden></div>'
        f'<script type="application/json" id="store">{script_safe(store)}</script>'
        f"<script>{script}</script></body></html>"
    )
