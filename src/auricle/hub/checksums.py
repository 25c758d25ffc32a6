"""Checksums of weight files: stored at first use in ``FILE.json`` (size, SHA-256, source), verified afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.io import sha256_of, write_text

BY_HAND = "put here by hand"


def note(file: Path, source: str, *, content: Path | None = None) -> None:
    """Write the size and checksum of a file; of ``content`` if that will be renamed to the file."""
    content = content or file
    values = {"size": content.stat().st_size, "sha256": sha256_of(content), "source": source}
    write_text(_note_path(file), json.dumps(values, indent=1))


def noted(file: Path) -> dict[str, Any]:
    """Read what ``note`` wrote; {} if there is nothing, or it is damaged: then ``check`` writes it again."""
    try:
        values = json.loads(_note_path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    whole = isinstance(values, dict) and isinstance(values.get("size"), int) and isinstance(values.get("sha256"), str)
    return values if whole else {}


def check(file: Path, *, size: int | None = None, sha256: str = "") -> None:
    """Compare a file with its expected size and checksum. For a file that was put there by hand, they are stored now.

    Args:
        file: the file.
        size, sha256: expected bytes and checksum, if known; default: those that ``note`` wrote.

    Raises:
        AuricleError: if the file has changed or is truncated.
    """
    before = noted(file)
    expected_size, expected = size or before.get("size"), sha256 or before.get("sha256", "")
    actual = file.stat().st_size
    if expected_size and actual != expected_size:
        raise AuricleError(
            f"{file} has {actual} bytes, expected {expected_size}: it is truncated or changed; "
            "delete it and its .json, then try again"
        )
    if expected and sha256_of(file) != expected:
        raise AuricleError(
            f"{file} has changed (its SHA-256 is not {expected[:12]}…); delete it and its .json, then try again"
        )
    if not before:
        note(file, BY_HAND)


def _note_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")
