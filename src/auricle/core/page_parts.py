"""The parts that every page of Auricle shares: colours, drawing, the microphone. ``page/`` are their files."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable

SUFFIXES = (".js", ".css")


def shared_parts() -> list[Traversable]:
    """Return the files that a served page needs beside its own modules, which import them from their own folder."""
    return [part for part in (files("auricle.core") / "page").iterdir() if part.name.endswith(SUFFIXES)]


def theme() -> str:
    """Return the style sheet that comes first in every page: colours for light and dark, and type."""
    return (files("auricle.core") / "page" / "theme.css").read_text("utf-8")
