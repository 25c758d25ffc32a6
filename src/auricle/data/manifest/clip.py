"""One row of a manifest: a clip, where its audio or spectrogram is stored, and its annotations."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import NamedTuple

ARCHIVES = (".hdf", ".hdf5", ".h5")  # suffixes of a ``store`` that holds encoded audio


class Segment(NamedTuple):
    """A labelled part of a clip; onset and offset in seconds from the start of the recording."""

    onset: float
    offset: float
    label: str


@dataclass(frozen=True)
class Clip:
    """One row. Its audio is ``path`` (relative to the manifest's root, or absolute), its stored form ``store``/``key``.

    Attributes:
        id: Unique name. By default the path, with ``@start-end`` added for a part of a recording.
        path: File of the recording.
        store: Folder or archive that holds the stored form (a spectrogram, encoded audio), relative to the root.
        key: Name of the stored form inside ``store``.
        start: Where the clip begins in the recording, in seconds (None: at the first sample).
        end: Where the clip ends in the recording, in seconds (None: at the last sample).
        rate: Sample rate of the recording in hertz.
        num_samples: Length of the whole recording at ``rate``, before any crop.
        labels: Classes that apply.
        known: Classes that were annotated at all (None: every class).
        events: Labelled parts of the clip.
        transcript: What is spoken.
        split: Name of the part of the data, such as ``train``.
        fold: Number of the part in cross-validation.
        group: Speaker, patient or site; a group must not be split_at_dashes between parts.
        weight: How often sampling picks the clip, relative to the others.
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
    def in_archive(self) -> bool:
        """True if the recording is encoded audio in an archive (HDF5): ``key`` is its name there."""
        return self.store is not None and self.store.lower().endswith(ARCHIVES)

    @property
    def has_spectrogram(self) -> bool:
        """True if ``store`` and ``key`` name a stored spectrogram."""
        return self.key is not None and not self.in_archive

    @property
    def seconds(self) -> float | None:
        """Length of the clip in seconds, or None where the manifest does not give it."""
        end = self.end
        if end is None and self.rate and self.num_samples is not None:
            end = self.num_samples / self.rate
        return None if end is None else end - (self.start or 0.0)


FIELDS = tuple(f.name for f in fields(Clip))
DEFAULTS = {f.name: f.default for f in fields(Clip)} | {"id": None}  # an id has none
