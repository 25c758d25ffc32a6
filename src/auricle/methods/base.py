"""The Objective contract, and what several objectives share: progress, previews, spectrograms of a batch, teachers, rank sums."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from auricle.audio.resample import resample
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.models.base import Encoder
from auricle.models.outputs import EncoderOutput, Spectrogram


def sum_over_ranks(values: Tensor) -> Tensor:
    """Add up values of all ranks, in place, and return them; those of one process stay as they are."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(values)
    return values


# ---- distances between predicted and target tokens, in float32

VARIANCE_GUARD = 1e-6  # added to the variance before the root ([m2d 4.1](docs/specification/m2d.md#s4-1))


def standardize_tokens(target: Tensor) -> Tensor:
    """Scale each token (…, D) to zero mean and unit (unbiased) variance over its channels."""
    mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    return (target - mean) / (variance + VARIANCE_GUARD).sqrt()


def token_error(target: Tensor, prediction: Tensor, loss_fn: str) -> Tensor:
    """Compute the error of each token ([m2d 4.1](docs/specification/m2d.md#s4-1) point 5).

    Args:
        target, prediction: (…, D).
        loss_fn: "norm_mse", 2 - 2 cosine (0 to 4), or "mse", the mean squared difference.

    Returns:
        (…) float32.
    """
    target, prediction = target.float(), prediction.float()
    if loss_fn == "mse":
        return (target - prediction).square().mean(dim=-1)
    target, prediction = functional.normalize(target, dim=-1), functional.normalize(prediction, dim=-1)
    return 2 - 2 * (target * prediction).sum(dim=-1)


@dataclass(frozen=True)
class TrainProgress:
    """The position of a run. A micro-step is one batch through the network, a step one update of the weights.

    ``epoch`` is fractional (epoch + micro-step in the epoch / micro-steps per epoch). ``epochs`` is None with
    ``max_updates``.
    """

    micro_step: int
    micro_steps: int
    step: int
    steps: int
    epoch: float
    epochs: float | None


@dataclass(frozen=True)
class Preview:
    """What was hidden of some clips and how well it was predicted, for reports.

    spec            (B, F, T) the normalised input
    mask            (B, F', T') on the patch grid: 1 where hidden
    error           (B, F', T') prediction error of each patch; NaN where nothing was predicted
    reconstruction  (B, F, T), or None
    """

    spec: Tensor
    mask: Tensor
    error: Tensor
    reconstruction: Tensor | None = None


