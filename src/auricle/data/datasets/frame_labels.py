"""Labels of the frames of a crop, from the labelled parts (events) of its clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip, Segment
from auricle.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class FrameLabels:
    """Converts the events of a clip to labels of the frames of a crop.

    A class holds in a frame if the frame's centre lies in one of its events. An event that lies between two centres marks
    the nearest frame, so that no event is lost.

    Attributes:
        classes: In the order of the columns.
        times: (T,) centres of the frames, in seconds from the start of the crop.
        seconds: Length of the crops.
    """

    classes: tuple[str, ...]
    times: np.ndarray
    seconds: float

    def __call__(self, clip: Clip, crop_start: float, shift: float = 0.0) -> np.ndarray:
        """Return (T, C) float32 of 0 and 1.

        Args:
            clip: Its events are in seconds from the start of the recording.
            crop_start: Where the crop starts in the recording, in seconds.
            shift: Seconds by which the crop was shifted circularly after it was cut.
        """
        labels = np.zeros((len(self.times), len(self.classes)), np.float32)
        times = np.mod(self.times - shift, self.seconds) if shift else self.times
        for event in clip.events:
            start, end = event.onset - crop_start, event.offset - crop_start
            inside = (times >= start) & (times < end)
            if not inside.any() and start >= 0 and end <= self.seconds:
                inside[np.abs(times - (start + end) / 2).argmin()] = True
            labels[inside, self.classes.index(event.label)] = 1.0
        return labels


def with_event_labels(manifest: Manifest) -> Manifest:
    """Return the clips with the classes of their events as their labels; events are cut to their clip.

    Raises:
        AuricleError: No clip has an event.
    """
    clips = [_labelled(clip) for clip in manifest]
    if not any(clip.events for clip in clips):
        raise AuricleError(
            f"none of the {len(clips)} clips has events; expected a table with a row per event (columns onset, offset and "
            "label), or a column events"
        )
    return replace(manifest, clips=clips)


def _labelled(clip: Clip) -> Clip:
    events = cut_events(clip.events, clip.start or 0.0, np.inf if clip.end is None else clip.end)
    return replace(clip, events=events, labels=tuple(sorted({event.label for event in events})))


def cut_events(events: Sequence[Segment], start: float, end: float) -> tuple[Segment, ...]:
    """Return the parts of events between two times in seconds; events outside are left out."""
    cut = (Segment(max(event.onset, start), min(event.offset, end), event.label) for event in events)
    return tuple(event for event in cut if event.offset > event.onset)


def without_labels(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """Return the clips without labels and events of other classes than these."""
    known = set(classes)
    if set(manifest.table.distinct("labels")) <= known:
        return manifest
    clips = [
        replace(
            clip,
            labels=tuple(name for name in clip.labels if name in known),
            events=tuple(event for event in clip.events if event.label in known),
        )
        for clip in manifest
    ]
    return replace(manifest, clips=clips)
