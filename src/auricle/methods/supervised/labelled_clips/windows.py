"""Windows of long recordings as clips to learn: with the classes of the labelled events in them, or all of one class."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip, Segment
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.clips import spans_of
from auricle.methods.supervised.config import LabelConfig

SHARE = 0.5  # of an event, or of a window: what a window must hold of the events of a class to have it
SHORTEST, LONGEST = 2.0, 10.0  # seconds of windows that are chosen by the events
PAST_END = 1.0  # seconds by which an event may end behind its recording: rounded times, a slightly shorter copy
FEWEST = 7  # recordings of which each is a group; blocks of fewer recordings are groups
BLOCKS = 12  # at least so many groups where recordings are few
VARIED = 2.0  # longest by shortest row with start and end, above which they may be events
LONG = 1.5  # background clips longer than so many windows are cut into windows
ROUNDING = 1e-6


def check_places(manifest: Manifest) -> tuple[str, ...]:
    """Return a note about rows that end behind their recording, and about rows that are parts of recordings.

    Raises:
        AuricleError: events or rows lie behind the end of their recording: they belong to another one.
    """
    if not manifest.table.columns.keys() & {"events", "start", "end"}:
        return ()
    late = [clip.id for clip in manifest if _is_late(clip)]
    notes = []
    if late:
        notes.append(f"{len(late)} rows end behind their recordings and are cut there, such as {late[0]}")
    spans = manifest.table.seconds()[~np.isnan(manifest.table.numbers("end"))]
    several = len(spans) > len(set(manifest.table.values("path")))
    if several and "events" not in manifest.table.columns and spans.max() > VARIED * spans.min():
        notes.append(
            f"{len(spans)} rows with start and end are clips of their own, {spans.min():.3g} to {spans.max():.3g} s long (name the "
            "columns onset and offset if they are events: then windows of the recordings are learnt)"
        )
    return tuple(notes)


def _is_late(clip: Clip) -> bool:
    """Return True if a clip ends behind its recording. Raises AuricleError if it or an event of it begins there."""
    length = clip.num_samples / clip.rate if clip.num_samples is not None and clip.rate else None
    if length is None:
        return False
    last = max(clip.events, key=lambda event: event.offset, default=None)
    if last is not None and (last.offset > length + PAST_END or last.onset >= length):
        raise AuricleError(
            f"the events of {clip.path or clip.id} are of another recording: '{last.label}' is at {last.onset:g} to "
            f"{last.offset:g} s, the recording ends at {length:g} s; correct its label track or its rows, or remove them"
        )
    if (clip.start or 0.0) >= length > 0:
        raise AuricleError(
            f"{clip.id} begins at {clip.start:g} s, but its recording ends at {length:g} s: the row is about another recording, "
            "or its times have another unit (seconds are expected)"
        )
    return clip.end is not None and clip.end > length + PAST_END


def event_seconds(manifest: Manifest, seconds: float | None) -> float | None:
    """Return the length of windows of recordings with events; None where no recording with events is longer than a clip.

    Args:
        manifest: clips with their lengths.
        seconds: length that is asked for; None: twice the median event, ``SHORTEST`` to ``LONGEST``, in whole seconds.
    """
    if "events" not in manifest.table.columns:
        return None
    with_events = manifest.table.where("events", bool)
    longest = float(np.nanmax(manifest.table.seconds()[with_events], initial=0.0))
    if longest <= (seconds or LONGEST) * (1 + ROUNDING):
        return None
    lengths = [event.offset - event.onset for clip in manifest for event in clip.events]
    return seconds or min(LONGEST, max(SHORTEST, float(math.ceil(2 * np.median(lengths)))))


@dataclass
class _Count:
    """What became of the recordings."""

    recordings: int = 0
    events: int = 0
    kept: int = 0
    unlabelled: int = 0
    doubtful: int = 0
    several: int = 0
    negative: int = 0


def event_windows(
    manifest: Manifest, seconds: float, background: Collection[str], config: LabelConfig
) -> tuple[Manifest, tuple[str, ...]]:
    """Cut recordings with events into windows that have the classes of these events.

    A window has a class if it holds at least half of an event of the class, or if events of the class fill at least half of it.
    Of a class that it touches less, nothing is known in it. All other classes are known to be absent from a window that an event
    touches; windows without an event are left out, or known to have no class (``--unlabelled negative``). Clips without events
    stay as they are.

    Args:
        manifest: clips with their lengths.
        seconds: length of the windows.
        background: classes that are background.
        config: ``unlabelled``; ``kind`` multiclass keeps windows with exactly one class.

    Returns:
        The clips, and notes.
    """
    names = {event.label for events in manifest.table.distinct("events") for event in events}
    classes = tuple(sorted({*(manifest.classes or ()), *manifest.table.distinct("labels"), *names}))
    negative = config.unlabelled == "negative"
    empty = next(iter(background), "background") if config.kind == "multiclass" else None
    count = _Count()
    annotated = [clip for clip in manifest if clip.events or not clip.labels]
    blocks = 1 if len(annotated) >= FEWEST else math.ceil(BLOCKS / max(1, len(annotated)))
    rows: list[Clip] = []
    for clip in manifest:
        if not clip.events and clip.labels:  # a whole recording of a class
            rows.append(clip)
            continue
        count.recordings += 1
        count.events += len(clip.events)
        touching = _touching(clip, seconds)
        for number, window in enumerate(_windows(clip, seconds, blocks)):
            content = _contents(window, touching.get(number, ()), seconds)
            if not content.touched and not negative:
                count.unlabelled += 1
                continue
            doubtful = content.touched - content.present - set(background)
            labels = tuple(sorted(content.present - set(background)))
            if config.kind == "multiclass":
                if doubtful or len(labels) > 1:
                    count.several += 1
                    continue
                labels, doubtful = labels or (empty or "background",), set()
            count.doubtful += bool(doubtful)
            count.negative += not labels and not doubtful
            count.kept += 1
            known = tuple(name for name in classes if name not in doubtful) if doubtful else None
            rows.append(replace(window, labels=labels, known=known, events=()))
    if not rows:
        raise AuricleError(
            f"no window of {seconds:g} s has an event or can be learnt; give windows another length with --seconds, or set "
            "--unlabelled negative if all events of the recordings were labelled"
        )
    return replace(manifest, clips=rows), _notes(count, seconds, len(names), blocks, negative)


def _notes(count: _Count, seconds: float, classes: int, blocks: int, negative: bool) -> tuple[str, ...]:
    recordings = number_of(count.recordings, "recording")
    notes = [
        f"{count.events} events of {classes} classes in {recordings}: {count.kept} windows of {seconds:g} s are the clips; a "
        "window has a class if it holds half of an event, or is half filled by the class (--seconds: another length; --level "
        "frames: the events as they are)"
    ]
    if count.unlabelled:
        notes.append(
            f"{count.unlabelled} windows ({text_of_seconds(count.unlabelled * seconds)}) without an event are left out as not "
            "annotated (--unlabelled negative: all events were labelled, nothing is there)"
        )
    if negative and count.negative:
        notes.append(f"{count.negative} windows without a class are taken to have none (--unlabelled negative)")
    if count.doubtful:
        notes.append(f"{count.doubtful} windows touch less of an event: of its class nothing is known there")
    if count.several:
        notes.append(
            f"{count.several} windows with several classes, or with less of an event, are left out (--kind multiclass)"
        )
    if blocks > 1:
        notes.append(f"parts are made of blocks of time ({recordings} in all): scores on other recordings may be lower")
    return tuple(notes)


@dataclass
class _Content:
    """Classes that a window touches, and those of them that it has."""

    touched: set[str] = field(default_factory=set)
    present: set[str] = field(default_factory=set)


def _touching(clip: Clip, seconds: float) -> dict[int, list[Segment]]:
    """Return the events that each consecutive window of a recording may touch."""
    found: dict[int, list[Segment]] = defaultdict(list)
    first = clip.start or 0.0
    last = 0 if clip.seconds is None else max(0, math.ceil(clip.seconds / seconds - ROUNDING) - 1)
    for event in clip.events:
        place, stop = (math.floor((time - first) / seconds) for time in (event.onset, event.offset))
        for number in range(max(0, place), min(last, stop) + 1):
            found[number].append(event)
    return found


def _contents(window: Clip, events: Iterable[Segment], seconds: float) -> _Content:
    start, end = window.start or 0.0, window.end if window.end is not None else math.inf
    content, filled = _Content(), defaultdict[str, float](float)
    for event in events:
        first, last = max(event.onset, start), min(event.offset, end)
        if last <= first and not (event.offset == event.onset and start <= event.onset < end):
            continue
        content.touched.add(event.label)
        filled[event.label] += last - first
        if last - first >= SHARE * (event.offset - event.onset) or filled[event.label] >= SHARE * seconds:
            content.present.add(event.label)
    return content


def _windows(clip: Clip, seconds: float, blocks: int = 1) -> Iterator[Clip]:
    """Yield consecutive windows of a recording; the last one ends where it does. Windows of a block of time are a group.

    A recording that is not longer than a window stays as it is.
    """
    count = 1 if clip.seconds is None else max(1, math.ceil(clip.seconds / seconds - ROUNDING))
    group = clip.group or clip.path or clip.id
    if count == 1:
        yield replace(clip, group=group)
        return
    for number, (start, end) in enumerate(spans_of(clip, seconds, count)):
        block = f" part {number * blocks // count + 1}" if blocks > 1 and clip.group is None else ""
        yield replace(
            clip, id=f"{clip.path or clip.id}@{start:.12g}-{end:.12g}", start=start, end=end, group=group + block
        )


def cut_clips(manifest: Manifest, seconds: float) -> list[Clip]:
    """Return consecutive windows of all clips; a group is a recording, unless the clips have groups."""
    return [window for clip in manifest for window in _windows(clip, seconds)]


def cut_background(manifest: Manifest, background: Collection[str], seconds: float) -> tuple[Manifest, tuple[str, ...]]:
    """Cut clips of background classes that are much longer than the others into windows.

    Returns:
        The same manifest if there are none; and notes.
    """
    names = set(background)
    long = manifest.table.seconds() > LONG * seconds
    if names and long.any():
        long &= manifest.table.where("labels", lambda labels: bool(labels) and set(labels) <= names)
    if not names or not long.any():
        return manifest, ()
    rows: list[Clip] = []
    for clip, cut in zip(manifest, long.tolist()):
        rows += _windows(clip, seconds) if cut else [clip]
    made = len(rows) - len(manifest) + int(long.sum())
    note = (
        f"{int(long.sum())} long recordings of background are cut into {made} clips of up to {text_of_seconds(seconds)}"
    )
    return replace(manifest, clips=rows), (note,)


def text_of_seconds(seconds: float) -> str:
    """Return "45 s", "12 min" or "3.4 h"."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
