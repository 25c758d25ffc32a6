"""The manifest: a table of clips. Everything is joined by id, never by order.

Ids are unique; unless a table says otherwise an id is the path relative to the root, with ``@start-end`` (seconds)
added for a clip that is a span of a recording. ``manifest_io`` reads and writes the files.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from auricle.core.errors import AuricleError, nearest

TRAINING_SPLITS = ("train", "training", "fit")


class ManifestWarning(UserWarning):
    """Something in a manifest that is allowed but worth a look: leaking groups, rows without a file."""


class Segment(NamedTuple):
    """A labelled stretch of a clip; onset and offset in seconds from the start of the recording."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Clip:
    """One row. Its sound is ``path`` (relative to the manifest's root, or absolute), its spectrogram ``store/key``.

    start, end     seconds of the recording that the clip covers (None: from the first sample, to the last)
    rate           hertz of the recording, and num_samples its length at that rate, before any crop
    labels         the classes that apply; ``known`` the classes that were annotated at all (None: every one)
    fold           number of the cross-validation part; group: speaker, patient or site, never split across parts
    weight         how often sampling should pick it, relative to the others
    """

    id: str
    path: str | None = None
    store: str | None = None
    key: str | None = None
    start: float | None = None
    end: float | None = None
    rate: int | None = None
    num_samples: int | None = None
    labels: tuple[str, ...] = ()
    known: tuple[str, ...] | None = None
    events: tuple[Segment, ...] = ()
    transcript: str | None = None
    split: str | None = None
    fold: int | None = None
    group: str | None = None
    weight: float = 1.0

    @property
    def seconds(self) -> float | None:
        """Length of the clip, or None where the manifest does not say."""
        end = self.end
        if end is None and self.rate and self.num_samples is not None:
            end = self.num_samples / self.rate
        return None if end is None else end - (self.start or 0.0)


@dataclass(frozen=True)
class Manifest:
    """Clips in a fixed order, the folder their paths start from, and the class list if one was given.

    Raises AuricleError for duplicate ids. ``notes`` says what reading it found worth a word.
    """

    clips: tuple[Clip, ...]
    root: Path = Path(".")
    classes: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self._index) < len(self.clips):
            counts = Counter(clip.id for clip in self.clips)
            twice = [f"'{id}' ({n} rows)" for id, n in counts.items() if n > 1]
            raise AuricleError(
                f"duplicate ids in the manifest: {', '.join(twice[:5])}{_and_more(len(twice) - 5)}; "
                "every id must be unique: remove the extra rows, or give the clips an 'id' column"
            )

    @cached_property
    def _index(self) -> dict[str, int]:
        return {clip.id: i for i, clip in enumerate(self.clips)}

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[Clip]:
        return iter(self.clips)

    def __contains__(self, id: str) -> bool:
        return id in self._index

    def __getitem__(self, id: str) -> Clip:
        """The clip of an id. Raises AuricleError, with the nearest ids, when there is none."""
        if id not in self._index:
            raise AuricleError(f"no clip '{id}' in the manifest{nearest(id, list(self._index))}")
        return self.clips[self._index[id]]

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._index)

    def audio(self, clip: Clip) -> Path:
        """The file of a clip's sound. Raises AuricleError when the manifest holds only its spectrogram."""
        if clip.path is None:
            raise AuricleError(f"the manifest has no audio path for '{clip.id}', only a stored spectrogram")
        return self.root / clip.path

    def spectrogram(self, clip: Clip) -> Path:
        """The file of a clip's stored spectrogram. Raises AuricleError when there is none."""
        if clip.key is None:
            raise AuricleError(f"the manifest has no stored spectrogram for '{clip.id}'; 'auricle prepare' makes them")
        return self.root / (clip.store or "") / clip.key

    def label_classes(self) -> tuple[str, ...]:
        """The classes in the order of the logits: the given class list, else the sorted labels of the training part.

        The training part is the split called train, training or fit; without one, every clip (specification m2d 4.4:
        sorted as strings).
        """
        if self.classes is not None:
            return self.classes
        training = [clip for clip in self.clips if (clip.split or "").lower() in TRAINING_SPLITS]
        return tuple(sorted({label for clip in training or self.clips for label in clip.labels}))

    def select(
        self,
        *,
        split: str | Collection[str] | None = None,
        fold: int | Collection[int] | None = None,
        group: str | Collection[str] | None = None,
        ids: Collection[str] | None = None,
    ) -> Manifest:
        """The clips that meet every condition given, in the same order. The class order stays that of the whole."""
        wanted = {"split": _as_set(split), "fold": _as_set(fold), "group": _as_set(group), "id": _as_set(ids)}
        tests = {name: values for name, values in wanted.items() if values is not None}
        kept = tuple(c for c in self.clips if all(getattr(c, name) in values for name, values in tests.items()))
        return replace(self, clips=kept, classes=self.label_classes() or None)

    def joined(self, other: Manifest) -> Manifest:
        """Clips of both, by id: what ``other`` says (labels, fold, group, ...) wins where it says something."""
        clips = tuple(_merged(clip, other[clip.id]) if clip.id in other else clip for clip in self.clips)
        return replace(self, clips=clips, classes=other.classes or self.classes)

    def notes_but_leaks(self) -> tuple[str, ...]:
        """For those who tell of leaks elsewhere, or to whom they do not matter."""
        leaks = self.leaks()
        return tuple(note for note in self.notes if note not in leaks)

    def leaks(self) -> list[str]:
        """One sentence for splits, one for folds, when clips of one group stand on both sides."""
        return [text for part in ("split", "fold") if (text := self._leak(part))]

    def _leak(self, part: str) -> str:
        parts = defaultdict(set)
        for clip in self.clips:
            if clip.group is not None and getattr(clip, part) is not None:
                parts[clip.group].add(getattr(clip, part))
        torn = sorted(group for group, values in parts.items() if len(values) > 1)
        if not torn:
            return ""
        shown = ", ".join(torn[:5]) + _and_more(len(torn) - 5)
        return (
            f"{len(torn)} of {len(parts)} groups stand in more than one {part} ({shown}): "
            f"scores over {part}s will be too good"
        )


_PLAIN = Clip(id="")


def _merged(clip: Clip, other: Clip) -> Clip:
    """``clip`` with every field that ``other`` sets; where the sound stands is not taken over when it is known."""
    own = {"id"} | ({"path", "store", "key"} if clip.path or clip.key else set())
    said = {f.name: getattr(other, f.name) for f in fields(Clip) if f.name not in own}
    return replace(clip, **{name: value for name, value in said.items() if value != getattr(_PLAIN, name)})


def _as_set(values: object) -> set | None:
    if values is None:
        return None
    return set(values) if isinstance(values, Iterable) and not isinstance(values, str) else {values}


def _and_more(n: int) -> str:
    return f" and {n} more" if n > 0 else ""
