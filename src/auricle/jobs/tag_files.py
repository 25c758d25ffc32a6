"""The files of ``auricle tag --out FOLDER``: one JSON line per finished recording, and label tracks.

``tags.jsonl`` grows by a line as soon as a recording is finished, so whatever comes later loses nothing, and the same
command goes on where it stopped: lines whose recording did not change since are kept.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from auricle.atomic import write_text
from auricle.errors import AuricleError
from auricle.inference.label_tracks import SUFFIXES, WRITERS
from auricle.inference.sounds import Sound
from auricle.inference.tags import Failure, FileTags


class TagFolder:
    """``made_from`` is everything that decides the answers; a folder made from something else is refused."""

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        if folder.exists() and not folder.is_dir():
            raise AuricleError(f"--out {folder} is a file; expected a folder, which is made")
        self.folder, self.lines = folder, folder / "tags.jsonl"
        settings = folder / "settings.json"
        if settings.is_file():
            before = _whole(settings.read_text(encoding="utf-8", errors="replace"))
            changed = sorted(name for name in made_from if before.get(name) != made_from[name])
            if changed:
                raise AuricleError(
                    f"{folder} holds tags made with another {', '.join(changed)}; choose another --out, or remove it"
                )
        else:
            write_text(settings, json.dumps(made_from, indent=1))

    def finished(self, sounds: list[Sound]) -> dict[str, FileTags]:
        """Results of these sounds that an earlier run finished; lines of failed and changed ones are dropped."""
        lines = self.lines.read_text(encoding="utf-8", errors="replace").splitlines() if self.lines.is_file() else []
        plain = {line["file"]: line for line in map(_whole, lines) if {"tags", "stamp"} <= line.keys()}
        stamps = {sound.name: stamp(sound) for sound in sounds}
        kept = {name: line for name, line in plain.items() if line["stamp"] == stamps.get(name, line["stamp"])}
        write_text(self.lines, "".join(f"{json.dumps(line)}\n" for line in kept.values()))
        return {name: FileTags.from_json(line) for name, line in kept.items() if name in stamps}

    def add(self, sound: Sound, outcome: FileTags | Failure) -> None:
        """The outcome as a line, on disk before the next recording is begun."""
        plain = asdict(outcome) if isinstance(outcome, Failure) else _line(sound, outcome)
        with open(self.lines, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(plain)}\n")

    def add_labels(self, sound: Sound, result: FileTags, kind: str, nyquist: float) -> Path:
        """The label track of one recording; its path within the folder is the recording's."""
        path = self.folder / f"{sound.place}{SUFFIXES[kind]}"
        write_text(path, WRITERS[kind](result.events or (), nyquist))
        return path


def stamp(sound: Sound) -> list[int] | str | None:
    """Size and time of change of a file, a checksum of what is in memory; None for a file that is not there."""
    if not isinstance(sound.content, Path):
        return hashlib.sha256(sound.content).hexdigest()
    if not sound.content.is_file():
        return None
    found = sound.content.stat()
    return [found.st_size, found.st_mtime_ns]


def _line(sound: Sound, result: FileTags) -> dict[str, Any]:
    plain = result.to_json() | {"stamp": stamp(sound)}
    return plain | {"windows": result.time_line()} if result.windows else plain


def _whole(line: str) -> dict[str, Any]:
    """A JSON object; nothing for one that a kill cut short."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
