"""Stop a run in the middle, and compare it with one that was never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from auricle.training.checkpoint import CheckpointStore
from auricle.training.log import read_log
from auricle.training.loop import Trainer


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(CheckpointStore(run / "checkpoints").checkpoints()[0] / "weights.safetensors")


def same(one: Path, other: Path) -> None:
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert logged(one) == logged(other)
    assert files(one) == files(other)


def logged(run: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """Return the rows of a run's log (of one kind) without what depends on the clock: how long it waited for data."""
    rows = [{k: v for k, v in row.items() if k != "data_wait"} for row in read_log(run / "metrics.jsonl", kind)]
    for row in rows:
        if "warnings" in row:
            row["warnings"] = [text for text in row["warnings"] if "waiting for data" not in text]
    return rows


def files(run: Path) -> list[str]:
    return sorted(path.name for path in run.iterdir())


class Stop(Exception):
    pass


def stop_after(monkeypatch, micro_steps: int) -> None:
    """The loop falls over after so many micro-steps, as a power cut would make it."""
    real, count = Trainer.train_batch, iter(range(micro_steps))

    def micro(self, batch, progress):
        if next(count, None) is None:
            raise Stop
        return real(self, batch, progress)

    monkeypatch.setattr(Trainer, "train_batch", micro)
