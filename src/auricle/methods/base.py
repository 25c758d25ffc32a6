"""What is learnt. An objective owns its networks; the loop knows nothing but this protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from auricle.audio.resample import resample
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.models.base import Encoder
from auricle.models.outputs import EncoderOutput, Spectrogram


@dataclass(frozen=True)
class TrainProgress:
    """Where a run stands. A micro-step is one batch through the network, a step one update of the weights.

    epoch is fractional (epoch + micro-step in the epoch / micro-steps per epoch); epochs is None with ``max_updates``.
    """

    micro_step: int
    micro_steps: int
    step: int
    steps: int
    epoch: float
    epochs: float | None


@dataclass(frozen=True)
class Preview:
    """For reports: what was hidden and how well it was predicted.

    spec (B, F, T) the normalised input; mask (B, F', T') 1 where hidden, on the patch grid; error (B, F', T') prediction
    error per patch (NaN where nothing was predicted); reconstruction (B, F, T) or None.
    """

    spec: Tensor
    mask: Tensor
    error: Tensor
    reconstruction: Tensor | None = None


class Objective(nn.Module):
    """``forward(batch, progress, key) -> (loss, log)``; all other methods are hooks with harmless defaults.

    ``unused_parameters`` is True where some parameter takes no part in some step (ranks must then look for it).
    """

    unused_parameters: bool = False

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (a scalar) and what to log: detached scalars by name."""
        raise NotImplementedError

    def encoder(self) -> Encoder:
        """What the run is for."""
        raise NotImplementedError

    def depends_on(self) -> str:
        """Fingerprint of what is used without being part of the state (a frozen teacher); a run continues only with the same."""
        return ""

    def on_epoch_start(self, progress: TrainProgress) -> None:
        """Before the first micro-step of an epoch (DyMN's temperature)."""

    def after_step(self, progress: TrainProgress) -> None:
        """After each update of the weights (teacher averaging)."""

    def validate(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> Any:
        """Of one validation batch, in eval mode and without gradients, what ``summarise`` needs: here its clips and its log."""
        log = self(batch, progress, key)[1]
        return len(batch), {name: float(value) for name, value in log.items()}

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        """Metrics from all outputs of ``validate``, in order, those of other ranks too: here means over clips."""
        total = sum(clips for clips, _ in outputs)
        names = outputs[0][1] if outputs else ()
        return {name: sum(clips * log[name] for clips, log in outputs) / total for name in names}

    def preview(self, batch: Batch, key: BatchKey) -> Preview | None:
        """What is hidden and how well it is predicted, for reports; None where nothing is hidden."""
        return None

    def diagnose(self, batch: Batch, key: BatchKey) -> dict[str, float]:
        """Numbers that say whether learning is well (shares of the targets' variance, …); see ``training.health``."""
        return {}

    def param_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Optimiser groups: no decay for 1-D parameters and biases, decay for all others (m2d.md 5.3)."""
        decay: list[nn.Parameter] = []
        plain: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                (plain if parameter.ndim == 1 or name.endswith(".bias") else decay).append(parameter)
        return [{"params": plain, "weight_decay": 0.0}, {"params": decay, "weight_decay": weight_decay}]


# From a batch to the raw spectrogram that an encoder expects.


def spectrogram_of(batch: Batch, encoder: Encoder) -> Tensor:
    """(B, F, T) not normalised; see ``spec_of``."""
    return spec_of(batch, encoder).values


def spec_of(batch: Batch, encoder: Encoder) -> Spectrogram:
    """The batch's own spectrogram, or made from its audio by the encoder's front end; not normalised.

    Raises AuricleError when the batch holds another front end's spectrogram or audio of another rate.
    """
    info = encoder.info
    if batch.spec is not None:
        if batch.front_end != info.front_end:
            raise AuricleError(
                f"{info.name} expects '{info.front_end}' spectrograms, the data hold '{batch.front_end}'"
            )
        return Spectrogram(batch.spec.float(), batch.lengths, encoder.front.hop_seconds, info.front_end)
    if batch.rate != info.sample_rate:
        raise AuricleError(f"{info.name} expects audio at {info.sample_rate} Hz, the data are at {batch.rate} Hz")
    assert batch.audio is not None
    return encoder.frontend(batch.audio, batch.lengths)


def without_noise(batch: Batch) -> Batch:
    """The batch as it was before noise was mixed in."""
    if batch.clean is None:
        return batch
    if batch.audio is None:
        return replace(batch, spec=batch.clean, clean=None)
    return replace(batch, audio=batch.clean, clean=None)


# A live teacher: any Encoder, frozen, asked for its frames of the batch that the student learns from.


class Teacher:
    """Not a module: its weights are in no state and no optimiser sees them.

    Where the front ends agree it takes the student's spectrogram, normalised by the student's statistics, as published
    (specification m2d 4.3); else the audio, at its own rate and with its own statistics.
    """

    def __init__(self, encoder: Encoder, student: Encoder, stats: Sequence[float]):
        self.same = encoder.info.front_end == student.info.front_end
        mean, std = stats
        self.encoder = (encoder.with_stats(mean, std) if self.same else encoder).eval().requires_grad_(False)
        self.hop_seconds = encoder.info.hop_seconds
        self.given = encoder

    @cached_property
    def fingerprint(self) -> str:
        """Of the encoder as it was given, with its own statistics."""
        return self.given.fingerprint()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-> frames (B, T', D) and their centres (T',) in seconds of the crop."""
        encoded = self._of_spectrogram(batch) if self.same else self._of_audio(batch)
        assert encoded.frames is not None
        return encoded.frames, encoded.times

    def _of_spectrogram(self, batch: Batch) -> EncoderOutput:
        return self.encoder.encode(spec_of(batch, self.encoder), padding="published")

    def _of_audio(self, batch: Batch) -> EncoderOutput:
        info = self.encoder.info
        if batch.audio is None:
            raise AuricleError(
                f"the teacher {info.name} hears '{info.front_end}', the data hold '{batch.front_end}' spectrograms; "
                "train on a folder of audio, or take a teacher of that front end"
            )
        wave = batch.audio
        if batch.rate != info.sample_rate:
            resampler = self.encoder.front.resampler
            wave = torch.from_numpy(resample(wave.cpu().numpy(), batch.rate, info.sample_rate, resampler)).to(
                wave.device
            )
        return self.encoder(wave, padding="published")
