"""What the thresholds of a detector are for. No torch here: ``--help`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, option

GOALS = ("auto", "f1", "precision", "false-alarms")
PRECISION = 0.9  # wanted where only the goal is named
FALSE_ALARMS = 1.0  # an hour, wanted where only the goal is named


@dataclass(frozen=True)
class ThresholdGoal:
    """For what the threshold of each class is chosen, on validation clips.

    Example:
        >>> ThresholdGoal(target_precision=0.95).chosen
        'precision'
    """

    threshold_for: str = option(
        "auto",
        "what each class's threshold is chosen for: f1: a balance of missed and false detections; precision: few of the "
        "detections are wrong; false-alarms: few an hour; auto: by the option below that is given, else f1",
        choices=GOALS,
    )
    target_precision: float | None = option(
        None, f"wanted share of detections that are right, above 0 and below 1 ({PRECISION})", special={"none": None}
    )
    false_alarms_per_hour: float | None = option(
        None,
        f"wanted number of false alarms of each class in an hour of background ({FALSE_ALARMS:g})",
        special={"none": None},
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if self.target_precision is not None and not 0 < self.target_precision < 1:
            raise AuricleError(f"--target-precision lies above 0 and below 1, not {self.target_precision}")
        if self.false_alarms_per_hour is not None and not 0 <= self.false_alarms_per_hour < float("inf"):
            raise AuricleError(f"--false-alarms-per-hour is a number from 0, not {self.false_alarms_per_hour}")
        given = {"precision": self.target_precision, "false-alarms": self.false_alarms_per_hour}
        options = {"precision": "--target-precision", "false-alarms": "--false-alarms-per-hour"}
        asked = [goal for goal, value in given.items() if value is not None]
        if len(asked) == 2:
            raise AuricleError("a threshold has one goal: give --target-precision or --false-alarms-per-hour, not both")
        if asked and self.threshold_for not in ("auto", asked[0]):
            raise AuricleError(f"{options[asked[0]]} needs --threshold-for {asked[0]}, not {self.threshold_for}")

    @property
    def chosen(self) -> str:
        """The goal: f1, precision or false-alarms."""
        if self.threshold_for != "auto":
            return self.threshold_for
        if self.target_precision is not None:
            return "precision"
        return "f1" if self.false_alarms_per_hour is None else "false-alarms"

    @property
    def wanted_precision(self) -> float:
        return PRECISION if self.target_precision is None else self.target_precision

    @property
    def wanted_rate(self) -> float:
        """False alarms of each class an hour."""
        return FALSE_ALARMS if self.false_alarms_per_hour is None else self.false_alarms_per_hour

    def in_words(self) -> str:
        """Return the goal as text."""
        if self.chosen == "precision":
            return f"a precision of {self.wanted_precision:g}"
        if self.chosen == "false-alarms":
            return f"at most {self.wanted_rate:g} false alarms of a class an hour"
        return "the best F1"
