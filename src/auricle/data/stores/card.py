"""``prepare.json``: the settings that a folder of stored arrays was made with, so that no others are mixed into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.io import write_text

SETTINGS = "prepare.json"
FORMAT = 1
HALF = "store half precision: half the disk, each value off by at most 0.004 (a thousandth of a deviation)"
HALF_ERROR = 2**-8  # half the spacing of float16 from 8 to 16; log-mel of sound in [-1, 1] lies in [-15.95, 7]
DEFAULTS = {"dtype": "float32"}  # of settings that older cards do not hold


def claim_folder(out: Path, settings: dict[str, Any]) -> None:
    """Write the card of a new folder, or check that an older run used the same settings, and remove its half-written files.

    Raises:
        AuricleError: The folder was made with other settings, or holds something else.
    """
    if (out / SETTINGS).is_file():
        check_settings(out, settings)
        clear_leftovers(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuricleError(f"{out} exists and is not a prepared folder; name a new or an empty folder")
    else:
        write_card(out, settings)


def write_card(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings that decide the values of a store, and the largest error of stored log-mel."""
    card: dict[str, Any] = {"format": FORMAT, "settings": settings}
    if "front_end" in settings:
        card["largest_error"] = HALF_ERROR if settings.get("dtype") == "float16" else 0.0
    write_text(out / SETTINGS, json.dumps(card, indent=1) + "\n")


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Raise AuricleError, with what changed, when a folder was made with other settings."""
    old = read_card(out / SETTINGS)
    changed = [f"{name} was {old.get(name)}, now {value}" for name, value in settings.items() if old.get(name) != value]
    if changed:
        raise AuricleError(
            f"{out} was prepared with other settings: {'; '.join(changed)}; use those, or name a new folder"
        )


def read_card(path: Path) -> dict[str, Any]:
    """Return the settings of a card. Raises AuricleError for a damaged one and for one of a newer auricle."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        format, settings = int(stored.get("format", FORMAT)), dict(stored["settings"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise AuricleError(f"{path} is damaged ({error}); prepare into a new folder") from None
    if format > FORMAT:
        raise AuricleError(f"{path} was written by a newer auricle (format {format}, this one knows {FORMAT})")
    return {**DEFAULTS, **settings}


def clear_leftovers(out: Path) -> None:
    """Remove the half-written files of a run that was killed."""
    for leftover in out.rglob(".*.tmp"):
        leftover.unlink(missing_ok=True)
