"""Two hours of night: are the events of a detector those that happened?

A night is ESC-10 clips of all classes at random times and levels in synthetic rain and wind. Their sounding part, from the first
to the last moment within 40 dB of the loudest, is the event. The detector learns from an hour made of folds 1 to 3 with its label
track; windows, hop and the way of learning are chosen on half an hour of fold 4; the two hours are of fold 5. The class "rain"
is left out: it is what the night is made of.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

import auricle
from auricle.audio.decode import read
from auricle.core.randomness import RandomKey
from auricle.data.manifest.clip_table import Segment
from auricle.data.synthetic import SOUNDS
from auricle.inference.config import EventSettings
from auricle.inference.events import find_events
from auricle.inference.tag_results import FileTags
from auricle.metrics.events import event_counts, onset_f, segment_counts
from auricle.metrics.psds import SCENARIOS, THRESHOLDS, detections_of_points, psds
from benchmarks.detectors.clips import Place
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import MODEL, TARGET_PRECISION

RATE = 32000
SNR_DECIBELS = (0.0, 25.0)  # of an event's root mean square over that of the noise of the whole night
NOISE_RMS = 0.01
PIECES, PIECE, FADE = 8, 30.0, 5.0  # pieces of rain and wind of a night; seconds of one, and of the passage to the next
GAPS = (4.0, 40.0)  # seconds between two events
SOUNDING = 40.0  # decibels below the loudest 20 ms
NIGHTS = {"train": ((1, 2, 3), 1.0), "choice": ((4,), 0.5), "test": ((5,), 2.0)}  # folds, hours
PARTS = 6  # recordings of the training hour: windows of one recording are never divided in choosing and calibrating
LEFT_OUT = "rain"
MOST_CLASSES = 100  # whose scores are read of every window
SETTINGS = ((1.0, 0.25, 1), (1.0, 0.25, 5), (2.0, 0.5, 3))  # that are tried: seconds of window and hop, median filter


@dataclass(frozen=True)
class Night:
    """A recording, and its events in seconds."""

    audio: Path
    events: tuple[Segment, ...]
    hours: float


def measure(place: Place, results: Results) -> None:
    nights = {name: night(place, name) for name in NIGHTS}
    runs: dict[tuple[str, float], Path] = {}
    for way, train in WAYS.items():
        for window, hop, median in SETTINGS:
            names = {"way": way, "window": window, "hop": hop, "median": median, "night": "choice"}
            if not results.have(part="night", **names):
                runs[way, window] = runs.get((way, window)) or train(place, nights["train"], window)
                figures = scored(runs[way, window], nights["choice"], window, hop, median)
                results.add(part="night", **names, **figures)
    best = max(results.of(part="night", night="choice"), key=lambda row: row["event_f_1s"])
    names = {key: best[key] for key in ("way", "window", "hop", "median")} | {"night": "test"}
    if not results.have(part="night", **names):
        run = WAYS[best["way"]](place, nights["train"], best["window"])
        figures = scored(run, nights["test"], best["window"], best["hop"], best["median"])
        results.add(part="night", **names, **figures)


def scored(run: Path, night: Night, window: float, hop: float, median: int) -> dict[str, float | int]:
    """Compare the events that ``auricle tag --window --hop --median`` gives at the detector's thresholds with the truth."""
    (found,) = auricle.tag(night.audio, model=run, window=window, hop=hop, median=median, top_k=MOST_CLASSES).results
    assert found.events is not None
    events = tuple(Segment(e.start, e.end, e.label) for e in found.events if e.label != LEFT_OUT)
    counts, segments = event_counts([events], [night.events]), segment_counts([events], [night.events])
    alone = [
        e
        for e in events
        if not any(e.label == t.label and e.onset < t.offset and t.onset < e.offset for t in night.events)
    ]
    met = [
        t for t in night.events if any(e.label == t.label and e.onset < t.offset and t.onset < e.offset for e in events)
    ]
    return {
        "event_f": counts.f(),
        "onset_f": onset_f([events], [night.events]),
        "segment_f": segments.f(),
        "event_f_1s": event_counts([events], [night.events], collar=1.0, offset_share=0.5).f(),
        "events": len(night.events),
        "detected": len(events),
        "met": len(met),
        "false_alarms": len(alone),
        "hours": night.hours,
        **psds_of(found, night, median),
    }


def psds_of(found: FileTags, night: Night, median: int) -> dict[str, float]:
    """Return PSDS in both scenarios: the events that the scores of the windows give at fifty thresholds."""
    labels = sorted({tag.label for window in found.windows for tag in window.tags} - {LEFT_OUT})
    given = [{tag.label: tag.score for tag in window.tags} for window in found.windows]
    scores = np.array([[row.get(label, 0.0) for label in labels] for row in given], np.float32)
    spans = np.array([[window.start, window.end] for window in found.windows])
    points = []
    for threshold in (np.arange(THRESHOLDS) + 0.5) / THRESHOLDS:
        settings = EventSettings(threshold=float(threshold), median=median)
        points.append([Segment(e.start, e.end, e.label) for e in find_events(scores, spans, labels, settings)])
    detections = [detections_of_points(points)]
    return {
        name: psds(detections, [night.events], [night.hours * 3600], settings).value
        for name, settings in SCENARIOS.items()
    }


# ---- detectors


