"""Everything *continue* needs, in safetensors and JSON, written whole or not at all, verified on reading."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.io import sha256_of, write_text
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import save_encoder
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig

# The encoders that a run keeps as weight files: the last, the best, and those of chosen epochs and weight updates.

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

    def of_update(self, progress: TrainProgress) -> None:
        """``encoder-update<k>.safetensors``; only the newest stay, as many as the settings say."""
        self._write(self.run.path / f"{UPDATE}{progress.step}.safetensors", progress)
        if self.first and (newest := self.config.keep_interval_updates):
            kept = self.run.path.glob(f"{UPDATE}*.safetensors")
            for old in sorted(kept, key=lambda path: int(path.stem[len(UPDATE) :]))[:-newest]:
                old.unlink()

    def of_epoch(self, epoch: int, progress: TrainProgress) -> None:
        """``encoder-epoch<k>.safetensors``"""
        self._write(self.run.path / f"encoder-epoch{epoch}.safetensors", progress)

    def best(self, score: float, progress: TrainProgress) -> None:
        self._write(self.run.best, progress, score=score)

    def last(self, progress: TrainProgress) -> None:
        self._write(self.run.encoder, progress)

    def _write(self, path: Path, progress: TrainProgress, **more: Any) -> None:
        if not self.first:
            return
        where = {"run": self.run.path.name, "step": progress.step, "epoch": progress.epoch, "data": self.data_key}
        save_encoder(self.objective.encoder(), path, lineage={**where, **more})


FORMAT = 1
DEPENDED_ON = {"data": "data", "world": "number of processes", "teacher": "teacher"}
FILES = ("weights.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A state read back: where the run stood and the tensors of network and optimiser."""

    where: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    path: Path

    def check(self, now: dict[str, Any]) -> None:
        """Raises AuricleError when what a run depends on beside its settings changed."""
        for what, name in DEPENDED_ON.items():
            then = self.where.get(what, "")
            if then != now[what]:
                raise AuricleError(f"the {name} changed since the state was saved ({then} then, {now[what]} now)")


class CheckpointStore:
    """The folder ``state/`` of a run: one sub-folder per saved state, the newest ``keep`` and the best stay."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def save(self, where: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer) -> Path:
        """Write a state at ``where["micro_step"]``. Raises AuricleError when the disk is full; older states stay intact."""
        final = self.folder / f"step-{where['micro_step']:09d}"
        partial = self.folder / f".partial-{os.getpid()}"
        try:
            self._sweep()
            partial.mkdir(parents=True)
            save_file(_contiguous(network.state_dict()), partial / FILES[0])
            save_file(_contiguous(optimizer_tensors(optimizer)), partial / FILES[1])
            self._seal(partial, where)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise AuricleError(
                f"cannot save the state in {self.folder}: {error}; the last good state is intact"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self.prune()
        return final

    def _sweep(self) -> None:
        """Remove what killed processes left half written; one process at a time writes here."""
        for leftover in self.folder.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _seal(self, folder: Path, where: dict[str, Any]) -> None:
        digests = {name: sha256_of(folder / name) for name in FILES}
        text = json.dumps({"format": FORMAT, "where": where, "sha256": digests}, indent=1)
        (folder / "state.json").write_text(text)
        for path in folder.iterdir():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())

    def mark_best(self, state: Path, score: float) -> None:
        text = json.dumps({"state": state.name, "score": score})
        write_text(self.folder / "best.json", text)

    def best(self) -> dict[str, Any] | None:
        """{"state", "score"}; None where there is none, or it cannot be read."""
        try:
            return json.loads((self.folder / "best.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def prune(self) -> None:
        best = (self.best() or {}).get("state")
        for old in self.states()[self.keep :]:
            if old.name != best:
                shutil.rmtree(old, ignore_errors=True)

    def states(self) -> list[Path]:
        """All states, newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def read(self, say: Callable[[str], None] = print) -> Checkpoint:
        """The newest state that is whole; damaged ones are named through ``say`` and passed over."""
        for folder in self.states():
            problem = damage(folder)
            if problem is None:
                where = json.loads((folder / "state.json").read_text(encoding="utf-8"))["where"]
                return Checkpoint(where, load_file(folder / FILES[0]), load_file(folder / FILES[1]), folder)
            say(f"the state {folder} is damaged ({problem}); going back to the one before it")
        raise AuricleError(f"{self.folder} holds no usable state to continue from; start the run again")


def damage(folder: Path) -> str | None:
    """What is wrong with a state, or None."""
    try:
        said = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if said["format"] > FORMAT:
            raise AuricleError(f"{folder} was written by a newer version (format {said['format']}); update Auricle")
        wrong = [name for name, value in said["sha256"].items() if sha256_of(folder / name) != value]
        if "micro_step" not in said["where"]:
            return "it does not say where it stands"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{', '.join(wrong)} is truncated or altered" if wrong else None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as flat tensors "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{k}": torch.as_tensor(v) for i, values in state.items() for k, v in values.items() if v is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _contiguous(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
