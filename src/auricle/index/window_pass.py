"""One pass over recordings: of every window the vector, the scores of all heads, and what decides about events.

Windows are cut, scored and joined to events as ``auricle tag --window`` does it; only a last window that would hardly differ
from the one before it is left out (``covering_enough``). A recording of any length takes bounded memory: of the scores that
decide about events only those are held that an event may contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from auricle.audio.decode import note_texts
from auricle.audio.sources import AudioSource
from auricle.audio.windows import covering_enough, windows
from auricle.core.errors import AuricleError
from auricle.core.parallel import prefetch
from auricle.index.description import IndexedClass, IndexedHead, IndexInfo, labels_of_heads
from auricle.index.writer import SCORE
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.events import Event, find_events
from auricle.inference.head_reader import HeadReader
from auricle.inference.pipeline import LoadedAudio, Model, OnPart, Session, failure_of, padded
from auricle.inference.tagger import check_length

WHOLE_SECONDS = 60.0  # longer recordings are read block by block
ROUNDING = 1e-6  # relative, of a score that is compared with a threshold in another precision


@dataclass(eq=False)
class RecordingToRead:
    """A recording that is to be read.

    Attributes:
        path: absolute.
        windows: number of windows that are encoded already, and skipped.
        broken: it cannot be read further.
    """

    path: str
    windows: int = 0
    broken: bool = False


class EncodedWindow(NamedTuple):
    """A window: path, position, start and end in seconds, vector (D,), scores that are kept and those about events."""

    path: str
    position: int
    start: float
    end: float
    vector: np.ndarray
    scores: np.ndarray
    event_scores: np.ndarray


class ReadToEnd(NamedTuple):
    """All windows of a recording were yielded; it has so many seconds."""

    path: str
    seconds: float
    notes: tuple[str, ...]


class NotRead(NamedTuple):
    """A recording cannot be read, for a reason."""

    path: str
    reason: str


Outcome = EncodedWindow | ReadToEnd | NotRead


class _Cut(NamedTuple):
    """A window before it is encoded: samples (S,) at the encoder's rate, from ``start`` to ``stop``."""

    recording: RecordingToRead
    position: int
    start: int
    stop: int
    wave: np.ndarray


class _Last(NamedTuple):
    """What follows the last window of a recording."""

    recording: RecordingToRead
    outcome: ReadToEnd | NotRead


