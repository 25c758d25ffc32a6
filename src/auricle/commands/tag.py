"""Tag recordings with one tagger or an ensemble; every answer is told, and kept, as soon as it is there."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import make_folder, write_text
from auricle.core.options import argument, check_choices, option
from auricle.inference.events import SUFFIXES, WRITERS
from auricle.inference.sources import AudioSource
from auricle.inference.tag_config import EventSettings, TagSettings
from auricle.inference.tag_results import Failure, FileTags

if TYPE_CHECKING:
    from auricle.inference.sources import AudioSource
    from auricle.inference.tag_results import Failure, FileTags
    from auricle.models.base import Encoder


# The files of ``auricle tag --out FOLDER``: one JSON line per finished recording, and label tracks.
#
# ``tags.jsonl`` grows by a line as soon as a recording is finished, so whatever comes later loses nothing, and the same
# command goes on where it stopped: lines whose recording did not change since are kept.


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

    def finished(self, sounds: list[AudioSource]) -> dict[str, FileTags]:
        """Results of these sounds that an earlier run finished; lines of failed and changed ones are dropped."""
        lines = self.lines.read_text(encoding="utf-8", errors="replace").splitlines() if self.lines.is_file() else []
        plain = {line["file"]: line for line in map(_whole, lines) if {"tags", "stamp"} <= line.keys()}
        stamps = {sound.name: stamp(sound) for sound in sounds}
        kept = {name: line for name, line in plain.items() if line["stamp"] == stamps.get(name, line["stamp"])}
        write_text(self.lines, "".join(f"{json.dumps(line)}\n" for line in kept.values()))
        return {name: FileTags.from_json(line) for name, line in kept.items() if name in stamps}

    def add(self, sound: AudioSource, outcome: FileTags | Failure) -> None:
        """The outcome as a line, on disk before the next recording is begun."""
        plain = asdict(outcome) if isinstance(outcome, Failure) else _line(sound, outcome)
        with open(self.lines, "a", encoding="utf-8") as file:
            file.write(f"{json.dumps(plain)}\n")

    def add_labels(self, sound: AudioSource, result: FileTags, kind: str, nyquist: float) -> Path:
        """The label track of one recording; its path within the folder is the recording's."""
        path = self.folder / f"{sound.place}{SUFFIXES[kind]}"
        write_text(path, WRITERS[kind](result.events or (), nyquist))
        return path


def stamp(sound: AudioSource) -> list[int] | str | None:
    """Size and time of change of a file, a checksum of what is in memory; None for a file that is not there."""
    if not isinstance(sound.content, Path):
        return hashlib.sha256(sound.content).hexdigest()
    if not sound.content.is_file():
        return None
    found = sound.content.stat()
    return [found.st_size, found.st_mtime_ns]


def _line(sound: AudioSource, result: FileTags) -> dict[str, Any]:
    plain = result.to_json() | {"stamp": stamp(sound)}
    return plain | {"windows": result.time_line()} if result.windows else plain


def _whole(line: str) -> dict[str, Any]:
    """A JSON object; nothing for one that a kill cut short."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


STDIN = "-"
LABEL_TRACKS = ("audacity", "raven")
PICTURES = (".png", ".svg", ".pdf")


@dataclass(frozen=True)
class TagConfig:
    """What to tag, with which network, how, and what is written."""

    files: tuple[str, ...] = argument("audio files, folders, or - for standard input", many=True)
    model: str = option("", "tagger: a published name, a weight file or a run folder")
    weights: str = option("", "local weight file of a published name")
    ensemble: tuple[str, ...] = option((), "several taggers instead of --model; their logits are averaged")
    settings: TagSettings = field(default_factory=TagSettings)
    events: EventSettings = field(default_factory=EventSettings)
    out: str = option("", "folder to keep the answers in: tags.jsonl, a line per finished file; run again to go on")
    labels_out: str | None = option(None, "label tracks of the events into --out", choices=LABEL_TRACKS)
    picture: str = option("", "picture of one recording to write: spectrogram and events (.png, .svg, .pdf)")

    def __post_init__(self) -> None:
        check_choices(self)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("say with which tagger: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.picture and Path(self.picture).suffix not in PICTURES:
            raise AuricleError(f"--picture {self.picture}: expected a name that ends in {', '.join(PICTURES)}")
        if self.labels_out and not (self.out and self.settings.window):
            raise AuricleError("--labels-out writes events into a folder: it needs --out and --window")


@dataclass(frozen=True)
class Tagging:
    """A job under way: the tagger's name, how many recordings there are, and their outcomes as they come."""

    model: str
    count: int
    outcomes: Iterator[FileTags | Failure]


def tag(config: TagConfig) -> Tagging:
    """Begin to tag. Raises AuricleError for an unknown model, and an --out folder made with other settings."""
    from auricle.core.devices import tune_allocator
    from auricle.inference.tagger import tagger

    tune_allocator()
    encoder = tagger(config.model or config.ensemble, config.weights or None)
    config.settings.samples(encoder.info.sample_rate)
    if config.picture:
        make_folder(Path(config.picture).parent, "choose another --picture")
    sounds = _sounds(config)
    folder = _folder(config, encoder) if config.out else None
    return Tagging(encoder.info.name, len(sounds), _outcomes(config, encoder, sounds, folder))


def _sounds(config: TagConfig) -> list[AudioSource]:
    from auricle.inference.sources import AudioSource, find_sounds

    sounds = find_sounds([name for name in config.files if name != STDIN])
    if STDIN in config.files:
        sounds.append(AudioSource(STDIN, sys.stdin.buffer.read(), "stdin"))
    if config.picture and len(sounds) != 1:
        raise AuricleError(f"--picture draws one recording, but {len(sounds)} are named")
    return sounds


def _folder(config: TagConfig, encoder: Encoder) -> TagFolder:

    settings = asdict(config.settings)
    heard = {name: settings[name] for name in ("top_k", "window", "whole", "hop", "precision")}
    made_from = {"model": encoder.info.name, "fingerprint": encoder.fingerprint()} | heard | asdict(config.events)
    return TagFolder(Path(config.out), made_from)


def _outcomes(
    config: TagConfig, encoder: Encoder, sounds: list[AudioSource], folder: TagFolder | None
) -> Iterator[FileTags | Failure]:
    """Those that an earlier run finished first, then the others; each is kept before it is told."""
    from auricle.inference.tagger import tag_each

    before = folder.finished(sounds) if folder else {}
    for sound in sounds:
        if sound.name in before:
            _extras(config, encoder, sound, before[sound.name], folder)
            yield before[sound.name]
    rest = [sound for sound in sounds if sound.name not in before]
    try:
        for sound, outcome in zip(rest, tag_each(rest, encoder, config.settings, config.events)):
            if folder:
                folder.add(sound, outcome)
            _extras(config, encoder, sound, outcome, folder)
            yield outcome
    except KeyboardInterrupt:
        kept = f"; what is finished is kept in {config.out}: run the same command again to go on" if folder else ""
        raise KeyboardInterrupt(f"stopped{kept}") from None


def _extras(
    config: TagConfig, encoder: Encoder, sound: AudioSource, outcome: FileTags | Failure, folder: TagFolder | None
) -> None:
    """The label track and the picture that were asked for."""
    from auricle.inference.tag_results import FileTags
    from auricle.reports.tag_picture import draw

    if not isinstance(outcome, FileTags):
        return
    if folder and config.labels_out:
        folder.add_labels(sound, outcome, config.labels_out, encoder.info.sample_rate / 2)
    if config.picture:
        draw(sound, outcome, encoder, Path(config.picture))
