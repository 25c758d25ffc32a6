"""Recordings where none of the classes occurs, or where given ones do not: cut into windows, and shared out between the parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.core.randomness import RandomKey
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.methods.supervised.labelled_clips.windows import cut_clips, text_of_seconds
from auricle.models.label_space import LabelKind

BACKGROUND = "background"  # the class of negatives where classes exclude each other and the data have no such class


class Negatives(NamedTuple):
    """Recordings, and the classes that are known to be absent from them; () all."""

    source: str
    manifest: Manifest
    absent: tuple[str, ...]


def with_negatives(
    parts: Parts,
    negatives: Sequence[Negatives],
    kind: LabelKind,
    background: tuple[str, ...],
    seconds: float,
    config: FinetuneConfig,
) -> tuple[Parts, tuple[str, ...]]:
    """Return the parts with negatives in each, in the shares of the parts, and the background classes.

    Args:
        parts: the labelled clips.
        negatives: what was read.
        kind: multiclass: negatives are clips of a background class; multilabel: clips without a label.
        background: background classes of the labelled clips.
        seconds: length of windows.
        config: the settings.

    Raises:
        AuricleError: absent classes that are none, or that classes which exclude each other cannot learn.
    """
    label = (background or (BACKGROUND,))[0] if kind == "multiclass" else None
    classes = {name for part in parts.present.values() for name in part.table.distinct("labels")}
    notes: list[str] = []
    clips: list[Clip] = []
    for number, source in enumerate(negatives):
        _check(source, kind, sorted(classes), parts.train.clips[0].has_spectrogram)
        windows = _windows_of(source, f"negatives{number}/", label, seconds)
        clips += windows
        what = f"no {', '.join(source.absent)}" if source.absent else "none of the classes"
        notes.append(
            f"negatives: {len(source.manifest)} recordings of {source.source} with {what}, "
            f"{len(windows)} clips of up to {text_of_seconds(seconds)}"
        )
    names = tuple(parts.present)
    sizes = [len(part) for part in parts.present.values()]
    chosen = shared_out([str(clip.group) for clip in clips], sizes, config.train.seed)
    for place, name in enumerate(names):
        mine = [clip for clip, part in zip(clips, chosen) if part == place]
        own = _absolute(parts.present[name])
        parts = parts.with_part(name, replace(own, clips=[*own.clips, *mine]))
    parts = parts._replace(notes=(*parts.notes, *notes))
    return parts, (background or (BACKGROUND,)) if kind == "multiclass" else background


def _windows_of(negatives: Negatives, prefix: str, label: str | None, seconds: float) -> list[Clip]:
    """Return the windows of recordings, with ids and groups of their own, as clips of a class or without a label."""
    root, found = negatives.manifest.root.absolute(), []
    for clip in cut_clips(negatives.manifest, seconds):
        placed = replace(clip, id=prefix + clip.id, path=str(root / str(clip.path)), group=prefix + str(clip.group))
        labels = () if label is None else (label,)
        known = negatives.absent or None if label is None else None
        found.append(replace(placed, labels=labels, known=known, events=(), fold=None, weight=1.0))
    return found


def _check(negatives: Negatives, kind: LabelKind, classes: Sequence[str], stored: bool) -> None:
    if stored or any(clip.has_spectrogram for clip in negatives.manifest):
        raise AuricleError("--negatives takes recordings beside recordings; stored spectrograms cannot be joined")
    for name in negatives.absent:
        if name not in classes:
            raise AuricleError(
                f"--negatives {negatives.source}: there is no class '{name}'{nearest(name, list(classes))}"
            )
    if negatives.absent and kind == "multiclass":
        raise AuricleError(
            f"--negatives {negatives.source}={','.join(negatives.absent)}: where each clip has exactly one class, a clip that "
            "lacks some of them teaches nothing; leave the classes out if it has none of them all, or set --kind multilabel"
        )


def _absolute(manifest: Manifest) -> Manifest:
    """Return the clips with absolute paths, so that clips of other folders can stand beside them."""
    base = manifest.root.absolute()
    paths = [None if path is None else str(base / path) for path in manifest.table.values("path")]
    stores = [None if store is None else str(base / store) for store in manifest.table.values("store")]
    table = manifest.table.with_column("path", paths)
    if "store" in table.columns:
        table = table.with_column("store", stores)
    return replace(manifest, clips=table, root=manifest.root)


def shared_out(groups: Sequence[str], sizes: Sequence[int], seed: int) -> np.ndarray:
    """Choose a part for each clip: groups stay whole, and parts get shares in proportion to their sizes.

    Args:
        groups: of the clips.
        sizes: clips of each part.
        seed: key of the order of the groups.

    Returns:
        (n,) index of a part.
    """
    names, inverse, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = RandomKey(seed).of("negatives").permutation(len(names))
    order = order[np.argsort(-counts[order], kind="stable")]
    wanted = np.asarray(sizes, float) / sum(sizes) * counts.sum()
    given = np.zeros(len(sizes))
    chosen = np.zeros(len(names), np.int64)
    for group in order:
        chosen[group] = int(np.argmax((wanted - given) / wanted))
        given[chosen[group]] += counts[group]
    return chosen[inverse]
