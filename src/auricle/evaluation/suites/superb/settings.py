"""SUPERB's tasks and the published settings of their heads. No PyTorch here.

Source: [evaluation 6.2](docs/specification/evaluation.md#s6-2) to [6.4](docs/specification/evaluation.md#s6-4),
[mae_ast 11](docs/specification/mae_ast.md#s11). Three recipes: ``superb`` (SUPERB's own: a frozen encoder, a learnt sum of its
layers), ``m2d`` (M2D's learning rates and statistics of each task) and ``mae-ast`` (the encoder is trained too).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from auricle.core.errors import AuricleError, nearest

CHECKS = 40  # measurements of the validation part in a run; SUPERB has one each 500 to 5,000 steps


@dataclass(frozen=True)
class HeadSettings:
    """How the head of a task is trained.

    Attributes:
        kind: "classes", "slots", "phones" or "speakers".
        steps: Updates.
        batch_size: Clips per batch.
        accumulate: Batches per update.
        lr: Learning rate.
        metric: Name of the metric.
        balanced: Draw classes equally often in training and validation.
        crop: The most samples at 16 kHz of a training clip, cut at random; 0: whole clips.
        clip_norm: The largest norm of the gradients; an update whose norm is NaN is left out.
        check_every: Updates between two measurements of the validation part.
        last_layer: Read the last hidden state alone; else a learnt sum of the layers.
        train_encoder: Train the encoder too.
        stats: Mean and deviation of the task's data, for encoders of ``stats_family``; None: the encoder's own.
        stats_family: Family of encoders that take ``stats``.
    """

    kind: str
    steps: int
    batch_size: int
    accumulate: int = 1
    lr: float = 1e-4
    metric: str = "accuracy"
    balanced: bool = False
    crop: int = 0
    clip_norm: float = 1.0
    check_every: int = 0
    last_layer: bool = False
    train_encoder: bool = False
    stats: tuple[float, float] | None = None
    stats_family: str = ""

    @property
    def checks(self) -> int:
        """Updates between two measurements of the validation part."""
        return self.check_every or max(1, self.steps // CHECKS)


SUPERB = {
    "KS": HeadSettings("classes", 200_000, 32, balanced=True),
    "IC": HeadSettings("slots", 200_000, 32),
    "SID": HeadSettings("classes", 200_000, 8, 4, crop=128_000),
    "ER": HeadSettings("classes", 30_000, 4, 8),
    "PR": HeadSettings("phones", 100_000, 16, 2, lr=1e-2, metric="token_error_rate"),
    "ASV": HeadSettings(
        "speakers", 200_000, 10, 5, metric="equal_error_rate", crop=128_000, clip_norm=1e3, check_every=10_000
    ),
}
M2D = {
    "KS": (1e-4, (-11.506255149841309, 4.314857482910156)),
    "IC": (1e-3, (-13.017439842224121, 4.417759895324707)),
    "SID": (1e-3, (-10.571271, 4.3681135)),
    "ER": (1e-5, (-13.037399291992188, 3.619741439819336)),
    "PR": (1e-3, (-10.43253231048584, 4.241369724273682)),
    "ASV": (5e-5, (-11.070931, 4.1807961)),
}
MAE_AST: dict[str, dict[str, Any]] = {
    "KS": {"steps": 10_000, "batch_size": 512, "lr": 1e-5, "last_layer": True, "check_every": 100},
    "SID": {"steps": 60_000, "batch_size": 4, "accumulate": 4, "check_every": 500},
    "ER": {"steps": 3_000, "batch_size": 6, "accumulate": 5, "last_layer": True, "check_every": 150},
}
RECIPES = {
    "superb": SUPERB,
    "m2d": {name: replace(SUPERB[name], lr=lr, stats=stats, stats_family="m2d") for name, (lr, stats) in M2D.items()},
    "mae-ast": {name: replace(SUPERB[name], **changes, train_encoder=True) for name, changes in MAE_AST.items()},
}


def head_settings(task: str, recipe: str = "superb") -> HeadSettings:
    """Return the settings of a task.

    Args:
        task: KS, IC, SID, ER, PR or ASV.
        recipe: "superb", "m2d" or "mae-ast".

    Raises:
        AuricleError: There is no such recipe, or it has no such task.
    """
    if recipe not in RECIPES:
        raise AuricleError(f"unknown recipe '{recipe}'{nearest(recipe, tuple(RECIPES))}; known: {', '.join(RECIPES)}")
    known = RECIPES[recipe]
    if task not in known:
        raise AuricleError(f"the recipe {recipe} has no task '{task}'{nearest(task, tuple(known))}; {', '.join(known)}")
    return known[task]
