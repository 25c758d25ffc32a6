"""What a run says while it goes: JSON lines always, TensorBoard and Weights & Biases where asked for."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.progress import progress_bar as bar
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig

# The progress line of a run: loss, rate, time left, share of time waiting for data, and what is wrong in words.


class Console:
    def __init__(self, steps: int, *, quiet: bool = False):
        self.bar = bar(total=steps, what="pretrain", unit="step", quiet=quiet)
        self.quiet = quiet
        self.smooth: float | None = None

    def update(self, progress_bar: TrainProgress, values: dict[str, float], rate: float, waiting: float) -> None:
        if self.bar.n == 0 and progress_bar.step:
            self.bar.initial = progress_bar.step  # a continued run: the estimate of the time left counts from here
        loss = values["loss"]
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.set_postfix_str(
            f"epoch {progress_bar.epoch:.2f}, loss {self.smooth:.4f}, lr {rate:.2e}, data wait {waiting:.0%}",
            refresh=False,
        )
        self.bar.update(progress_bar.step + 1 - self.bar.n)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.bar.write(text, file=self.bar.fp)

    def close(self) -> None:
        self.bar.close()


class MetricsLog:
    """``metrics.jsonl``: one object a line, each with its ``kind`` (step, epoch, health, evaluation) and ``micro_step``."""

    def __init__(self, path: Path, sinks: tuple[Any, ...] = ()):
        self.path, self.sinks = path, sinks
        self.path.touch()

    def write(self, row: dict[str, Any]) -> None:
        try:
            with open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise AuricleError(f"cannot write {self.path}: {error.strerror}; the last saved state is intact") from error
        for sink in self.sinks:
            sink.write(row)

    def end(self) -> None:
        """The run is over: nothing more is written."""
        for sink in self.sinks:
            sink.end()

    def size(self) -> int:
        return self.path.stat().st_size

    def cut(self, size: int) -> None:
        """Forget what was logged after a state: a continued run writes it again."""
        if self.size() > size:
            os.truncate(self.path, size)


def read_log(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """All rows of a log, or those of one kind; a half-written last line is left out."""
    rows = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return [row for row in rows if isinstance(row, dict) and kind in (None, row.get("kind"))]


def _scalars(row: dict[str, Any]) -> dict[str, float]:
    return {k: v for k, v in row.items() if isinstance(v, (int, float)) and k != "micro_step"}


class TensorBoardSink:
    def __init__(self, folder: Path):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("TensorBoard logging", "train") from error
        self.writer = SummaryWriter(str(folder))

    def write(self, row: dict[str, Any]) -> None:
        for name, value in _scalars(row).items():
            self.writer.add_scalar(f"{row['kind']}/{name}", value, row["micro_step"])
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


class WandbSink:
    def __init__(self, project: str, folder: Path):
        try:
            import wandb
        except ImportError as error:
            raise AuricleError("--wandb needs the package wandb: pip install wandb") from error
        self.run = wandb.init(project=project, dir=str(folder), resume="allow", id=folder.name)

    def write(self, row: dict[str, Any]) -> None:
        self.run.log({f"{row['kind']}/{k}": v for k, v in _scalars(row).items()}, step=row["micro_step"])

    def end(self) -> None:
        self.run.finish()


def sinks_of(config: TrainConfig, folder: Path) -> tuple[Any, ...]:
    """The sinks that ``config`` asks for. Raises AuricleError (with the install line) where one is not installed."""
    sinks: list[Any] = [TensorBoardSink(folder / "tensorboard")] if config.tensorboard else []
    return (*sinks, WandbSink(config.wandb, folder)) if config.wandb else tuple(sinks)
