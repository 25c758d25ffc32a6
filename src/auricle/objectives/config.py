"""Settings of the objectives. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auricle.errors import AuricleError
from auricle.options import check_choices, option


@dataclass(frozen=True)
class MaskConfig:
    """What is hidden from the encoder (specification m2d 3)."""

    mask_ratio: float = option(0.7, "share of the patches that the encoder does not see")
    cont_mask: int = option(0, "hide spans of this many patch columns, all frequencies alike; 0: single patches")

    jitter: float = option(
        0.0, "random level and colour of what the encoder sees, not of its targets: deviation in dB; 0: as published"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.jitter < math.inf:
            raise AuricleError(f"the jitter must be 0 dB or more, not {self.jitter}")
        if not 0 < self.mask_ratio < 1:
            raise AuricleError(f"the mask ratio must lie between 0 and 1, not {self.mask_ratio}")
        if self.cont_mask < 0:
            raise AuricleError(f"the span of a mask must be 0 (single patches) or more columns, not {self.cont_mask}")

    def visible(self, grid: tuple[int, int]) -> int:
        """How many of the patches of a grid (F, T) the encoder sees (specification m2d 3.1, 3.3)."""
        rows, columns = grid
        if self.cont_mask:
            return rows * (columns - int(columns * self.mask_ratio))
        return int(rows * columns * (1 - self.mask_ratio))


@dataclass(frozen=True)
class M2DConfig(MaskConfig):
    """Masked modeling duo; the defaults are the published ones (specification m2d 5.1)."""

    loss_fn: str = option("norm_mse", "distance between prediction and target", choices=("norm_mse", "mse"))
    norm_targets: bool = option(True, "standardise every target token over its channels", flag="norm_pix_loss")
    target_layers: tuple[int, ...] = option((), "0-based target blocks whose outputs are averaged; none: the last one")
    ema_decay_init: float = option(0.99995, "decay of the target encoder at the first step")
    ema_decay: float = option(0.99999, "decay of the target encoder at the last step")
    centring: str = option(
        "none",
        "what is taken from the targets: the running mean of each position, each clip's own mean, both; none: as published",
        choices=("none", "position", "clip", "position-clip"),
    )
    reconstruct: float = option(0.0, "weight of rebuilding the hidden patches beside M2D's own loss; 0: as published")
    noise_on: str = option(
        "student",
        "whose input gets the background noise; teacher: as the published program does for M2D and M2D-X",
        choices=("student", "teacher"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema_decay_init <= 1 or not 0 <= self.ema_decay <= 1:
            raise AuricleError("the decays of the target encoder must lie between 0 and 1")
        if self.reconstruct < 0:
            raise AuricleError(f"the weight of the reconstruction must be 0 or more, not {self.reconstruct}")


@dataclass(frozen=True)
class OfflineConfig(M2DConfig):
    """M2D and a second loss beside it: loss_m2d * M2D's own + loss_off * the second (specification m2d 4.3)."""

    loss_m2d: float = option(1.0, "weight of M2D's own loss")
    loss_off: float = option(1.0, "weight of the second loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_m2d < 0 or self.loss_off < 0:
            raise AuricleError(f"the weights of the losses must be 0 or more, not {self.loss_m2d} and {self.loss_off}")


@dataclass(frozen=True)
class M2DXConfig(OfflineConfig):
    """M2D-X: features of an offline teacher; ``loss_off`` is that of the published runs (specification m2d 5.7)."""


@dataclass(frozen=True)
class M2DASConfig(OfflineConfig):
    """M2D-AS: labels; ``loss_off`` is that of the published run (the entry point's own default is 0.1)."""


@dataclass(frozen=True)
class M2DSConfig(OfflineConfig):
    """M2D-S: stored speech features; as the published runs (specification m2d 4.5)."""

    mask_ratio: float = option(0.6, "share of the patches that the encoder does not see")
    loss_off: float = option(0.5, "weight of the second loss")


@dataclass(frozen=True)
class MsmMaeConfig(MaskConfig):
    """MSM-MAE: reconstruction of the hidden patches; the published defaults (specification m2d 4.6)."""

    mask_ratio: float = option(0.75, "share of the patches that the encoder does not see")
    norm_targets: bool = option(False, "standardise every patch before comparing", flag="norm_pix_loss")
