"""The sizes of ``benchmarks.gpu_card``: of a measurement, and of a dry run on a CPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Sizes:
    """What is measured, where.

    device          "cuda", or "cpu" in a dry run
    batch           clips in a forward pass and in a step
    seconds         length of a clip
    rounds          measured passes of each form, after two of warm-up
    product         rows and columns of the square matrix product that the peak rate is measured with
    files           recordings that are tagged
    compiler        of ``torch.compile``; "eager" captures the graph and compiles nothing
    tiny            networks of two small blocks in place of the published sizes
    out             folder of the results
    """

    device: str
    batch: int
    seconds: float
    rounds: int
    product: int
    files: int
    compiler: str
    tiny: bool
    out: Path

    def synchronise(self) -> None:
        """Wait until the device has done all that was asked of it."""
        if self.device == "cuda":
            torch.cuda.synchronize()


def measured(out: Path) -> Sizes:
    return Sizes("cuda", 32, 10.0, 10, 8192, 384, "inductor", False, out)


def rehearsed(out: Path) -> Sizes:
    return Sizes("cpu", 2, 0.7, 2, 64, 3, "eager", True, out)
