"""Tag recordings with one tagger or an ensemble: ``auricle tag``.

Each answer is saved and yielded as soon as it is finished. ``--out FOLDER`` holds ``tags.jsonl``, one JSON line per
finished recording, and the label tracks; the same command continues where it was stopped, and reads again only
recordings that have changed since.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import file_stamp, make_folder, write_text
from auricle.core.options import argument, check_choices, option
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.events import SUFFIXES, WRITERS
from auricle.inference.tag_results import Failure, FileTags

if TYPE_CHECKING:
    from auricle.audio.sources import AudioSource
    from auricle.inference.tagger import Tagger

STDIN = "-"
LABEL_TRACKS = ("audacity", "raven")
PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class TagConfig:
    """What to tag, with which network, how, and what is written."""

    files: tuple[str, ...] = argument("audio files, folders, or - for standard input", many=True)
    model: str = option("", "tagger: a published name, a weight file or a run folder")
    weights: str = option("", "local weight file of a published name", advanced=True)
    ensemble: tuple[str, ...] = option(
        (), "several taggers instead of --model; their logits are averaged", advanced=True
    )
    settings: TagSettings = field(default_factory=TagSettings)
    events: EventSettings = field(default_factory=EventSettings)
    out: str = option("", "folder for the answers: tags.jsonl, a line per finished file; run again to continue")
    labels_out: str | None = option(None, "label tracks of the events into --out", choices=LABEL_TRACKS)
    picture: str = option("", "picture of one recording to write: spectrogram and events (.png, .svg, .pdf)")

    def __post_init__(self) -> None:
        check_choices(self)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("name the tagger: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.picture and Path(self.picture).suffix not in PICTURES:
            raise AuricleError(f"--picture {self.picture}: expected a name that ends in {', '.join(PICTURES)}")
        if self.labels_out and not (self.out and self.settings.window):
            raise AuricleError("--labels-out writes events into a folder: it needs --out and --window")


@dataclass(frozen=True)
class Tagging:
    """A job that has begun: the tagger's name, the number of recordings, and their outcomes as they come."""

    model: str
    count: int
    outcomes: Iterator[FileTags | Failure]


def tag(config: TagConfig) -> Tagging:
    """Begin to tag.

    Raises:
        AuricleError: for an unknown model, and for an --out folder that was made with other settings.
    """
    from auricle.core.devices import tune_allocator
    from auricle.inference.tagger import Tagger

    tune_allocator()
    model, weights = config.model or config.ensemble, config.weights or None
    tagger = Tagger(model, weights=weights, settings=config.settings, events=config.events)
    if config.picture:
        make_folder(Path(config.picture).parent, "choose another --picture")
    sources = _sources(config)
    folder = TagFolder(Path(config.out), _made_from(config, tagger)) if config.out else None
    return Tagging(tagger.info.name, len(sources), _outcomes(config, tagger, sources, folder))


def _sources(config: TagConfig) -> list[AudioSource]:
    from auricle.audio.sources import AudioSource, find_audio

    sources = find_audio([name for name in config.files if name != STDIN])
    if STDIN in config.files:
        sources.append(AudioSource(STDIN, sys.stdin.buffer.read(), "stdin"))
    if config.picture and len(sources) != 1:
        raise AuricleError(f"--picture draws one recording, but {len(sources)} are named")
    return sources


def _made_from(config: TagConfig, tagger: Tagger) -> dict[str, Any]:
    """Everything that decides the answers, as JSON values; a window or hop that is not set is stored as 0."""
    settings = config.settings
    return {
        "model": tagger.info.name,
        "fingerprint": tagger.encoder.fingerprint(),
        "top_k": settings.top_k,
        "window": settings.window or 0.0,
        "whole": settings.whole,
        "hop": settings.hop or 0.0,
        "precision": settings.precision,
        **asdict(config.events),
    }


