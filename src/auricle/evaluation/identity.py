"""Which task a score is about: a fingerprint of its clips, labels, split and seconds. Names decide nothing.

Two scores are compared only where they were measured on the same task. Evaluations of earlier versions recorded less: then
what is known is compared, and the comparison says what it assumes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import key_of
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.evaluation.splits import Split

SAMPLE = 4096  # bytes read at the start, in the middle and at the end of each file
LISTED_SPLITS = 12
WHOLE = "whole clips"
ASSUMED = (
    "an earlier version of auricle measured at least one of them and did not record which clips; that the task is the "
    "same is assumed from its name and its numbers of clips, classes and splits"
)


@dataclass(frozen=True)
class TaskIdentity:
    """What makes two tasks one. A field that was not recorded is 0 or "".

    Attributes:
        tested: How many clips some split tests.
        classes: How many classes some split tests.
        splits: Names of the splits.
        seconds: "5 s", or "whole clips".
        rows: Hash of the tested clips by id, with their labels and the split that tests each.
        clips: Hash of the recordings (their content, so that a moved folder stays the same task) and the span of each.
        labels: Hash of the recordings with their labels.
        split: Hash of what trains, validates and is tested in every split.
    """

    tested: int = 0
    classes: int = 0
    splits: str = ""
    seconds: str = ""
    rows: str = ""
    clips: str = ""
    labels: str = ""
    split: str = ""

    @property
    def recorded(self) -> bool:
        """True if clips, labels, split and seconds are all known."""
        return bool(self.clips and self.labels and self.split and self.seconds)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the clips, labels, split and seconds; of what is known where less was recorded."""
        decisive = (self.clips, self.labels, self.split, self.seconds)
        return _hash([*decisive]) if self.recorded else _hash(list(asdict(self).values()))

    def differences(self, other: TaskIdentity) -> list[str]:
        """Return what shows that two tasks are not the same, in words; empty for the same task, as far as is known."""
        if self.recorded and other.recorded and self.fingerprint == other.fingerprint:
            return []
        numbers = {
            "tested": "{} tested clips against {}",
            "classes": "{} tested classes against {}",
            "splits": "split as {} against {}",
            "seconds": "{} against {}",
        }
        found = [text.format(*pair) for name, text in numbers.items() if len(set(pair := self._pair(other, name))) > 1]
        hashes = {"clips": "other recordings", "labels": "other labels", "split": "another split of the same clips"}
        if not (self.recorded and other.recorded):
            hashes = {"rows": "other clips or labels"}
        first = next((text for name, text in hashes.items() if len(set(self._pair(other, name))) > 1), "")
        return found or ([first] if first else [])

    def _pair(self, other: TaskIdentity, name: str) -> tuple[Any, ...]:
        """The values of one field where both know it, else ()."""
        pair = getattr(self, name), getattr(other, name)
        return pair if all(pair) else ()

    def assumed_same(self, other: TaskIdentity) -> str:
        """Return "" where the task is known to be the same, else what the comparison assumes."""
        known = (self.recorded and other.recorded) or (self.rows and other.rows)
        return "" if known else ASSUMED

    def to_json(self) -> dict[str, Any]:
        """Return what is known as plain values."""
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, values: Any) -> TaskIdentity:
        """Build an identity from ``to_json`` values; what cannot be read counts as not recorded."""
        known = {f.name: type(f.default) for f in fields(cls)}
        given = values if isinstance(values, dict) else {}
        readable: dict[str, Any] = {
            name: given[name] for name, kind in known.items() if isinstance(given.get(name), kind)
        }
        return cls(**readable)


UNKNOWN = TaskIdentity()


def task_identity(
    manifest: Manifest, labels: np.ndarray, splits: Sequence[Split], seconds: float | None, *, by_id: bool = False
) -> TaskIdentity:
    """Describe the task that these clips, labels and splits are.

    Args:
        manifest: The clips, in the order of the rows of ``labels``.
        labels: (n, C) of 0 and 1.
        splits: Rows of the clips.
        seconds: What clips are cut to; None for whole clips.
        by_id: Tell clips apart by their ids, not by what the files hold: a suite may keep the same clips at several
            sample rates. It is also done where a file is gone.
    """
    clips = list(manifest)
    keys = _content_keys(manifest, clips) if not by_id else None
    texts = [
        json.dumps([key, clip.start, clip.end])
        for key, clip in zip(keys or [clip.id for clip in clips], clips, strict=True)
    ]
    named = [json.dumps([text, sorted(set(clip.labels))]) for text, clip in zip(texts, clips, strict=True)]
    order = sorted(range(len(clips)), key=lambda row: (named[row], clips[row].id))
    kind = "content" if keys else "ids"
    tested = np.unique(np.concatenate([split.test for split in splits]))
    return TaskIdentity(
        tested=len(tested),
        classes=int(labels[tested].any(0).sum()),
        splits=split_text([split.name for split in splits]),
        seconds=f"{seconds:g} s" if seconds else WHOLE,
        rows=rows_hash([(clips[row].id, clips[row].labels, split.name) for split in splits for row in split.test]),
        clips=_hash([kind, *(texts[row] for row in order)]),
        labels=_hash([kind, *(named[row] for row in order)]),
        split=_split_hash(splits, np.argsort(order)),
    )


def rows_hash(rows: Sequence[tuple[str, Sequence[str], str]]) -> str:
    """Hash tested clips: (id, labels, name of the split) of each."""
    return _hash(sorted([id, *sorted(set(labels)), name] for id, labels, name in rows))


def split_text(names: Sequence[str]) -> str:
    """List the names of splits; of many the first, the last and their number."""
    names = list(dict.fromkeys(names))
    if len(names) <= LISTED_SPLITS:
        return ", ".join(names)
    return f"{names[0]} to {names[-1]} ({len(names)} splits)"


def _split_hash(splits: Sequence[Split], place: np.ndarray) -> str:
    """Hash of the part (1 train, 2 valid, 3 test) of every clip in every split; ``place`` is each row's place in the order."""
    parts = hashlib.blake2b(digest_size=8)
    hashes = []
    for split in splits:
        part = np.zeros(len(place), np.uint8)
        for number, rows in enumerate((split.train, split.valid, split.test), 1):
            part[place[rows]] = number
        hashes.append(hashlib.blake2b(part.tobytes(), digest_size=8).hexdigest())
    for text in sorted(hashes):  # the names and the order of the splits do not matter
        parts.update(text.encode())
    return parts.hexdigest()


def _content_keys(manifest: Manifest, clips: Sequence[Clip]) -> list[str] | None:
    """A key of the content of every clip's file; None where one cannot be read."""
    known: dict[Path, str] = {}
    keys = []
    for clip in clips:
        try:
            path = manifest.holder(clip)
            if path not in known:
                known[path] = _content_key(path)
        except (AuricleError, OSError):
            return None
        keys.append(f"{known[path]}/{clip.key}" if clip.path is None else known[path])
    return keys


def _content_key(path: Path) -> str:
    """A key of the size and of three samples of the content: quick, and another recording has another."""
    size = path.stat().st_size
    digest = hashlib.blake2b(str(size).encode(), digest_size=16)
    with open(path, "rb", buffering=0) as file:
        for start in sorted({0, max(0, size // 2 - SAMPLE // 2), max(0, size - SAMPLE)}):
            file.seek(start)
            digest.update(file.read(SAMPLE))
    return digest.hexdigest()


def _hash(values: Sequence[Any]) -> str:
    return f"{key_of(json.dumps(values)):032x}"[:16]
