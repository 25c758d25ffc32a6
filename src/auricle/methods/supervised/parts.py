"""From a folder or a table to the clips that are learnt, validated and tested, and to the classes of the logits.

``read_labelled`` is the one place: learning with labels (``data.py``) and detectors on frozen features read through it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.datasets.frame_labels import with_event_labels
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.lengths import with_lengths
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest, draw_folds
from auricle.methods.data import Processes
from auricle.methods.supervised.background import background_classes, without_background
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.negatives import Negatives, with_negatives
from auricle.methods.supervised.windows import check_places, cut_background, event_seconds, event_windows
from auricle.models.label_space import LabelKind, LabelSpace

LONGEST = 10.0  # seconds of a training clip that is not asked for


class Parts(NamedTuple):
    """Clips to train on, to validate on and to test on.

    Attributes:
        train, valid, test: the clips.
        left_out: clips whose files cannot be opened.
        seconds: length of training clips where recordings were cut into windows; None: as the clips are long.
        origin: how the parts were made, for people.
        notes: what was done with the recordings, for people.
    """

    train: Manifest
    valid: Manifest | None
    test: Manifest | None
    left_out: int = 0
    seconds: float | None = None
    origin: str = ""
    notes: tuple[str, ...] = ()

    @property
    def present(self) -> dict[str, Manifest]:
        """The parts that have clips, by name."""
        named = {"train": self.train, "validation": self.valid, "test": self.test}
        return {name: part for name, part in named.items() if part is not None and len(part)}

    def with_part(self, name: str, clips: Manifest) -> Parts:
        """Return the parts with other clips in one of them: train, valid (or validation) or test."""
        if name == "train":
            return self._replace(train=clips)
        return self._replace(test=clips) if name == "test" else self._replace(valid=clips)

    def mapped(self, change: Callable[[Manifest], Manifest]) -> Parts:
        """Return the parts with a function applied to the clips of each."""
        valid, test = (None if part is None else change(part) for part in (self.valid, self.test))
        return self._replace(train=change(self.train), valid=valid, test=test)


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
    known = names_of(readable)
    if not known and readable.classes is None and config.data.level == "clip":
        check_classes(readable, (), config)
    background = background_classes(known, config.data.background) if known else ()
    clips = learnable(readable, background, None, config)
    parts = split_parts(clips.manifest, config)._replace(
        left_out=len(manifest) - len(readable), seconds=clips.seconds, notes=clips.notes
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
        found.append(Negatives(source, readable_clips(read_manifest(source), source, processes), absent))
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


def split_parts(manifest: Manifest, config: FinetuneConfig) -> Parts:
    """Return the clips to train on, to validate on and to test on.

    The test part is the fold of the settings, or the clips whose split is called test; the validation part is the split
    of that name, or drawn from the training part: stratified, with groups kept together.
    """
    fold = config.data.fold
    if fold == "all":
        raise AuricleError(
            "--fold all tests frozen heads; training a whole network (--how full) takes one --fold at a time"
        )
    train, valid, test = map(manifest.in_splits, (("", *TRAINING_SPLITS), VALIDATION_SPLITS, TEST_SPLITS))
    if fold is not None:
        folds = manifest.table.numbers("fold")
        if fold not in folds:
            known = ", ".join(map(str, sorted({int(number) for number in folds if number >= 0})))
            has = (
                f"has the folds {known}"
                if known
                else "has no folds; add a column fold to its table, or leave --fold out"
            )
            raise AuricleError(f"--fold {fold}: {config.source} {has}")
        test, train, valid = folds == fold, folds != fold, np.zeros(len(folds), bool)
    if config.data.validate_on == "test":
        if not test.any() and config.test is None:
            raise AuricleError(f"--validate-on test: {config.source} has no test part; leave it out, or name a --fold")
        train, valid = train | (valid if fold is None else False), test
    if not train.any():
        present = sorted({(clip.split or "").lower() for clip in manifest})
        raise AuricleError(f"{config.source} has no clips to learn from: its splits are {', '.join(present)}")
    drawn_here = not valid.any() and config.valid is None and bool(config.data.valid_ratio)
    if drawn_here:
        valid = drawn_validation(manifest, train, config)
        train, drawn_here = train & ~valid, bool(valid.any())
    classes = manifest.classes
    whole, drawn, held = (
        replace(manifest, clips=manifest.table.take(rows), classes=classes) for rows in (train, valid, test)
    )
    origin = origin_of(manifest, fold, drawn_here=drawn_here, groups="group" in whole.table.columns)
    return Parts(whole, drawn if len(drawn) else None, held if len(held) else None, origin=origin)


def origin_of(manifest: Manifest, fold: int | None, *, drawn_here: bool, groups: bool) -> str:
    """Return how the parts were made, for people."""
    by = "no column split or fold" if fold is None else f"fold {fold} is tested"
    if fold is None and "fold" in manifest.table.columns:
        numbers = sorted(number for number in manifest.table.distinct("fold") if number is not None)
        by = f"the data have {len(numbers)} folds, of which --fold tests one"
    if fold is None and "split" in manifest.table.columns:
        names = sorted(name for name in manifest.table.distinct("split") if name)
        by = f"parts by the splits of the data ({', '.join(names)})"
    if not drawn_here:
        return by
    whole = (
        "groups stay whole"
        if groups
        else "clip by clip: without groups, clips of one recording or speaker may be in both"
    )
    return f"{by}; the validation part is drawn, classes in equal shares, {whole}"


def drawn_validation(manifest: Manifest, train: np.ndarray, config: FinetuneConfig) -> np.ndarray:
    """Draw the validation part of the training rows (mask over all clips). Empty where there are too few clips."""
    rows = np.flatnonzero(train)
    clips = [manifest.clips[int(row)] for row in rows]
    folds = round(1 / config.data.valid_ratio)
    groups = [clip.group if clip.group is not None else f"clip {clip.id}" for clip in clips]
    chosen = np.zeros(len(manifest), bool)
    if folds < 2 or len(set(groups)) < folds:
        return chosen
    names = sorted({label for clip in clips for label in clip.labels})
    index = {name: i for i, name in enumerate(names)}
    values = np.zeros((len(clips), len(names)), np.uint8)
    for row, clip in enumerate(clips):
        values[row, [index[label] for label in clip.labels]] = 1.0
    drawn = np.array(draw_folds(values, groups, folds, config.train.seed))
    chosen[rows[drawn == "1"]] = True
    return chosen


def kind_of(parts: Parts, config: FinetuneConfig, *, windows: bool = False) -> tuple[LabelKind, str]:
    """Return whether exactly one label is given to every clip (multiclass), or any number (multilabel), and why.

    Clips without a label that are only validated or tested do not count: ``without_unlabelled`` leaves them out.

    Args:
        parts: the clips.
        config: the settings.
        windows: the clips are windows with the classes of events in them.

    Raises:
        AuricleError: --kind multiclass, and a clip has another number of labels.
    """
    if config.data.level == "frames":
        return "multilabel", "events may be at the same time"
    every = config.data.unlabelled == "negative"
    clips = [clip for name, part in parts.present.items() for clip in part if name == "train" or every or clip.labels]
    several = [clip for clip in clips if len(clip.labels) > 1]
    empty = [clip for clip in clips if not clip.labels]
    partly = sum(clip.known is not None for clip in clips)
    if config.data.kind == "multiclass" and (several or empty):
        wrong = (several or empty)[0]
        raise AuricleError(
            f"--kind multiclass needs exactly one label a clip; {wrong.id} has {len(wrong.labels)} "
            f"({', '.join(wrong.labels) or 'none'})"
        )
    if config.data.kind == "multiclass" and partly:
        raise AuricleError(f"--kind multiclass: of {partly} clips only some classes are known; leave it out")
    if config.data.kind != "auto":
        return config.data.kind, f"--kind {config.data.kind}"  # type: ignore[return-value]
    if windows:
        return "multilabel", "events may be at the same time"
    if several:
        return "multilabel", f"{len(several)} of {len(clips)} clips have more than one, such as {several[0].id}"
    if empty:
        return "multilabel", f"{len(empty)} of {len(clips)} clips have none, such as {empty[0].id}"
    if partly:
        return "multilabel", f"of {partly} of {len(clips)} clips only some classes are known"
    return "multiclass", f"each of the {len(clips)} clips has one label"


def without_unlabelled(parts: Parts) -> Parts:
    """Return the parts without clips that have no label, which classes that exclude each other cannot score, and a note."""
    changed = parts.mapped(lambda part: replace(part, clips=part.table.take(part.table.where("labels", bool))))
    dropped = sum(map(len, parts.present.values())) - sum(map(len, changed.present.values()))
    if not dropped:
        return parts
    return changed._replace(
        notes=(*changed.notes, f"{dropped} clips to validate or test have no label and are left out")
    )


def check_classes(manifest: Manifest, classes: Sequence[str], config: FinetuneConfig) -> None:
    """Raise AuricleError unless there is something to tell apart."""
    if not classes:
        raise AuricleError(
            f"{config.source} gives no labels; expected two or more folders named by class, a column label, label tracks "
            "beside the recordings, or --labels TABLE"
        )
    if len(classes) == 1 and config.data.level == "clip" and all(clip.labels for clip in manifest):
        raise AuricleError(
            f"every clip has the one label '{classes[0]}': there is nothing to tell apart; add clips without it, in a folder "
            "named background or with --negatives FOLDER (events of recordings: --unlabelled negative, if all were labelled)"
        )