class Objective(nn.Module):
    """A learning objective: it owns its networks and turns a batch into a loss.

    Only ``forward`` and ``encoder`` must be written. All other methods are hooks with harmless defaults.

    unused_parameters: True if some parameter takes no part in some step; distributed training then searches for them.
    unfreezes: True if parameters that were frozen are trained from some epoch on.
    verb: of the command line that starts and continues a run of this objective.
    best_by: the score of the validation part (a name that ``summarise`` returns) that chooses the best encoder, and 1, or -1
        where lower is better.
    keeps_best: True if the run gives the best encoder instead of the last one.
    """

    unused_parameters: bool = False
    unfreezes: bool = False
    verb: str = "pretrain"
    best_by: tuple[str, int] = ("loss", -1)
    keeps_best: bool = False

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of a batch.

        Args:
            key: gives every random draw; equal keys give equal losses.

        Returns:
            The loss, a scalar, and detached scalars to log by name, "loss" among them.
        """
        raise NotImplementedError

    def encoder(self) -> Encoder:
        """Return the encoder that the run trains."""
        raise NotImplementedError

    def depends_on(self) -> str:
        """Return the fingerprint of what is used but not saved with the state (a frozen teacher).

        A run continues only with the same fingerprint.
        """
        return ""

    def on_epoch_start(self, progress: TrainProgress) -> None:
        """Run before the first micro-step of an epoch (such as DyMN's temperature)."""

    def on_epoch_end(self, epoch: int, sample: Callable[[int], Iterable[Batch]]) -> dict[str, float]:
        """Return numbers for the log at the end of epoch ``epoch`` (from 1), on the main process.

        Args:
            sample: gives batches of that many training clips, the same ones every time.
        """
        return {}

    def after_step(self, progress: TrainProgress) -> None:
        """Run after each update of the weights (such as the average of a teacher)."""

    def passes(self, batch: Batch) -> int:
        """Return how often ``forward`` runs the blocks of the encoder in training."""
        return 1

    def validate(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> Any:
        """Return what ``summarise`` needs of one validation batch, in evaluation mode and without gradients.

        By default the number of clips and the log.
        """
        log = self(batch, progress, key)[1]
        return len(batch), {name: float(value) for name, value in log.items()}

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        """Return metrics of all outputs of ``validate``, in order, of all processes. By default means over clips."""
        total = sum(clips for clips, _ in outputs)
        names = outputs[0][1] if outputs else ()
        return {name: sum(clips * log[name] for clips, log in outputs) / total for name in names}

    def class_scores(self) -> dict[str, dict[str, float]]:
        """Return scores by class of the last ``summarise``, which the log keeps in a row of its own; {}: none."""
        return {}

    def warnings(self, progress: TrainProgress) -> list[tuple[str, str]]:
        """Return kinds and texts of what is doubtful about the scores of the last ``summarise``."""
        return []

    def preview(self, batch: Batch, key: BatchKey) -> Preview | None:
        """Return what is hidden and how well it is predicted, for reports; None if nothing is hidden."""
        return None

    def diagnose(self, batch: Batch, key: BatchKey) -> dict[str, float]:
        """Return numbers about the health of training; ``training.health`` reads them."""
        return {}

    def param_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Return optimiser groups: no decay for 1-D parameters and biases, decay for all others.

        Source: [m2d 5.3](docs/specification/m2d.md#s5-3).
        """
        decay: list[nn.Parameter] = []
        no_decay: list[nn.Parameter] = []
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                (no_decay if parameter.ndim == 1 or name.endswith(".bias") else decay).append(parameter)
        return [{"params": no_decay, "weight_decay": 0.0}, {"params": decay, "weight_decay": weight_decay}]


def spectrogram_of(batch: Batch, encoder: Encoder) -> Spectrogram:
    """Return the spectrogram that an encoder takes, not normalised: the batch's own, or made from its audio.

    Raises:
        AuricleError: if the batch holds the spectrogram of another front end, or audio at another rate.
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
    """Return the batch as it was before noise was mixed in."""
    if batch.clean is None:
        return batch
    if batch.audio is None:
        return replace(batch, spec=batch.clean, clean=None)
    return replace(batch, audio=batch.clean, clean=None)


class FrameTeacher:
    """A frozen encoder that gives its frames of the batch that the student learns from.

    It is not a module: no state holds its weights and no optimiser sees them. If its front end is the student's, it takes
    the student's spectrogram, normalised by the student's statistics, as published ([m2d 4.3](docs/specification/m2d.md#s4-3));
    otherwise the audio, at its own rate and with its own statistics.
    """

    def __init__(self, encoder: Encoder, student: Encoder, stats: Sequence[float]):
        self.same_front_end = encoder.info.front_end == student.info.front_end
        mean, std = stats
        normalised = encoder.with_stats(mean, std) if self.same_front_end else encoder
        self.encoder = normalised.eval().requires_grad_(False)
        self.hop_seconds = encoder.info.hop_seconds
        self.original = encoder

    @cached_property
    def fingerprint(self) -> str:
        """Fingerprint of the encoder with its own statistics."""
        return self.original.fingerprint()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return frames (B, T', D) and their centres (T',) in seconds of the crop."""
        output = self._encode_spectrogram(batch) if self.same_front_end else self._encode_audio(batch)
        assert output.frames is not None
        return output.frames, output.times

    def _encode_spectrogram(self, batch: Batch) -> EncoderOutput:
        return self.encoder.encode(spectrogram_of(batch, self.encoder), padding="published")

    def _encode_audio(self, batch: Batch) -> EncoderOutput:
        info = self.encoder.info
        if batch.audio is None:
            raise AuricleError(
                f"the teacher {info.name} takes '{info.front_end}' spectrograms, the data hold '{batch.front_end}' "
                "spectrograms; train on a folder of audio, or take a teacher of that front end"
            )
        wave = batch.audio
        if batch.rate != info.sample_rate:
            resampler = self.encoder.front.resampler
            resampled = resample(wave.cpu().numpy(), batch.rate, info.sample_rate, resampler)
            wave = torch.from_numpy(resampled).to(wave.device)
        return self.encoder(wave, padding="published")
