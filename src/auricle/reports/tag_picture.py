"""The picture of a tagged recording: its spectrogram, and below it a bar for every event."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.sources import AudioSource
from auricle.core.console import clock, printable
from auricle.core.errors import MissingExtra
from auricle.core.io import replacing
from auricle.frontends.streaming import spectrogram_blocks
from auricle.inference.events import Event
from auricle.inference.tag_results import FileTags
from auricle.models.base import Encoder

KHZ = (0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)  # marks of the frequency axis
STEPS = (
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    10800,
    21600,
    43200,
    86400,
)  # seconds between marks
MOST_MARKS = 9  # of the time axis
SHORT = 10.0  # seconds
COLUMNS = 1600  # of the image at most: a night is drawn as quickly as ten seconds
MOST_LABELS = 12


def draw(source: AudioSource, result: FileTags, encoder: Encoder, file: Path) -> None:
    """Write the picture as .png, .pdf or .svg, by suffix. A recording tagged as a whole has one bar per label.

    Raises MissingExtra without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtra("--picture", "plots") from None
    shown = strongest(events_of(result))
    figure = Figure(figsize=(11, 3.4 + 0.28 * len(shown)), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2.6, max(0.28 * len(shown), 0.3)))
    _draw_spectrogram(above, spectrogram(source, encoder, result.seconds), encoder.front.band_hz, result)
    _draw_events(below, shown)
    _mark_times(below, result.seconds)
    with replacing(file) as temporary:
        figure.savefig(temporary, format=file.suffix[1:] or "png", dpi=150)


def events_of(result: FileTags) -> tuple[Event, ...]:
    """Return the events; for a recording tagged as a whole one event per label that covers it."""
    if result.events is not None:
        return result.events
    return tuple(Event(tag.label, 0.0, result.seconds, tag.score) for tag in result.tags)


def strongest(events: Sequence[Event], count: int = MOST_LABELS) -> dict[str, list[Event]]:
    """Return the labels with the highest scores, the highest first, with their events."""
    labels: dict[str, list[Event]] = {}
    for event in sorted(events, key=lambda event: -event.score):
        labels.setdefault(event.label, []).append(event)
    return dict(list(labels.items())[:count])


def spectrogram(source: AudioSource, encoder: Encoder, seconds: float, columns: int = COLUMNS) -> np.ndarray:
    """Return the encoder's spectrogram (F, columns); a column is the largest value of the frames that fall on it."""
    front = encoder.front
    total = front.num_frames(max(round(seconds * front.sample_rate), front.min_samples))
    columns = min(columns, total)
    image = np.full((front.n_mels, columns), -np.inf, np.float32)
    first = 0
    for frames in spectrogram_blocks(source.blocks(front.sample_rate, front.resampler), front):
        at = (first + np.arange(frames.shape[1])).clip(max=total - 1) * columns // total
        np.maximum.at(image.T, at, frames.numpy().T)
        first += frames.shape[1]
    return image


def _draw_spectrogram(axes: Any, image: np.ndarray, band_hz: np.ndarray, result: FileTags) -> None:
    low, high = np.percentile(image, (2, 99.8))
    extent = (0.0, result.seconds, 0.0, float(image.shape[0]))
    axes.imshow(image, origin="lower", aspect="auto", cmap="magma", vmin=low, vmax=high, extent=extent)
    marks = [khz for khz in KHZ if band_hz[0] <= 1000 * khz <= band_hz[-1]]
    places = np.interp([1000 * khz for khz in marks], band_hz, np.arange(len(band_hz)) + 0.5)
    axes.set_yticks(places, [f"{khz:g}" for khz in marks])
    axes.set_ylabel("kHz")
    began = f", from {result.start_time}" if result.start_time else ""
    axes.set_title(printable(Path(result.file).name) + began, loc="left", fontsize=11, parse_math=False)


def _draw_events(axes: Any, labels: dict[str, list[Event]]) -> None:
    for row, (_, events) in enumerate(labels.items()):
        for event in events:
            bar = [(event.start, event.end - event.start)]
            axes.broken_barh(bar, (row - 0.36, 0.72), facecolor="#2a6f97", alpha=0.25 + 0.75 * event.score)
    names = [f"{printable(name)}  {events[0].score:.2f}" for name, events in labels.items()]
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    axes.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)


def time_marks(seconds: float) -> list[float]:
    """Return where the time axis of a recording has marks, in seconds."""
    step = next((step for step in STEPS if seconds / step < MOST_MARKS), STEPS[-1])
    return [float(mark) for mark in np.arange(0, seconds + 1e-6, step)]


def _mark_times(axes: Any, seconds: float) -> None:
    """Minutes and seconds, or hours too where the recording is that long; seconds alone where it is short."""
    axes.set_xlim(0, seconds)
    if seconds < SHORT:
        axes.set_xlabel("seconds")
        return
    marks, hours = time_marks(seconds), seconds >= 3600
    axes.set_xticks(marks, [clock(mark) if hours else clock(mark)[2:].removeprefix("0") for mark in marks])
    axes.set_xlabel("hours : minutes : seconds" if hours else "minutes : seconds")
