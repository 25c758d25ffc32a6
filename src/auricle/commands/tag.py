"""Tag recordings with one tagger or an ensemble: ``auricle tag``.

Each answer is saved and yielded as soon as it is finished. ``--out FOLDER`` holds ``tags.jsonl``, one JSON line per
finished recording, and the label tracks; the same command continues where it was stopped, and reads again only
recordings that have changed since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.console import stdin_bytes
from auricle.core.errors import AuricleError
from auricle.core.executors.base import LocalExecutor
from auricle.core.executors.config import CorpusSettings, CorpusShard
from auricle.core.io import make_folder
from auricle.core.locks import held
from auricle.core.options import argument, check_choices, option, paths_as_text
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.corpus.tag_folder import TagFolder
from auricle.inference.tag_results import Failure, FileTags

if TYPE_CHECKING:
    from auricle.audio.sources import AudioSource
    from auricle.inference.head_reader import HeadReader
    from auricle.inference.tagger import Tagger

STDIN = "-"
LABEL_TRACKS = ("audacity", "raven")
PICTURES = (".png", ".svg", ".pdf")
LOCK = "lock"  # in --out, as long as a command works there
LONG = 2.0  # times the clips that a detector learnt from: one answer says little of such a recording


@dataclass(frozen=True)
class TagConfig:
    """What to tag, with which network, how, and what is written."""

    files: tuple[str, ...] = argument("audio files, folders, or - for standard input", many=True)
    model: str = option("", "tagger: a published name, a weight file or a run folder")
    weights: str = option("", "local weight file of a published name")
    ensemble: tuple[str, ...] = option(
        (), "several taggers instead of --model; their logits are averaged", advanced=True
    )
    settings: TagSettings = field(default_factory=TagSettings)
    events: EventSettings = field(default_factory=EventSettings)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    out: str = option("", "folder for the answers: tags.jsonl, a line per finished file; run again to continue")
    labels_out: str | None = option(None, "label tracks of the events into --out", choices=LABEL_TRACKS)
    picture: str = option("", "picture of one recording to write: spectrogram and events (.png, .svg, .pdf)")

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("name the tagger: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.picture and Path(self.picture).suffix not in PICTURES:
            raise AuricleError(f"--picture {self.picture}: expected a name that ends in {', '.join(PICTURES)}")
        if self.labels_out and not (self.out and self.settings.window):
            raise AuricleError("--labels-out writes events into a folder: it needs --out and --window")
        if self.corpus.shard and not self.out:
            raise AuricleError("--shard writes its share of the answers into a folder: it needs --out")


@dataclass(frozen=True)
class Tagging:
    """A job that has begun.

    Attributes:
        model: the tagger's name.
        count: number of recordings.
        outcomes: of the recordings, as they come.
        listeners: called with the share (0 to 1) of the present recording that is done, and a text about it.
        detects: the tagger has thresholds, so results say what is detected.
        several_heads: results hold the answers of several heads.
        clip_seconds: mean length of the clips that a detector learnt from; None where it is not known.
        stopped: what to say after Ctrl-C, which may come while an answer is made or while it is printed.
    """

    model: str
    count: int
    outcomes: Iterator[FileTags | Failure]
    listeners: list[Callable[[float, str], None]] = field(default_factory=list)
    detects: bool = False
    several_heads: bool = False
    clip_seconds: float | None = None
    stopped: str = "stopped"

    def is_long(self, result: FileTags) -> bool:
        """Return True for one answer about a recording that is far longer than the clips the detector learnt from."""
        return self.clip_seconds is not None and not result.windows and result.seconds > LONG * self.clip_seconds


def tag(config: TagConfig) -> Tagging:
    """Begin to tag.

    Raises:
        AuricleError: for an unknown model, and for an --out folder that was made with other settings or is in use.
    """
    from auricle.core.devices import tune_allocator
    from auricle.detectors.files import learnt_clip_seconds
    from auricle.inference.tagger import Tagger

    locks = ExitStack()
    try:
        if config.out:
            locks.enter_context(_lock_of(Path(config.out), config.corpus.share))
        tune_allocator()
        model, weights = config.model or config.ensemble, config.weights or None
        tagger = Tagger(model, weights=weights, settings=config.settings, events=config.events)
        if config.picture:
            make_folder(Path(config.picture).parent, "choose another --picture")
        folder = _folder_of(config, _made_from(config, tagger)) if config.out else None
        job = _TagJob(config, tagger, _sources(config), folder)
    except BaseException:
        locks.close()
        raise
    detects = any(reader.detection for reader in tagger.readers.values())
    several = len(tagger.readers) > 1
    learnt = learnt_clip_seconds(config.model)
    kept = f"; finished recordings are in {config.out}: run the same command again to continue" if config.out else ""
    return Tagging(
        tagger.info.name,
        len(job.sources),
        job.outcomes(locks),
        job.listeners,
        detects,
        several,
        learnt,
        stopped=f"stopped{kept}",
    )


def _lock_of(folder: Path, shard: CorpusShard | None) -> AbstractContextManager[None]:
    """Refuse a file, and a folder in which another process tags the same share of the recordings."""
    if folder.exists() and not folder.is_dir():
        raise AuricleError(f"--out {folder} is a file; expected a folder, which is made")
    if shard:
        what = f"--shard {shard.number}/{shard.count} of --out {folder}"
        return held(folder / f"{shard.folder}.{LOCK}", what, "wait until it has finished")
    return held(folder / LOCK, f"--out {folder}", "wait until it has finished, or choose another --out")


def _folder_of(config: TagConfig, made_from: dict[str, Any]) -> TagFolder:
    out, shard = Path(config.out), config.corpus.share
    return TagFolder.of_shard(out, shard, made_from) if shard else TagFolder(out, made_from)


def _sources(config: TagConfig) -> list[AudioSource]:
    from auricle.audio.sources import AudioSource, find_audio
    from auricle.inference.coercion import is_archive

    named = [name for name in config.files if name != STDIN]
    sources = find_audio([source for name in named for source in (archived(name) if is_archive(name) else [name])])
    if STDIN in config.files:
        sources.append(AudioSource(STDIN, stdin_bytes(), "stdin"))
    if shard := config.corpus.share:
        sources = [source for source in sources if shard.holds(source.name)]
    if config.picture and len(sources) != 1:
        raise AuricleError(f"--picture draws one recording, but {len(sources)} are named")
    return sources


def archived(archive: str) -> list[AudioSource]:
    """Return the recordings in an HDF5 file or a tar shard, each under the name of the file and its own."""
    from auricle.data.stores.base import archive_manifest, open_store
    from auricle.inference.pipeline import source_of

    path = Path(archive)
    manifest = archive_manifest(path)
    store = open_store(manifest, "audio")
    return [
        replace(source_of(manifest, store, clip), name=f"{archive}/{clip.id}", place=f"{path.name}/{clip.id}")
        for clip in manifest
    ]


def _made_from(config: TagConfig, tagger: Tagger) -> dict[str, Any]:
    """Everything that decides the answers, as JSON values; a window or hop that is not set is stored as 0."""
    settings, first = config.settings, next(iter(tagger.readers.values()))
    labels = {label for reader in tagger.readers.values() for label in reader.labels}
    by_head = {name: _thresholds(reader) for name, reader in tagger.readers.items()}
    return {
        "model": tagger.info.name,
        "fingerprint": tagger.encoder.fingerprint(),
        "top_k": settings.top_k,
        "window": settings.window or 0.0,
        "whole": settings.whole,
        "only": sorted(labels) if settings.only else [],
        "min_score": settings.min_score,
        "strict": settings.strict,
        "hop": settings.hop or 0.0,
        "precision": settings.precision,
        **asdict(config.events),
        "threshold": config.events.high,
        "level": tagger.level,
        "thresholds": _thresholds(first),
        **({"heads": by_head} if len(by_head) > 1 else {}),
    }


def _thresholds(reader: HeadReader) -> list[float]:
    return [] if reader.detection is None else reader.detection.thresholds.tolist()


@dataclass(frozen=True)
class _TagJob:
    """The recordings of one command, and where the answers go."""

    config: TagConfig
    tagger: Tagger
    sources: list[AudioSource]
    folder: TagFolder | None
    listeners: list[Callable[[float, str], None]] = field(default_factory=list)

    def outcomes(self, locks: ExitStack) -> Iterator[FileTags | Failure]:
        """Yield what an earlier run finished, then the others; each is saved before it is yielded.

        Args:
            locks: released at the end.
        """
        with locks:
            finished = self.folder.finished(self.sources) if self.folder else {}
            for source in self.sources:
                if source.name in finished:
                    self._write_extras(source, finished[source.name])
                    yield finished[source.name]
            yield from self._new_outcomes([source for source in self.sources if source.name not in finished])
            if self.folder:
                self.folder.finish()

    def _new_outcomes(self, sources: list[AudioSource]) -> Iterator[FileTags | Failure]:
        from auricle.inference.corpus.tag_worker import frequent_lengths, lost_recording, make_tag_worker, tag_sources
        from auricle.inference.pipeline import PartDone

        config, parts = self.config, PartDone(self._show_part)
        executor = config.corpus.make_executor(len(sources), self.tagger.device.type)
        lengths = frequent_lengths(self.sources) if executor.repeatable else {}
        if executor.repeatable:
            self.tagger.fix_graphs(lengths)
        make: Any = partial(tag_sources, self.tagger)
        if not isinstance(executor, LocalExecutor):
            named = config.model or config.ensemble, config.weights or None
            make = partial(make_tag_worker, *named, config.settings, config.events, lengths)
        answers = executor.run(make, sources, lost_recording, lambda told: parts(*told))
        for source, answer in zip(sources, answers, strict=True):
            if self.folder:
                self.folder.add(source, answer.outcome, answer.stamp)
            self._write_extras(source, answer.outcome)
            yield answer.outcome

    def _show_part(self, share: float, text: str) -> None:
        """Tell the listeners how much of a long recording is done."""
        for listener in self.listeners:
            listener(share, text)

    def _write_extras(self, source: AudioSource, outcome: FileTags | Failure) -> None:
        """Write the label track and the picture that were asked for."""
        if not isinstance(outcome, FileTags):
            return
        if self.folder and self.config.labels_out:
            self.folder.add_labels(source, outcome, self.config.labels_out, self.tagger.info.sample_rate / 2)
        if self.config.picture:
            from auricle.reports.tag_picture import draw

            draw(source, outcome.with_heads_joined(), self.tagger.encoder, Path(self.config.picture))
