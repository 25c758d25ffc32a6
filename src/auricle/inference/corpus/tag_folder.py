"""The folder of answers of ``auricle tag --out``: ``tags.jsonl``, a JSON line per recording, and label tracks.

    out/settings.json                everything that decides the answers
    out/tags.jsonl                   a line per recording, on disk before the next one is begun
    out/shard-03-of-16/              a share of the recordings that was tagged apart (``--shard 3/16``), the same files
    out/shard-04-of-16.part/         one that is not whole yet

A folder takes what its shards hold, so that it is their union.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import CorpusShard
from auricle.core.io import short_name, write_text, writing
from auricle.inference.corpus.stamps import Stamp, stamp
from auricle.inference.events import SUFFIXES, WRITERS
from auricle.inference.tag_results import Failure, FileTags

if TYPE_CHECKING:
    from auricle.audio.sources import AudioSource

# settings that older folders do not name
ABSENT: dict[str, Any] = {"only": [], "min_score": 0.0, "strict": False, "thresholds": [], "level": "clip"}
KEPT = "; finished recordings are kept: the same command continues"
PART = ".part"  # after the name of the folder of a shard that is not whole


class TagFolder:
    """The files of ``--out FOLDER``.

    Args:
        made_from: everything that decides the answers.

    Raises:
        AuricleError: for a folder that was made from something else.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        self.folder, self.lines = folder, folder / "tags.jsonl"
        if not _made_alike(folder, made_from):
            write_text(folder / "settings.json", json.dumps(made_from, indent=1))
        self.shards = [shard for shard in sorted(folder.glob("shard-*-of-*")) if shard.suffix != PART]
        for shard in self.shards:
            _made_alike(shard, made_from)

    @classmethod
    def of_shard(cls, out: Path, shard: CorpusShard, made_from: dict[str, Any]) -> TagFolder:
        """Return the folder of a share of the recordings in ``out``: the whole one, or the one that is to be continued."""
        whole = out / shard.folder
        return cls(whole if whole.is_dir() else out / f"{shard.folder}{PART}", made_from)

    def finish(self) -> None:
        """Give the folder of a shard, of which every recording was tried, its name."""
        if self.folder.suffix == PART:
            with writing(self.folder):
                self.folder = self.folder.rename(self.folder.with_suffix(""))
            self.lines = self.folder / "tags.jsonl"

    def finished(self, sources: list[AudioSource]) -> dict[str, FileTags]:
        """Return what an earlier run finished of these sources, or of which a shard holds the answer.

        Lines of failed, changed and damaged recordings are removed, and those of shards are added.
        """
        text = _text(self.lines)
        stamps = {source.name: stamp(source) for source in sources}
        lines: dict[str, str] = {}
        results: dict[str, FileTags] = {}
        for line in [line for shard in self.shards for line in _lines(shard)] + text.splitlines():
            values = _json_object(line)
            result = _result_of(values)
            if result and "stamp" in values and values["stamp"] == stamps.get(result.file, values["stamp"]):
                lines[result.file], results[result.file] = line, result
        complete = "".join(f"{line}\n" for line in lines.values())
        if complete != text:
            write_text(self.lines, complete)
        return {name: result for name, result in results.items() if name in stamps}

    def add(self, source: AudioSource, outcome: FileTags | Failure, before: Stamp = None) -> None:
        """Append the outcome as a line, on disk before the next recording is begun.

        Args:
            before: the stamp of the recording when it was opened; None: that of now.
        """
        if isinstance(outcome, Failure):
            line = asdict(outcome)
        else:
            line = outcome.to_json(time_line=True) | {"stamp": before or stamp(source)}
        with writing(self.lines, KEPT), open(self.lines, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def add_labels(self, source: AudioSource, result: FileTags, kind: str, nyquist: float) -> Path:
        """Write the label track of a recording, under the recording's own relative path, and return its path.

        A name that would be too long for the file system is shortened.
        """
        place = Path(source.place)
        path = self.folder / place.parent / short_name(place.name, SUFFIXES[kind])
        write_text(path, WRITERS[kind](result.with_heads_joined().events or (), nyquist))
        return path


def _made_alike(folder: Path, made_from: dict[str, Any]) -> bool:
    """Return False for a folder without settings. Raises AuricleError for one that was made from something else."""
    settings = folder / "settings.json"
    if not settings.is_file():
        return False
    before = _json_object(settings.read_text(encoding="utf-8", errors="replace"))
    if not before:
        raise AuricleError(f"{settings} is damaged: choose another --out, or remove the folder")
    changed = sorted(name for name in made_from if before.get(name, ABSENT.get(name)) != made_from[name])
    if changed:
        raise AuricleError(
            f"{folder} holds tags made with another {', '.join(changed)}; choose another --out, or remove it"
        )
    return True


def _text(lines: Path) -> str:
    return lines.read_text(encoding="utf-8", errors="replace") if lines.is_file() else ""


def _lines(shard: Path) -> Iterator[str]:
    yield from _text(shard / "tags.jsonl").splitlines()


def _result_of(values: dict[str, Any]) -> FileTags | None:
    """The result in a line; None for a failure and for a damaged line."""
    try:
        return FileTags.from_json(values)
    except Exception:  # any value may have any type
        return None


def _json_object(line: str) -> dict[str, Any]:
    """The JSON object of a line; an empty one for a line that was cut short."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
