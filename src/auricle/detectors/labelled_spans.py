"""Which parts of recordings have labels already: those of a table, and those that a run learnt from."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.hub.run_folder import RunFolder

SHARE = 0.5  # of a window: from here on it counts as labelled
PARTS = ("valid", "test")  # settings of a run that name further tables


class LabelledSpans:
    """Spans of recordings by file.

    Example:
        spans = LabelledSpans()
        spans.add(Manifest.read("labels.csv"))
        spans.covers(Path("night.flac"), 10.0, 15.0)
    """

    def __init__(self) -> None:
        self.spans: dict[str, list[tuple[float, float]]] = defaultdict(list)

    def add(self, manifest: Manifest, *, labelled_only: bool = True, events_only: bool = False) -> None:
        """Add clips.

        Args:
            manifest: the clips; those without a recording are left out.
            labelled_only: leave out clips about which nothing is known.
            events_only: of a recording with events, the time outside them is not labelled.
        """
        for clip in manifest:
            if clip.path is None or (labelled_only and not is_labelled(clip)):
                continue
            first, last = clip.start or 0.0, float("inf") if clip.end is None else clip.end
            spans = [(first, last)]
            if events_only and clip.events:
                spans = [(first + event.onset, first + event.offset) for event in clip.events]
            self.spans[real_path(manifest.root / clip.path)] += spans

    def covers(self, path: Path, start: float, end: float) -> bool:
        """Return True if more than half of a window (seconds) is labelled."""
        covered, done = 0.0, start
        for first, last in sorted(self.spans.get(real_path(path), ())):
            first, last = max(first, done), min(last, end)
            if last > first:
                covered, done = covered + last - first, last
        return covered > SHARE * (end - start)


def is_labelled(clip: Clip) -> bool:
    """Return True if something is known of a clip: it has labels or events, or classes that were annotated."""
    return bool(clip.labels or clip.events) or bool(clip.known)


def real_path(path: Path) -> str:
    """Return the path by which files are compared: absolute, links followed."""
    return os.path.realpath(path)


def add_learnt_clips(spans: LabelledSpans, run: RunFolder) -> None:
    """Add the clips that a run learnt from and was scored on, as its settings name them, and those of a run that it grew from.

    Raises:
        AuricleError: one of its tables or folders cannot be read any more.
    """
    settings = run.read_config()
    data, detector = (_mapping(settings.get(name)) for name in ("data", "detector"))
    options: dict[str, Any] = {name: data.get(name) for name in ("label_column", "group_column", "classes")}
    labels = None if data.get("labels") is None else _where_it_ran(run, data["labels"])
    source = read_manifest(_where_it_ran(run, settings.get("source")), labels=labels, **options)
    negative = data.get("unlabelled") == "negative"
    spans.add(_learnt(source, negative), labelled_only=False, events_only=not negative)
    for part in PARTS:
        if settings.get(part):
            spans.add(_learnt(read_manifest(_where_it_ran(run, settings[part])), negative), labelled_only=False)
    for name in data.get("negatives") or ():
        folder = _where_it_ran(run, name)
        where = folder if os.path.exists(folder) else _where_it_ran(run, name.rpartition("=")[0])
        spans.add(read_manifest(where), labelled_only=False)
    if detector.get("from_run"):
        add_learnt_clips(spans, RunFolder.open(_where_it_ran(run, detector["from_run"])))


def _learnt(manifest: Manifest, negative: bool) -> Manifest:
    """Return the clips of a run's table that were used: all but those that are not annotated. An empty label is an answer."""
    return manifest if negative else replace(manifest, clips=[clip for clip in manifest if clip.known != ()])


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _where_it_ran(run: RunFolder, name: Any) -> str:
    """Return a path of the settings as the command that made the run understood it: relative to its working folder."""
    if not isinstance(name, str) or not name:
        raise AuricleError(f"{run.config} does not name the recordings of the run")
    if os.path.isabs(name) or os.path.exists(name):
        return name
    try:
        folder = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return name
    return os.path.join(folder, name) if isinstance(folder, str) else name
