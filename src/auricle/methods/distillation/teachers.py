"""Teachers that answer while the student learns. Stored ones are in ``stored``; both give a TeacherOutput per batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from auricle.audio.resample import resample
from auricle.core.errors import AuricleError
from auricle.data.batch import Batch
from auricle.models.base import Encoder
from auricle.models.inputs import mean_over_time
from auricle.models.label_space import LabelSpace
from auricle.models.outputs import EncoderOutput


@dataclass(frozen=True)
class TeacherOutput:
    """What a teacher says of a batch.

    Attributes:
        logits: (B, C), or None. Of clips without an answer they are the last stored ones.
        known: (B,) 1 where the teacher has an answer.
        clip: (B, D) embeddings of all teachers side by side, or None.
        frames: per teacher and layer, frames (B, T, D) with their times (T,) in seconds of the crop.
        layer_clips: per teacher and layer that was asked for, the mean over its frames (B, D).
    """

    logits: Tensor | None
    known: Tensor
    clip: Tensor | None = None
    frames: tuple[tuple[Tensor, Tensor], ...] = ()
    layer_clips: tuple[Tensor, ...] = ()


class Teacher(Protocol):
    """Something to learn from."""

    space: LabelSpace | None
    clip_dim: int
    frame_dims: tuple[int, ...]
    layer_dims: tuple[int, ...]

    def __call__(self, batch: Batch) -> TeacherOutput: ...

    def fingerprint(self) -> str:
        """Return a text that changes when the answers do."""

    def missing(self, ids: Iterable[str]) -> list[str]:
        """Return the clips without an answer."""


class LiveTeachers:
    """Frozen encoders that hear what the student hears, before clips of the batch are mixed.

    They are no modules of the objective: no state holds their weights and no optimiser sees them.

    Args:
        encoders: one or several. The logits of several are averaged, as published for ensembles; their classes agree.
        layers: 0-based blocks whose frames, and their means over time, are given beside the last ones.
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
        self.layer_dims = tuple(dim for dims in probe for dim in dims[1:])

    def fingerprint(self) -> str:
        return " ".join(encoder.fingerprint() for encoder in self.encoders)

    def missing(self, ids: Iterable[str]) -> list[str]:
        return []

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
        means = [mean_over_time(layer.frames, layer.lengths) for output in outputs for layer in output.layers]
        known = torch.ones(len(batch), device=batch.audio.device)
        return TeacherOutput(
            mean, known, torch.cat([output.clip for output in outputs], 1), tuple(frames), tuple(means)
        )

    def _encode(self, encoder: Encoder, batch: Batch) -> EncoderOutput:
        assert batch.audio is not None
        encoder.to(batch.audio.device)
        wave, lengths, rate = batch.audio, batch.lengths, encoder.info.sample_rate
        if batch.rate != rate:
            other = resample(wave.cpu().numpy(), batch.rate, rate, encoder.front.resampler)
            wave = torch.from_numpy(other).to(wave.device)
            lengths = (lengths * rate / batch.rate).round().long().clamp(1, wave.shape[1])
        return encoder.for_inference()(wave, lengths, layers=self.layers or None)

    def _frame_dims(self, encoder: Encoder) -> tuple[int, ...]:
        with torch.no_grad():
            out = encoder(torch.zeros(1, encoder.info.sample_rate), layers=self.layers or None)
        assert out.frames is not None
        return (out.frames.shape[2], *(layer.frames.shape[2] for layer in out.layers))


def frames_of(output: EncoderOutput) -> list[tuple[Tensor, Tensor]]:
    """Return the frames of the last block and of the layers that were asked for, with their times."""
    assert output.frames is not None
    return [(output.frames, output.times), *((layer.frames, layer.times) for layer in output.layers)]
