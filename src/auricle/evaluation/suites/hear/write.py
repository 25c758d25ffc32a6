"""Task folders in HEAR's format, written from any labelled manifest.

Source: [evaluation 7.3](docs/specification/evaluation.md#s7-3). No PyTorch here.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.sources import AudioSource
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import dumps, make_folder, replacing, short_name, write_text
from auricle.data.datasets.frame_labels import cut_events
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.manifest.tables import text_file
from auricle.evaluation.splits import Split
from auricle.evaluation.suites.hear.folder import METADATA, PARTS, VOCABULARY

WRITTEN_FROM = "written_from"  # hash of the recordings and the length in the metadata of folders that are written here


def write_hear_folder(
    clips: Manifest,
    splits: Sequence[Split],
    out: Path,
    *,
    classes: Sequence[str],
    rates: Sequence[int],
    seconds: float | None,
    multilabel: bool,
    name: str,
    on_clip: Callable[[], object] = lambda: None,
) -> dict[str, str]:
    """Write a task folder from labelled clips. A folder that was begun from the same recordings is completed.

    Args:
        clips: The clips, with labels of ``classes``; with events, the task is one of events.
        splits: Folds (the test rows of each become a fold), or one split with training, validation and test rows.
        out: The folder.
        classes: Labels in the order of the vocabulary.
        rates: Sample rates in hertz.
        seconds: Cut or zero-pad every clip to this length; None: as it is.
        multilabel: True if a clip can have several labels.
        name: Name of the task.
        on_clip: Called after each clip.

    Returns:
        Clips that could not be read, with the reason.

    Raises:
        AuricleError: The folder holds a task of other recordings or of another length, or none of the clips could be read.
    """
    from auricle.data.stores.base import open_store
    from auricle.inference.pipeline import source_of

    parts = _parts(splits)
    origin = _origin(clips, seconds)
    _check_same_task(out, origin)
    events = any(clip.events for clip in clips)
    scores = ["event_onset_200ms_fms", "segment_1s_er"] if events else ["mAP", "aucroc"] if multilabel else ["top1_acc"]
    metadata = {
        "task_name": name,
        "version": "v1",
        "mode": "full",
        "embedding_type": "event" if events else "scene",
        "prediction_type": "multilabel" if multilabel or events else "multiclass",
        "split_mode": "trainvaltest" if tuple(parts) == PARTS else "presplit_kfold",
        "splits": list(parts),
        "nfolds": None if tuple(parts) == PARTS else len(parts),
        "sample_duration": seconds,
        "evaluation": scores,
        WRITTEN_FROM: origin,
    }
    write_text(out / METADATA, dumps(metadata, indent=1))  # first: it says whose audio the folder holds
    with text_file(out / VOCABULARY) as file:
        csv.writer(file, lineterminator="\n").writerows([("idx", "label"), *enumerate(classes)])
    found: dict[str, dict[str, Any]] = {part: {} for part in parts}
    store = open_store(clips, "audio")
    rows, names, failed = list(clips), file_names([clip.id for clip in clips]), dict[str, str]()
    for part, members in parts.items():
        for row in members:
            clip, file = rows[row], names[row]
            try:
                for rate in rates:
                    source = replace(source_of(clips, store, clip), seconds=seconds)
                    _write_audio(source, out / str(rate) / part / file, rate)
                whole = out / str(rates[0]) / part / file
                found[part][file] = _spans(clip, whole) if events else list(clip.labels)
            except AudioError as error:
                failed[clip.id] = str(error)
            on_clip()
    if failed and not any(found.values()):
        raise AuricleError(f"none of the {len(failed)} clips could be read: {next(iter(failed.values()))}")
    for part, clips_of_part in found.items():
        write_text(out / f"{part}.json", dumps(clips_of_part, indent=1))
    return failed


def _parts(splits: Sequence[Split]) -> dict[str, np.ndarray]:
    """Rows by the name of the part. Raises AuricleError for two folds: one tests, one validates, and none is left to train."""
    if len(splits) == 2:
        raise AuricleError("a task folder in folds needs three or more, and the clips have 2; give --split-by drawn")
    if len(splits) > 1:
        return {f"fold{i:02d}": split.test for i, split in enumerate(splits)}
    (split,) = splits
    valid, train = split.valid, split.train
    if not len(valid):  # every tenth training clip, so that all classes in order of the table are met
        valid, train = train[::10], np.setdiff1d(train, train[::10])
    return {"train": train, "valid": valid, "test": split.test}


def _write_audio(source: AudioSource, file: Path, rate: int) -> None:
    from auricle.audio.write import encode_audio

    if file.is_file():
        return
    wave = source.read(rate, "soxr")
    make_folder(file.parent)
    with replacing(file) as temporary:
        temporary.write_bytes(encode_audio(wave, rate, ".wav"))


def _spans(clip: Clip, written: Path) -> list[dict[str, Any]]:
    """The events inside the clip as it was written, in milliseconds from its start."""
    from auricle.audio.decode import probe

    start = clip.start or 0.0
    events = cut_events(clip.events, start, min(start + probe(written).seconds, clip.end or np.inf))
    return [{"label": e.label, "start": 1e3 * (e.onset - start), "end": 1e3 * (e.offset - start)} for e in events]


def file_names(ids: Sequence[str]) -> list[str]:
    """Return a file name for each clip of a task; each is another one, also where capitals do not count.

    It is the id without folders and suffix. Clips whose names would be the same, such as ``a/b.wav`` and ``a-b.flac``, have a
    checksum of their id added.
    """
    plain = [_plain_name(id) for id in ids]
    count = Counter(name.casefold() for name in plain)
    names, used = list[str](), {name.casefold() for name in plain if count[name.casefold()] == 1}
    for id, name in zip(ids, plain):
        digest = hashlib.sha256(id.encode("utf-8", "surrogateescape")).hexdigest()
        length = 0 if count[name.casefold()] == 1 else 8
        unique = f"{name}-{digest[:length]}" if length else name
        while length and unique.casefold() in used:
            length += 8
            unique = f"{name}-{digest[:length]}"
        used.add(unique.casefold())
        names.append(short_name(unique, ".wav"))
    return names


def _plain_name(id: str) -> str:
    """The id of a clip as the name of a file without its suffix."""
    from auricle.audio.decode import AUDIO_SUFFIXES

    name = id.replace("/", "-").replace("\0", "-")
    stem, dot, suffix = name.rpartition(".")
    return stem if f"{dot}{suffix.lower()}" in AUDIO_SUFFIXES and stem else name


def _origin(clips: Manifest, seconds: float | None) -> str:
    """A hash of the recordings and the length that they are cut to."""
    from auricle.embeddings.cache import hash_of, stamps_hash

    parts = [[clip.id, clip.start, clip.end] for clip in clips]
    return hash_of({"clips": parts, "files": stamps_hash(clips), "seconds": seconds})


def _check_same_task(out: Path, origin: str) -> None:
    """Raise AuricleError for a folder that holds another task: its audio would be kept under the new labels."""
    file = out / METADATA
    if not file.exists():
        return
    try:
        before = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        before = None
    if not isinstance(before, dict) or before.get(WRITTEN_FROM) != origin:
        raise AuricleError(
            f"{out} holds a task of other recordings or of another --seconds; choose a new folder for --out, or remove this one"
        )
