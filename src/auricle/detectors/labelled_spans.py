"""Which parts of recordings have labels already: those of a table, and those that a run learnt from."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
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

    def add(self, manifest: Manifest, *, labelled_only: bool = True) -> int:
        """Add clips and return how many.

        Args:
            manifest: the clips; those without a recording are left out.
            labelled_only: leave out clips about which nothing is known.
        """
        count = 0
        for clip in manifest:
            if clip.path is None or (labelled_only and not is_labelled(clip)):
                continue
            end = float("inf") if clip.end is None else clip.end
            self.spans[real_path(manifest.root / clip.path)].append((clip.start or 0.0, end))
            count += 1
        return count

    def covers(self, path: Path, start: float, end: float) -> bool:
        """Return True if more than half of a window (seconds) is labelled."""
        covered = [max(0.0, min(end, e) - max(start, s)) for s, e in self.spans.get(real_path(path), ())]
        return max(covered, default=0.0) > SHARE * (end - start)


def is_labelled(clip: Clip) -> bool:
    """Return True if something is known of a clip: it has labels or events, or classes that were annotated."""
    return bool(clip.labels or clip.events) or bool(clip.known)


def real_path(path: Path) -> str:
    """Return the path by which files are compared: absolute, links followed."""
    return os.path.realpath(path)


def learnt_clips(run: RunFolder) -> Iterator[Manifest]:
    """Yield the tables of the clips that a run learnt from and was scored on, as its settings name them.

    Raises:
        AuricleError: one of them cannot be read any more.
    """
    settings = run.read_config()
    data = settings.get("data") if isinstance(settings.get("data"), dict) else {}
    assert isinstance(data, dict)
    options = {name: data.get(name) for name in ("label_column", "group_column", "classes")}
    labels = data.get("labels")
    yield read_manifest(
        _where_it_ran(run, settings.get("source")),
        labels=None if labels is None else _where_it_ran(run, labels),
        **options,
    )
    for part in PARTS:
        if settings.get(part):
            yield read_manifest(_where_it_ran(run, settings[part]))


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
