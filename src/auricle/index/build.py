"""Fill an index: encode the recordings that it lacks, and follow those that moved, changed or were deleted.

One pass gives vectors, scores and events. What is encoded is written in batches: complete recordings appear together, and of a long
one, parts are stored that the next run continues after. Several processes may fill one index: each claims the recordings that it
reads.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.console import ProgressBar, number_of, progress_bar
from auricle.core.errors import AuricleError
from auricle.core.io import file_stamp
from auricle.index.changes import Changes, checksum, find_changes, find_recordings
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
    from auricle.index.window_pass import EncodedWindow, NotRead, ReadToEnd, RecordingInPass, WindowPass
    from auricle.inference.pipeline import OnPart
    from auricle.models.base import Encoder

PART_WINDOWS = 256  # windows that are written together
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
    session = WindowPass(encoder or config.model, weights, settings, config.min_score or 0.0)
    model = _name_of(config.model, session.info.name)
    index = SoundIndex.create(config.out, session.describe(model, weights or "", config.dtype or "float32"))
    with IndexWriter(index) as writer:
        run = _Run(writer, session, table, config, quiet)
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


class _Run:
    """One run over recordings: what it reads, what it still holds, and what it counts."""

    def __init__(
        self, writer: IndexWriter, session: WindowPass, table: RecorderTable | None, config: IndexConfig, quiet: bool
    ):
        self.writer, self.index, self.session, self.table = writer, writer.index, session, table
        self.config, self.quiet = config, quiet
        self.notes: list[str] = (
            [] if session.heads else [f"{session.info.name} has no classes: the index has vectors only"]
        )
        self.failed: dict[str, str] = {}
        self.done: set[str] = set()
        self.others: set[str] = set()
        self.held: dict[str, list[EncodedWindow]] = {}  # encoded, not written
        self.ends: dict[str, tuple[RecordingInPass, float]] = {}
        self.checksums: dict[str, Future[str]] = {}
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
        from auricle.index.window_pass import EncodedWindow, NotRead
        from auricle.inference.pipeline import PartDone

        on_part: OnPart | None = None if bar.disable else PartDone(bar.show_part)
        try:
            for outcome in self.session.outcomes(self.claimed(paths), on_part):
                recording = outcome.recording
                if isinstance(outcome, EncodedWindow):
                    self.held.setdefault(recording.path, []).append(outcome)
                    recording.windows += 1
                elif isinstance(outcome, NotRead):
                    self.note_failure(outcome)
                    bar.finish_step()
                else:
                    self.finish(outcome)
                    bar.finish_step()
                self.write_if_due()
        except KeyboardInterrupt:
            self.write()
            raise
        self.write()

    def claimed(self, paths: Sequence[str]) -> Iterator[RecordingInPass]:
        """Yield the recordings that no other writer reads, each with what is stored of it."""
        from auricle.index.window_pass import RecordingInPass

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
                recording = RecordingInPass(path, stamp)
                stored = self.writer.stored_part(path, stamp)
                if stored is not None:
                    recording.windows = len(stored.spans)
                    recording.spans, recording.event_scores = [stored.spans], [stored.event_scores]
                self.checksums[path] = self.session.pool.submit(checksum, path)
                yield recording

    def note_failure(self, outcome: NotRead) -> None:
        recording = outcome.recording
        self.held.pop(recording.path, None)
        self.checksums.pop(recording.path, None)
        self.failed[recording.path] = outcome.reason
        self.writer.fail(recording.path, recording.stamp, outcome.reason, describe(recording.path, self.table))

    def finish(self, outcome: ReadToEnd) -> None:
        self.ends[outcome.recording.path] = outcome.recording, outcome.seconds
        self.held.setdefault(outcome.recording.path, [])
        self.notes += [note for note in outcome.notes if note not in self.notes]

    # ---- writing
    def write_if_due(self) -> None:
        count = sum(map(len, self.held.values()))
        if count >= PART_WINDOWS or time.monotonic() - self.written_at > PART_SECONDS:
            self.write()

    def write(self) -> None:
        """Write what is finished, and the unfinished recordings of which enough is there."""
        parts = []
        for path, encoded in list(self.held.items()):
            if path in self.ends or len(encoded) >= LEAST_PART:
                part = self.part_of(path, self.held.pop(path))
                parts += [part] if part is not None else []
        late = set(self.writer.add(parts)) if parts else set()
        self.others |= late
        self.done |= {part.path for part in parts if part.end is not None} - late
        self.written_at = time.monotonic()

    def part_of(self, path: str, encoded: list[EncodedWindow]) -> RecordingPart | None:
        """Join encoded windows; None for a file that was changed while it was read."""
        recording, seconds = self.ends.pop(path, None) or (encoded[0].recording, None)
        first = recording.windows - len(encoded)
        spans = np.array([(window.start, window.end) for window in encoded]).reshape(-1, 2)
        for position, window in enumerate(encoded, first):
            window.scores["window"] = window.event_scores["window"] = position
        scores = np.concatenate([np.zeros(0, SCORE), *(window.scores for window in encoded)])
        deciding = np.concatenate([np.zeros(0, SCORE), *(window.event_scores for window in encoded)])
        recording.spans.append(spans)
        recording.event_scores.append(deciding)
        end = None
        if seconds is not None:
            own = self.checksums.pop(path).result()
            if _changed(path, recording.stamp):
                self.failed[path] = f"{path}: {CHANGED}"
                self.writer.release(path)
                return None
            end = RecordingEnd(seconds, own, describe(path, self.table), self.session.events(recording))
        width = self.index.info.dim
        vectors = np.stack([w.vector for w in encoded]) if encoded else np.zeros((0, width), np.float32)
        return RecordingPart(path, recording.stamp, first, spans, vectors, scores, deciding, end)

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