def from_night(place: Place, night: Night, window: float, **goal: Any) -> Path:
    """A detector of the windows of a night in parts with their label tracks; time beside the events is negative."""
    out = place.out / f"night-of-windows-{window:g}{'-'.join(goal)}"
    if not (out / "card.md").is_file():
        folder, wave = place.out / "night-parts", soundfile.read(night.audio, dtype="float32")[0]
        folder.mkdir(parents=True, exist_ok=True)
        size = len(wave) // PARTS
        for number in range(PARTS):
            start, stop = (size * number / RATE, size * (number + 1) / RATE)
            soundfile.write(folder / f"{number}.wav", wave[size * number : size * (number + 1)], RATE, subtype="PCM_16")
            cut = [Segment(max(e.onset, start) - start, min(e.offset, stop) - start, e.label) for e in night.events]
            write_track([event for event in cut if event.onset < event.offset], folder / f"{number}.txt")
        auricle.finetune(
            folder, model=MODEL, weights=str(place.weights), out=out, seconds=window, unlabelled="negative",
            how="probe", quiet=True, **goal,
        )  # fmt: skip
    return out


def from_clips(place: Place, night: Night, window: float) -> Path:
    """A detector of the clips of folds 1 to 3 as they are, with a folder of rain and wind as background."""
    out, tree = place.out / "night-of-clips", place.out / "night-tree"
    if not (out / "card.md").is_file():
        shutil.rmtree(tree, ignore_errors=True)
        manifest = place.manifest("ESC-10")
        for clip in manifest:
            if clip.fold in NIGHTS["train"][0] and clip.labels[0] != LEFT_OUT:
                source = manifest.audio(clip).resolve()
                (tree / clip.labels[0]).mkdir(parents=True, exist_ok=True)
                (tree / clip.labels[0] / source.name).symlink_to(source)
        noise = tree / "background"
        noise.mkdir(parents=True, exist_ok=True)
        wave = weather("background", 600.0)
        for start in range(0, 600, 5):
            piece = wave[start * RATE : (start + 5) * RATE]
            soundfile.write(noise / f"{start}.wav", NOISE_RMS * piece, RATE, subtype="FLOAT")
        auricle.finetune(
            tree,
            model=MODEL,
            weights=str(place.weights),
            out=out,
            how="probe",
            quiet=True,
            target_precision=TARGET_PRECISION,
        )
    return out


WAYS: dict[str, Callable[[Place, Night, float], Path]] = {
    "labelled hour, best F1": from_night,
    "labelled hour, precision 0.9": partial(from_night, target_precision=TARGET_PRECISION),
    "single clips and noise, precision 0.9": from_clips,
}


# ---- nights


def night(place: Place, name: str) -> Night:
    """Make a night, once: the recording and an Audacity label track beside it."""
    (folds, hours), folder = NIGHTS[name], place.out / f"night-{name}"
    audio, track = folder / "night.wav", folder / "night.txt"
    if not track.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        wave, events = NOISE_RMS * weather(name, 3600 * hours), list[Segment]()
        manifest, draws = place.manifest("ESC-10"), RandomKey(0).of(f"events of {name}")
        clips = [clip for clip in manifest if clip.fold in folds and clip.labels[0] != LEFT_OUT]
        sounds = [(clip.labels[0], sounding(read(manifest.audio(clip), rate=RATE).wave)) for clip in clips]
        at, order = draws.uniform(*GAPS), list[int]()
        while True:
            order = order or list(map(int, draws.permutation(len(sounds))))
            label, sound = sounds[order.pop()]
            start, stop = round(at * RATE), round(at * RATE) + len(sound)
            if stop > len(wave):
                break
            rms = float(np.sqrt(np.mean(sound**2)))
            wave[start:stop] += sound * NOISE_RMS * 10 ** (draws.uniform(*SNR_DECIBELS) / 20) / max(rms, 1e-6)
            events.append(Segment(start / RATE, stop / RATE, label))
            at = stop / RATE + draws.uniform(*GAPS)
        soundfile.write(audio, np.clip(wave, -1, 1), RATE, subtype="PCM_16")
        write_track(events, track)
    lines = [line.split("\t") for line in track.read_text(encoding="utf-8").splitlines()]
    return Night(audio, tuple(Segment(float(a), float(b), label) for a, b, label in lines), hours)


def write_track(events: Sequence[Segment], path: Path) -> None:
    """Write an Audacity label track."""
    path.write_text("".join(f"{e.onset:.6f}\t{e.offset:.6f}\t{e.label}\n" for e in events), encoding="utf-8")


def weather(name: str, seconds: float) -> np.ndarray:
    """Pieces of rain and wind one after the other, drawn from a few, with passages; root mean square about 1, float32."""
    source, wave = RandomKey(0).of(f"weather of {name}"), np.zeros(round((seconds + PIECE) * RATE), np.float32)
    fade = np.minimum(1.0, np.arange(round((PIECE + FADE) * RATE)) / (FADE * RATE))
    fade = np.sqrt(np.minimum(fade, fade[::-1]))
    pieces = []
    for number in range(PIECES):
        piece = SOUNDS[("rain", "wind")[number % 2]](source, RATE, PIECE + FADE)
        pieces.append((fade * piece / np.sqrt(np.mean(piece**2))).astype(np.float32))
    for place in range(int(np.ceil(seconds / PIECE))):
        piece, level = pieces[int(source.integers(0, PIECES))], 10 ** (source.uniform(-6.0, 6.0) / 20)
        start = round(place * PIECE * RATE)
        stop = min(start + len(piece), len(wave))
        wave[start:stop] += (np.float32(level) * piece)[: stop - start]
    return wave[: round(seconds * RATE)]


def sounding(wave: np.ndarray) -> np.ndarray:
    """The part of a clip from the first to the last 20 ms within 40 dB of the loudest ones."""
    size = round(0.02 * RATE)
    energy = np.array([float(np.mean(wave[i : i + size] ** 2)) for i in range(0, len(wave) - size + 1, size)])
    loud = np.flatnonzero(energy >= energy.max() * 10 ** (-SOUNDING / 10))
    return wave[loud[0] * size : (loud[-1] + 1) * size]
