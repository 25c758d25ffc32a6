"""Audio to stored log-mel spectrograms, clip by clip, with a journal of what is finished (specification m2d 1.3)."""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from auricle.atomic import replacing
from auricle.data.log_mel import LogMelOf
from auricle.data.manifest import Manifest
from auricle.data.statistics import Moments
from auricle.draws import key_of
from auricle.errors import AudioError
from auricle.signal.decode import AUDIO_SUFFIXES, probe

FOLDER, JOURNAL = "lms", "done.jsonl"


@dataclass(frozen=True)
class Task:
    """One clip to convert: its sound (start and end in seconds), and its place in the store."""

    id: str
    audio: Path
    start: float
    end: float | None
    key: str


@dataclass(frozen=True)
class Done:
    """One converted clip. ``source`` is what it was made from (size, time of change, span), to see when that changes.

    rate, num_samples   of the recording, as declared; count, mean and m2 the moments of the log-mel values
    """

    id: str
    key: str
    source: str
    rate: int
    num_samples: int
    count: int
    mean: float
    m2: float

    @property
    def moments(self) -> Moments:
        return Moments(self.count, self.mean, self.m2)


@dataclass(frozen=True)
class Failure:
    id: str
    path: str
    error: str


@dataclass(frozen=True)
class Converter:
    """``converter(task)`` writes ``lms/<key>`` (``dtype``, (1, F, N), raw log-mel) and notes it in the journal.

    Can be sent to another process.
    """

    out: Path
    log_mel_of: LogMelOf
    dtype: str = "float32"

    def __call__(self, task: Task) -> Done | Failure:
        """A file that cannot be used is a Failure; a disk that cannot be written raises AuricleError."""
        try:
            info = probe(task.audio)
            values = self.log_mel_of(task.audio, task.start, task.end, info).astype(self.dtype)
        except AudioError as error:
            return Failure(task.id, str(task.audio), str(error))
        moments = asdict(Moments.of(values))
        done = Done(task.id, task.key, fingerprint(task), info.rate, info.num_samples, **moments)
        self._store(values, done)
        return done

    def _store(self, values: np.ndarray, done: Done) -> None:
        """The journal is written before the file takes its name: a line with its file in place is a finished clip."""
        path = self.out / FOLDER / done.key
        path.unlink(missing_ok=True)
        with replacing(path, durable=False) as temporary:
            with temporary.open("wb") as file:
                np.save(file, values[None])
            _append(self.out / JOURNAL, json.dumps(asdict(done)) + "\n")


def finished(out: Path, tasks: list[Task], dtype: str = "float32") -> dict[str, Done]:
    """The tasks whose spectrogram is in place and whose sound has not changed since, by id."""
    journal = _read_journal(out / JOURNAL)
    return {
        task.id: done
        for task in tasks
        if (done := journal.get(task.id)) is not None
        and done.key == task.key
        and done.source == fingerprint(task)
        and _whole(out / FOLDER / task.key, done, dtype)
    }


def _whole(path: Path, done: Done, dtype: str) -> bool:
    """Whether the file is there with all its values (a power cut can leave a name without its contents)."""
    return path.is_file() and path.stat().st_size >= done.count * np.dtype(dtype).itemsize


def tasks_of(manifest: Manifest) -> list[Task]:
    """One task per clip. Raises AuricleError for a clip without audio."""
    keys = keys_of(manifest.ids)
    return [Task(c.id, manifest.audio(c), c.start or 0.0, c.end, keys[c.id]) for c in manifest]


def keys_of(ids: tuple[str, ...]) -> dict[str, str]:
    """id -> path in the store: the id with its audio suffix replaced by ``.npy``, never outside the store.

    Ids that would meet in one file get a piece of their hash.
    """
    keys = {id: _key(id) for id in ids}
    counts = Counter(keys.values())
    return {id: key if counts[key] == 1 else f"{key[:-4]}-{key_of(id):032x}.npy" for id, key in keys.items()}


def _key(id: str) -> str:
    name = "/".join(part for part in PurePosixPath(id).parts if part not in ("/", ".."))
    suffix = PurePosixPath(name).suffix
    return (name[: -len(suffix)] if suffix.lower() in AUDIO_SUFFIXES else name) + ".npy"


def fingerprint(task: Task) -> str:
    """Size, time of change and span of the sound; empty when the file is not there."""
    try:
        stat = task.audio.stat()
    except OSError:
        return ""
    return f"{stat.st_size} {stat.st_mtime_ns} {task.start}-{task.end}"


def _append(path: Path, line: str) -> None:
    """One write in append mode, so that lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _read_journal(path: Path) -> dict[str, Done]:
    """The last line of each id; a line cut off by a kill is passed over."""
    done: dict[str, Done] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = Done(**json.loads(line))
            except (ValueError, TypeError):
                continue
            done[entry.id] = entry
    return done
