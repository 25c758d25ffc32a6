"""The encoders that a run keeps as weight files: the last, the best, and those of chosen epochs and weight updates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.hub.files import save_encoder
from auricle.hub.run import RunFolder
from auricle.objectives.base import Objective, Progress
from auricle.training.config import TrainConfig

UPDATE = "encoder-update"


@dataclass(frozen=True)
class KeptEncoders:
    """Of one objective in one run. ``first``: this is rank 0, the only one that writes."""

    objective: Objective
    run: RunFolder
    config: TrainConfig
    first: bool
    data_key: str

    def due(self, step: int) -> bool:
        """Is the encoder of this weight update to be kept?"""
        every = self.config.save_interval_updates
        return every > 0 and step % every == 0

    def of_update(self, progress: Progress) -> None:
        """``encoder-update<k>.safetensors``; only the newest stay, as many as the settings say."""
        self._write(self.run.path / f"{UPDATE}{progress.step}.safetensors", progress)
        if self.first and (newest := self.config.keep_interval_updates):
            kept = self.run.path.glob(f"{UPDATE}*.safetensors")
            for old in sorted(kept, key=lambda path: int(path.stem[len(UPDATE) :]))[:-newest]:
                old.unlink()

    def of_epoch(self, epoch: int, progress: Progress) -> None:
        """``encoder-epoch<k>.safetensors``"""
        self._write(self.run.path / f"encoder-epoch{epoch}.safetensors", progress)

    def best(self, score: float, progress: Progress) -> None:
        self._write(self.run.best, progress, score=score)

    def last(self, progress: Progress) -> None:
        self._write(self.run.encoder, progress)

    def _write(self, path: Path, progress: Progress, **more: Any) -> None:
        if not self.first:
            return
        where = {"run": self.run.path.name, "step": progress.step, "epoch": progress.epoch, "data": self.data_key}
        save_encoder(self.objective.encoder(), path, lineage={**where, **more})
