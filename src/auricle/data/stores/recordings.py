"""Measure the recordings of a manifest, and keep them as samples at one rate, so that training decodes nothing.

A recorder processes one recording at a time, so that a pool of processes can share the work and a killed run can be continued.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auricle.audio.resample import Resampler
from auricle.core.errors import AudioError
from auricle.core.io import check_unchanged, file_stamp, replacing
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import ClipStore, StoredAudio
from auricle.data.stores.conversion import ConversionFailure, keys_of
from auricle.data.stores.journal import Journal, journal_lines

WAVEFORMS = "waveforms"  # folder of the kept waveforms
SUBTYPES = {32: "FLOAT", 16: "PCM_16"}  # of libsndfile, by bits a sample


class Recording(NamedTuple):
    """Where a recording is stored: a path, or an archive and the name in it, as in the manifest."""

    path: str | None
    store: str | None = None
    key: str | None = None

    @property
    def name(self) -> str:
        """Name in messages and in the journal."""
        return self.path if self.path is not None else f"{self.store}/{self.key}"

    def file(self, root: Path) -> Path:
        """Return the file that holds it: itself, or the archive."""
        return root / (self.path if self.path is not None else self.store or "")


@dataclass(frozen=True)
class MeasuredRecording:
    """One recording that can be used: a line of the journal.

    Attributes:
        recording: Its name.
        source: Size and modification time of its file, to notice changes.
        rate: Sample rate in hertz; of a kept waveform its own.
        num_samples: Length at ``rate``.
        kept: Path of the kept waveform, relative to the folder; empty where none is kept.
    """

    recording: str
    source: str
    rate: int
    num_samples: int
    kept: str = ""


@dataclass(frozen=True)
class WaveformFormat:
    """How recordings are kept.

    Attributes:
        rate: Sample rate in hertz.
        bits: 32 (float) or 16 (whole numbers; rounding error at most 2^-16).
        resampler: Resampling filter.
    """

    rate: int
    bits: int = 32
    resampler: Resampler = "soxr"


@dataclass(frozen=True)
class Recorder:
    """Reads recordings: their headers, or whole to keep them as WAV files of ``format`` in ``out``.

    Can be sent to another process.

    Attributes:
        store: Opens the recordings.
        root: Folder that their paths start from.
        out: Folder of the kept waveforms.
        journal: Takes a line for each recording that is finished.
        format: How recordings are kept; None keeps none.
    """

    store: ClipStore[StoredAudio]
    root: Path
    out: Path
    journal: Journal
    format: WaveformFormat | None = None

    def __call__(self, task: tuple[Recording, str]) -> MeasuredRecording | ConversionFailure:
        """Measure one recording, and keep it under its key. A recording that cannot be used gives a ConversionFailure."""
        recording, key = task
        file = recording.file(self.root)
        stamp = file_stamp(file)
        try:
            audio = self.store.open(Clip(recording.name, *recording))
            if self.format is None:
                info = audio.info()
                size, rate, kept = info.num_samples, info.rate, ""
            else:
                wave = audio.read(rate=self.format.rate, resampler=self.format.resampler).wave
                check_unchanged(file, stamp)
                size, rate, kept = len(wave), self.format.rate, f"{WAVEFORMS}/{key}"
                write_waveform(self.out / kept, wave, self.format)
        except AudioError as error:
            return ConversionFailure(recording.name, recording.name, str(error))
        except MemoryError:
            return ConversionFailure(recording.name, recording.name, f"{file}: needs more memory than there is")
        measured = MeasuredRecording(recording.name, stamp_text(stamp), rate, size, kept)
        self.journal.append(asdict(measured))
        return measured


def lost_measurement(task: tuple[Recording, str], reason: str) -> MeasuredRecording | ConversionFailure:
    """Return the failure of a recording that could not be worked on."""
    name = task[0].name
    return ConversionFailure(name, name, f"{name}: {reason}")


def write_waveform(path: Path, wave: np.ndarray, format: WaveformFormat) -> None:
    """Write a waveform (S,) as a WAV file, under a temporary name until it is complete."""
    import soundfile

    with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
        soundfile.write(file, wave, format.rate, format="WAV", subtype=SUBTYPES[format.bits])


def recordings_of(manifest: Manifest) -> list[Recording]:
    """Return the recordings of all clips, each once, in the order of their first clips."""
    return list(dict.fromkeys(Recording(*row) for row in manifest.table.rows("path", "store", "key")))


def waveform_keys(recordings: Sequence[Recording]) -> list[str]:
    """Return the file of every kept recording below ``WAVEFORMS``: ``a/b.wav`` for ``a/b.mp3``."""
    keys = keys_of(tuple(recording.name for recording in recordings))
    return [str(Path(keys[recording.name]).with_suffix(".wav")) for recording in recordings]


def find_measured(recorder: Recorder, tasks: Iterable[tuple[Recording, str]]) -> dict[str, MeasuredRecording]:
    """Return the recordings that an earlier run finished and that have not changed since, by name."""
    tasks, done = list(tasks), dict[str, MeasuredRecording]()
    for lines in journal_lines(recorder.journal.folder):
        done |= _measured(recorder, tasks, _entries(lines))
    return done


def _measured(
    recorder: Recorder,
    tasks: Iterable[tuple[Recording, str]],
    journal: dict[tuple[str, bool], MeasuredRecording],
) -> dict[str, MeasuredRecording]:
    done = {}
    for recording, key in tasks:
        entry = journal.get((recording.name, recorder.format is not None))
        if entry is None or entry.source != stamp_text(file_stamp(recording.file(recorder.root))):
            continue
        if recorder.format is None or _is_kept(recorder, entry, key):
            done[recording.name] = entry
    return done


def _is_kept(recorder: Recorder, entry: MeasuredRecording, key: str) -> bool:
    """Return True if the waveform exists with all its samples (a power cut can leave a file without its content)."""
    assert recorder.format is not None
    path = recorder.out / entry.kept
    whole = entry.num_samples * recorder.format.bits // 8
    return entry.kept == f"{WAVEFORMS}/{key}" and path.is_file() and path.stat().st_size >= whole


def stamp_text(stamp: list[int] | None) -> str:
    """Return size and modification time as text; empty for a missing file."""
    return f"{stamp[0]} {stamp[1]}" if stamp else ""


def _entries(lines: Iterable[Any]) -> dict[tuple[str, bool], MeasuredRecording]:
    """Return the last line of each recording, with and without a waveform; other lines are ignored."""
    entries = {}
    for values in lines:
        try:
            entry = MeasuredRecording(**values)
        except TypeError:
            continue
        texts = (entry.recording, entry.source, entry.kept)
        if all(isinstance(text, str) for text in texts) and all(
            type(n) is int for n in (entry.rate, entry.num_samples)
        ):
            entries[entry.recording, bool(entry.kept)] = entry
    return entries


def with_measurements(manifest: Manifest, measured: dict[str, MeasuredRecording], out: Path) -> Manifest:
    """Return the clips whose recordings were measured, with rate and length, and with the path of a kept waveform."""
    table = manifest.table
    entries = [measured.get(Recording(*row).name) for row in table.rows("path", "store", "key")]
    usable = np.array([entry is not None for entry in entries], bool)
    table, known = table.take(usable), [entry for entry in entries if entry is not None]
    table = table.with_column("rate", (entry.rate for entry in known))
    table = table.with_column("num_samples", (entry.num_samples for entry in known))
    if any(entry.kept for entry in known):
        table = table.with_column("path", (str((out / entry.kept).resolve()) for entry in known))
        for name in ("store", "key"):
            table = table.with_column(name, (None for _ in known))
    return replace(manifest, clips=table)
