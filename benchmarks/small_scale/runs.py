"""One run of a contender: its settings, its folder, made or continued. What goes on from another run shares its budget."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.options import with_values
from auricle.methods.config import PretrainConfig
from auricle.methods.registry import find_method
from benchmarks.small_scale.settings import BATCH, CONTENDERS, Contender


@dataclass(frozen=True)
class Comparison:
    """Where everything is, which part of the sounds, and the budget: weight updates of ``BATCH`` clips, or more of fewer."""

    out: Path
    part: str
    updates: int
    shared: Path

    @property
    def folder(self) -> Path:
        return self.out / self.part / f"{self.updates}"

    def run(self, name: str, seed: int) -> Path:
        return self.folder / f"{name}-{seed}"


def trained(comparison: Comparison, name: str, seed: int, data: Path) -> Path:
    """The finished run of a contender, and before it the run it starts from: half of the updates each."""
    chosen: Contender = CONTENDERS[name]
    if not chosen.start:
        return finished(settings(comparison.run(name, seed), chosen, comparison.updates, seed, data))
    half, first = comparison.updates // 2, comparison.run(f"{name}-first", seed)
    finished(settings(first, CONTENDERS[chosen.start], half, seed, data))
    later = {"resume": str(first), "teacher": "self"}
    return finished(settings(comparison.run(name, seed), chosen, comparison.updates - half, seed, data, later))


def settings(
    run: Path, chosen: Contender, updates: int, seed: int, data: Path, later: dict[str, Any] | None = None
) -> PretrainConfig:
    source = data.parent / data.name.replace("prepared", "pool") if chosen.method == "mae-ast" else data
    config = find_method(chosen.method).settings(chosen.method, str(source), str(run), **(later or {}))
    steps = updates * BATCH // chosen.flags["batch_size"]
    length = {"max_updates": steps, "warmup_updates": steps // 10, "seed": seed}
    return with_values(config, {**chosen.flags, **length})


def finished(config: PretrainConfig) -> Path:
    """The run's folder: made, continued, or there already."""
    run = Path(config.out)
    continue_run(run) if (run / "config.yaml").is_file() else pretrain(config)
    return run
