"""Health checks: warnings from what the loop measures anyway, each with what to try."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

EXPLODING = 10.0  # times the running median of the gradient norm
# Ratio of the targets' mean square that is the same for all tokens of a clip. The published M2D targets of a small encoder
# pass it while the loss falls below a tenth (LAB.md, small scale: 0.68 at the start, 0.82 after 200 updates, 0.84 after 250).
CLIP_RATIO = 0.8
LOW_RANK = 2.0
WAITING = 0.2  # of the time
REPEAT_AFTER = 10  # checks before a warning is repeated


@dataclass
class Health:
    """Checks one set of numbers after another and repeats no warning within ``REPEAT_AFTER`` checks."""

    norms: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    warned: dict[str, int] = field(default_factory=dict)  # kind of warning -> number of the check
    checks: int = 0

    def check(self, *, norm: float, waiting: float, log: dict[str, float]) -> list[str]:
        """Return new warnings.

        Args:
            norm: of the gradient, before clipping.
            waiting: ratio of the time spent waiting for data, 0 to 1.
            log: the objective's own numbers.
        """
        self.checks += 1
        warnings = [*self._norm_warnings(norm), *collapse_warnings(log), *waiting_warnings(waiting)]
        return [text for kind, text in warnings if self._is_new(kind)]

    def state(self) -> dict[str, Any]:
        """Return what a continued run needs to warn as if it had never stopped."""
        return {"norms": list(self.norms), "said": self.warned, "looks": self.checks}

    def restore(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint."""
        self.norms.extend(state["norms"])
        self.warned, self.checks = state["said"], state["looks"]

    def _norm_warnings(self, norm: float) -> list[tuple[str, str]]:
        usual = sorted(self.norms)[len(self.norms) // 2] if len(self.norms) >= 10 else math.inf
        self.norms.append(norm)
        if norm <= EXPLODING * usual:
            return []
        text = f"the gradient norm is exploding: {norm:.3g}, usually {usual:.3g}; try a lower --lr or --clip-grad, a longer warm-up"
        return [("gradient", text)]

    def _is_new(self, kind: str) -> bool:
        fresh = self.checks - self.warned.get(kind, -REPEAT_AFTER) >= REPEAT_AFTER
        if fresh:
            self.warned[kind] = self.checks
        return fresh


def collapse_warnings(log: dict[str, float]) -> list[tuple[str, str]]:
    """Return warnings from the ratios of ``methods.m2d.targets.target_statistics``."""
    warnings, constant = [], log.get("target_constant", 0.0)
    if (same := constant + log.get("target_clip", 0.0)) > CLIP_RATIO:
        text = (
            f"the targets are collapsing to a constant of the clip: {same:.0%} of their mean square is the same for all of a "
            f"clip's tokens ({constant:.0%} for all clips too), so the predictor only has to recognise the clip, or its loudness; "
            "try --centring position-clip, a faster teacher (lower --ema-decay), msm-mae, or crops without silence"
        )
        warnings.append(("clip", text))
    if log.get("target_rank", math.inf) < LOW_RANK:
        warnings.append(
            ("rank", f"the targets fill only {log['target_rank']:.1f} directions (effective rank): they are collapsing")
        )
    return warnings


def waiting_warnings(ratio: float) -> list[tuple[str, str]]:
    """Return a warning if much of the time is spent waiting for data."""
    if ratio <= WAITING:
        return []
    remedy = "raise --workers, or prepare the data as log-mel files ('auricle prepare')"
    return [("waiting", f"{ratio:.0%} of the time is spent waiting for data; {remedy}")]
