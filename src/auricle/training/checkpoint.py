"""What a run saves: checkpoints, from which it continues exactly, and its encoder as weight files.

A checkpoint is safetensors and JSON, written atomically, and verified by its checksums when it is read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import replacing, sha256_of, usual_rights, write_failure, write_text
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import check_finite, save_encoder
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig

FORMAT = 1
DEPENDENCIES = {"data": "data", "world": "number of processes", "teacher": "teacher"}
POSITION = ("micro_step", "log_size")
FILES = ("weights.safetensors", "optimizer.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read: the position and other state of the loop, the tensors of networks and optimiser."""

    state: dict[str, Any]
    weights: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    path: Path

    def check(self, now: dict[str, Any]) -> None:
        """Raise AuricleError if what the run depends on besides its settings changed."""
        for what, name in DEPENDENCIES.items():
            then = self.state.get(what, "")
            if then != now[what]:
                raise AuricleError(f"the {name} changed since the checkpoint was saved ({then} then, {now[what]} now)")


class CheckpointStore:
    """The folder ``checkpoints/`` of a run, one sub-folder each. The newest ``keep`` and the best one stay."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def save(self, state: dict[str, Any], network: nn.Module, optimizer: Mapping[str, Tensor]) -> Path:
        """Write a checkpoint at ``state["micro_step"]``.

        Args:
            state: position and other state of the loop.
            network: its whole state is saved.
            optimizer: what ``optimizer_tensors`` returns.

        Raises:
            AuricleError: if the disk is full; older checkpoints stay intact.
        """
        final = self.folder / f"step-{state['micro_step']:09d}"
        partial = self.folder / f".partial-{os.getpid()}"
        try:
            self._remove_partial()
            partial.mkdir(parents=True)
            for name, tensors in zip(FILES, (network.state_dict(), optimizer)):
                with usual_rights(partial / name):
                    save_file(_contiguous(tensors), partial / name)
            self._seal(partial, state)
            shutil.rmtree(final, ignore_errors=True)
            os.replace(partial, final)
        except (OSError, RuntimeError, SafetensorError) as error:
            hint = "the last good checkpoint is intact" if self.checkpoints() else "no checkpoint was saved yet"
            raise AuricleError(
                f"cannot save a checkpoint in {self.folder}: {write_failure(error) or error}; {hint}. "
                f"Go on with: auricle pretrain --continue {self.folder.parent}"
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        self.prune()
        return final

    def _remove_partial(self) -> None:
        """Remove what killed processes left half written; one process at a time writes here."""
        for leftover in self.folder.glob(".partial-*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _seal(self, folder: Path, state: dict[str, Any]) -> None:
        checksums = {name: sha256_of(folder / name) for name in FILES}
        text = json.dumps({"format": FORMAT, "where": state, "sha256": checksums}, indent=1)
        (folder / "state.json").write_text(text)
        for path in folder.iterdir():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())

    def mark_best(self, checkpoint: Path, score: float) -> None:
        """Note the checkpoint with the best score, which ``prune`` keeps."""
        text = json.dumps({"state": checkpoint.name, "score": score})
        write_text(self.folder / "best.json", text)

    def best(self) -> dict[str, Any] | None:
        """Return {"state": name, "score": value}; None if there is none, or it cannot be read."""
        try:
            best = json.loads((self.folder / "best.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return best if isinstance(best, dict) and isinstance(best.get("score"), (int, float)) else None

    def prune(self) -> None:
        """Remove all checkpoints but the newest ``keep`` and the best."""
        best = (self.best() or {}).get("state")
        for old in self.checkpoints()[self.keep :]:
            if old.name != best:
                shutil.rmtree(old, ignore_errors=True)

    def checkpoints(self) -> list[Path]:
        """Return the folders of all checkpoints, newest first."""
        return sorted(self.folder.glob("step-*"), reverse=True)

    def read(self, log: Callable[[str], None] = print) -> Checkpoint:
        """Return the newest undamaged checkpoint; damaged ones are named through ``log`` and passed over.

        Raises:
            AuricleError: if there is none.
        """
        for folder in self.checkpoints():
            problem = find_damage(folder)
            if problem is None:
                weights = load_file(folder / FILES[0])
                try:
                    check_finite(weights, folder)
                except AuricleError as error:
                    problem = str(error)
                else:
                    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))["where"]
                    return Checkpoint(state, weights, load_file(folder / FILES[1]), folder)
            log(f"the checkpoint {folder} is damaged ({problem}); going back to the one before it")
        raise AuricleError(f"{self.folder} holds no usable checkpoint to continue from; start the run again")


def find_damage(folder: Path) -> str | None:
    """Return what is wrong with a checkpoint, or None."""
    try:
        description = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if description["format"] > FORMAT:
            raise AuricleError(
                f"{folder} was written by a newer version (format {description['format']}); update Auricle"
            )
        wrong = [name for name in FILES if sha256_of(folder / name) != description["sha256"][name]]
        if not all(isinstance(description["where"][name], int) for name in POSITION):
            return "its position in the run is missing"
    except AuricleError:
        raise
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        return content_fault(error)
    return f"{', '.join(wrong)} is truncated or altered" if wrong else None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as flat tensors "<parameter index>.<name>"."""
    state = optimizer.state_dict()["state"]
    return {f"{i}.{k}": torch.as_tensor(v) for i, values in state.items() for k, v in values.items() if v is not None}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Load the tensors of ``optimizer_tensors``."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        index, key = name.split(".", 1)
        state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


