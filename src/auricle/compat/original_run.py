"""Remember in a run folder which original's line began it, so that a continued run goes on writing the original's files."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.io import write_text

if TYPE_CHECKING:
    from auricle.training.run import CallbackFactory

FILE = "original.json"
PROGRAMS = {"efficientat": "auricle.compat.efficientat.published_epochs", "m2d": "auricle.compat.m2d.evar_results"}


def note_original(folder: Path, program: str, **line: Any) -> None:
    """Write what a program's callbacks need.

    Args:
        folder: the run folder.
        program: one of ``PROGRAMS``; its module has ``continued(line)``, which returns the callback factories.
        line: JSON values.
    """
    write_text(folder / FILE, json.dumps({"program": program, "line": line}, indent=1))


def original_callbacks(folder: Path) -> tuple[CallbackFactory, ...]:
    """Return the factories of the callbacks with which a run began; none where no original's line began it."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        module, line = PROGRAMS[content["program"]], content["line"]
    except (OSError, ValueError, LookupError, TypeError):
        return ()
    return importlib.import_module(module).continued(line)
