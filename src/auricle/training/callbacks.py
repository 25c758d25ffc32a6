"""Hooks by which others watch a run: loggers, evaluations, files of other programs, the card."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auricle.methods.base import TrainProgress
    from auricle.training.loop import Trainer


class Callback:
    """Hooks that a run calls on its main process, callback by callback in order. Every hook may be left out.

    ``trainer.objective`` is whole. With ``--parallel fsdp`` its weights are those of the moment in ``on_epoch_end``,
    ``on_save`` and ``on_end``; in ``on_log`` they may be older.

    decides_best: True if the callback calls ``Trainer.mark_best`` itself; the validation loss then decides nothing.
    """

    decides_best: bool = False

    def on_log(self, row: dict[str, Any]) -> None:
        """Receive a row of metrics.jsonl: ``kind`` (step, epoch, health, validation, evaluation), the position, values."""

    def on_epoch_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        """Run after the last micro-step of an epoch, before a checkpoint of it."""

    def on_save(self, trainer: Trainer, checkpoint: Path) -> None:
        """Run after a checkpoint was written."""

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        """Run at the end of the run, after the last checkpoint. A run that is stopped before comes here when it goes on."""
