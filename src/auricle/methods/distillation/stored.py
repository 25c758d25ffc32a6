"""Stored outputs of teachers: a table of logits (the published files), or a store of ``auricle prepare teacher``."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import sha256_of
from auricle.data.batch import Batch
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.data.stores.shards import CLIP, FRAMES, LOGITS
from auricle.methods.distillation.teachers import TeacherOutput
from auricle.models.label_space import LabelSpace


def names_of(id: str) -> tuple[str, str, str]:
    """Return the names under which a clip is looked up: its id, the file name without suffix, and what follows the first "Y"
    of that (the published files of AudioSet; [efficientat_training 9](docs/specification/efficientat_training.md#s9)).
    """
    stem = Path(id).stem
    return id, stem, stem.partition("Y")[2]


class StoredTeacher:
    """Stored logits by clip id ([efficientat_training 9](docs/specification/efficientat_training.md#s9)).

    Args:
        logits: (n, C) array; it may be a memory map of float16.
        rows: row of each clip. A clip is found by any of ``names_of``.
        source: the file, for messages and the fingerprint.
    """

    clip_dim = 0
    frame_dims: tuple[int, ...] = ()
    layer_dims: tuple[int, ...] = ()
    space: LabelSpace | None = None

    def __init__(self, logits: np.ndarray, rows: dict[str, int], source: Path):
        if logits.ndim != 2:
            raise AuricleError(f"{source} holds an array of shape {logits.shape}; expected (clips, classes)")
        if rows and max(rows.values()) >= len(logits):
            raise AuricleError(f"the index names row {max(rows.values())}, {source} has {len(logits)} rows")
        self.logits, self.rows, self.source = logits, rows, source

    @classmethod
    def read(cls, predictions: Path, index: Path | None) -> StoredTeacher:
        """Read an ``.npy`` file and its index (JSON, or a pickle that holds nothing but a dictionary of text to int)."""
        if not predictions.is_file():
            raise AuricleError(f"there is no file {predictions} of teacher predictions")
        if index is None:
            raise AuricleError(
                f"--teacher-index names the row of each clip in {predictions}: JSON or pickle of id -> row"
            )
        try:
            logits = np.load(predictions, mmap_mode="r")
        except Exception as error:  # NumPy's reader of headers raises many kinds
            raise AuricleError(f"{predictions} is not an .npy array: {error or type(error).__name__}") from None
        return cls(logits, read_index(index), predictions)

    def fingerprint(self) -> str:
        index = hashlib.sha256(json.dumps(self.rows, sort_keys=True).encode()).hexdigest()
        return f"{sha256_of(self.source)[:16]} {index[:16]}"

    def __call__(self, batch: Batch) -> TeacherOutput:
        rows = [self.row_of(id) for id in batch.ids]
        known = torch.tensor([float(row is not None) for row in rows])
        logits = np.stack([np.asarray(self.logits[-1 if row is None else row], np.float32) for row in rows])
        device = batch.input.device
        return TeacherOutput(torch.from_numpy(logits).to(device), known.to(device))

    def row_of(self, id: str) -> int | None:
        """Return the row of a clip, or None where there is none."""
        return next((self.rows[name] for name in names_of(id) if name in self.rows), None)

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the clips without an answer."""
        return [id for id in ids if self.row_of(id) is None]


class TeacherStore:
    """Outputs of a teacher in an embedding store, by clip id.

    Frames are interpolated to the crop that the student gets; ``starts`` says where clips begin that are parts of a recording.

    Args:
        store: of ``auricle prepare teacher``.
        starts: start of the clips in their recordings in seconds, by id; clips that are not named start at 0.

    Raises:
        AuricleError: the store was made by another command.
    """

    layer_dims: tuple[int, ...] = ()

    def __init__(self, store: EmbeddingStore, starts: Mapping[str, float] | None = None):
        widths = store.widths()
        if "teacher" not in store.description or not len(store):
            raise AuricleError(
                f"{store.folder} holds no outputs of a teacher; 'auricle prepare teacher RECORDINGS --model NAME --out "
                f"{store.folder}' stores them"
            )
        self.store, self.starts = store, dict(starts or {})
        space = store.description.get("label_space")
        self.space = None if space is None or LOGITS not in widths else LabelSpace.from_json(space)
        self.clip_dim = widths.get(CLIP, 0)
        self.frame_dims: tuple[int, ...] = (widths[FRAMES],) if FRAMES in widths else ()
        self._last: str | None = None

    def fingerprint(self) -> str:
        text = json.dumps([self.store.description, len(self.store)], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def __call__(self, batch: Batch) -> TeacherOutput:
        found = self.stored_names(batch.ids)
        names = [found.get(id) for id in batch.ids]
        device = batch.input.device
        known = torch.tensor([float(name is not None) for name in names], device=device)
        chosen = [self.last_id() if name is None else name for name in names]
        widths = self.store.widths()
        logits, clip = (
            torch.from_numpy(self.store.vectors(chosen, [name]).astype(np.float32)).to(device)
            if name in widths
            else None
            for name in (LOGITS, CLIP)
        )
        frames = (self.frames_of(batch, chosen),) if self.frame_dims else ()
        return TeacherOutput(logits, known, clip, frames)

    def frames_of(self, batch: Batch, names: list[str]) -> tuple[Tensor, Tensor]:
        """Return the frames (B, T, D) of each crop and their centres (T,) in seconds from its start."""
        first = self.store[names[0]]
        assert first.times is not None
        hop = float(np.diff(first.times).mean()) if len(first.times) > 1 else 1.0
        seconds = batch.input.shape[-1] / batch.rate if batch.audio is not None else float(first.times[-1]) + hop
        times = first.times[0] + hop * np.arange(max(1, int((seconds - float(first.times[0])) / hop) + 1))
        times = times[times < seconds] if (times < seconds).any() else times[:1]
        crop_start = np.zeros(len(names)) if batch.crop_start is None else batch.crop_start.cpu().numpy()
        rows = []
        for id, name, start in zip(batch.ids, names, crop_start):
            stored = self.store[name]
            assert stored.frames is not None
            assert stored.times is not None
            wanted = times + float(start) - self.starts.get(id, 0.0)
            rows.append(interpolated(np.asarray(stored.frames, np.float32), stored.times, wanted))
        device = batch.input.device
        return torch.from_numpy(np.stack(rows)).to(device), torch.from_numpy(times).to(device)

    def stored_names(self, ids: Iterable[str]) -> dict[str, str]:
        """Return the name in the store of each clip that has one."""
        wanted = {id: names_of(id) for id in ids}
        present = self.store.rows({name for names in wanted.values() for name in names if name})
        chosen = {id: next((name for name in names if name in present), None) for id, names in wanted.items()}
        return {id: name for id, name in chosen.items() if name is not None}

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the clips without an answer."""
        ids = list(ids)
        found = self.stored_names(ids)
        return [id for id in ids if id not in found]

    def last_id(self) -> str:
        """The last clip of the store, which stands in for clips that it lacks (their loss does not count)."""
        if self._last is None:
            self._last = self.store.ids[-1]
        return self._last


def interpolated(frames: np.ndarray, times: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Interpolate frames (T, D) at ``times`` (T,) linearly to ``wanted`` (T',): (T', D); beyond the ends, the end frames."""
    if len(times) == 1:
        return np.repeat(frames, len(wanted), 0)
    right = np.clip(np.searchsorted(times, wanted), 1, len(times) - 1)
    left = right - 1
    share = np.clip((wanted - times[left]) / (times[right] - times[left]), 0.0, 1.0).astype(np.float32)[:, None]
    return frames[left] * (1 - share) + frames[right] * share


def read_index(path: Path) -> dict[str, int]:
    """Read a dictionary of clip id to row. No code of the file is run.

    Raises:
        AuricleError: the file holds something else.
    """
    try:
        with path.open("rb") as file:
            content = json.load(file) if path.suffix == ".json" else PlainUnpickler(file).load()
    except Exception as error:  # the reader of pickles may raise anything
        raise AuricleError(f"cannot read the teacher's index {path}: {content_fault(error)}") from None
    if not isinstance(content, dict) or not all(isinstance(k, str) and isinstance(v, int) for k, v in content.items()):
        raise AuricleError(f"{path} is no index of a teacher's rows: expected a dictionary of clip id to row number")
    return content


class PlainUnpickler(pickle.Unpickler):
    """Reads containers, text and numbers; refuses everything that would import a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}; only plain dictionaries are read")