UPDATE = "encoder-update"


@dataclass(frozen=True)
class EncoderFiles:
    """The encoders that a run saves as weight files: the last, the best, those of chosen epochs and weight updates.

    Only the main process writes.
    """

    objective: Objective
    folder: RunFolder
    config: TrainConfig
    is_main: bool
    data_key: str

    def due(self, step: int) -> bool:
        """Return True if the encoder of this weight update is to be saved."""
        every = self.config.save_interval_updates
        return every is not None and step % every == 0

    def save_update(self, progress: TrainProgress) -> None:
        """Write ``encoder-update<k>.safetensors``; only the newest stay, as many as the settings say."""
        self._write(self.folder.path / f"{UPDATE}{progress.step}.safetensors", progress)
        if self.is_main and (newest := self.config.keep_interval_updates):
            files = self.folder.path.glob(f"{UPDATE}*.safetensors")
            for old in sorted(files, key=lambda path: int(path.stem[len(UPDATE) :]))[:-newest]:
                old.unlink()

    def save_epoch(self, epoch: int, progress: TrainProgress) -> None:
        """Write ``encoder-epoch<k>.safetensors``."""
        self._write(self.folder.path / f"encoder-epoch{epoch}.safetensors", progress)

    def save_best(self, score: float, progress: TrainProgress) -> None:
        self._write(self.folder.best, progress, score=score)

    def save_last(self, progress: TrainProgress) -> None:
        self._write(self.folder.encoder, progress)

    def choose_best(self) -> dict[str, Tensor]:
        """Make the best encoder the one that the run gives, and return its weights; the last one stays as
        ``encoder-last.safetensors``."""
        weights = load_file(self.folder.best)
        if self.is_main:
            os.replace(self.folder.encoder, self.folder.last)
            with replacing(self.folder.encoder) as temporary:
                shutil.copyfile(self.folder.best, temporary)
        return weights

    def _write(self, path: Path, progress: TrainProgress, **more: Any) -> None:
        if not self.is_main:
            return
        position = {"run": self.folder.path.name, "step": progress.step, "epoch": progress.epoch}
        lineage = {**position, "data": self.data_key, **more}
        save_encoder(self.objective.encoder(), path, lineage=lineage)
