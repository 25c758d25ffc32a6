"""``build_report``: one HTML file that needs nothing else, from whatever a run folder holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.reports.audio_clips import SoundStore
from auricle.reports.classes import classes_section
from auricle.reports.clips import clips_section
from auricle.reports.curves import Reference, curves_section, shipped
from auricle.reports.embedding_map import map_section, task_manifest, telling_clips
from auricle.reports.facts import data_section, recipe_section, tiles
from auricle.reports.html import script_safe, text
from auricle.reports.scores import scores_section
from auricle.reports.verdict import compared, learnt
from auricle.reports.view import RunView, main_evaluation
from auricle.version import __version__

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; media-src data: blob:"
)


def build_report(
    run: Path, others: Sequence[Path] = (), *, references: Sequence[Path] = (), out: Path | None = None
) -> Path:
    """Write the report of a run (``report.html`` in it, or ``out``) and return where it is.

    others      runs to compare with: their curves are laid over each other, their scores stand side by side
    references  originals' ``log.txt`` files, drawn as dashed curves; a run of the small preset is drawn beside its own

    Parts that a run lacks are left out with a word. Raises AuricleError where there is no run, or a reference is none.
    """
    runs = [RunView.open(path) for path in dict.fromkeys([run, *others])]
    drawn = [*(Reference.read(path) for path in references), *shipped(runs)]
    target = out or runs[0].folder.report
    if target.is_dir():
        raise AuricleError(f"{target} is a folder; name a file with --out")
    write_text(target, page(runs, drawn))
    return target


def page(runs: Sequence[RunView], references: Sequence[Reference] = ()) -> str:
    """The whole document."""
    first, sounds = runs[0], SoundStore()
    evaluation = main_evaluation(first.evaluations)
    manifest = task_manifest(evaluation) if evaluation else None
    heard = sounds.add_clips(manifest, telling_clips(evaluation)) if evaluation and manifest else {}
    sections = [
        _header(runs),
        scores_section(runs),
        curves_section(runs, references),
        f'<p class="aside">From here on: {text(first.name)} alone.</p>' if len(runs) > 1 else "",
        clips_section(first.snapshot, sounds),
        map_section(first, evaluation, manifest, heard),
        classes_section(evaluation, heard),
        data_section(first),
        recipe_section(runs),
    ]
    store = json.dumps({"sounds": sounds.data, "pictures": sounds.thumbnails}, separators=(",", ":"))
    return _document(" and ".join(run.name for run in runs), "".join(sections), store)


def _header(runs: Sequence[RunView]) -> str:
    """Names, what was learnt in words, the key figures, and whatever could not be read."""
    first = runs[0]
    kicker = f"{first.config.get('method', 'encoder')} · Auricle report"
    title = " <span>against</span> ".join(text(run.name) for run in runs)
    words = compared(runs) if len(runs) > 1 else []
    for run in runs:
        name = f"{run.name}: " if len(runs) > 1 else ""
        words += [name + " ".join(learnt(run))] if name else learnt(run)
    said = "".join(f"<p>{text(paragraph)}</p>" for paragraph in words)
    problems = "".join(f"<li>{text(problem)}</li>" for run in runs for problem in run.problems)
    warnings = f'<ul class="warnings">{problems}</ul>' if problems else ""
    return (
        f'<header class="top"><p class="kicker">{text(kicker)}</p><h1>{title}</h1>'
        f'<div class="learnt">{said}</div>{warnings}{tiles(first)}</header>'
    )


def _document(title: str, body: str, store: str) -> str:
    style, script = (files(__package__).joinpath(name).read_text("utf-8") for name in ("report.css", "report.js"))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)} · Auricle</title><style>{style}</style></head><body><main>{body}</main>"
        f"<footer>Written by Auricle {text(__version__)}; nothing on this page is loaded from elsewhere.</footer>"
        '<div id="tip" hidden></div>'
        f'<script type="application/json" id="store">{script_safe(store)}</script>'
        f"<script>{script}</script></body></html>"
    )
