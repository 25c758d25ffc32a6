"""Doubts about labelled clips: the same recording with different labels or in two parts, groups in two parts, classes of
silence alone."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import open_store

MOST_CLIPS = 20_000  # looked at: a longer list would take minutes
SAMPLE_BYTES = 4096  # compared before whole files are
SHOWN = 3
MOST_CLASSES = 500  # of which it is asked whether all clips are silent: one clip of each is decoded, mostly
SILENT_SECONDS = 10.0  # of a clip that are decoded for it
READ_RATE = 16000  # hertz, where the rate of a clip is not known
SILENCE = 2.0**-15  # largest sample of silence: one step of 16 bits
Labels = tuple[tuple[str, ...], tuple[tuple[float, float, str], ...]]


class Member(NamedTuple):
    """A clip, its file, and the part that it is in."""

    file: Path
    clip: Clip
    part: str


def doubts(parts: Mapping[str, Manifest]) -> list[str]:
    """Return warnings about the labels and the parts of clips; [] where there are none.

    Files are compared by size, then by a part in their middle, then by content. Only the first ``MOST_CLIPS`` clips of each part
    are compared, and no recordings inside archives.

    Args:
        parts: clips by the name of their part.
    """
    groups = same_audio(_members(parts))
    return [*_contradicting(groups), *_in_two_parts(groups), *groups_in_two_parts(parts), *silent_classes(parts)]


def _contradicting(groups: Iterable[list[Member]]) -> list[str]:
    pairs: list[tuple[Clip, Clip]] = []
    for same in groups:
        first = same[0].clip
        pairs += [(first, other.clip) for other in same[1:] if _contradict(first, other.clip)]
    if not pairs:
        return []
    shown = "; ".join(f"{a.id} ({_text(a)}) and {b.id} ({_text(b)})" for a, b in pairs[:SHOWN])
    more = f" and {len(pairs) - SHOWN} more pairs" if len(pairs) > SHOWN else ""
    return [
        f"labels contradict: the same audio has different labels: {shown}{more}; correct one of them, or remove both"
    ]


def _in_two_parts(groups: Iterable[list[Member]]) -> list[str]:
    """Return a warning about the same audio in two parts."""
    pairs = []
    for same in groups:
        first = same[0]
        others = same[1:]
        pairs += [(first, other) for other in others if other.part != first.part and other.clip.id != first.clip.id]
    if not pairs:
        return []
    shown = "; ".join(f"{a.clip.id} ({a.part}) and {b.clip.id} ({b.part})" for a, b in pairs[:SHOWN])
    more = f" and {len(pairs) - SHOWN} more pairs" if len(pairs) > SHOWN else ""
    return [f"the same audio is in two parts, so that scores are too good: {shown}{more}; remove one of each"]


def groups_in_two_parts(parts: Mapping[str, Manifest]) -> list[str]:
    """Return a warning that names groups (speakers, sites, patients) that are learnt from and scored too."""
    own = {name: set(part.table.distinct("group")) - {None} for name, part in parts.items()}
    learnt = own.get("train", set())
    warnings = []
    for name, groups in own.items():
        if name != "train" and (both := sorted(groups & learnt)):
            warnings.append(
                f"{len(both)} of {len(groups)} groups of the {name} part are learnt from too "
                f"({listed(both, SHOWN)}): its scores are too good"
            )
    return warnings


def silent_classes(parts: Mapping[str, Manifest]) -> list[str]:
    """Return a warning that names classes all of whose clips are silent in their first seconds."""
    clips = [(manifest, clip) for manifest in parts.values() for clip in islice(manifest, MOST_CLIPS)]
    of_class: dict[str, list[tuple[Manifest, Clip]]] = defaultdict(list)
    for manifest, clip in clips:
        for name in clip.labels:
            of_class[name].append((manifest, clip))
    if len(of_class) > MOST_CLASSES or any(clip.has_spectrogram for _, clip in clips[:1]):
        return []
    silent = sorted(name for name, members in of_class.items() if all(_is_silent(*member) for member in members))
    if not silent:
        return []
    return [
        f"all clips of {listed(silent, SHOWN)} are digital silence: the class teaches nothing else; look at its recordings"
    ]


def _is_silent(manifest: Manifest, clip: Clip) -> bool:
    start = clip.start or 0.0
    end = start + SILENT_SECONDS if clip.end is None else min(clip.end, start + SILENT_SECONDS)
    try:
        wave = open_store(manifest, "audio").open(clip).read(start, end, rate=clip.rate or READ_RATE).wave
    except AuricleError:
        return False  # the loader reports it
    return len(wave) > 0 and float(np.abs(wave).max()) <= SILENCE


def _members(parts: Mapping[str, Manifest]) -> list[Member]:
    found = []
    for name, manifest in parts.items():
        for clip in islice(manifest, MOST_CLIPS):
            if not clip.in_archive:
                found.append(Member(_file(manifest, clip), clip, name))
    return found[:MOST_CLIPS]


def same_audio(members: Iterable[Member]) -> list[list[Member]]:
    """Return groups of two and more clips with the same audio: equal content of their files, and the same part of it."""
    by_size: dict[object, list[Member]] = defaultdict(list)
    for member in members:
        try:
            by_size[member.file.stat().st_size, member.clip.start, member.clip.end].append(member)
        except OSError:
            continue  # the loader reports it
    groups = [members for members in by_size.values() if len(members) > 1]
    for digest in (_middle, _content):
        groups = [group for members in groups for group in _split(members, digest)]
    return groups


def _split(members: list[Member], digest: Callable[[Path], bytes]) -> list[list[Member]]:
    """The groups of two and more members whose files have an equal digest."""
    found: dict[bytes, list[Member]] = defaultdict(list)
    for member in members:
        try:
            found[digest(member.file)].append(member)
        except OSError:
            continue
    return [group for group in found.values() if len(group) > 1]


def _middle(file: Path) -> bytes:
    with open(file, "rb") as content:
        content.seek(max(0, file.stat().st_size // 2 - SAMPLE_BYTES // 2))
        return content.read(SAMPLE_BYTES)


def _content(file: Path) -> bytes:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").digest()


def _file(manifest: Manifest, clip: Clip) -> Path:
    return manifest.spectrogram(clip) if clip.path is None else manifest.audio(clip)


def _contradict(first: Clip, other: Clip) -> bool:
    """Return True if both clips are annotated for all classes and have other labels."""
    return first.known is None and other.known is None and _labels(first) != _labels(other)


def _labels(clip: Clip) -> Labels:
    events = tuple(sorted((event.onset, event.offset, event.label) for event in clip.events))
    return tuple(sorted(clip.labels)), events


def _text(clip: Clip) -> str:
    return ", ".join(clip.labels) or "no label"
