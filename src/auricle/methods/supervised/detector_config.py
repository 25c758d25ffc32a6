"""Settings of how a detector is made of labels: which ways of learning are tried, and what its thresholds are for. No PyTorch."""

from __future__ import annotations

import os
from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.metrics.threshold_goal import ThresholdGoal

WAYS = ("auto", "probe", "head", "full")
FROZEN_HEADS = ("linear", "prototype", "gated-layers", "attentive")  # from the simplest on
FROZEN_OPTIONS = {
    "method", "source", "out", "model", "weights", "valid", "test", "how", "heads", "autotune", "calibrate", "labels",
    "label_column", "group_column", "classes", "kind", "level", "background", "negatives", "unlabelled", "fold", "valid_ratio",
    "seconds", "metric", "extra_metrics", "seed", "device", "precision", "workers", "threshold_for", "target_precision",
    "false_alarms_per_hour", "from_run",
}  # fmt: skip  # what frozen heads follow; every other option is about training the whole network


@dataclass(frozen=True)
class DetectorConfig:
    """How a detector is made of labelled recordings."""

    how: str = option(
        "auto",
        "what learns. probe: a linear layer on the frozen encoder; head: the best of several heads on the frozen encoder, in "
        "seconds; full: the whole network is trained, from a fitted head where no option of training is typed; auto: head, and the "
        "whole network beside it where the clips are enough; full where an option of training is typed or a recipe named",
        choices=WAYS,
    )
    heads: tuple[str, ...] = option(
        (),
        f"frozen heads to try, of {', '.join(FROZEN_HEADS)}; none: all but attentive, which passes the clips through the "
        "encoder once more and is tried with --autotune",
        advanced=True,
    )
    autotune: float | None = option(
        None,
        "minutes in which more settings of the heads are tried, and the whole network if it is done by then",
        special={"none": None},
    )
    from_run: str | None = option(
        None,
        "run folder of a detector on a frozen encoder that grows: its clips, of which the features are kept, and the new ones "
        "are learnt together; its encoder takes the place of --model",
        flag="from",
        special={"none": None},
    )
    goal: ThresholdGoal = option(factory=ThresholdGoal)
    calibrate: str = option(
        "auto",
        "fit calibration and thresholds on clips that were not learnt from; auto: on, but off with --recipe",
        choices=("auto", "on", "off"),
        advanced=True,
    )

    def __post_init__(self) -> None:
        if self.from_run is not None:
            object.__setattr__(self, "from_run", os.fsdecode(self.from_run))
        check_choices(self)
        check_ranges(self, ("autotune",), 0)
        for head in self.heads:
            if head not in FROZEN_HEADS:
                raise AuricleError(f"--heads are of {', '.join(FROZEN_HEADS)}, not '{head}'")


@dataclass(frozen=True)
class NoDetector:
    """In place of ``DetectorConfig`` in the settings of a method that makes no detectors: it has no options."""
