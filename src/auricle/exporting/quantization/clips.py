"""The recordings that calibrate a smaller form, and those that its loss is measured on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AudioError, AuricleError
from auricle.exporting.description import Description
from auricle.exporting.golden import RECORDED_SECONDS, Clips, as_float, as_int16
from auricle.exporting.runtimes import Inputs, pieces
from auricle.models.base import Encoder

MOST_CLIPS = 500  # that a loss is measured on, evenly taken from more
MOST_CALIBRATION = 100  # recordings, evenly taken from more
PSEUDO = "the top class that the source gives"  # in place of labels; without classes the next one
NEAREST = "the nearest other clip by the source's embeddings"


@dataclass(frozen=True)
class LossClips:
    """Clips that a loss is measured on.

    Attributes:
        clips: (S,) int16 by id, the first seconds of each.
        targets: (n, C) of 0 and 1 for the classes of the main head; None: the source's own answers stand for labels.
        labels: a phrase that describes the labels.
        notes: sentences about clips and labels that are left out.
    """

    clips: Clips
    targets: np.ndarray | None
    labels: str
    notes: tuple[str, ...] = ()


def recordings(files: Sequence[str], source: Encoder, most: int | None = None) -> Clips:
    """Return the first seconds of recordings, at the rate of the encoder, by file name."""
    from auricle.audio.sources import find_audio

    found: Clips = {}
    for recording in _evenly(find_audio(list(files)) if files else [], most):
        name = Path(recording.name).name
        wave = _beginning(recording.read(source.info.sample_rate, source.front.resampler), source)
        found[name if name not in found else f"{len(found)} {name}"] = wave
    return found


def calibration_inputs(clips: Clips, description: Description) -> list[Inputs]:
    """Return the inputs of a graph for every window of some clips."""
    return [piece.inputs for wave in clips.values() for piece in pieces(as_float(wave), description)]


def scored_clips(data: str, labels: str | None, source: Encoder, description: Description) -> LossClips:
    """Read the recordings of a folder or table, with their labels where the classes are those of the main head.

    Raises:
        AuricleError: nothing can be read.
    """
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.stores.base import open_store

    manifest = Manifest.read(data, labels=labels)
    store, kept, rows, notes = open_store(manifest, "audio"), {}, [], []
    if len(manifest) > MOST_CLIPS:
        notes.append(f"{MOST_CLIPS} of {len(manifest)} clips of {data} are scored, taken evenly")
    for clip in _evenly(list(manifest), MOST_CLIPS):
        start = clip.start or 0.0
        end = start + RECORDED_SECONDS if clip.end is None else min(clip.end, start + RECORDED_SECONDS)
        try:
            decoded = store.open(clip).read(start, end, rate=source.info.sample_rate, resampler=source.front.resampler)
        except AudioError as error:
            notes.append(f"{clip.id} is left out: {error}")
            continue
        kept[clip.id] = _beginning(decoded.wave, source)
        rows.append(clip.labels)
    if not kept:
        raise AuricleError(
            f"--score-on {data} holds no recording that can be read; give a folder or a table of recordings"
        )
    targets, words, more = _targets(rows, description)
    return LossClips(kept, targets, words, (*notes, *more))


def _targets(rows: Sequence[tuple[str, ...]], description: Description) -> tuple[np.ndarray | None, str, list[str]]:
    """Targets of labels that are classes of the main head, by id or name; without any, pseudo-labels and why."""
    given = sorted({label for row in rows for label in row})
    if not description.heads:
        return None, NEAREST, []
    if not given:
        return None, PSEUDO, []
    space: dict[str, Any] = description.heads[0].label_space
    columns = {_plain(name): column for column, name in enumerate(space["names"])}
    columns |= {_plain(name): column for column, name in enumerate(space["ids"])}
    known = {label: columns[_plain(label)] for label in given if _plain(label) in columns}
    unknown = [label for label in given if label not in known]
    if not known:
        return (
            None,
            PSEUDO,
            [f"no label of the scored clips is a class of the model (such as '{given[0]}'); {PSEUDO} is used"],
        )
    targets = np.zeros((len(rows), len(space["ids"])), np.float32)
    for i, row in enumerate(rows):
        targets[i, [known[label] for label in row if label in known]] = 1
    notes = [f"labels that are no class of the model do not count: {', '.join(unknown)}"] if unknown else []
    return targets, f"labels of {len(known)} classes", notes


def _plain(name: str) -> str:
    return name.casefold().replace("_", " ").strip()


def _beginning(wave: np.ndarray, source: Encoder) -> np.ndarray:
    return as_int16(wave[: round(RECORDED_SECONDS * source.info.sample_rate)])


def _evenly(items: Sequence[Any], most: int | None) -> Sequence[Any]:
    if most is None or len(items) <= most:
        return items
    return [items[i * len(items) // most] for i in range(most)]
