"""Background: classes that mean "none of the others", which are trained and never reported.

Where classes exclude each other, such a class stays a class of the label space and is named in ``LabelSpace.background``. Where a
clip has any number of labels, it is no class: a clip with such a label has no label and everything about it is known.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import BACKGROUND_NAMES, Manifest

OFF = "none"  # of --background: a class of any name is an ordinary class


def background_classes(classes: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the classes that are background, in the order of the classes.

    Args:
        classes: all classes.
        wanted: names of background classes; empty: those of ``BACKGROUND_NAMES``, in capitals or not, unless no other class
            would remain; "none" alone: no class is.

    Raises:
        AuricleError: a wanted name is no class, or no other class remains.
    """
    if tuple(name.lower() for name in wanted) == (OFF,):
        return ()
    if not wanted:
        known = tuple(name for name in classes if name.lower() in BACKGROUND_NAMES)
        return known if len(known) < len(classes) else ()
    for name in wanted:
        if name not in classes:
            raise AuricleError(f"--background: no clip has the label '{name}'{nearest(name, tuple(classes))}")
    if set(wanted) >= set(classes):
        raise AuricleError(f"--background names all classes ({', '.join(wanted)}): nothing is left to report")
    return tuple(name for name in classes if name in wanted)


def without_background(manifest: Manifest, background: Collection[str]) -> Manifest:
    """Return the clips without labels and events of background classes: where these stood, everything is known to be absent."""
    names = set(background)
    if not names & {*manifest.table.distinct("labels"), *manifest.table.distinct("known")} and not manifest.classes:
        return manifest
    classes = manifest.classes and tuple(name for name in manifest.classes if name not in names)
    return replace(manifest, clips=[_without(clip, names) for clip in manifest], classes=classes)


def _without(clip: Clip, names: Collection[str]) -> Clip:
    labels = tuple(name for name in clip.labels if name not in names)
    known = None if clip.known is None else tuple(name for name in clip.known if name not in names)
    if known is not None and len(labels) < len(clip.labels) and set(known) <= set(labels):
        known = None  # annotated as background: all other classes are absent
    if clip.known == ():
        known = ()
    events = tuple(event for event in clip.events if event.label not in names)
    return replace(clip, labels=labels, known=known, events=events)
