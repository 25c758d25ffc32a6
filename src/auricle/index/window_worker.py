"""A worker that encodes the windows of recordings for an index, in whatever process.

It tells the windows of a recording batch by batch, so that whoever writes the index can keep the parts of a long one. The result is
the end of the recording, with its last windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial

from auricle.audio.sources import AudioSource
from auricle.core.devices import tune_allocator
from auricle.core.executors.base import Tell, Worker
from auricle.index.changes import checksum
from auricle.index.window_pass import EncodedWindow, NotRead, ReadToEnd, RecordingToRead, WindowPass
from auricle.inference.config import TagSettings
from auricle.inference.pipeline import LONG_SECONDS, Model


@dataclass(frozen=True, eq=False)
class RecordingRead:
    """A recording was read: the windows that were not told before, and its end.

    Attributes:
        windows: the last ones, in order.
        end: how long the recording is, or why it cannot be read.
        sha256: of the file; "" for one that cannot be read.
    """

    windows: list[EncodedWindow]
    end: ReadToEnd | NotRead
    sha256: str = ""


Told = list[EncodedWindow] | tuple[AudioSource, float]
"""What a worker tells: windows of a recording in order, or a recording and the seconds of it that are done."""


def make_window_worker(
    open_model: Callable[[], tuple[Model, str | None]], settings: TagSettings, min_score: float, tell: Tell
) -> Worker[RecordingToRead, RecordingRead]:
    """Return a worker with a session of its own.

    Args:
        open_model: returns model and weights, as ``WindowPass`` takes them.
        settings, min_score: as of ``WindowPass``.
    """
    tune_allocator()
    return encode_recordings(WindowPass(*open_model(), settings, min_score), True, tell)


def encode_recordings(session: WindowPass, apart: bool, tell: Tell) -> Worker[RecordingToRead, RecordingRead]:
    """Return a worker that yields the end of each recording.

    Args:
        session: encodes.
        apart: no batch holds windows of two recordings, so that no number depends on what else the worker reads.
        tell: called with ``Told``.
    """
    return partial(_encode, session, apart, tell)


def _encode(
    session: WindowPass, apart: bool, tell: Tell, recordings: Iterable[RecordingToRead]
) -> Iterator[RecordingRead]:
    checksums: dict[str, Future[str]] = {}
    windows: list[EncodedWindow] = []

    def taken() -> Iterator[RecordingToRead]:
        for recording in recordings:
            checksums[recording.path] = session.pool.submit(checksum, recording.path)
            yield recording

    def on_part(source: AudioSource, seconds: float) -> None:
        if seconds >= LONG_SECONDS:
            tell((source, seconds))

    for outcome in session.outcomes(taken(), on_part, apart=apart):
        if isinstance(outcome, EncodedWindow):
            windows.append(outcome)
            if len(windows) == session.settings.batch_size:
                tell(windows)
                windows = []
            continue
        own = checksums.pop(outcome.path)
        read = isinstance(outcome, ReadToEnd)
        yield RecordingRead(windows if read else [], outcome, own.result() if read else "")
        windows = []


def lost_recording_windows(recording: RecordingToRead, reason: str) -> RecordingRead:
    """Return the end of a recording that could not be worked on."""
    return RecordingRead([], NotRead(recording.path, f"{recording.path}: {reason}"))
