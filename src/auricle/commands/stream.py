"""Listen to sound that never ends: ``auricle stream``. A source, a ``Stream``, the sinks, and how well it keeps up."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.console import clock as clock_text
from auricle.core.errors import AuricleError
from auricle.core.interrupts import ends_by
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text
from auricle.inference.config import LONG_WINDOW, PRECISIONS, EventSettings, TagSettings

if TYPE_CHECKING:
    from auricle.audio.live.base import LiveChunk
    from auricle.inference.live.events import EventChange
    from auricle.inference.live.sinks.base import Sink
    from auricle.inference.live.stream import Stream, StreamAnswer, StreamWindow
    from auricle.inference.tagger import Tagger

STDIN, MICROPHONE = "-", "live"
SAMPLE_KINDS = ("s16le", "s24le", "s32le", "f32le", "u8")


@dataclass(frozen=True)
class StreamConfig:
    """What to listen to, with which network, and where events go."""

    source: str = argument(
        "- for standard input, an audio file, an address (http://, rtsp://, …), or live: a microphone"
    )
    model: str = option("", "tagger: a published name, a weight file or a run folder")
    weights: str = option("", "local weight file of a published name")
    window: float = option(LONG_WINDOW, "seconds scored at a time")
    hop: float = option(0.5, "seconds from one answer to the next")
    only: tuple[str, ...] = option((), "labels (or class ids) to report, and no others")
    min_score: float = option(0.0, "least score of an event that is reported (0 to 1)")
    top_k: int = option(3, "labels of each window, with --windows", advanced=True)
    events: EventSettings = field(default_factory=EventSettings)
    out: str = option(
        "", "folder: events.jsonl, events.csv and events.labels.txt (Audacity), a line as soon as it is known"
    )
    clips: str = option("", "folder for a sound file of each event")
    pre_roll: float = option(2.0, "seconds before the event in its sound file", advanced=True)
    longest_clip: float = option(60.0, "seconds of an event that its sound file holds at most", advanced=True)
    webhook: str = option("", "web address that gets a POST of JSON for each event opened and closed")
    mqtt: str = option(
        "",
        "MQTT broker, mqtt://[user:password@]host[:port]/NAME: events, a topic that is ON or OFF for each label of --only (else "
        "of all), and Home Assistant's discovery",
    )
    speed: float | None = option(
        1.0, "how fast a file is played; max: as fast as this machine can", special={"max": None}
    )
    sample_kind: str = option(
        "s16le", "samples on standard input that have no WAV header", choices=SAMPLE_KINDS, flag="format"
    )
    rate: int = option(16000, "their rate in hertz")
    channels: int = option(1, "their number of channels")
    microphone: str = option("", "number or part of the name of a microphone, for live")
    reconnect: int | None = option(
        None, "attempts in a row to connect to an address again; none: for ever", special={"none": None}, advanced=True
    )
    precision: str = option("float32", "arithmetic inside the network", choices=PRECISIONS, advanced=True)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("window", "hop", "pre_roll", "longest_clip"), 0)
        check_ranges(self, ("rate", "channels"), 1)
        if self.speed is not None and not 0 < self.speed < float("inf"):
            raise AuricleError(f"--speed is above 0, or max, not {self.speed}")
        if not self.model:
            raise AuricleError("name the tagger: --model NAME")

    @property
    def settings(self) -> TagSettings:
        """How windows are scored."""
        return TagSettings(
            top_k=self.top_k,
            window=self.window,
            hop=self.hop,
            level="clip",
            only=self.only,
            min_score=self.min_score,
            precision=self.precision,
            device=self.device,
        )


@dataclass
class StreamReport:
    """How well a stream keeps up.

    Attributes:
        heard: seconds of sound.
        lost: seconds that were missing or dropped.
        gaps: number of times.
        reconnects: times that the source was found again.
        windows, events: scored, and closed.
        load: share of one processor core, over all of it: 0.04 is 4 %.
        latency, worst_latency: seconds from the arrival of a window's last sample to its answer: mean and most.
        undelivered: what a sink could not deliver.
    """

    heard: float = 0.0
    lost: float = 0.0
    gaps: int = 0
    reconnects: int = 0
    windows: int = 0
    events: int = 0
    load: float = 0.0
    latency: float = 0.0
    worst_latency: float = 0.0
    undelivered: tuple[str, ...] = ()

    def text(self) -> str:
        """Return one line."""
        lost = f"; {self.lost:.1f} s lost in {self.gaps} gaps" if self.gaps else "; nothing lost"
        again = f", connected again {self.reconnects} times" if self.reconnects else ""
        return (
            f"{clock_text(self.heard)} heard; load {100 * self.load:.1f} % of a core; latency {1000 * self.latency:.0f} ms, "
            f"at most {1000 * self.worst_latency:.0f}{lost}{again}; {self.events} events"
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"kind": "summary", **asdict(self)}


@dataclass(frozen=True)
class TimedAnswer:
    """What a chunk has made known.

    Attributes:
        windows: those that are complete.
        changes: of events, with the time of day at which each event began ("" where it is not known).
    """

    windows: tuple[StreamWindow, ...]
    changes: tuple[tuple[EventChange, str], ...]


class Listening:
    """A stream that has begun. ``answers`` yields what becomes known; the events then are in the sinks already.

    Args:
        config: of the command.
        on_trouble: called with what is wrong with the source, as long as it goes on.

    Raises:
        AuricleError: for an unknown model, a source that cannot be opened, and a folder that cannot be written.
    """

    def __init__(self, config: StreamConfig, on_trouble: Callable[[str], None] = lambda text: None):
        from auricle.core.devices import tune_allocator
        from auricle.inference.live.stream import Stream
        from auricle.inference.tagger import Tagger

        tune_allocator()
        self.config, self.report, self.on_trouble = config, StreamReport(), on_trouble
        tagger = Tagger(config.model, weights=config.weights or None, settings=config.settings, events=config.events)
        self.stream: Stream = Stream(tagger)
        self.sinks: list[Sink] = _sinks(config, tagger)
        self.began: datetime | None = None  # time of day at second 0 of the stream
        self.interrupted = False  # by Ctrl-C or SIGTERM
        self.busy_at_start = time.process_time()

    def answers(self) -> Iterator[TimedAnswer]:
        """Yield after each chunk that made something known; ``finish`` must follow, whatever ends this."""
        from auricle.audio.live.base import Reader

        chunks, may_drop = self._chunks()
        self.reader = Reader(chunks, may_drop=may_drop)
        with ends_by(self._interrupt):
            for chunk in self.reader:
                if timed := self._take(chunk):
                    yield timed

    def _interrupt(self) -> None:
        self.interrupted = True
        self.reader.stop()

    def finish(self) -> TimedAnswer:
        """End the stream: close all events, finish the sinks, and return what this has made known."""
        answer = self.stream.flush()
        timed = self._deliver(answer)
        undelivered = [text for sink in self.sinks for text in sink.close()]
        self.report.undelivered = tuple(undelivered)
        self._measure()
        return timed

    def _take(self, chunk: LiveChunk) -> TimedAnswer | None:
        """Take a chunk, and tell the sinks."""
        from auricle.inference.live.stream import StreamAnswer

        if self.began is None and self.config.source != STDIN and not Path(self.config.source).exists():
            self.began = datetime.now().astimezone()
        answer = StreamAnswer()
        if chunk.lost:
            self.report.lost, self.report.gaps = self.report.lost + chunk.lost, self.report.gaps + 1
            answer += self.stream.gap(chunk.lost)
        self.report.reconnects += chunk.reconnected
        start = self.stream.time
        try:
            answer += self.stream.push(chunk.samples, sample_rate=chunk.rate)
        except AuricleError as refused:  # NaN from a broken driver: the rest of the stream is good
            self.on_trouble(f"{refused}; left out")
            seconds = len(chunk.samples) / chunk.rate
            self.report.lost, self.report.gaps = self.report.lost + seconds, self.report.gaps + 1
            answer += self.stream.gap(seconds)
        else:
            for sink in self.sinks:
                sink.add_audio(chunk.samples, chunk.rate, start)
        self.report.heard += len(chunk.samples) / chunk.rate
        if not answer.windows and not answer.changes:
            return None
        timed = self._deliver(answer)
        late = time.monotonic() - chunk.arrived
        self.report.latency += (late - self.report.latency) * len(answer.windows) / max(1, self.report.windows)
        self.report.worst_latency = max(self.report.worst_latency, late)
        self._measure()
        return timed

    def _deliver(self, answer: StreamAnswer) -> TimedAnswer:
        changes = tuple((change, self._clock(change.start)) for change in answer.changes)
        for change, clock in changes:
            for sink in self.sinks:
                sink.take(change, clock)
        self.report.windows += len(answer.windows)
        self.report.events += sum(change.kind == "closed" for change, _ in changes)
        return TimedAnswer(answer.windows, changes)

    def _measure(self) -> None:
        if not self.report.heard:
            return
        self.report.load = (time.process_time() - self.busy_at_start) / self.report.heard

    def _clock(self, seconds: float) -> str:
        if self.began is None:
            return ""
        return (self.began + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")

    def _chunks(self) -> tuple[Iterator[LiveChunk], bool]:
        """The source, and whether it cannot wait."""
        config, source = self.config, self.config.source
        if source == STDIN:
            from auricle.audio.live.pcm import pcm_chunks

            if sys.stdin is None:
                raise AuricleError(
                    "standard input is closed: connect it with a pipe, or name a file, an address or live"
                )
            # a descriptor of its own, unbuffered: what has come is read at once
            pipe = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
            return pcm_chunks(pipe, config.sample_kind, config.rate, config.channels), False
        if source == MICROPHONE and not Path(source).exists():
            from auricle.audio.live.microphone import microphone_chunks

            return microphone_chunks(config.microphone), True
        if "://" in source:
            from auricle.audio.live.network import network_chunks

            return network_chunks(source, attempts=config.reconnect, on_trouble=self.on_trouble), True
        return self._played(), False

    def _played(self) -> Iterator[LiveChunk]:
        from auricle.audio.live.played import played_chunks
        from auricle.audio.recording_time import start_time
        from auricle.audio.sources import find_audio

        sources = find_audio([self.config.source])
        if len(sources) != 1:
            raise AuricleError(
                f"{self.config.source}: a stream plays one file, found {len(sources)}; auricle tag takes folders"
            )
        self.began = start_time(sources[0].name)
        tagger = self.stream.tagger
        return played_chunks(sources[0], tagger.info.sample_rate, tagger.encoder.front.resampler, self.config.speed)


def _sinks(config: StreamConfig, tagger: Tagger) -> list[Sink]:
    from auricle.inference.live.sinks.clips import ClipsFolder
    from auricle.inference.live.sinks.files import file_sinks
    from auricle.inference.live.sinks.webhook import Webhook

    sinks: list[Sink] = []
    if config.out:
        sinks += file_sinks(Path(config.out))
    if config.clips:
        sinks.append(ClipsFolder(Path(config.clips), config.window, config.pre_roll, config.longest_clip))
    if config.webhook:
        sinks.append(Webhook(config.webhook))
    if config.mqtt:
        from auricle.inference.live.sinks.mqtt import MQTT

        labels = dict.fromkeys(label for reader in tagger.readers.values() for label in reader.labels)
        sinks.append(MQTT(config.mqtt, tuple(labels)))
    return sinks
