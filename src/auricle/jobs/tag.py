"""Tag recordings with one tagger or an ensemble; every answer is told, and kept, as soon as it is there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.atomic import make_folder
from auricle.errors import AuricleError
from auricle.inference.tag_settings import EventSettings, TagSettings
from auricle.options import argument, check_choices, option

if TYPE_CHECKING:
    from auricle.inference.sounds import Sound
    from auricle.inference.tags import Failure, FileTags
    from auricle.jobs.tag_files import TagFolder
    from auricle.models.contract import Encoder

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
    from auricle.inference.tag import tagger
    from auricle.training.allocator import tune_allocator

    tune_allocator()
    encoder = tagger(config.model or config.ensemble, config.weights or None)
    config.settings.samples(encoder.info.sample_rate)
    if config.picture:
        make_folder(Path(config.picture).parent, "choose another --picture")
    sounds = _sounds(config)
    folder = _folder(config, encoder) if config.out else None
    return Tagging(encoder.info.name, len(sounds), _outcomes(config, encoder, sounds, folder))


def _sounds(config: TagConfig) -> list[Sound]:
    from auricle.inference.sounds import Sound, find_sounds

    sounds = find_sounds([name for name in config.files if name != STDIN])
    if STDIN in config.files:
        sounds.append(Sound(STDIN, sys.stdin.buffer.read(), "stdin"))
    if config.picture and len(sounds) != 1:
        raise AuricleError(f"--picture draws one recording, but {len(sounds)} are named")
    return sounds


def _folder(config: TagConfig, encoder: Encoder) -> TagFolder:
    from auricle.jobs.tag_files import TagFolder

    settings = asdict(config.settings)
    heard = {name: settings[name] for name in ("top_k", "window", "whole", "hop", "precision")}
    made_from = {"model": encoder.info.name, "fingerprint": encoder.fingerprint()} | heard | asdict(config.events)
    return TagFolder(Path(config.out), made_from)


def _outcomes(
    config: TagConfig, encoder: Encoder, sounds: list[Sound], folder: TagFolder | None
) -> Iterator[FileTags | Failure]:
    """Those that an earlier run finished first, then the others; each is kept before it is told."""
    from auricle.inference.tag import tag_each

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
    config: TagConfig, encoder: Encoder, sound: Sound, outcome: FileTags | Failure, folder: TagFolder | None
) -> None:
    """The label track and the picture that were asked for."""
    from auricle.inference.picture import draw
    from auricle.inference.tags import FileTags

    if not isinstance(outcome, FileTags):
        return
    if folder and config.labels_out:
        folder.add_labels(sound, outcome, config.labels_out, encoder.info.sample_rate / 2)
    if config.picture:
        draw(sound, outcome, encoder, Path(config.picture))
