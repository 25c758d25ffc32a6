"""What is learnt. An objective owns its networks; the loop knows nothing but this protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from auricle.data.batch import Batch
from auricle.draws import BatchDraws
from auricle.models.contract import Encoder


@dataclass(frozen=True)
class Progress:
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
    """``forward(batch, progress, draws) -> (loss, log)``; all other methods are hooks with harmless defaults.

    ``unused_parameters`` is True where some parameter takes no part in some step (ranks must then look for it).
    """

    unused_parameters: bool = False

    def forward(self, batch: Batch, progress: Progress, draws: BatchDraws) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (a scalar) and what to log: detached scalars by name."""
        raise NotImplementedError

    def encoder(self) -> Encoder:
        """What the run is for."""
        raise NotImplementedError

    def depends_on(self) -> str:
        """Fingerprint of what is used without being part of the state (a frozen teacher); a run continues only with the same."""
        return ""

    def on_epoch_start(self, progress: Progress) -> None:
        """Before the first micro-step of an epoch (DyMN's temperature)."""

    def after_step(self, progress: Progress) -> None:
        """After each update of the weights (teacher averaging)."""

    def validate(self, batch: Batch, progress: Progress, draws: BatchDraws) -> Any:
        """Of one validation batch, in eval mode and without gradients, what ``summarise`` needs: here its clips and its log."""
        log = self(batch, progress, draws)[1]
        return len(batch), {name: float(value) for name, value in log.items()}

    def summarise(self, outputs: list[Any]) -> dict[str, float]:
        """Metrics from all outputs of ``validate``, in order, those of other ranks too: here means over clips."""
        total = sum(clips for clips, _ in outputs)
        names = outputs[0][1] if outputs else ()
        return {name: sum(clips * log[name] for clips, log in outputs) / total for name in names}

    def preview(self, batch: Batch, draws: BatchDraws) -> Preview | None:
        """What is hidden and how well it is predicted, for reports; None where nothing is hidden."""
        return None

    def diagnose(self, batch: Batch, draws: BatchDraws) -> dict[str, float]:
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
