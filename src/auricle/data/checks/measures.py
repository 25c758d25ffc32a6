"""Measure the clips of a manifest, each once, in bounded memory: what the checks need, and nothing that depends on other clips.

A measurer can be sent to another process. What it measured is kept as lines of a journal, with the stamp of the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np

from auricle.audio.decode.base import Levels, TruncatedAudioError
from auricle.audio.decode.reader import File, opened
from auricle.core.errors import AudioError, AuricleError, MissingExtra
from auricle.core.io import append_line, check_unchanged, file_stamp, writing
from auricle.data.checks.bandwidth import Bandwidth
from auricle.data.checks.fingerprints import EMPTY, Fingerprint, Fingerprinter
from auricle.data.checks.levels import LevelFacts, LevelMeter
from auricle.data.manifest.manifest import Clip
from auricle.data.stores.base import ClipStore, StoredAudio

VERSION = 1  # of the measures: a journal of another one is not used
JOURNAL = "measures.jsonl"
NO_FACTS = LevelFacts(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ClipMeasures:
    """What was measured of a clip: a line of the journal.

    Attributes:
        id: Id of the clip.
        source: Size and modification time of its file, and its span, to notice changes.
        fault: Why the clip cannot be used: "unreadable", "empty", "truncated"; "" if it can.
        message: The error of the decoder, or what is unusual about the header.
        rate, channels, samples: Sample rate in hertz, channels, and samples of the clip per channel.
        format: Container and codec.
        digest: SHA-256 of the samples, with their rate and number of channels.
        levels: Peak, offset and the like.
        bandwidth: Hertz above which there is nothing; None where there is no sharp edge.
        fingerprint: For finding other clips with the same sound.
    """

    id: str
    source: str
    fault: str = ""
    message: str = ""
    rate: int = 0
    channels: int = 0
    samples: int = 0
    format: str = ""
    digest: str = ""
    levels: LevelFacts = NO_FACTS
    bandwidth: float | None = None
    fingerprint: Fingerprint = field(default=EMPTY, compare=False)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return self.samples / self.rate if self.rate else 0.0

    def to_line(self) -> str:
        """Return one line of JSON."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values |= {"levels": asdict(self.levels), "fingerprint": self.fingerprint.to_text(), "version": VERSION}
        return json.dumps(values) + "\n"

    @classmethod
    def from_line(cls, line: str) -> ClipMeasures | None:
        """Return what ``to_line`` wrote; None for a line of another version, or one that is not whole."""
        try:
            values = json.loads(line)
            if values.pop("version") != VERSION:
                return None
            values["levels"] = LevelFacts(**values["levels"])
            values["fingerprint"] = Fingerprint.from_text(values["fingerprint"])
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None


@dataclass(frozen=True)
class ClipMeasurer:
    """Measures clips. Can be sent to another process.

    Attributes:
        store: Opens the recordings.
        root: Folder that their paths start from.
        journal: File that a line per clip is appended to; None: none is kept.
    """

    store: ClipStore[StoredAudio]
    root: Path
    journal: Path | None = None

    def __call__(self, clip: Clip) -> ClipMeasures:
        """Measure one clip. A clip that cannot be read has a ``fault``.

        Raises AuricleError when the journal cannot be written.
        """
        file = self.file_of(clip)
        stamp = file_stamp(file)
        source = source_text(clip, stamp)
        try:
            measures = _measured(self.store.open(clip).file, clip, source)
            check_unchanged(file, stamp)
        except MissingExtra as error:
            measures = ClipMeasures(clip.id, source, "unreadable", str(error))
        except AuricleError as error:
            measures = ClipMeasures(clip.id, source, _fault_of(error), str(error))
        except MemoryError:
            measures = ClipMeasures(clip.id, source, "unreadable", f"{file}: needs more memory than there is")
        if self.journal is not None:
            with writing(self.journal, "; clips that were measured before are kept"):
                append_line(self.journal, measures.to_line())
        return measures

    def file_of(self, clip: Clip) -> Path:
        """Return the file that holds the recording of a clip: its own, or an archive."""
        return self.root / str(clip.store if clip.path is None else clip.path)


def _fault_of(error: AuricleError) -> str:
    text = str(error)
    if isinstance(error, TruncatedAudioError) or "truncated or damaged" in text:
        return "truncated"
    return "empty" if "(0 bytes)" in text or "holds no samples" in text else "unreadable"


def _measured(file: File, clip: Clip, source: str) -> ClipMeasures:
    """Decode a clip once, block by block. Raises AudioError for one that cannot be used."""
    with opened(file) as (decoder, notes):
        start = round((clip.start or 0.0) * decoder.rate)
        stop = None if clip.end is None else round(clip.end * decoder.rate)
        checked, meter = Levels(decoder.name, decoder.rate, start), LevelMeter(decoder.rate, decoder.channels)
        bandwidth, fingerprinter = Bandwidth(decoder.rate), Fingerprinter(decoder.rate)
        digest, samples = hashlib.sha256(f"{decoder.rate} {decoder.channels} ".encode()), 0
        for block in decoder.blocks(start, stop):
            checked.add(block)  # refuses NaN
            meter.add(block)
            digest.update(np.ascontiguousarray(block).data)
            wave = block.mean(axis=1, dtype=np.float32)
            bandwidth.push(wave)
            fingerprinter.push(wave)
            samples += len(block)
        if not samples:
            raise AudioError(f"{decoder.name}: holds no samples{' in this span' if start else ''}")
        notes_text = "; ".join(note.message for note in notes)
        return ClipMeasures(
            clip.id, source, "", notes_text, decoder.rate, decoder.channels, samples, decoder.format,
            digest.hexdigest(), meter.facts(), bandwidth.finish(), fingerprinter.finish(),
        )  # fmt: skip


def source_text(clip: Clip, stamp: list[int] | None) -> str:
    """Return size and modification time of a clip's file, its place in an archive, and its span."""
    place = "" if clip.path is not None else str(clip.key)
    return f"{stamp or ''} {place} {clip.start or 0.0}-{clip.end}"


def measured_before(measurer: ClipMeasurer, clips: Iterable[Clip]) -> dict[str, ClipMeasures]:
    """Return the clips that an earlier run measured and whose files have not changed since, by id."""
    path = measurer.journal
    if path is None or not path.is_file():
        return {}
    lines = {}
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            measures = ClipMeasures.from_line(line)
            if measures is not None:
                lines[measures.id] = measures
    done = {}
    for clip in clips:
        measures = lines.get(clip.id)
        if measures is None or measures.fault == "unreadable":  # an extra may have been installed since
            continue
        if measures.source == source_text(clip, file_stamp(measurer.file_of(clip))):
            done[clip.id] = measures
    return done
