"""Settings of tagging: every value that changes an answer. This module does not import torch: ``--help`` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

PRECISIONS = ("auto", "float32", "bf16", "fp16")  # "auto" is float32: inference is exact unless asked otherwise
OLD_PRECISIONS = {"bfloat16": "bf16"}  # of the first edition
PRECISION_NAMES = {"auto": "float32"} | OLD_PRECISIONS
WHOLE_SECONDS = 120.0  # longer recordings are tagged in windows even when none were asked for, to bound memory
LONG_WINDOW = 10.0  # seconds; the length of the clips that AudioSet taggers were trained on


class TagOptions(TypedDict, total=False):
    """Keyword arguments of ``Tagger`` and ``auricle.tag``: the fields of TagSettings and EventSettings."""

    top_k: int
    window: float | None
    hop: float | None
    whole: float
    precision: str
    device: str
    batch_size: int
    workers: int
    threshold: float
    hysteresis: float
    median: int


@dataclass(frozen=True)
class EventSettings:
    """When a class counts as present, window by window."""

    threshold: float = option(0.3, "an event begins where a score reaches this (0 to 1)")
    hysteresis: float = option(
        0.6, "an event lasts while the score stays above this share of the threshold (0 to 1)", advanced=True
    )
    median: int = option(1, "median filter over this many windows, odd; 1: no filter", advanced=True)

    def __post_init__(self) -> None:
        if not (0 < self.threshold <= 1 and 0 < self.hysteresis <= 1):
            raise AuricleError(
                f"--threshold and --hysteresis lie above 0 and up to 1, got {self.threshold} and {self.hysteresis}"
            )
        if self.median < 1 or self.median % 2 == 0:
            raise AuricleError(f"--median is an odd number of windows, 1 or more, got {self.median}")

    @property
    def low(self) -> float:
        """The score below which an event ends."""
        return self.threshold * self.hysteresis


@dataclass(frozen=True)
class TagSettings:
    """How a recording is cut and scored, and how many labels are reported."""

    top_k: int = option(10, "number of labels per recording and window")
    window: float | None = option(
        None,
        f"seconds scored at a time, or none: the whole recording (windows of {LONG_WINDOW:.0f} s if it is long)",
        words={"none": None},
        old={0.0: None},
    )
    whole: float = option(
        WHOLE_SECONDS, "longest recording scored at once when no window is asked for, seconds", advanced=True
    )
    hop: float | None = option(
        None, "seconds between the starts of two windows, or auto: half a window", words={"auto": None}, old={0.0: None}
    )
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(8, "windows scored together", advanced=True)
    workers: int = option(2, "threads that decode audio; changes no number", advanced=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.window or None)  # 0 was "none" in the first edition
        object.__setattr__(self, "hop", self.hop or None)
        object.__setattr__(self, "precision", PRECISION_NAMES.get(self.precision, self.precision))
        check_choices(self)
        check_ranges(self, ("top_k", "batch_size", "workers"), 1)
        check_ranges(self, tuple(name for name in ("window", "hop") if getattr(self, name) is not None), 0)
        if not self.whole >= 0:  # infinity is allowed: never in windows
            raise AuricleError(f"--whole is seconds, 0 or more, got {self.whole}")
        if self.hop and not self.window:
            raise AuricleError("--hop is the distance between windows: give --window too")

    def window_samples(self, rate: int) -> tuple[int, int]:
        """Return the size and the hop of windows in samples at ``rate`` hertz.

        Raises:
            AuricleError: if one of them is less than a sample.
        """
        window = self.window or LONG_WINDOW
        size, hop = round(window * rate), round((self.hop or window / 2) * rate)
        if size < 1 or hop < 1:
            raise AuricleError(
                f"--window and --hop are a sample of {1 / rate:.2g} s at least, got {window} and {self.hop}"
            )
        return size, hop
