"""Settings of the objectives. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError
from auricle.options import option


@dataclass(frozen=True)
class M2DConfig:
    """Masked modeling duo; the defaults are the published ones (specification m2d 5.1)."""

    mask_ratio: float = option(0.7, "share of the patches that the encoder does not see")
    loss_fn: str = option("norm_mse", "distance between prediction and target", choices=("norm_mse", "mse"))
    norm_targets: bool = option(True, "standardise every target token over its channels", flag="norm_pix_loss")
    target_layers: tuple[int, ...] = option((), "0-based target blocks whose outputs are averaged; none: the last one")
    ema_decay_init: float = option(0.99995, "decay of the target encoder at the first step")
    ema_decay: float = option(0.99999, "decay of the target encoder at the last step")

    def __post_init__(self) -> None:
        if not 0 < self.mask_ratio < 1:
            raise AuricleError(f"the mask ratio must lie between 0 and 1, not {self.mask_ratio}")
        if not 0 <= self.ema_decay_init <= 1 or not 0 <= self.ema_decay <= 1:
            raise AuricleError("the decays of the target encoder must lie between 0 and 1")
