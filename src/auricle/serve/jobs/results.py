"""The labels of recordings, as jobs give them and the page shows them: kept in a file per recording and model."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from auricle.core.io import file_stamp, make_folder, write_text
from auricle.inference.tag_results import FileTags, WindowTags
from auricle.inference.tagger import Tagger

MOST_LABELS = 50  # of a recording that are kept
SUMMARY_LABELS = 5  # shown in lists of recordings
MOST_SUMMARIES = 20_000  # remembered
WINDOW_LABELS = 10  # labels of a window that are kept, as ``auricle tag`` does
MOST_LANES = 32  # classes whose scores over time are kept
SCORED = 60  # labels of a window that lanes are made of; classes further behind count as 0 there


@dataclass(frozen=True)
class Lane:
    """One class over time: its highest score, its threshold, and its score in each window."""

    label: str
    score: float
    threshold: float
    scores: tuple[float, ...]


@dataclass(frozen=True)
class TaggedRecording:
    """What a model found in a recording.

    Attributes:
        recording: its id.
        model, fingerprint: of the model.
        window, hop: seconds.
        tags: labels, events and windows.
        lanes: classes over time; those with events first, then by score.
        nyquist: half the rate of the model, hertz: the upper edge of selections in label tracks.
        stamp: size and time of the file that was read.
    """

    recording: str
    model: str
    fingerprint: str
    window: float
    hop: float
    tags: FileTags
    lanes: tuple[Lane, ...]
    nyquist: float
    stamp: list[int] | None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        values = {name: value for name, value in vars(self).items() if name not in ("tags", "lanes")}
        lanes = [vars(lane) | {"scores": list(lane.scores)} for lane in self.lanes]
        return values | {"tags": self.tags.to_json(time_line=True), "lanes": lanes}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> TaggedRecording:
        """The inverse of ``to_json``."""
        lanes = tuple(Lane(**lane | {"scores": tuple(lane["scores"])}) for lane in plain["lanes"])
        return cls(**plain | {"tags": FileTags.from_json(plain["tags"]), "lanes": lanes})


class ResultStore:
    """The results of a server, in ``folder``, by recording and the key of the model (``key_of``). Threads may share it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._summaries: dict[tuple[str, str], tuple[tuple[str, float], ...]] = {}
        make_folder(folder)

    def get(self, recording: str, key: str) -> TaggedRecording | None:
        """Return what a model found in a recording; None where there is nothing, or a damaged file."""
        try:
            return TaggedRecording.from_json(json.loads(self._file(recording, key).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return None

    def put(self, result: TaggedRecording) -> None:
        """Keep a result, in place of an earlier one."""
        key = key_of(result.model, result.fingerprint)
        write_text(self._file(result.recording, key), json.dumps(result.to_json()))

    def summary(self, recording: str, key: str) -> tuple[tuple[str, float], ...]:
        """Return the likeliest labels of a recording; () where there is no result."""
        file = self._file(recording, key)
        place = str(file), str(file_stamp(file))
        if place not in self._summaries:
            result = self.get(recording, key)
            tags = result.tags.with_heads_joined().tags[:SUMMARY_LABELS] if result else ()
            if len(self._summaries) >= MOST_SUMMARIES:
                self._summaries.clear()
            self._summaries[place] = tuple((tag.label, tag.score) for tag in tags)
        return self._summaries.get(place, ())

    def keys(self, recording: str) -> set[str]:
        """Return the keys of the models of which there are results of a recording."""
        try:
            return {
                name.removesuffix(".json") for name in os.listdir(self.folder / recording) if name.endswith(".json")
            }
        except OSError:
            return set()

    def remove(self, recording: str) -> None:
        """Remove all results of a recording."""
        shutil.rmtree(self.folder / recording, ignore_errors=True)

    def _file(self, recording: str, key: str) -> Path:
        return self.folder / recording / f"{key}.json"


def key_of(model: str, fingerprint: str) -> str:
    """Return what results of a model are kept under: another network under the same id has another key."""
    return f"{model}@{fingerprint[:12]}"


def lanes_of(result: FileTags, tagger: Tagger) -> tuple[Lane, ...]:
    """Return the classes with events, and the likeliest others, over the windows of a recording."""
    lanes: list[Lane] = []
    for head, part in result.by_head().items():
        reader = tagger.readers[head or tagger.main]
        thresholds = dict(zip(reader.labels, reader.event_thresholds.tolist()))
        scores: dict[str, list[float]] = {}
        for place, window in enumerate(part.windows):
            for tag in window.tags:
                scores.setdefault(tag.label, [0.0] * len(part.windows))[place] = round(tag.score, 4)
        prefix = f"{head}: " if head else ""
        lanes += [
            Lane(f"{prefix}{label}", max(line), thresholds.get(label, 0.0), tuple(line))
            for label, line in scores.items()
        ]
    happened = {event.label for event in result.with_heads_joined().events or ()}
    lanes.sort(key=lambda lane: (lane.label not in happened, -lane.score))
    return tuple(lanes[:MOST_LANES])


def shortened(result: FileTags) -> FileTags:
    """Return a result with fewer labels: MOST_LABELS of the recording, WINDOW_LABELS of each window."""
    windows = tuple(WindowTags(w.start, w.end, w.tags[:WINDOW_LABELS], w.detected) for w in result.windows)
    heads = {name: shortened(head) for name, head in result.heads.items()}
    return replace(result, tags=result.tags[:MOST_LABELS], windows=windows, heads=heads)
