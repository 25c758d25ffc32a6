"""Loss and health of every run over its updates, as one file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from auricle.training.log import read_log
from benchmarks.small_scale.runs import Comparison

HEALTH = ("target_constant", "target_clip", "target_position", "target_rank", "prediction_cosine")
COLUMNS = ("part", "updates", "contender", "seed", "step", "loss", *HEALTH)


def write(comparison: Comparison, names: Sequence[str], seeds: Sequence[int], folder: Path) -> None:
    """curves-PART-UPDATES.csv: a line per logged step."""
    with (folder / f"curves-{comparison.part}-{comparison.updates}.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in names:
            for seed in seeds:
                log = comparison.run(name, seed) / "metrics.jsonl"
                if log.is_file():
                    own = {"part": comparison.part, "updates": comparison.updates, "contender": name, "seed": seed}
                    writer.writerows({**own, **values} for values in steps(log))


def steps(log: Path) -> Iterator[dict[str, str]]:
    health = {record["step"]: record for record in read_log(log, "health")}
    for record in read_log(log, "step"):
        found = {name: health.get(record["step"], {}).get(name) for name in HEALTH}
        shown = {name: f"{value:.4g}" for name, value in found.items() if value is not None}
        yield {"step": str(record["step"]), "loss": f"{record['loss']:.5g}", **shown}
