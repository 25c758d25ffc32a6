"""Settings of embedding and of tagging: every value that changes an answer. No torch here: ``--help`` reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypedDict

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

# ---- tagging

PRECISIONS = ("auto", "float32", "bf16", "fp16")  # "auto" is float32: inference is exact unless asked otherwise
OLD_PRECISIONS = {"bfloat16": "bf16"}  # of the first edition
PRECISION_NAMES = {"auto": "float32"} | OLD_PRECISIONS
WHOLE_SECONDS = 120.0  # longer recordings are tagged in windows even when none were asked for, to bound memory
EVENT_THRESHOLD = 0.3  # of taggers without thresholds of their own
ROUNDING = 1e-6  # of a number of windows
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
    level: str
    only: Sequence[str]
    min_score: float
    strict: bool
    threshold: float | None
    hysteresis: float
    median: int | None


@dataclass(frozen=True)
class EventSettings:
    """When a class counts as present, window by window."""

    threshold: float | None = option(
        None,
        f"an event begins where a score reaches this (0 to 1); auto: each class's own threshold where the tagger has them, "
        f"else {EVENT_THRESHOLD}",
        special={"auto": None},
    )
    hysteresis: float = option(
        0.6, "an event lasts while the score stays above this share of the threshold (0 to 1)", advanced=True
    )
    median: int | None = option(
        None,
        "median filter over this many windows, odd; 1: no filter; auto: about those that hold one moment (window / hop), so that "
        "an event is what more than half of them find",
        special={"auto": None},
        advanced=True,
    )

    def __post_init__(self) -> None:
        if not (0 < self.high <= 1 and 0 < self.hysteresis <= 1):
            raise AuricleError(
                f"--threshold and --hysteresis lie above 0 and up to 1, got {self.high} and {self.hysteresis}"
            )
        if self.median is not None and (self.median < 1 or self.median % 2 == 0):
            raise AuricleError(f"--median is an odd number of windows, 1 or more, got {self.median}")

    def with_median(self, window: float, hop: float) -> EventSettings:
        """Return the settings with the number of windows of ``median`` for windows of this length and distance."""
        overlapping = int(window / hop + ROUNDING)
        return self if self.median is not None else replace(self, median=overlapping // 2 * 2 + 1)

    @property
    def high(self) -> float:
        """The score at which an event begins, of classes without a threshold of their own."""
        return EVENT_THRESHOLD if self.threshold is None else self.threshold


@dataclass(frozen=True)
class TagSettings:
    """How a recording is cut and scored, and how many labels are reported."""

    top_k: int = option(10, "number of labels per recording and window")
    window: float | None = option(
        None,
        f"seconds scored at a time, or none: the whole recording (windows of {LONG_WINDOW:.0f} s if it is long)",
        special={"none": None},
        old={0.0: None},
    )
    whole: float = option(
        WHOLE_SECONDS, "longest recording that is scored at once without --window, in seconds", advanced=True
    )
    hop: float | None = option(
        None,
        "seconds between the starts of two windows, or auto: half a window",
        special={"auto": None},
        old={0.0: None},
    )
    level: str = option(
        "auto",
        "what events are found in: clip: scores of windows; frames: scores of the frames in them, which are finer in time; "
        "auto: frames for a run that was trained with --level frames",
        choices=("auto", "clip", "frames"),
        advanced=True,
    )
    only: tuple[str, ...] = option((), "labels (or class ids) to report, and no others")
    min_score: float = option(0.0, "least score of a label or event that is reported (0 to 1)")
    strict: bool = option(
        False,
        "refuse files whose header does not declare the length of what is there (a recorder that stopped)",
        advanced=True,
    )
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(8, "windows scored together", advanced=True)
    workers: int = option(2, "threads that decode audio; does not change the results", advanced=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.window or None)  # 0 was "none" in the first edition
        object.__setattr__(self, "hop", self.hop or None)
        object.__setattr__(self, "precision", PRECISION_NAMES.get(self.precision, self.precision))
        check_choices(self)
        object.__setattr__(self, "only", (self.only,) if isinstance(self.only, str) else tuple(self.only))
        check_ranges(self, ("top_k", "batch_size", "workers"), 1)
        if not 0 <= self.min_score <= 1:
            raise AuricleError(f"--min-score lies between 0 and 1, got {self.min_score}")
        check_ranges(self, tuple(name for name in ("window", "hop") if getattr(self, name) is not None), 0)
        if not self.whole >= 0:  # infinity is allowed: never in windows
            raise AuricleError(f"--whole is seconds, 0 or more, got {self.whole}")
        if self.hop and not self.window:
            raise AuricleError("--hop is the distance between windows: give --window too")

    @property
    def window_seconds(self) -> tuple[float, float]:
        """Length and distance of windows in seconds."""
        window = self.window or LONG_WINDOW
        return window, self.hop or window / 2

    def window_samples(self, rate: int) -> tuple[int, int]:
        """Return the size and the hop of windows in samples at ``rate`` hertz.

        Raises:
            AuricleError: if one of them is less than a sample.
        """
        window, distance = self.window_seconds
        size, hop = round(window * rate), round(distance * rate)
        if size < 1 or hop < 1:
            raise AuricleError(
                f"--window and --hop are a sample of {1 / rate:.2g} s at least, got {window} and {self.hop}"
            )
        return size, hop


LEVELS = ("clip", "frames")
CROPS = ("start", "random")
PADDINGS = ("exact", "published")
POOLINGS = ("clip", "mean", "mean_std", "max", "mean_max")
STORED_PRECISIONS = {"bf16": "bfloat16"}  # as the first edition wrote it into cache keys and index files


# ---- embedding
class EmbedOptions(TypedDict, total=False):
    """Keyword arguments of ``Embedder`` and ``auricle.embed``: the fields of EmbedSettings."""

    layers: Sequence[int | str] | int | str | None
    pooling: str
    padding: str
    precision: str
    device: str
    batch_size: int
    workers: int
    seconds: float | None
    crop: str
    crop_seed: int
    strict: bool


@dataclass(frozen=True)
class EncodeSettings:
    """How the audio of a clip becomes a vector. The defaults: the encoder's own clip embedding, float32."""

    layers: tuple[str, ...] = option(
        (),
        "pool these blocks and join them: 0-based, negatives count from the last, or 'all'; none: the encoder's output",
    )
    pooling: str = option(
        "clip",
        "over time: clip (the encoder's own), mean, mean_std (n-1), max, mean_max (mean + max)",
        choices=POOLINGS,
    )
    padding: str = option(
        "exact", "exact: each clip as if alone; published: as the original's batches", choices=PADDINGS, advanced=True
    )
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(
        16,
        "most clips encoded together; changes numbers only by rounding, except with padding published",
        advanced=True,
    )
    workers: int = option(2, "threads that decode audio; does not change the results", advanced=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", PRECISION_NAMES.get(self.precision, self.precision))
        check_choices(self)
        check_ranges(self, ("batch_size", "workers"), 1)

    def block_indices(self, depth: int) -> tuple[int, ...]:
        """Return the chosen blocks as indices from 0; empty for the encoder's own output.

        Args:
            depth: number of blocks of the encoder.
        """
        if tuple(self.layers) == ("all",):
            return tuple(range(depth))
        try:
            indices = [int(layer) for layer in self.layers]
        except ValueError:
            raise AuricleError(
                f"--layers takes block indices or 'all', got {' '.join(map(str, self.layers))}"
            ) from None
        if any(not -depth <= i < depth for i in indices):
            raise AuricleError(
                f"--layers {' '.join(map(str, indices))}: this encoder has {depth} blocks, 0 to {depth - 1}"
            )
        return tuple(dict.fromkeys(i % depth for i in indices))

    def numbers(self) -> dict[str, Any]:
        """Return what changes a number, layers aside, as JSON values: part of the key of the embedding cache."""
        batch = {"batch_size": self.batch_size} if self.padding == "published" else {}
        precision = STORED_PRECISIONS.get(self.precision, self.precision)
        return {"pooling": self.pooling, "padding": self.padding, "precision": precision, **batch}


@dataclass(frozen=True)
class EmbedSettings(EncodeSettings):
    """EncodeSettings, and which part of each clip is read. The default: all of it."""

    seconds: float | None = option(
        None,
        "cut every clip to this many seconds, zero-padding shorter ones at the end, or none: the whole clip",
        special={"none": None},
        old={0.0: None},
    )
    crop: str = option(
        "start", "part that is read: the start, or a random one drawn with the clip's id", choices=CROPS, advanced=True
    )
    crop_seed: int = option(0, "seed of the random parts", advanced=True)
    strict: bool = option(
        False, "refuse files whose header does not declare the length of what is there (a recorder that stopped)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "seconds", self.seconds or None)  # 0 was "none" in the first edition
        if self.seconds is not None and not 0 < self.seconds < float("inf"):
            raise AuricleError(f"--seconds must be positive (or none for whole clips), got {self.seconds}")

    def numbers(self) -> dict[str, Any]:
        seconds = self.seconds or 0.0  # as the first edition stored "none"
        crop = {"crop": self.crop, "crop_seed": self.crop_seed if self.crop == "random" else 0} if seconds else {}
        return {**super().numbers(), "seconds": float(seconds), **crop}


def layer_texts(layers: Sequence[int | str] | int | str | None) -> tuple[str, ...]:
    """Return block indices as the settings hold them: (5, -1) -> ("5", "-1"), 5 -> ("5",), "all" -> ("all",)."""
    if isinstance(layers, (int, str)):
        return (str(layers),)
    return tuple(str(i) for i in layers or ())
