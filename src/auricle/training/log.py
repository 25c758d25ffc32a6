"""The log of a run: JSON lines always, a progress line, TensorBoard and Weights & Biases where asked for."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from auricle.core.console import number_of, progress_bar
from auricle.core.errors import AuricleError, MissingExtra
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig
from auricle.training.callbacks import Callback

POSITION = ("step", "epoch")  # of a row in the run
SMOOTHING = 0.95  # of the loss that the progress line shows


class MetricsLog:
    """``metrics.jsonl``: one object a line, each with its ``kind`` (step, epoch, health, …) and position."""

    def __init__(self, path: Path, callbacks: Sequence[Callback] = ()):
        self.path, self.callbacks = path, callbacks
        self.path.touch()

    def write(self, row: dict[str, Any]) -> None:
        """Append a row and pass it to the callbacks. Raises AuricleError if the disk is full."""
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise AuricleError(f"cannot write {self.path}: {error.strerror}; the last checkpoint is intact") from error
        for callback in self.callbacks:
            callback.on_log(row)

    def size(self) -> int:
        return self.path.stat().st_size

    def truncate(self, size: int) -> None:
        """Remove what was logged after a checkpoint: a continued run logs it again."""
        if self.size() > size:
            os.truncate(self.path, size)


def read_log(path: Path | str, kind: str | None = None) -> list[dict[str, Any]]:
    """Return all rows of a log, or those of one kind; damaged lines, such as a half-written last one, are left out."""
    path, rows = Path(path), []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError):
            continue
    return [row for row in rows if _is_row(row) and kind in (None, row.get("kind"))]


def _is_row(row: Any) -> bool:
    """Return True for a mapping with a kind and a position in numbers; what health checks wrote is a list."""
    if not isinstance(row, dict) or not isinstance(row.get("kind"), str) or not isinstance(row.get("words", []), list):
        return False
    return all(isinstance(row.get(name), (int, float)) and math.isfinite(row[name]) for name in POSITION)


@dataclass(frozen=True)
class LossChange:
    """How the loss moved, as the terminal, the card and the report state it.

    first     of the first logged weight update
    last      mean of the last ``averaged`` logged ones: a single batch is noise
    averaged  5 to 50 rows, a tenth of the log; at most half of it
    steady    True if the loss moved less than its own noise, or by less than 1 %
    """

    first: float
    last: float
    averaged: int
    steady: bool

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> LossChange | None:
        """Read the rows of kind "step"; None where no finite loss was logged."""
        losses = [row["loss"] for row in rows if isinstance(row.get("loss"), float) and math.isfinite(row["loss"])]
        if not losses:
            return None
        averaged = max(1, min(50, max(5, len(losses) // 10), len(losses) // 2))
        end = losses[-averaged:]
        first, last = losses[0], fmean(end)
        noise = 2 * stdev(end) / math.sqrt(averaged) if averaged > 1 else 0.0
        return cls(first, last, averaged, abs(first - last) <= max(0.01 * abs(first), noise))

    def sentence(self, length: str) -> str:
        """Write a sentence. ``length``: of the run, "20 epochs"."""
        mean = f" (mean of the last {self.averaged} logged updates)" if self.averaged > 1 else ""
        if self.steady:
            return f"The loss is {self.last:.3g}{mean}; it hardly changed from {self.first:.3g} in {length}."
        moved = "fell" if self.last < self.first else "rose"
        return f"Over {length} the loss {moved} from {self.first:.3g} at the first update to {self.last:.3g}{mean}."


def length_of_run(epochs: float) -> str:
    """Write "20 epochs", "3.28 epochs" or "1 epoch"."""
    number = f"{epochs:.2f}".rstrip("0").rstrip(".")
    return f"{number} epoch{'s' * (number != '1')}"


def updates_and_epochs(steps: int, epochs: float) -> str:
    """Write "1 weight update, 2 epochs"."""
    return f"{number_of(steps, 'weight update')}, {length_of_run(epochs)}"


class Console:
    """The progress line: epoch, loss, learning rate, ratio of time waiting for data, time left; and messages above it."""

    def __init__(self, steps: int, *, verb: str = "pretrain", quiet: bool = False):
        self.bar = progress_bar(total=steps, what=verb, unit="step", quiet=quiet)
        self.quiet = quiet
        self.smooth_loss: float | None = None

    def update(self, progress: TrainProgress, values: dict[str, float], lr: float, waiting: float) -> None:
        """Show the position and numbers of a weight update; ``waiting``: ratio of the time spent waiting for data."""
        if self.bar.n == 0 and progress.step:
            self.bar.initial = progress.step  # a continued run: the time left is estimated from here
        loss, smooth = values["loss"], self.smooth_loss
        self.smooth_loss = loss if smooth is None else SMOOTHING * smooth + (1 - SMOOTHING) * loss
        self.bar.set_postfix_str(
            f"epoch {progress.epoch:.2f}, loss {self.smooth_loss:.4f}, lr {lr:.2e}, data wait {waiting:.0%}",
            refresh=False,
        )
        self.bar.update(progress.step + 1 - self.bar.n)

    def log(self, text: str) -> None:
        """Print a message above the progress line."""
        if not self.quiet:
            self.bar.write(text, file=self.bar.fp)

    def close(self) -> None:
        self.bar.close()


class TensorBoardLogger(Callback):
    """Write the numbers of every row as TensorBoard scalars. Raises MissingExtra if TensorBoard is not installed."""

    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("TensorBoard logging", "train") from error
        self.writer = SummaryWriter(str(folder))

    def on_log(self, row: dict[str, Any]) -> None:
        for name, value in _scalars(row).items():
            self.writer.add_scalar(f"{row['kind']}/{name}", value, row["micro_step"])
        self.writer.flush()

    def on_end(self, trainer: Any, progress: TrainProgress) -> None:
        self.writer.close()


def import_wandb() -> Any:
    """Return the package wandb. Raises AuricleError if it is not installed."""
    try:
        import wandb
    except ImportError as error:
        raise AuricleError("--wandb needs the package wandb: pip install wandb") from error
    return wandb


class WandbLogger(Callback):
    """Log the numbers of every row to Weights & Biases. Raises AuricleError if wandb is not installed."""

    def __init__(self, project: str, folder: Path):
        self.run = import_wandb().init(project=project, dir=str(folder), resume="allow", id=folder.name)

    def on_log(self, row: dict[str, Any]) -> None:
        self.run.log({f"{row['kind']}/{k}": v for k, v in _scalars(row).items()}, step=row["micro_step"])

    def on_end(self, trainer: Any, progress: TrainProgress) -> None:
        self.run.finish()


def _scalars(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, (int, float)) and k != "micro_step"}


def make_loggers(config: TrainConfig, folder: Path) -> list[Callback]:
    """Return the loggers that the settings ask for. Raises AuricleError (with the install line) if one is missing."""
    loggers: list[Callback] = [TensorBoardLogger(folder / "tensorboard")] if config.tensorboard else []
    return [*loggers, WandbLogger(config.wandb, folder)] if config.wandb else loggers
