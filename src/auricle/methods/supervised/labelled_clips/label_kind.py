"""Whether clips have exactly one label or any number, and whether their labels give something to tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.models.label_space import LabelKind


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
        wrong, run = (several or empty)[0], config.detector.from_run
        asked = "--kind multiclass" if run is None else f"the detector {run}, whose classes exclude each other,"
        raise AuricleError(
            f"{asked} needs exactly one label a clip; {wrong.id} has {len(wrong.labels)} "
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


def without_foreign_labels(parts: Parts, classes: Sequence[str], kind: LabelKind) -> Parts:
    """Return the parts without what cannot be scored: labels that no training clip has, and a note about them.

    Exclusive classes: a clip with such a label would count as one of another class, so it is left out.
    """
    for name in ("valid", "test"):
        part = getattr(parts, name)
        foreign = sorted(set(part.table.distinct("labels")) - set(classes)) if part is not None else []
        if part is None or not foreign:
            continue
        words = f"labels that no training clip has ({', '.join(foreign[:5])}{', …' * (len(foreign) > 5)})"
        if kind == "multilabel":
            parts = parts._replace(notes=(*parts.notes, f"{name}: {words} are not scored"))
            continue
        keep = part.table.where("labels", frozenset(foreign).isdisjoint)
        note = f"{name}: {int((~keep).sum())} clips have {words} and are left out"
        rest = replace(part, clips=part.table.take(keep)) if keep.any() else None
        parts = parts._replace(test=rest) if name == "test" else parts._replace(valid=rest)
        parts = parts._replace(notes=(*parts.notes, note))
    return parts


def check_classes(manifest: Manifest, classes: Sequence[str], config: FinetuneConfig) -> None:
    """Raise AuricleError unless there is something to tell apart."""
    if not classes:
        raise AuricleError(
            f"{config.source} gives no labels; expected two or more folders named by class, a column label, label tracks "
            "beside the recordings, or --labels TABLE (for one class: its folder beside one named background)"
        )
    if len(classes) == 1 and config.data.level == "clip" and all(clip.labels for clip in manifest):
        raise AuricleError(
            f"every clip has the one label '{classes[0]}': there is nothing to tell apart; add clips without it, in a folder "
            "named background or with --negatives FOLDER (events of recordings: --unlabelled negative, if all were labelled)"
        )
