"""From a folder or a table to the clips that are learnt, validated and tested, and to the classes of the logits.

``read_labelled`` is the one place: learning with labels (``data.py``) and detectors on frozen features read through it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.datasets.frame_labels import with_event_labels
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import with_lengths
from auricle.methods.data import Processes
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.background import background_classes, without_background
from auricle.methods.supervised.labelled_clips.label_kind import (
    check_classes,
    kind_of,
    without_foreign_labels,
    without_unlabelled,
)
from auricle.methods.supervised.labelled_clips.negatives import Negatives, with_negatives
from auricle.methods.supervised.labelled_clips.parts import Parts, split_parts
from auricle.methods.supervised.labelled_clips.windows import (
    check_places,
    cut_background,
    event_seconds,
    event_windows,
)
from auricle.models.label_space import LabelKind, LabelSpace

LONGEST = 10.0  # seconds of a training clip that is not asked for


class LabelledParts(NamedTuple):
    """Clips with the labels that are learnt, the classes of the logits, and why clips have one label or any number."""

    parts: Parts
    space: LabelSpace
    reason: str


def read_labelled(config: FinetuneConfig, processes: Processes, classes: Sequence[str] = ()) -> LabelledParts:
    """Read labelled clips: windows of recordings with events, background classes and negatives are dealt with here.

    Args:
        config: the settings.
        processes: of the run.
        classes: of a detector that grows: the class list begins with them.

    Raises:
        AuricleError: no labels, nothing to tell apart, a fold that is not there, or settings that do not fit the data.
    """
    manifest = with_classes(read_source(config), classes, config)
    readable = readable_clips(manifest, config.source, processes)
    readable, named_by_folder = of_one_class(readable, config)
    known = names_of(readable)
    if not known and readable.classes is None and config.data.level == "clip":
        check_classes(readable, (), config)
    if not known and classes and all(clip.known is None for clip in readable):
        raise AuricleError(
            f"{config.source} has no label in any row, so the detector would learn nothing: write what the clips are into a column "
            "label, and background for none of the classes"
        )
    nameable = (*known, *(readable.classes or ())) if config.data.background else known
    background = background_classes(tuple(dict.fromkeys(nameable)), config.data.background) if known else ()
    clips = learnable(readable, background, None, config)
    parts = split_parts(clips.manifest, config)._replace(
        left_out=len(manifest) - len(readable), seconds=clips.seconds, notes=(*named_by_folder, *clips.notes)
    )
    seconds = parts.seconds or longest_clip(parts.train, background)
    for name in ("valid", "test"):
        if (source := getattr(config, name)) is not None:
            named = readable_clips(read_manifest(source), source, processes)
            held = learnable(named, background, parts.seconds, config)
            notes = tuple(f"{source}: {note}" for note in held.notes)
            parts = parts.with_part(name, held.manifest)._replace(notes=(*parts.notes, *notes))
    kind, reason = kind_of(parts, config, windows=clips.of_events)
    reason = "as in the detector that grows" if classes else reason
    if kind == "multiclass":
        parts = without_unlabelled(parts)
    if config.data.negatives:
        more = read_negatives(config, processes)
        parts, background = with_negatives(parts, more, kind, background, seconds, config)
    return labelled_parts(parts, kind, reason, background, config, growing=bool(classes))


def of_one_class(manifest: Manifest, config: FinetuneConfig) -> tuple[Manifest, tuple[str, ...]]:
    """Return recordings without any label as those of one class, the name of their folder, where negatives are given; and a note.

    A folder alone says nothing, because there would be nothing to tell its recordings from.
    """
    folder = Path(config.source)
    if not config.data.negatives or not folder.is_dir() or config.data.labels or config.data.level == "frames":
        return manifest, ()
    if names_of(manifest) or manifest.classes is not None or any(clip.events for clip in manifest):
        return manifest, ()
    inside = {Path(str(clip.path)).parts[0] for clip in manifest if clip.path and len(Path(clip.path).parts) > 1}
    alone = len(inside) == 1 and all(clip.path and len(Path(clip.path).parts) > 1 for clip in manifest)
    name = inside.pop() if alone else folder.resolve().name
    labelled = replace(manifest, clips=[replace(clip, labels=(name,)) for clip in manifest])
    return labelled, (f"one class, {name}, by the name of the folder; what it is told from are the negatives",)


def labelled_parts(
    parts: Parts,
    kind: LabelKind,
    reason: str,
    background: Sequence[str],
    config: FinetuneConfig,
    *,
    growing: bool = False,
) -> LabelledParts:
    """Return the clips with the classes of the logits.

    Args:
        parts, kind, reason, background, config: the clips and what they mean.
        growing: a detector grows by these clips, which may then be of one class.

    Raises:
        AuricleError: there are no classes, or nothing to tell apart.
    """
    if kind == "multilabel":
        listed = parts.train.classes or ()  # of a class list, a class is background only by --background
        dropped = [name for name in background if name not in listed or config.data.background]
        parts, background = parts.mapped(lambda part: without_background(part, dropped)), ()
    classes = parts.train.label_classes()
    classes = (*classes, *(name for name in background if name not in classes))
    if not growing:
        check_classes(parts.train, classes, config)
    parts = without_foreign_labels(parts, classes, kind)
    space = LabelSpace.of([(name, name) for name in classes], kind)
    return LabelledParts(parts, replace(space, background=tuple(background)), reason)


def read_parts(config: FinetuneConfig, processes: Processes) -> Parts:
    """Read the clips of a run and their lengths, and split them; labels stay as they are written."""
    manifest = read_source(config)
    readable = readable_clips(manifest, config.source, processes)
    parts = split_parts(labelled(readable, config), config)._replace(left_out=len(manifest) - len(readable))
    for name in ("valid", "test"):
        if (source := getattr(config, name)) is not None:
            held = labelled(readable_clips(read_manifest(source), source, processes), config)
            parts = parts.with_part(name, held)
    return parts


def read_source(config: FinetuneConfig) -> Manifest:
    """Read the clips that the settings name."""
    return read_manifest(
        config.source,
        labels=config.data.labels,
        label_column=config.data.label_column,
        group_column=config.data.group_column,
        classes=config.data.classes,
    )


def with_classes(manifest: Manifest, classes: Sequence[str], config: FinetuneConfig) -> Manifest:
    """Return the clips with a class list that begins with ``classes``, the classes of a detector that grows; () no change.

    A folder with one sub-folder alone holds more clips of one class.
    """
    if not classes:
        return manifest
    tops = {(clip.path or "").partition("/")[0] if "/" in (clip.path or "") else "" for clip in manifest}
    if Path(config.source).is_dir() and not names_of(manifest) and len(tops) == 1 and "" not in tops:
        manifest = replace(manifest, clips=[replace(clip, labels=tuple(tops)) for clip in manifest])
    own = manifest.classes or names_of(manifest)
    left_out = {*classes, *background_classes(own, config.data.background)} if own else set(classes)
    return replace(manifest, classes=(*classes, *(name for name in own if name not in left_out)))


def readable_clips(manifest: Manifest, source: str, processes: Processes) -> Manifest:
    """Return the clips whose files can be opened, with their lengths, and print how many were left out."""
    readable = with_lengths(manifest, quiet=processes.quiet)
    if processes.is_main:
        for note in readable.notes[len(manifest.notes) :]:
            print(f"{source}: {note}", file=sys.stderr)
    return readable


def read_negatives(config: FinetuneConfig, processes: Processes) -> list[Negatives]:
    """Read the recordings of ``--negatives``: each a folder or table, or one with the classes that are absent behind a "="."""
    found = []
    for text in config.data.negatives:
        source, _, names = (
            (text, "", "") if Path(text).exists() else text.rpartition("=") if "=" in text else (text, "", "")
        )
        absent = tuple(name.strip() for name in names.split(",") if name.strip())
        try:
            found.append(Negatives(source, readable_clips(read_manifest(source), source, processes), absent))
        except AuricleError as error:
            raise AuricleError(f"--negatives {text}: {error}") from None
    return found


def names_of(manifest: Manifest) -> tuple[str, ...]:
    """Return the names of labels and events, sorted."""
    events = {event.label for events in manifest.table.distinct("events") for event in events}
    return tuple(sorted({*manifest.table.distinct("labels"), *events}))


class Learnable(NamedTuple):
    """Clips that can be learnt.

    Attributes:
        manifest: the clips.
        seconds: length of the windows that recordings were cut into; None: none was cut.
        notes: what was done, for people.
        of_events: whether the clips are windows with the classes of the events in them.
    """

    manifest: Manifest
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    of_events: bool = False


def learnable(
    manifest: Manifest, background: Sequence[str], seconds: float | None, config: FinetuneConfig
) -> Learnable:
    """Return the clips that can be learnt: what is annotated, in windows where recordings are longer than these.

    Args:
        manifest: clips with their lengths.
        background: classes that are background.
        seconds: length of windows; None: by the clips.
        config: the settings.
    """
    manifest, notes = annotated(manifest, config)
    if config.data.level == "frames":
        return Learnable(with_event_labels(manifest), None, notes)
    if manifest.clips[0].has_spectrogram:
        stored = event_seconds(manifest, seconds or config.data.seconds) is not None
        note = "stored spectrograms are not cut into windows: each has the labels of all its events; learn from the recordings"
        return Learnable(manifest, None, (*notes, note) if stored else notes)
    notes = (*notes, *check_places(manifest))
    length = event_seconds(manifest, seconds or config.data.seconds)
    of_events = length is not None
    if length is not None:
        manifest, more = event_windows(manifest, length, background, config.data)
        notes, seconds = (*notes, *more), length
    manifest, more = cut_background(manifest, background, seconds or longest_clip(manifest, background))
    return Learnable(manifest, length, (*notes, *more), of_events)


def annotated(manifest: Manifest, config: FinetuneConfig) -> tuple[Manifest, tuple[str, ...]]:
    """Return the clips of which something is known, and a note about the others: those without a label among labelled ones.

    Raises:
        AuricleError: nothing is known of any clip.
    """
    nothing = manifest.table.where("known", lambda known: known == ())
    count = int(nothing.sum())
    if not count:
        return manifest, ()
    if config.data.unlabelled == "negative":
        clips = [replace(clip, known=None) if clip.known == () else clip for clip in manifest]
        note = f"{count} recordings without a label are taken to have none of the classes (--unlabelled negative)"
        return replace(manifest, clips=clips), (note,)
    if count == len(manifest):
        raise AuricleError(f"none of the {count} recordings of {config.source} is annotated; there is nothing to learn")
    example = next(clip.id for clip in manifest if clip.known == ())
    note = (
        f"{count} of {len(manifest)} recordings have no label and are left out, such as {example} (--unlabelled negative: "
        "none of the classes occurs in them)"
    )
    return replace(manifest, clips=manifest.table.take(~nothing)), (note,)


def clip_seconds(parts: Parts, background: Sequence[str], config: FinetuneConfig) -> float:
    """Return the length of training clips in seconds: as asked for, that of windows, or the longest clip's, at most ``LONGEST``."""
    return config.data.seconds or parts.seconds or min(LONGEST, longest_clip(parts.train, background))


def longest_clip(manifest: Manifest, background: Sequence[str]) -> float:
    """Return the length of the longest clip in seconds, background aside."""
    seconds = manifest.table.seconds()
    if background:
        names = set(background)
        others = ~manifest.table.where("labels", lambda labels: bool(labels) and set(labels) <= names)
        seconds = seconds[others] if others.any() else seconds
    return float(np.nanmax(seconds))


def labelled(manifest: Manifest, config: FinetuneConfig) -> Manifest:
    """Return the clips with the labels that are learnt: their own, or the classes of their events."""
    return with_event_labels(manifest) if config.data.level == "frames" else manifest
