"""``auricle prepare hear``: labelled recordings as a task folder in HEAR's format."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.options import argument, option

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.stores.conversion import ConversionFailure


@dataclass(frozen=True)
class HearTaskConfig:
    """Which clips become a task folder, and how."""

    source: str = argument("folder of audio, or manifest")
    out: str = option(help="the task folder; HEAR names it TASK-VERSION-MODE")
    labels: str | None = option(None, "table of labels, joined by id or file name", special={"none": None})
    label_column: str | None = option(
        None, "column of the labels, where it has an unusual name", special={"none": None}
    )
    split_by: str = option("auto", "folds, split, groups, drawn or auto: what the table has")
    rates: tuple[int, ...] = option((16000, 32000, 48000), "sample rates that the audio is written at, in hertz")
    seconds: float | None = option(
        None, "cut or zero-pad every clip to this many seconds, or none: whole clips", special={"none": None}
    )
    name: str | None = option(None, "name of the task (default: the folder's, up to the first hyphen)")
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        if not self.rates or any(rate < 1000 for rate in self.rates):
            raise AuricleError(f"--rates are sample rates in hertz, such as 16000, got {list(self.rates)}")
        if self.seconds is not None and not self.seconds > 0:
            raise AuricleError(f"--seconds must be positive, or none for whole clips; got {self.seconds}")


@dataclass(frozen=True)
class HearTaskResult:
    """Clips that were written (``done``), clips that failed and why, seconds of work.

    ``out``: the folder; ``skipped``: always 0, because labels are written anew.
    """

    out: Path
    done: int
    failed: list[ConversionFailure]
    seconds: float
    skipped: int = 0


def prepare_hear(config: HearTaskConfig, on_read: Callable[[Manifest], None] | None = None) -> HearTaskResult:
    """Write a task folder in HEAR's format.

    Args:
        config: What is written, and where.
        on_read: Called with the manifest when it was read.

    Returns:
        How many clips were written, and those that could not be read.

    Raises:
        AuricleError: The clips have no labels, or cannot be split.
    """
    from auricle.core.console import progress_bar
    from auricle.core.io import make_folder, path_of
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.evaluation.splits import make_splits
    from auricle.evaluation.suites.hear.write import write_hear_folder
    from auricle.evaluation.targets import ClassTargets, labelled, targets_of
    from auricle.evaluation.tasks import Task

    start = time.perf_counter()
    task = Task(config.source, labels=config.labels, label_column=config.label_column)
    clips = task.manifest()
    if on_read is not None:
        on_read(clips)
    clips = labelled(clips)
    targets = targets_of(clips)
    if not isinstance(targets, ClassTargets):
        raise AuricleError(
            f"a task folder needs labels of clips or events, and this source is of kind '{targets.kind}'"
        )
    splits = make_splits(clips, targets, config.split_by)
    out = path_of(config.out)
    make_folder(out)
    with progress_bar(total=len(clips), what="write", quiet=config.quiet) as bar:
        failed = write_hear_folder(
            clips,
            splits,
            out,
            classes=targets.classes,
            rates=config.rates,
            seconds=config.seconds,
            multilabel=targets.multilabel,
            name=config.name or out.name.partition("-")[0],
            on_clip=lambda: bar.update(1),
        )
    failures = [ConversionFailure(id, str(clips[id].path), reason) for id, reason in failed.items()]
    return HearTaskResult(out, len(clips) - len(failed), failures, time.perf_counter() - start)
