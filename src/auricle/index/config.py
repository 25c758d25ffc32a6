"""Settings of ``auricle index``. No torch here: ``--help`` reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from auricle.core.errors import AuricleError
from auricle.core.executors.config import ExecutorSettings
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text
from auricle.inference.config import OLD_PRECISIONS, PRECISION_NAMES, PRECISIONS

VECTOR_DTYPES = ("float32", "float16", "int8")
WINDOW = 5.0  # seconds: long enough to know a sound by, short enough to hold one


@dataclass(frozen=True)
class IndexConfig:
    """Which recordings go into which index, with which model. What is None is as the index has it, or has a default."""

    source: tuple[str, ...] = argument("audio files or folders; with --status: indexes", many=True)
    out: str = option("", "folder of the index; made, or updated")
    model: str = option(
        "", "encoder or tagger: a published name, a weight file or a run folder; an index knows its own"
    )
    weights: str | None = option(None, "local weight file of a published name")
    window: float | None = option(
        None, f"seconds of a window, or auto: as the index has it, {WINDOW:g} in a new one", special={"auto": None}
    )
    hop: float | None = option(
        None,
        "seconds between the starts of two windows, or auto: as the index has it, half a window in a new one",
        special={"auto": None},
    )
    dtype: str | None = option(
        None,
        "numbers of the stored vectors, or auto: as the index has it, float32 in a new one",
        choices=VECTOR_DTYPES,
        special={"auto": None},
    )
    min_score: float | None = option(
        None,
        "least score of a class that is kept (0 to 1), or auto: as the index has it, 0.05 in a new one",
        special={"auto": None},
    )
    recorders: str | None = option(
        None, "table of recordings: path or pattern, recorder, place, began, latitude, longitude; none: from file names"
    )
    keep_deleted: bool = option(False, "keep what is known of recordings whose files are gone")
    status: bool = option(False, "only print what is in the index")
    strict: bool = option(
        False, "refuse files whose header does not declare the length of what is there", advanced=True
    )
    precision: str = option(
        "float32", "arithmetic inside the network; fp16 is for GPUs", choices=PRECISIONS, old=OLD_PRECISIONS
    )
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one")
    batch_size: int = option(16, "windows encoded together", advanced=True)
    workers: int = option(2, "threads that decode audio; does not change the results", advanced=True)
    corpus: ExecutorSettings = field(default_factory=ExecutorSettings)

    def __post_init__(self) -> None:
        source = (self.source,) if isinstance(self.source, (str, os.PathLike)) else tuple(self.source)
        object.__setattr__(self, "source", source)
        paths_as_text(self)
        object.__setattr__(self, "precision", PRECISION_NAMES.get(self.precision, self.precision))
        check_choices(self)
        check_ranges(self, ("batch_size", "workers"), 1)
        check_ranges(self, ("min_score",), 0, 1)
        for name in ("window", "hop"):
            seconds = getattr(self, name)
            if seconds is not None and not 0 < seconds < float("inf"):
                raise AuricleError(f"--{name} is seconds above 0, got {seconds}")
        if self.status and self.out:
            raise AuricleError("--status prints what is in an index: auricle index INDEX --status, without --out")
        if not self.status and not self.out:
            raise AuricleError(
                "name the folder of the index with --out; auricle index INDEX --status prints what is in one"
            )
