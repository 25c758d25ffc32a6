"""What a run of each contender takes: audio, floating-point operations, parameters, time on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from auricle.training.dry_run import DryRun
from auricle.training.run import dry_run
from benchmarks.small_scale.runs import Comparison, settings
from benchmarks.small_scale.settings import BATCH, CONTENDERS, CROP
from benchmarks.small_scale.sounds import pool

STEPS = 31  # measured; the median of fewer moved by a third
HEAD = "| contender | audio, h | GFLOP a clip | PFLOP a run | trained, M | step here, s | run here, min |"


def table(comparison: Comparison, names: Sequence[str]) -> str:
    """Measured on noise with all threads, float32 or bf16 as a run would; nothing is trained."""
    data = pool(comparison.shared, comparison.part, comparison.out)
    lines = [HEAD, "|" + " --- |" * HEAD.count(" |")]
    for name in names:
        told, clips = cost(comparison, name, data), comparison.updates * BATCH
        clip, seconds = told.flops / 1e9, told.seconds_per_micro_step
        lines.append(
            f"| {name} | {clips * CROP / 3600:.1f} | {clip:.2f} | {clip * clips / 1e6:.2f} | {told.trained / 1e6:.1f} "
            f"| {seconds:.2f} | {seconds * told.micro_steps / 60:.1f} |"
        )
    return "\n".join(lines)


def cost(comparison: Comparison, name: str, data: Path) -> DryRun:
    """A run's few measured steps."""
    config = settings(comparison.out / "nowhere", CONTENDERS[name], comparison.updates, 0, data)
    if CONTENDERS[name].start:
        config = replace(config, teacher=str(comparison.run(f"{name}-first", 11)))
    return dry_run(config, STEPS)
