"""How recordings are tagged: every setting that changes an answer. No PyTorch here: the command line reads this."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

PRECISIONS = ("float32", "bf16", "fp16")
WHOLE_SECONDS = 120.0  # longer recordings are heard in windows even when none were asked for, to bound memory
LONG_WINDOW = 10.0  # seconds; the length of the clips that AudioSet taggers were trained on


@dataclass(frozen=True)
class EventSettings:
    """When a class counts as present, window by window."""

    threshold: float = option(0.3, "an event begins where a score reaches this (0 to 1)")
    hysteresis: float = option(0.6, "and lasts while the score stays above this share of the threshold (0 to 1)")
    median: int = option(1, "median filter over this many windows, odd; 1: none")

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
    """How a recording is heard and how many labels are told."""

    top_k: int = option(10, "labels told per recording and window")
    window: float = option(
        0.0, f"seconds heard at a time; 0: the whole recording at once (above --whole: {LONG_WINDOW:.0f})"
    )
    whole: float = option(WHOLE_SECONDS, "longest recording heard at once when no window is asked for, seconds")
    hop: float = option(0.0, "seconds between the starts of two windows; 0: half a window")
    precision: str = option("float32", "numbers inside the network; fp16 is for GPUs", choices=PRECISIONS)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(8, "windows scored together")

    def samples(self, rate: int) -> tuple[int, int]:
        """Size and hop of windows; each at least a sample."""
        window = self.window or LONG_WINDOW
        size, hop = round(window * rate), round((self.hop or window / 2) * rate)
        if size < 1 or hop < 1:
            raise AuricleError(
                f"--window and --hop are a sample of {1 / rate:.2g} s at least, got {window} and {self.hop}"
            )
        return size, hop

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("top_k", "batch_size"), 1)
        check_ranges(self, ("window", "hop"), 0)
        if not self.whole >= 0:  # infinity is allowed: never in windows
            raise AuricleError(f"--whole is seconds, 0 or more, got {self.whole}")
        if self.hop and not self.window:
            raise AuricleError("--hop says how far windows are apart: give --window too")