def _outcomes(
    config: TagConfig, tagger: Tagger, sources: list[AudioSource], folder: TagFolder | None
) -> Iterator[FileTags | Failure]:
    """Yield what an earlier run finished, then the others; each is saved before it is yielded."""
    finished = folder.finished(sources) if folder else {}
    for source in sources:
        if source.name in finished:
            _write_extras(config, tagger, source, finished[source.name], folder)
            yield finished[source.name]
    rest = [source for source in sources if source.name not in finished]
    try:
        for source, outcome in zip(rest, tagger.iterate(rest)):
            if folder:
                folder.add(source, outcome)
            _write_extras(config, tagger, source, outcome, folder)
            yield outcome
    except KeyboardInterrupt:
        saved = f"; finished recordings are in {config.out}: run the same command again to continue" if folder else ""
        raise KeyboardInterrupt(f"stopped{saved}") from None


def _write_extras(
    config: TagConfig, tagger: Tagger, source: AudioSource, outcome: FileTags | Failure, folder: TagFolder | None
) -> None:
    """Write the label track and the picture that were asked for."""
    if not isinstance(outcome, FileTags):
        return
    if folder and config.labels_out:
        folder.add_labels(source, outcome, config.labels_out, tagger.info.sample_rate / 2)
    if config.picture:
        from auricle.reports.tag_picture import draw

        draw(source, outcome, tagger.encoder, Path(config.picture))


class TagFolder:
    """The files of ``--out FOLDER``.

    Args:
        made_from: everything that decides the answers.

    Raises:
        AuricleError: for a file, and for a folder that was made from something else.
    """

    def __init__(self, folder: Path, made_from: dict[str, Any]):
        if folder.exists() and not folder.is_dir():
            raise AuricleError(f"--out {folder} is a file; expected a folder, which is made")
        self.folder, self.lines = folder, folder / "tags.jsonl"
        settings = folder / "settings.json"
        if settings.is_file():
            before = _json_object(settings.read_text(encoding="utf-8", errors="replace"))
            changed = sorted(name for name in made_from if before.get(name) != made_from[name])
            if changed:
                raise AuricleError(
                    f"{folder} holds tags made with another {', '.join(changed)}; choose another --out, or remove it"
                )
        else:
            write_text(settings, json.dumps(made_from, indent=1))

    def finished(self, sources: list[AudioSource]) -> dict[str, FileTags]:
        """Return what an earlier run finished of these sources; lines of failed and changed ones are removed."""
        lines = self.lines.read_text(encoding="utf-8", errors="replace").splitlines() if self.lines.is_file() else []
        entries = {line["file"]: line for line in map(_json_object, lines) if {"tags", "stamp"} <= line.keys()}
        stamps = {source.name: stamp(source) for source in sources}
        valid = {name: line for name, line in entries.items() if line["stamp"] == stamps.get(name, line["stamp"])}
        write_text(self.lines, "".join(f"{json.dumps(line)}\n" for line in valid.values()))
        return {name: FileTags.from_json(line) for name, line in valid.items() if name in stamps}

    def add(self, source: AudioSource, outcome: FileTags | Failure) -> None:
        """Append the outcome as a line, on disk before the next recording is begun."""
        if isinstance(outcome, Failure):
            line = asdict(outcome)
        else:
            line = outcome.to_json() | {"stamp": stamp(source)}
            line |= {"windows": outcome.time_line()} if outcome.windows else {}
        with open(self.lines, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(line)}\n")

    def add_labels(self, source: AudioSource, result: FileTags, kind: str, nyquist: float) -> Path:
        """Write the label track of a recording, under the recording's own relative path, and return its path."""
        path = self.folder / f"{source.place}{SUFFIXES[kind]}"
        write_text(path, WRITERS[kind](result.events or (), nyquist))
        return path


def stamp(source: AudioSource) -> list[int] | str | None:
    """Return size and modification time of a file, or a checksum of bytes; None for a file that does not exist."""
    if isinstance(source.content, bytes):
        return hashlib.sha256(source.content).hexdigest()
    assert isinstance(source.content, Path)
    return file_stamp(source.content)


def _json_object(line: str) -> dict[str, Any]:
    """The JSON object of a line; an empty one for a line that was cut short."""
    try:
        value = json.loads(line)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