class WindowPass(Session):
    """Encodes the windows of recordings.

    Args:
        model: an Encoder, or what ``auricle.load`` takes.
        weights: a local file of a published name.
        settings: window, hop, precision, device, batch size, threads; ``strict`` refuses files with a wrong header.
        min_score: scores below it are not kept.

    Attributes:
        readers: what turns the logits of each head into scores, by the head's name.
        heads: the classes whose scores are kept; () for an encoder without known classes.
    """

    def __init__(self, model: Model, weights: str | None, settings: TagSettings, min_score: float):
        super().__init__(model, weights, settings.device, settings.precision, settings.workers)
        self.settings, self.min_score = settings, min_score
        self.window, self.hop = settings.window_samples(self.info.sample_rate)
        spaces = {name: s for name, s in zip(self.info.head_names, self.info.label_spaces) if s is not None}
        self.readers = {
            name: HeadReader(space, list(space.reported), settings, EventSettings()) for name, space in spaces.items()
        }
        self.heads = _heads_of(self.readers)
        self._events: dict[str, _EventScores] = {}
        first = 0
        for name, reader in self.readers.items():
            self._events[name] = _EventScores(reader, first)
            first += len(reader.labels)

    def describe(self, model: str, weights: str, dtype: str) -> IndexInfo:
        """Return the description of an index of these windows.

        Args:
            model, weights: as the user named them.
            dtype: of the vectors.
        """
        window, hop = self.settings.window_seconds
        return IndexInfo(
            model=model,
            weights=weights,
            fingerprint=self.encoder.fingerprint(),
            front_end=self.info.front_end,
            sample_rate=self.info.sample_rate,
            window=window,
            hop=hop,
            dim=self.info.clip_dim,
            dtype=dtype,
            precision=self.precision,
            min_score=self.min_score,
            heads=self.heads,
        )

    def outcomes(
        self, recordings: Iterable[RecordingToRead], on_part: OnPart | None = None, *, apart: bool = False
    ) -> Iterator[Outcome]:
        """Yield the windows of recordings in order, the end of each behind its last window, and what cannot be read.

        Args:
            recordings: taken as they are needed.
            on_part: called with a recording and the seconds of it that are done.
            apart: no batch holds windows of two recordings. The last bits of numbers depend on what is in the batch.
        """
        held: list[_Cut | _Last] = []
        count = 0
        for item in self._cuts(recordings, on_part):
            held.append(item)
            count += isinstance(item, _Cut)
            if count == self.settings.batch_size or (apart and isinstance(item, _Last)):
                yield from self._encoded(held)
                held, count = [], 0
        yield from self._encoded(held)

    def events(self, spans: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> tuple[tuple[int, Event], ...]:
        """Return the events of a recording with the numbers of their classes.

        Args:
            spans: (n, 2) arrays of start and end in seconds of all its windows, in order.
            scores: SCORE arrays, those that decide about events.
        """
        all_spans = np.concatenate([np.zeros((0, 2)), *spans])
        all_scores = np.concatenate([np.zeros(0, SCORE), *scores])
        return tuple(found for events in self._events.values() for found in events.find(all_spans, all_scores))

    # ---- cutting
    def _cuts(self, recordings: Iterable[RecordingToRead], on_part: OnPart | None) -> Iterator[_Cut | _Last]:
        waiting: dict[str, RecordingToRead] = {}

        def sources() -> Iterator[list[AudioSource]]:
            for recording in recordings:
                waiting[recording.path] = recording
                yield [AudioSource(recording.path, Path(recording.path), strict=self.settings.strict)]

        for (audio,) in self.load_ahead(sources(), WHOLE_SECONDS):
            yield from self._windows_of(waiting.pop(audio.source.name), audio, on_part)

    def _windows_of(
        self, recording: RecordingToRead, audio: LoadedAudio, on_part: OnPart | None
    ) -> Iterator[_Cut | _Last]:
        path = recording.path
        if audio.error:
            yield _Last(recording, NotRead(path, audio.error))
            return
        rate, total = self.info.sample_rate, 0

        def counted() -> Iterator[np.ndarray]:
            nonlocal total
            for block in [audio.waveform] if audio.waveform is not None else prefetch(audio.blocks or ()):
                total += len(block)
                yield block

        try:
            for number, window in enumerate(windows(counted(), self.window, self.hop, covering_enough)):
                check_length(path, len(window.wave), self.info)
                if recording.broken:
                    return
                if number >= recording.windows:
                    yield _Cut(recording, number, window.start, window.stop, window.wave)
                if on_part is not None:
                    on_part(audio.source, window.stop / rate)
        except AuricleError as error:
            yield _Last(recording, NotRead(path, str(error)))
            return
        yield _Last(recording, ReadToEnd(path, total / rate, note_texts(audio.notes)))

    # ---- encoding
    def _encoded(self, items: list[_Cut | _Last]) -> Iterator[Outcome]:
        results = iter(self._encode_each([item for item in items if isinstance(item, _Cut)]))
        for item in items:
            outcome = next(results) if isinstance(item, _Cut) else item.outcome
            if not item.recording.broken:
                item.recording.broken = isinstance(outcome, NotRead)
                yield outcome

    def _encode_each(self, cuts: list[_Cut]) -> list[EncodedWindow | NotRead]:
        """Encode windows; if the encoder refuses the batch, each by itself, so that one bad window spoils no other."""
        if not cuts:
            return []
        try:
            return self._encode(cuts)
        except Exception as error:
            failure = failure_of(cuts[0].recording.path, error)
            if failure is None:
                raise
        if len(cuts) == 1:
            return [NotRead(cuts[0].recording.path, failure)]
        return [outcome for cut in cuts for outcome in self._encode_each([cut])]

    @torch.inference_mode()
    def _encode(self, cuts: list[_Cut]) -> list[EncodedWindow | NotRead]:
        waves, samples = padded([cut.wave for cut in cuts])
        with self.autocast():
            wave, lengths = torch.from_numpy(waves).to(self.device), torch.from_numpy(samples).to(self.device)
            out = self.encoder(wave, lengths)
        vectors = out.clip.float().cpu().numpy()
        finite = np.isfinite(vectors).all(1)
        kept: list[list[np.ndarray]] = [[] for _ in cuts]
        deciding: list[list[np.ndarray]] = [[] for _ in cuts]
        for name, reader in self.readers.items():
            logits = out.head_logits[name]
            finite &= torch.isfinite(logits).all(1).cpu().numpy()
            scores, events = reader.scores(logits), self._events[name]
            for i, (row, compared) in enumerate(zip(scores.rows, reader.event_scores(scores))):
                position = cuts[i].position
                kept[i].append(_sparse(row, np.float32(self.min_score), position, events.first))
                deciding[i].append(_sparse(compared, events.lowest, position, events.first))
        rate = self.info.sample_rate
        return [
            EncodedWindow(
                cut.recording.path,
                cut.position,
                cut.start / rate,
                cut.stop / rate,
                vectors[i],
                _joined(kept[i]),
                _joined(deciding[i]),
            )
            if finite[i]
            else NotRead(cut.recording.path, _not_finite(cut.recording.path, self.info.name))
            for i, cut in enumerate(cuts)
        ]


class _EventScores:
    """The scores of one head that an event may contain, and the events in them.

    A window below the score at which events of its class end is in no event, whatever its score is, and a median does not depend
    on it either: 0 in its place gives the same events.

    Args:
        reader: of the head.
        first: number of its first class.

    Attributes:
        lowest: (C,) scores at which events end.
    """

    def __init__(self, reader: HeadReader, first: int):
        self.reader, self.first = reader, first
        self.high = reader.event_thresholds
        self.lowest = (self.high * reader.events.hysteresis * (1 - ROUNDING)).astype(np.float32)

    def find(self, spans: np.ndarray, scores: np.ndarray) -> list[tuple[int, Event]]:
        """Return the events of a recording with the numbers of their classes.

        Args:
            spans: (n, 2) start and end of all windows in seconds.
            scores: SCORE (m,), of all heads.
        """
        own = scores[(scores["label"] >= self.first) & (scores["label"] < self.first + len(self.high))]
        columns = own["label"].astype(np.int64) - self.first
        reached = np.unique(columns[own["score"] >= self.high[columns].astype(np.float32)])
        found = []
        for column in reached:  # one class at a time: all at once would be (n, C)
            line = np.zeros((len(spans), 1), np.float32)
            mine = own[columns == column]
            line[mine["window"], 0] = mine["score"]
            label, high = [self.reader.labels[column]], self.high[[column]]
            events = find_events(line, spans, label, self.reader.events, high)
            found += [(self.first + int(column), event) for event in events]
        return found


def _heads_of(readers: dict[str, HeadReader]) -> tuple[IndexedHead, ...]:
    labels = iter(labels_of_heads((head, name) for head, reader in readers.items() for name in reader.labels))
    heads = []
    for head, reader in readers.items():
        ids = [reader.space.ids[c] for c in reader.reported]
        rows = zip(ids, reader.labels, reader.event_thresholds.tolist())
        classes = tuple(IndexedClass(id, name, next(labels), round(high, 7)) for id, name, high in rows)
        heads.append(IndexedHead(head, reader.space.kind, classes))
    return tuple(heads)


def _sparse(row: np.ndarray, least: np.ndarray | np.float32, position: int, first: int) -> np.ndarray:
    """Return the scores of a row (C,) that reach ``least``, as SCORE with the position of the window and numbers of classes."""
    columns = np.flatnonzero(row >= least)
    scores = np.zeros(len(columns), SCORE)
    scores["window"], scores["label"], scores["score"] = position, columns + first, row[columns]
    return scores


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate([np.zeros(0, SCORE), *parts])


def _not_finite(path: str, model: str) -> str:
    return (
        f"{path}: {model} gives no finite numbers: a sample is far too large, the weights are damaged, or --precision is "
        "too coarse"
    )
