"""Labels that contradict: recordings with the same content and different labels."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest

MOST_CLIPS = 20_000  # looked at: a longer list would take minutes
SAMPLE_BYTES = 4096  # compared before whole files are
SHOWN = 3
Labels = tuple[tuple[str, ...], tuple[tuple[float, float, str], ...]]


def contradictions(manifest: Manifest) -> list[str]:
    """Return a warning that names clips with the same audio and different labels; nothing where there are none.

    Files are compared by size, then by a part in their middle, then by content. Only the first ``MOST_CLIPS`` clips are looked
    at. Recordings inside archives are not compared.
    """
    clips = [clip for _, clip in zip(range(MOST_CLIPS), manifest) if not clip.in_archive]
    pairs: list[tuple[Clip, Clip]] = []
    for same in _same_audio(manifest, clips):
        first = same[0]
        pairs += [(first, other) for other in same[1:] if _labels(other) != _labels(first)]
    if not pairs:
        return []
    shown = "; ".join(f"{a.id} ({_text(a)}) and {b.id} ({_text(b)})" for a, b in pairs[:SHOWN])
    more = f" and {len(pairs) - SHOWN} more pairs" if len(pairs) > SHOWN else ""
    return [
        f"labels contradict: the same audio has different labels: {shown}{more}; correct one of them, or remove both"
    ]


def _same_audio(manifest: Manifest, clips: Iterable[Clip]) -> list[list[Clip]]:
    """Groups of two and more clips with the same audio: equal content of their files, and the same part of it."""
    by_size: dict[object, list[tuple[Path, Clip]]] = defaultdict(list)
    for clip in clips:
        file = _file(manifest, clip)
        try:
            by_size[file.stat().st_size, clip.start, clip.end].append((file, clip))
        except OSError:
            continue  # the loader reports it
    groups = [members for members in by_size.values() if len(members) > 1]
    for digest in (_middle, _content):
        groups = [group for members in groups for group in _split(members, digest)]
    return [[clip for _, clip in group] for group in groups]


def _split(members: list[tuple[Path, Clip]], digest: Callable[[Path], bytes]) -> list[list[tuple[Path, Clip]]]:
    """The groups of two and more members whose files have an equal digest."""
    found: dict[bytes, list[tuple[Path, Clip]]] = defaultdict(list)
    for file, clip in members:
        try:
            found[digest(file)].append((file, clip))
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


def _labels(clip: Clip) -> Labels:
    events = tuple(sorted((event.onset, event.offset, event.label) for event in clip.events))
    return tuple(sorted(clip.labels)), events


def _text(clip: Clip) -> str:
    return ", ".join(clip.labels) or "no label"
