"""Sound that never ends: ``Stream`` takes chunks of any size and gives the scores of windows and the events in them.

It is a ``Tagger`` fed by hand: the same windows of the same grid, with the same thresholds. The windows and events of a piece of
the stream are those of ``Tagger`` for a recording of that piece, scores within 1e-5, however it was cut into chunks.

A new window of 10 s every half second would compute each frame of the spectrogram twenty times; ``frontends/window_frames.py``
does it once. A network whose first layers see a few frames each (MN, up to its first squeeze-and-excitation) computes the maps
of these layers once as well (``window_maps.py``). Held are one window of samples, frames and maps, and a few numbers for each
label.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from auricle.audio.arrays import samples_of
from auricle.audio.recent import Recent
from auricle.audio.resample import MAX_RATE, MIN_RATE, ResampleStream, check_rate
from auricle.audio.windows import Remainder, covering
from auricle.core.errors import AuricleError
from auricle.frontends.window_frames import WindowFrames
from auricle.inference.config import TagOptions
from auricle.inference.head_reader import HeadReader, Scores
from auricle.inference.live.events import EventChange, EventTracker
from auricle.inference.live.window_maps import WindowMaps
from auricle.inference.pipeline import Model
from auricle.inference.tag_results import Tag, WindowTags
from auricle.inference.tagger import Tagger
from auricle.models.local_layers import LocalLayers
from auricle.models.outputs import Spectrogram

WINDOW, HOP = (
    10.0,
    0.5,
)  # seconds; the length of the clips that AudioSet taggers were trained on, and a new answer twice a second
CLOCK_SLACK = (
    0.1  # seconds by which ``at`` may differ from the count of samples: sound cards and operating systems jitter
)


@dataclass(frozen=True, eq=False)
class StreamWindow:
    """The answer for one window of the stream.

    Attributes:
        start, end: seconds of the stream.
        tags: the most likely labels, the likeliest first.
        detected: labels that reach their thresholds; None for a tagger without thresholds of its own.
        scores: (C,) of ``Stream.labels``.
        heads: the labels of each head, of a tagger with several.
    """

    start: float
    end: float
    tags: tuple[Tag, ...]
    detected: tuple[Tag, ...] | None
    scores: np.ndarray
    heads: dict[str, WindowTags] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class StreamAnswer:
    """What a call has made known: the windows that are complete, and what has changed about events, in order."""

    windows: tuple[StreamWindow, ...] = ()
    changes: tuple[EventChange, ...] = ()

    def __add__(self, other: StreamAnswer) -> StreamAnswer:
        return StreamAnswer(self.windows + other.windows, self.changes + other.changes)


class GaplessAudio:
    """Sound without a gap. Positions are samples from its beginning."""

    def __init__(self, tagger: Tagger, local: LocalLayers | None, origin: float):
        self.origin = origin  # seconds of the stream at its beginning
        self.samples = Recent(tagger.window)
        self.frames: WindowFrames | None = None
        self.maps: WindowMaps | None = None
        if tagger.encoder.one_front_end and tagger.device.type == "cpu":
            encoder = tagger.encoder
            once = {"normalise": encoder.normalise} if encoder.normalises_once else {}
            self.frames = WindowFrames(encoder.front, tagger.window, tagger.hop, **once)
            self.normalised = encoder.normalises_once
            self.lengths = torch.tensor([self.frames.frames])
            maps = None if local is None or not self.normalised else WindowMaps(local, self.frames)
            self.maps = maps if maps is not None and maps.shared else None
        self.next = 0  # where the next window begins


class Stream:
    """Scores and events of sound that comes chunk by chunk. One stream belongs to one thread.

    Args:
        model: an Encoder with classes, or what ``auricle.load`` takes, several of them, or a ``Tagger`` with ``window`` and
            ``hop``, which streams may share.
        weights: a local file of a published name.
        options: those of ``Tagger``. window, hop: seconds, 10 and 0.5 unless given. Events are found in the scores of windows.

    Attributes:
        tagger: the session.
        labels: the classes that the main head reports.
        time: seconds of the stream that were taken so far, gaps included, or the clock that ``at`` gave.

    Raises:
        AuricleError: for an unknown model or setting, an encoder without classes, and a window that is too short for it.

    Example:
        stream = auricle.Stream("mn04_as", window=10, hop=0.5)
        for chunk in np.split(waveform, 20):                             # of any size
            answer = stream.push(chunk, sample_rate=48000)
            for change in answer.changes:
                print(change.kind, change.label, change.start, change.score)
        stream.flush()
    """

    def __init__(self, model: Model | Tagger, *, weights: str | Path | None = None, **options: Unpack[TagOptions]):
        if isinstance(model, Tagger):
            if options or weights:
                raise AuricleError("this Tagger has its settings already: make it with them, or give the model instead")
            if model.settings.window is None:
                raise AuricleError("a stream is scored in windows: make the Tagger with window=10, hop=0.5")
            self.tagger = model
        else:
            chosen: TagOptions = {"window": WINDOW, "hop": HOP, "level": "clip", **options}
            self.tagger = Tagger(model, weights=weights, **chosen)
        if self.tagger.level != "clip":
            raise AuricleError("a stream finds events in the scores of windows: level='clip'")
        info = self.tagger.info
        if self.tagger.window < info.min_samples:
            raise AuricleError(
                f"a window of {self.tagger.window / info.sample_rate:.4f} s is too short; {info.name} needs at least "
                f"{info.min_samples / info.sample_rate:.4f} s"
            )
        self.labels, self.time = self.tagger.labels, 0.0
        self._trackers = {name: _tracker(name, reader) for name, reader in self.tagger.readers.items()}
        self._resampler: ResampleStream | None = None
        # in reduced precision the parts of a network would be rounded where the whole is not
        self._local = self.tagger.encoder.local_layers() if self.tagger.precision == "float32" else None
        self._piece = GaplessAudio(self.tagger, self._local, 0.0)
        self._started = False

    def push(self, samples: Any, *, sample_rate: int | None = None, at: float | None = None) -> StreamAnswer:
        """Take the next samples.

        Args:
            samples: (S,) or (channels, S) floats in [-1, 1], S of any size, 0 included.
            sample_rate: hertz; None: that of the encoder. It may change from one call to the next.
            at: seconds, on any clock, of the first of them. What is missing before them is a ``gap``; if the clock was set
                back by more than a hop, a new piece begins. The first ``at`` says when the stream begins.

        Returns:
            StreamAnswer: the windows that are complete by now, and what has changed about events.

        Raises:
            AuricleError: for NaN, infinite and absurd samples, and for another shape, type or rate. The stream stays as it was, and
                goes on with the next chunk.
        """
        rate = self.tagger.info.sample_rate if sample_rate is None else check_rate(sample_rate)
        if not MIN_RATE <= rate <= MAX_RATE:
            raise AuricleError(f"a sample rate lies between {MIN_RATE} and {MAX_RATE} hertz, not {rate}")
        if at is not None and not math.isfinite(at):
            raise AuricleError(f"at is seconds on a clock, not {at}")
        shape = getattr(samples, "shape", None)
        if shape is not None and len(shape) in (1, 2) and 0 in shape:
            return StreamAnswer()
        wave = samples_of(samples, "the chunk")
        answer = self._at(at) if at is not None else StreamAnswer()
        self._started = True
        if self._resampler is None or self._resampler.from_rate != rate:
            answer += self._end_resampling()
            self._resampler = ResampleStream(rate, self.tagger.info.sample_rate, self.tagger.encoder.front.resampler)
        self.time += wave.shape[-1] / rate
        return answer + self._take(self._resampler.push(wave if wave.ndim == 1 else wave.mean(0, dtype=np.float32)))

    def gap(self, seconds: float) -> StreamAnswer:
        """Say that sound was lost. A gap of less than a hop is filled with silence.

        A longer one ends the piece, as ``flush`` does, and a new piece begins behind the gap: no window reaches over it, and the
        next window is complete when there is sound for it.

        Raises:
            AuricleError: for less than no time.
        """
        if not (seconds >= 0 and math.isfinite(seconds)):
            raise AuricleError(f"a gap is seconds, 0 or more, not {seconds}")
        if seconds * self.tagger.info.sample_rate < self.tagger.hop and self._resampler is not None:
            self.time += seconds
            return self._take(
                self._resampler.push(np.zeros(round(seconds * self._resampler.from_rate), dtype=np.float32))
            )
        answer = self._end_piece()
        self._begin(self.time + seconds)
        return answer

    def flush(self) -> StreamAnswer:
        """End the piece: score what no window has heard yet, and close all events. What is pushed later is a new piece."""
        answer = self._end_piece()
        self._begin(self.time)
        return answer

    def _at(self, at: float) -> StreamAnswer:
        """Compare the clock with the count of samples."""
        late = at - self.time
        if not self._started:
            self._begin(at)
        elif late > CLOCK_SLACK:
            return self.gap(late)
        elif late < -max(CLOCK_SLACK, self.tagger.hop / self.tagger.info.sample_rate):
            answer = self._end_piece()
            self._begin(at)
            return answer
        return StreamAnswer()

    def _begin(self, time: float) -> None:
        self.time, self._resampler, self._piece = time, None, GaplessAudio(self.tagger, self._local, time)

    def _end_resampling(self) -> StreamAnswer:
        """Take what the resampler still holds."""
        resampler, self._resampler = self._resampler, None
        return StreamAnswer() if resampler is None else self._take(resampler.flush())

    def _end_piece(self) -> StreamAnswer:
        answer, piece, tagger = self._end_resampling(), self._piece, self.tagger
        total = piece.samples.end
        held = piece.samples.part(max(piece.samples.start, total - tagger.window), total)
        last = covering(Remainder(held, total, piece.next), tagger.window, tagger.hop)
        if last is not None and len(last.wave) >= tagger.info.min_samples:
            answer += self._answer(last.start, last.stop, tagger.wave_scores(last.wave[None]))
        changes = [change for tracker in self._trackers.values() for change in tracker.finish()]
        return answer + StreamAnswer(changes=tuple(changes))

    def _take(self, wave: np.ndarray) -> StreamAnswer:
        """Take samples at the encoder's rate, and score each window when its last sample is there."""
        answers, piece, size = [], self._piece, self.tagger.window
        while len(wave):
            missing = piece.next + size - piece.samples.end
            part, wave = wave[:missing], wave[missing:]
            piece.samples.append(part)
            if len(part) == missing:
                answers.append(self._answer(piece.next, piece.next + size, self._scores(piece)))
                piece.next += self.tagger.hop
        return sum(answers, StreamAnswer())

    @torch.inference_mode()
    def _scores(self, piece: GaplessAudio) -> dict[str, Scores]:
        """The scores of the window that has just been completed."""
        start, stop = piece.next, piece.next + self.tagger.window
        if piece.frames is None:
            return self.tagger.wave_scores(piece.samples.part(start, stop)[None])
        values, front = piece.frames.window(piece.samples, start, stop), piece.frames.front
        if piece.maps is not None and self._local is not None:
            return self.tagger.map_scores(self._local, piece.maps.of(values))
        spec = Spectrogram(values, piece.lengths, front.hop_seconds, front.id, piece.normalised)
        return self.tagger.spectrogram_scores(spec)

    def _answer(self, first: int, stop: int, scores: dict[str, Scores]) -> StreamAnswer:
        rate, origin = self.tagger.info.sample_rate, self._piece.origin
        start, end = origin + first / rate, origin + stop / rate
        heads, changes = {}, []
        for name, reader in self.tagger.readers.items():
            heads[name] = reader.window(start, end, scores[name])
            changes += self._trackers[name].add(start, end, reader.event_scores(scores[name])[0])
        main = heads[self.tagger.main]
        several = heads if len(heads) > 1 else {}
        window = StreamWindow(start, end, main.tags, main.detected, scores[self.tagger.main].rows[0], several)
        return StreamAnswer((window,), tuple(changes))


def _tracker(name: str, reader: HeadReader) -> EventTracker:
    events, least = reader.events, reader.settings.min_score
    return EventTracker(reader.labels, reader.event_thresholds, events.hysteresis, events.median or 1, least, name)
