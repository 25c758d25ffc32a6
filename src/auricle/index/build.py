"""Fill an index: encode the recordings that it lacks, and follow those that moved, changed or were deleted.

One pass gives vectors, scores and events. An executor runs it, in this process or in others; this process alone writes. What is
encoded is written in batches, in the order of the recordings: complete recordings appear together, and of a long one, parts are
stored that the next run continues after. Several runs may fill one index: each claims the recordings that it reads.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.console import ProgressBar, number_of, progress_bar
from auricle.core.errors import AuricleError
from auricle.core.executors.base import Executor, LocalExecutor, MakeWorker
from auricle.core.io import file_stamp
from auricle.index.changes import Changes, find_changes, find_recordings
from auricle.index.config import WINDOW, IndexConfig
from auricle.index.database import SoundIndex
from auricle.index.description import MIN_SCORE, IndexInfo
from auricle.index.recorders import RecorderTable, describe, read_recorders
from auricle.index.writer import (
    SCORE,
    FileStamp,
    IndexWriter,
    RecordingEnd,
    RecordingPart,
    stamp_of,
)
from auricle.inference.config import TagSettings

if TYPE_CHECKING:
    from auricle.index.window_pass import EncodedWindow, RecordingToRead, WindowPass
    from auricle.index.window_worker import RecordingRead, Told
    from auricle.inference.pipeline import Model
    from auricle.models.base import Encoder

PART_WINDOWS = 256  # windows that are written together
EARLY_WINDOWS = 1024  # of a recording whose turn has not come, from which on they are written all the same
PART_SECONDS = 20.0  # the longest time between two writes; a killed process loses at most what came after the last one
LEAST_PART = 16  # windows of an unfinished recording that are worth a write
CLAIMED_AT_ONCE = 8  # recordings
WAIT_SECONDS = 0.5  # between two looks at what another process is reading
CHANGED = "was changed while it was read; run again when it is complete"


@dataclass(frozen=True)
class IndexReport:
    """What a run did, and what the index holds now; prints as a few lines.

    Attributes:
        out: the folder.
        model: of the index.
        new, changed, moved, deleted, unchanged: numbers of recordings; ``changed`` counts those that were read again.
        others: recordings that another process read meanwhile.
        failed: {path: reason}.
        recordings, spans: in the index now.
        seconds: of the recordings in the index.
        notes: what should be known about files and the index.
    """

    out: Path
    model: str
    new: int = 0
    changed: int = 0
    moved: int = 0
    deleted: int = 0
    unchanged: int = 0
    others: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    recordings: int = 0
    spans: int = 0
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        failed = [{"file": file, "error": error} for file, error in self.failed.items()]
        return {**self.__dict__, "out": str(self.out), "failed": failed, "notes": list(self.notes)}

    def __str__(self) -> str:
        counts = {name: getattr(self, name) for name in ("new", "changed", "moved", "deleted", "unchanged")}
        counts |= {"failed": len(self.failed), "by another process": self.others}
        text = ", ".join(f"{count:,} {name}" for name, count in counts.items() if count) or "nothing to do"
        held = f"{number_of(self.recordings, 'recording')}, {number_of(self.spans, 'window')}"
        return f"{self.out}: {text}; the index holds {held}"


def index_recordings(config: IndexConfig, encoder: Encoder | None = None, *, quiet: bool = True) -> IndexReport:
    """Fill an index, or bring it up to date.

    Args:
        config: recordings, index, model and windows.
        encoder: in place of ``config.model``.
        quiet: no progress bar.

    Returns:
        IndexReport. The same call continues a run that was stopped.

    Raises:
        AuricleError: for an unknown model, an index of another model or other windows, and a full disk.
    """
    from auricle.index.window_pass import WindowPass

    table = None if config.recorders is None else read_recorders(config.recorders)
    found = find_recordings(config.source)
    if not any(map(os.path.exists, found.paths)):
        reasons = [*found.failed.values(), *(f"{path}: no such file or folder" for path in found.paths)]
        raise AuricleError(reasons[0] if reasons else "no recordings were named")
    config, weights = _with_index(config, encoder is not None)
    settings = TagSettings(
        window=config.window,
        hop=config.hop,
        precision=config.precision,
        device=config.device,
        batch_size=config.batch_size,
        workers=config.workers,
        strict=config.strict,
    )
    model: Model = encoder or config.model
    session = WindowPass(model, weights, settings, config.min_score or 0.0)
    work = _WindowWork(session, model, weights, config)
    name = _name_of(config.model, session.info.name)
    index = SoundIndex.create(config.out, session.describe(name, weights or "", config.dtype or "float32"))
    with IndexWriter(index) as writer:
        run = _Run(writer, work, table, quiet)
        run.notes += writer.repair()
        changes = find_changes(index, found, session.pool)
        run.follow(changes)
        try:
            run.read_all([*changes.new, *changes.changed])
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                "stopped; the finished recordings are in the index: run the same command again to continue"
            ) from None
        writer.tidy()
    report = run.report(changes)
    if report.failed and not (report.new or report.changed or report.moved or report.unchanged or report.others):
        first = next(iter(report.failed.values()))
        raise AuricleError(
            f"nothing could be read ({number_of(len(report.failed), 'file')} failed); the first: {first}"
        )
    return report


def _with_index(config: IndexConfig, has_encoder: bool) -> tuple[IndexConfig, str | None]:
    """The settings with those of an existing index in place of None, else defaults; and the local weights."""
    weights = None if config.weights is None else os.path.abspath(config.weights)
    known: dict[str, Any] = {
        "window": WINDOW,
        "hop": (config.window or WINDOW) / 2,
        "dtype": "float32",
        "min_score": MIN_SCORE,
    }
    if SoundIndex.is_index(config.out):
        info = IndexInfo.read(Path(config.out))
        same_window = config.window in (None, info.window)
        known |= {
            name: getattr(info, name) for name in ("window", "dtype", "min_score", *(("hop",) if same_window else ()))
        }
        if not config.model and not has_encoder:
            config, weights = replace(config, model=info.model), info.weights or None
    elif not config.model and not has_encoder:
        raise AuricleError(
            f"{config.out} is no index yet: name the model with --model ('auricle models list' shows some)"
        )
    chosen = {name: value for name, value in known.items() if getattr(config, name) is None}
    return replace(config, **chosen), weights


def _name_of(given: str, name: str) -> str:
    """The model as an index keeps it: paths in full, so that it is found from other folders."""
    return (os.path.abspath(given) if os.path.exists(given) else given) or name


@dataclass(frozen=True, eq=False)
class _WindowWork:
    """What encodes the windows of recordings: a session of this process, and how others make theirs."""

    session: WindowPass
    model: Model
    weights: str | None
    config: IndexConfig

    def executor(self, recordings: int) -> tuple[Executor, MakeWorker[RecordingToRead, RecordingRead]]:
        """Return where so many recordings are read, and what makes workers there."""
        from auricle.index.window_worker import encode_recordings, make_window_worker
        from auricle.models.base import Encoder

        session, corpus = self.session, self.config.corpus
        here = isinstance(self.model, Encoder) and corpus.executor == "auto"  # it may be one that cannot be sent
        executor = LocalExecutor() if here else corpus.make_executor(recordings, session.device.type)
        if isinstance(executor, LocalExecutor):
            return executor, partial(encode_recordings, session, executor.repeatable)
        opens = partial(_named, self.model, self.weights)
        return executor, partial(make_window_worker, opens, session.settings, session.min_score)


def _named(model: Model, weights: str | None) -> tuple[Model, str | None]:
    return model, weights


@dataclass(eq=False)
class _Reading:
    """A recording that was claimed: what is stored, told and written of it.

    Attributes:
        stamp: of its file.
        received: number of windows that are stored or were told; a worker that takes the place of a dead one tells some again.
        written: number of windows that are stored.
        spans, event_scores: of all windows that are stored.
        early: batches that were told before its turn.
        held: windows that were told and are not stored.
        end: set when it was read to its end.
    """

    stamp: FileStamp
    received: int = 0
    written: int = 0
    spans: list[np.ndarray] = field(default_factory=list)
    event_scores: list[np.ndarray] = field(default_factory=list)
    early: list[list[EncodedWindow]] = field(default_factory=list)
    held: list[EncodedWindow] = field(default_factory=list)
    end: tuple[float, str] | None = None  # seconds and SHA-256

    def hold_early(self) -> None:
        self.held += chain.from_iterable(self.early)
        self.early.clear()

    def note_written(self, part: RecordingPart) -> None:
        """Forget the windows that are held, which are stored now."""
        self.spans.append(part.spans)
        self.event_scores.append(part.event_scores)
        self.written += len(self.held)
        self.held = []


class _Run:
    """One run over recordings: what it reads, what it still holds, and what it counts."""

    def __init__(self, writer: IndexWriter, work: _WindowWork, table: RecorderTable | None, quiet: bool):
        self.writer, self.index, self.work, self.table = writer, writer.index, work, table
        self.session, self.config, self.quiet = work.session, work.config, quiet
        self.notes: list[str] = (
            [] if self.session.heads else [f"{self.session.info.name} has no classes: the index has vectors only"]
        )
        self.failed: dict[str, str] = {}
        self.done: set[str] = set()
        self.others: set[str] = set()
        self.readings: dict[str, _Reading] = {}  # claimed and not yet done, in the order in which they are read
        self.turns: deque[str] = deque()  # those that a worker has or will have
        self.written_at = time.monotonic()

    # ---- files that are not read
    def follow(self, changes: Changes) -> None:
        """Do what changes ask for without reading sound."""
        for old, new, stamp in changes.moved:
            self.writer.move(old, new, stamp, describe(new, self.table))
        for path, stamp in changes.touched:
            self.writer.touch(path, stamp)
        if changes.deleted and not self.config.keep_deleted:
            self.writer.remove(changes.deleted)
        if self.table is not None:
            known = [*changes.unchanged, *(path for path, _ in changes.touched)]
            self.writer.describe((path, describe(path, self.table)) for path in known)
        self.failed |= changes.failed

    # ---- files that are read
    def read_all(self, paths: Sequence[str]) -> None:
        """Read recordings; those that another process is reading are waited for, and read if it leaves them."""
        rest = list(dict.fromkeys(paths))
        with progress_bar(total=len(rest), what="index", unit="file", quiet=self.quiet) as bar:
            while rest:
                self.read(rest, bar)
                rest = self.left_by_others(rest, bar)
                if rest:
                    bar.set_postfix_str("waiting for another process")
                    time.sleep(WAIT_SECONDS)

    def left_by_others(self, paths: Sequence[str], bar: ProgressBar) -> list[str]:
        """Return the recordings that are neither done nor failed yet."""
        waiting = [
            path for path in paths if path not in self.done and path not in self.failed and path not in self.others
        ]
        complete = {(file.path, file.size, file.modified) for file in self.index.files() if not file.failure}
        for path in waiting:
            if (path, *(file_stamp(Path(path)) or ())) in complete:
                self.others.add(path)
                bar.finish_step()
        return [path for path in waiting if path not in self.others]

    def read(self, paths: Sequence[str], bar: ProgressBar) -> None:
        """Read the recordings that can be claimed."""
        from auricle.index.window_worker import lost_recording_windows
        from auricle.inference.pipeline import PartDone

        show_part = None if bar.disable else PartDone(bar.show_part)

        def on_message(told: Told) -> None:
            if isinstance(told, list):
                self.receive(told)
            elif show_part is not None:
                show_part(*told)

        claimed = self.claimed(paths)
        first = next(claimed, None)
        if first is None:
            return  # no process is started to wait for others
        executor, make = self.work.executor(len(paths))
        recordings = chain([first], claimed)
        try:
            with closing(executor.run(make, recordings, lost_recording_windows, on_message)) as results:
                for read in results:
                    self.finish(read)
                    bar.finish_step()
        except KeyboardInterrupt:
            for reading in self.readings.values():
                reading.hold_early()
            self.write()
            raise
        self.write()

    def claimed(self, paths: Sequence[str]) -> Iterator[RecordingToRead]:
        """Yield the recordings that no other writer reads; note what is stored of each."""
        from auricle.index.window_pass import RecordingToRead

        for first in range(0, len(paths), CLAIMED_AT_ONCE):
            for path in self.writer.claim(paths[first : first + CLAIMED_AT_ONCE]):
                try:
                    stamp = stamp_of(path)
                except OSError as error:
                    self.failed[path] = f"{path}: {error.strerror}"
                    self.writer.release(path)
                    continue
                if self.writer.is_complete(path, stamp):  # since this run looked what is missing
                    self.others.add(path)
                    self.writer.release(path)
                    continue
                reading = _Reading(stamp)
                stored = self.writer.stored_part(path, stamp)
                if stored is not None:
                    reading.received = reading.written = len(stored.spans)
                    reading.spans, reading.event_scores = [stored.spans], [stored.event_scores]
                self.readings[path] = reading
                self.turns.append(path)
                yield RecordingToRead(path, reading.written)

    # ---- what workers tell
    def receive(self, windows: list[EncodedWindow]) -> None:
        """Take windows of one recording: write them in its turn, or before it if they are many."""
        path = windows[0].path
        reading = self.readings[path]
        windows = [window for window in windows if window.position >= reading.received]
        reading.received += len(windows)
        if path == self.turns[0]:
            self.hold(reading, windows)
            return
        reading.early.append(windows)
        if sum(map(len, reading.early)) >= EARLY_WINDOWS:
            reading.hold_early()
            self.write_parts([path])

    def hold(self, reading: _Reading, windows: list[EncodedWindow]) -> None:
        reading.held += windows
        self.write_if_due()

    def finish(self, read: RecordingRead) -> None:
        """Take the end of a recording, whose turn it is."""
        from auricle.index.window_pass import NotRead

        path = self.turns.popleft()
        reading = self.readings[path]
        if isinstance(read.end, NotRead):
            del self.readings[path]
            self.failed[path] = read.end.reason
            self.writer.fail(path, reading.stamp, read.end.reason, describe(path, self.table))
            self.start_turn()
            return
        reading.held += [window for window in read.windows if window.position >= reading.received]
        reading.end = read.end.seconds, read.sha256
        self.notes += [note for note in read.end.notes if note not in self.notes]
        self.write_if_due()
        self.start_turn()

    def start_turn(self) -> None:
        """Write what the next recording's worker told before its turn, batch by batch, as if it came now."""
        if self.turns:
            reading = self.readings[self.turns[0]]
            batches, reading.early = reading.early, []
            for windows in batches:
                self.hold(reading, windows)

    # ---- writing
    def write_if_due(self) -> None:
        count = sum(len(reading.held) for reading in self.readings.values())
        if count >= PART_WINDOWS or time.monotonic() - self.written_at > PART_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is finished, and the unfinished recordings of which enough is there."""
        self.write_parts(list(self.readings))
        self.written_at = time.monotonic()

    def write_parts(self, paths: Sequence[str]) -> None:
        """Write what is held of recordings. It is forgotten once it is on disk, so that Ctrl-C may come at any time."""
        due = [path for path in paths if self.readings[path].end or len(self.readings[path].held) >= LEAST_PART]
        parts = [part for path in due if (part := self.part_of(path, self.readings[path])) is not None]
        late = set(self.writer.add(parts)) if parts else set()
        for part in parts:
            self.readings[part.path].note_written(part)
            if part.end is not None:
                del self.readings[part.path]
        self.others |= late
        self.done |= {part.path for part in parts if part.end is not None} - late

    def part_of(self, path: str, reading: _Reading) -> RecordingPart | None:
        """Join the windows that are held; None for a file that was changed while it was read."""
        encoded = reading.held
        spans = np.array([(window.start, window.end) for window in encoded]).reshape(-1, 2)
        scores = np.concatenate([np.zeros(0, SCORE), *(window.scores for window in encoded)])
        deciding = np.concatenate([np.zeros(0, SCORE), *(window.event_scores for window in encoded)])
        end = None
        if reading.end is not None:
            seconds, own = reading.end
            if _changed(path, reading.stamp):
                self.failed[path] = f"{path}: {CHANGED}"
                self.writer.release(path)
                del self.readings[path]
                return None
            events = self.session.events([*reading.spans, spans], [*reading.event_scores, deciding])
            end = RecordingEnd(seconds, own, describe(path, self.table), events)
        width = self.index.info.dim
        vectors = np.stack([w.vector for w in encoded]) if encoded else np.zeros((0, width), np.float32)
        return RecordingPart(path, reading.stamp, reading.written, spans, vectors, scores, deciding, end)

    def report(self, changes: Changes) -> IndexReport:
        files = [file for file in self.index.files() if not file.failure]
        changed = set(changes.changed)
        return IndexReport(
            out=self.index.folder,
            model=self.index.info.model,
            new=len(self.done - changed),
            changed=len(self.done & changed),
            moved=len(changes.moved),
            deleted=0 if self.config.keep_deleted else len(changes.deleted),
            unchanged=len(changes.unchanged) + len(changes.touched),
            others=len(self.others),
            failed=self.failed,
            recordings=len(files),
            spans=sum(file.windows for file in files),
            seconds=sum(file.seconds for file in files),
            notes=tuple(self.notes),
        )


def _changed(path: str, stamp: FileStamp) -> bool:
    """Return True if a file is no longer the one that was opened."""
    try:
        return stamp_of(path) != stamp
    except OSError:
        return True
