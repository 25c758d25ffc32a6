"""Run folders below ``--runs`` and heads that were trained on the page, with their reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.core.console import printable
from auricle.core.errors import AuricleError
from auricle.core.options import as_plain
from auricle.hub.run_folder import RunFolder
from auricle.serve.jobs.training import scores_of
from auricle.serve.library import id_of

DEEPEST = 4  # folders below the one that was named
MOST_RUNS = 1000


@dataclass(frozen=True)
class ServedRun:
    """A run folder: id, path below the folder that was named, method, model it began from, when it ended, scores."""

    id: str
    name: str
    path: Path
    kind: str = ""
    model: str = ""
    modified: float = 0.0
    scores: dict[str, float] = field(default_factory=dict)

    @property
    def report(self) -> Path:
        return RunFolder(self.path).report


def find_runs(roots: Sequence[Path]) -> list[ServedRun]:
    """Return the run folders in and below some folders, the latest first. Links that lead out of them are not followed."""
    found = {run.id: run for root in roots for run in _runs_below(root)}
    return sorted(found.values(), key=lambda run: -run.modified)[:MOST_RUNS]


def _runs_below(root: Path) -> Iterator[ServedRun]:
    real = Path(os.path.realpath(root))
    for folder, inner, files in os.walk(real, followlinks=False):
        path = Path(folder)
        if RunFolder(path).config.name in files:
            inner.clear()  # what is in a run folder is no run
            yield _described(path, real)
        elif len(path.relative_to(real).parts) >= DEEPEST:
            inner.clear()
        inner[:] = sorted(name for name in inner if not name.startswith("."))


def _described(path: Path, root: Path) -> ServedRun:
    run = RunFolder(path)
    name = printable(path.name if path == root else str(path.relative_to(root)))
    try:
        settings: dict[str, Any] = as_plain(run.read_config())
    except AuricleError:  # damaged; its report may be whole
        settings = {}
    files = [file for file in (run.encoder, run.report, run.config) if file.is_file()]
    modified = max((file.stat().st_mtime for file in files), default=0.0)
    kind, model = settings.get("method"), settings.get("model")
    return ServedRun(
        id_of(path),
        name,
        path,
        kind if isinstance(kind, str) else "",
        model if isinstance(model, str) else "",
        modified,
        scores_of(path),
    )
