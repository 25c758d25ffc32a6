"""What a training step of each M2D method costs for one clip, counted on shapes: ``python -m benchmarks.method_costs``

Multiply-accumulates (half of what ``torch.utils.flop_counter`` counts) forward and backward, of the published ViT-B sizes;
parameters trained and in all. Nothing is computed, so it takes seconds anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from auricle.core.options import with_values
from auricle.methods import config as settings
from auricle.methods.m2d.objective import M2D, M2DD2V, MaskedObjective
from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX, M2DWithAuxLoss
from auricle.methods.msm_mae.objective import MsmMae
from auricle.methods.registry import METHODS
from auricle.models.m2d.config import parse_size
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.masking.patches import Mask


@dataclass(frozen=True)
class Row:
    """One line of the table: a method, by default ViT-B, at an input and a patch size."""

    method: str
    input_size: str
    patch_size: str
    build: Callable[..., MaskedObjective]


ROWS = (
    Row("m2d", "80x608", "16x16", lambda m, p: M2D(m, p, settings.M2DConfig())),
    Row("m2d", "80x200", "16x4", lambda m, p: M2D(m, p, settings.M2DConfig())),
    Row("m2d-d2v", "80x608", "16x16", lambda m, p: M2DD2V(m, p, settings.M2DConfig())),
    Row("m2d-x", "80x608", "16x16", lambda m, p: M2DX(m, p, settings.M2DXConfig(), M2DEncoder(m))),
    Row("m2d-x", "80x200", "16x4", lambda m, p: M2DX(m, p, settings.M2DXConfig(), M2DEncoder(m))),
    Row("m2d-as", "80x608", "16x16", lambda m, p: M2DAS(m, p, settings.M2DASConfig(), 527)),
    Row("m2d-s", "80x208", "80x4", lambda m, p: M2DS(m, p, settings.M2DSConfig(), 768)),
    Row("m2d-s", "80x400", "80x2", lambda m, p: M2DS(m, p, settings.M2DSConfig(), 768)),
    Row("m2d-s", "80x608", "80x2", lambda m, p: M2DS(m, p, settings.M2DSConfig(), 768)),
    Row("msm-mae", "80x208", "16x16", lambda m, p: MsmMae(m, p, settings.MsmMaeConfig())),
    Row("msm-mae", "80x608", "16x16", lambda m, p: MsmMae(m, p, settings.MsmMaeConfig())),
)


def built(row: Row) -> MaskedObjective:
    sizes = {"input_size": row.input_size, "patch_size": row.patch_size}
    made = with_values(METHODS[row.method].settings(row.method, "none"), sizes)
    with torch.device("meta"):
        return row.build(made.model, made.predictor).to("meta")


def step(objective: MaskedObjective) -> torch.Tensor:
    """A loss of one clip that has no values, only shapes."""
    config = objective.online.config
    (height, width), (bins, frames) = parse_size(config.patch_size), parse_size(config.input_size)
    tokens = config.grid[0] * config.grid[1]
    with torch.device("meta"):
        patches = torch.empty(1, tokens, height * width)
        mask = Mask(torch.zeros(1, tokens, dtype=torch.int64), objective.masking.visible(config.grid))
        latent = objective.latent(patches, mask)
        prediction = objective.predictor.hidden(latent, mask)
        loss = prediction.sum()
        if isinstance(objective, M2D):
            loss = loss + objective.raw_targets(patches, mask).sum()
        if isinstance(objective, M2DWithAuxLoss):
            loss = loss + objective.offline_predictor(objective.stacked(latent, prediction, mask)).sum()
        if isinstance(objective, M2DX) and objective.teacher is not None:
            loss = loss + objective.teacher.encoder.core(torch.empty(1, bins, frames)).frames.sum()
    return loss


def cost(objective: MaskedObjective) -> float:
    """Multiply-accumulates of forward and backward."""
    with FlopCounterMode(display=False) as counter:
        step(objective).backward()
    return counter.get_total_flops() / 2


def main() -> None:
    print("| method | input | patch | tokens | seen | parameters, M | trained, M | step, G |")
    print("|---|---|---|---|---|---|---|---|")
    for row in ROWS:
        objective = built(row)
        grid = objective.online.config.grid
        every = sum(value.numel() for value in objective.state_dict().values()) / 1e6
        trained = sum(p.numel() for p in objective.parameters() if p.requires_grad) / 1e6
        seen = objective.masking.visible(grid)
        print(
            f"| {row.method} | {row.input_size} | {row.patch_size} | {grid[0] * grid[1]} | {seen} "
            f"| {every:.1f} | {trained:.1f} | {cost(objective) / 1e9:.1f} |"
        )


if __name__ == "__main__":
    main()
