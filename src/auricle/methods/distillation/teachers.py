"""Teachers: encoders that answer while the student learns, or their stored logits. Both give a TeacherOutput per batch."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from auricle.audio.resample import resample
from auricle.core.errors import AuricleError
from auricle.core.io import sha256_of
from auricle.data.batch import Batch
from auricle.hub.load import load
from auricle.methods.distillation.config import TeacherConfig
from auricle.models.base import Encoder
from auricle.models.heads import LabelSpace
from auricle.models.outputs import EncoderOutput


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher says of a batch.

    Attributes:
        logits: (B, C), or None.
        known: (B,) 1 where the teacher has an answer.
        clip: (B, D) embeddings of all teachers side by side, or None.
        frames: per teacher and layer, frames (B, T, D) with their times (T,) in seconds of the crop.
    """

    logits: Tensor | None
    known: Tensor
    clip: Tensor | None = None
    frames: tuple[tuple[Tensor, Tensor], ...] = ()


class Teacher(Protocol):
    """Something to learn from."""

    space: LabelSpace | None
    clip_dim: int
    frame_dims: tuple[int, ...]

    def __call__(self, batch: Batch) -> TeacherOutput: ...

    def fingerprint(self) -> str:
        """Return a text that changes when the answers do."""


class LiveTeachers:
    """Frozen encoders that hear what the student hears, before clips of the batch are mixed.

    They are no modules of the objective: no state holds their weights and no optimiser sees them.

    Args:
        encoders: one or several. The logits of several are averaged, as published for ensembles; their classes agree.
        layers: 0-based blocks whose frames are given beside the last ones.
    """

    def __init__(self, encoders: Sequence[Encoder], layers: Sequence[int] = ()):
        self.encoders = [encoder.eval().requires_grad_(False) for encoder in encoders]
        spaces = [encoder.info.label_space for encoder in encoders]
        if len({space and space.ids for space in spaces}) > 1:
            raise AuricleError("the teachers must have the same classes in the same order")
        self.space, self.layers = spaces[0], tuple(layers)
        self.clip_dim = sum(encoder.info.clip_dim for encoder in encoders)
        probe = [self._frame_dims(encoder) for encoder in encoders]
        self.frame_dims = tuple(dim for dims in probe for dim in dims)

    def fingerprint(self) -> str:
        return " ".join(encoder.fingerprint() for encoder in self.encoders)

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        if batch.audio is None:
            raise AuricleError(
                "a live teacher needs audio; the data hold spectrograms. Distil from a folder of recordings"
            )
        outputs = [self._encode(encoder, batch) for encoder in self.encoders]
        logits = [output.logits for output in outputs if output.logits is not None]
        mean = torch.stack([x.float() for x in logits]).mean(0) if len(logits) == len(outputs) else None
        frames = [part for output in outputs for part in frames_of(output)]
        known = torch.ones(len(batch), device=batch.audio.device)
        return TeacherOutput(mean, known, torch.cat([output.clip for output in outputs], 1), tuple(frames))

    def _encode(self, encoder: Encoder, batch: Batch) -> EncoderOutput:
        assert batch.audio is not None
        encoder.to(batch.audio.device)
        wave, lengths, rate = batch.audio, batch.lengths, encoder.info.sample_rate
        if batch.rate != rate:
            other = resample(wave.cpu().numpy(), batch.rate, rate, encoder.front.resampler)
            wave = torch.from_numpy(other).to(wave.device)
            lengths = (lengths * rate / batch.rate).round().long().clamp(1, wave.shape[1])
        return encoder(wave, lengths, layers=self.layers or None)

    def _frame_dims(self, encoder: Encoder) -> tuple[int, ...]:
        with torch.no_grad():
            out = encoder(torch.zeros(1, encoder.info.sample_rate), layers=self.layers or None)
        assert out.frames is not None
        return (out.frames.shape[2], *(layer.frames.shape[2] for layer in out.layers))


def frames_of(output: EncoderOutput) -> list[tuple[Tensor, Tensor]]:
    """Return the frames of the last block and of the layers that were asked for, with their times."""
    assert output.frames is not None
    return [(output.frames, output.times), *((layer.frames, layer.times) for layer in output.layers)]


class StoredTeacher:
    """Stored logits by clip id ([efficientat_training 9](docs/specification/efficientat_training.md#s9)).

    Args:
        logits: (n, C) array; it may be a memory map of float16.
        rows: row of each clip. A clip is found by its id, by the file name without suffix, and by what follows the first
            "Y" of it (the published files of AudioSet).
        source: the file, for messages and the fingerprint.
    """

    clip_dim = 0
    frame_dims: tuple[int, ...] = ()
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
        logits = np.stack([np.asarray(self.logits[row or 0], np.float32) for row in rows])
        device = batch.input.device
        return TeacherOutput(torch.from_numpy(logits).to(device), known.to(device))

    def row_of(self, id: str) -> int | None:
        """Return the row of a clip, or None where there is none."""
        stem = Path(id).stem
        names = (id, stem, stem.partition("Y")[2])
        return next((self.rows[name] for name in names if name in self.rows), None)


def read_index(path: Path) -> dict[str, int]:
    """Read a dictionary of clip id to row. No code of the file is run.

    Raises:
        AuricleError: the file holds something else.
    """
    try:
        with path.open("rb") as file:
            content = json.load(file) if path.suffix == ".json" else PlainUnpickler(file).load()
    except Exception as error:  # the reader of pickles may raise anything
        raise AuricleError(f"cannot read the teacher's index {path}: {error or type(error).__name__}") from None
    if not isinstance(content, dict) or not all(isinstance(k, str) and isinstance(v, int) for k, v in content.items()):
        raise AuricleError(f"{path} is no index of a teacher's rows: expected a dictionary of clip id to row number")
    return content


class PlainUnpickler(pickle.Unpickler):
    """Reads containers, text and numbers; refuses everything that would import a name."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}; only plain dictionaries are read")


def open_teacher(config: TeacherConfig) -> Teacher:
    """Open the teacher of the settings."""
    if config.teacher_predictions:
        index = None if config.teacher_index is None else Path(config.teacher_index)
        return StoredTeacher.read(Path(config.teacher_predictions), index)
    weights = config.teacher_weights or (None,) * len(config.teacher)
    encoders = [load(name, weights=file) for name, file in zip(config.teacher, weights)]
    return LiveTeachers(encoders, config.feature_layers)
