"""A sound file for each event of a stream, with some seconds before it. Memory is bounded: long events are cut off."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from auricle.audio.recent import Recent
from auricle.audio.write import encode_audio
from auricle.core.io import make_folder, replacing, short_name
from auricle.inference.live.events import EventChange

LONGEST = 60.0  # seconds of a clip, what lies before the event aside
LEVELS = 1.0  # samples beyond are cut off: the file holds whole numbers


class ClipsFolder:
    """Writes ``FOLDER/LABEL/TIME_SCORE.flac`` when an event is closed, or is longer than ``LONGEST``.

    Args:
        folder: it is made.
        window: seconds of the windows that events are found in.
        pre_roll: seconds before the event.
        longest: seconds of an event that are kept.
    """

    def __init__(self, folder: Path, window: float, pre_roll: float = 2.0, longest: float = LONGEST):
        make_folder(folder)
        self.folder, self.pre_roll, self.longest = folder, pre_roll, longest
        self.seconds = pre_roll + longest + 2 * window + 1.0  # an event is opened about a window after it began
        self.sound: Recent | None = None
        self.rate, self.origin = 0, 0.0  # seconds of the stream at the first sample of ``sound``
        self.open: dict[tuple[str, str], tuple[EventChange, str]] = {}

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        held = self.sound
        if held is None or rate != self.rate or abs(self.origin + held.end / rate - start) > 2.0 / rate:
            for key in list(self.open):  # before the gap, or at the old rate
                self._write(key)
            held = self.sound = Recent(round(self.seconds * rate))
            self.rate, self.origin = rate, start
        held.append(samples)
        now = self.origin + held.end / rate
        for key, (change, _) in list(self.open.items()):
            if now > change.start + self.longest:
                self._write(key)

    def take(self, change: EventChange, clock: str) -> None:
        key = (change.head, change.label)
        if change.kind == "opened" or key in self.open:
            self.open[key] = (change, clock)
        if change.kind == "closed" and key in self.open:
            self._write(key, change.end)

    def close(self) -> tuple[str, ...]:
        for key in list(self.open):
            self._write(key)
        return ()

    def _write(self, key: tuple[str, str], end: float = float("inf")) -> None:
        change, clock = self.open.pop(key)
        held = self.sound
        if held is None:
            return
        first = round((change.start - self.pre_roll - self.origin) * self.rate)
        last = min(end, change.start + self.longest)
        stop = held.end if last == float("inf") else min(held.end, round((last - self.origin) * self.rate))
        first = max(first, held.start)
        if stop <= first:
            return
        when = re.sub(r"[^0-9T]", "-", clock[:19]) if clock else f"{change.start:011.2f}s"
        name = re.sub(r"[^\w]+", "-", change.label).strip("-") or "event"
        path = self.folder / short_name(name) / f"{when}_{change.score:.2f}.flac"
        data = encode_audio(np.clip(held.part(first, stop), -LEVELS, LEVELS), self.rate, ".flac")
        with replacing(path, durable=False) as temporary:
            temporary.write_bytes(data)
