"""Loss and health of every run over its updates, as one file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from auricle.hub.run_folder import RunFolder
from auricle.training.log import read_log
from benchmarks.small_scale.runs import Comparison

HEALTH = ("target_constant", "target_clip", "target_position", "target_rank", "prediction_cosine")
NAMES = {
    "search": "two folds of ESC-10, three speakers",
    "inner": "ESC-10 and digits",
    "honest": "ESC-10 and digits",
    "all": "all of ESC-10 and digits",
    "synthetic": "synthetic corpus",
}
Row = TypeVar("Row")
MOST_ROWS = 150  # of a curve
COLUMNS = ("part", "updates", "contender", "seed", "step", "loss", *HEALTH)


def write(comparison: Comparison, names: Sequence[str], seeds: Sequence[int], folder: Path) -> None:
    """curves-PART-UPDATES.csv: a line per logged step, or every n-th."""
    with (folder / f"curves-{comparison.part}-{comparison.updates}.csv").open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in names:
            for seed in seeds:
                log = comparison.run(name, seed) / "metrics.jsonl"
                if log.is_file():
                    own = {"part": comparison.part, "updates": comparison.updates, "contender": name, "seed": seed}
                    writer.writerows({**own, **values} for values in thinned(list(steps(log))))


def thinned(rows: list[Row]) -> list[Row]:
    """Every n-th, ``MOST_ROWS`` at most."""
    return rows[:: -(-len(rows) // MOST_ROWS)]


def steps(log: Path) -> Iterator[dict[str, str]]:
    health = {record["step"]: record for record in read_log(log, "health")}
    for record in read_log(log, "step"):
        found = {name: health.get(record["step"], {}).get(name) for name in HEALTH}
        shown = {name: f"{value:.4g}" for name, value in found.items() if value is not None}
        yield {"step": str(record["step"]), "loss": f"{record['loss']:.5g}", **shown}


def write_reference(comparison: Comparison, name: str, seeds: Sequence[int], file: Path) -> None:
    """The mean curve over the seeds, for the reports of runs with the same settings; other parts' curves in it stay."""
    runs = [run for seed in seeds if ((run := comparison.run(name, seed)) / "encoder.safetensors").is_file()]
    config = RunFolder.open(runs[0]).read_config()
    settings = {part: config[part] for part in ("method", "model", "predictor", "objective")}
    known = json.loads(file.read_text()) if file.is_file() else {}
    others = known.get("curves", []) if known.get("settings") == settings else []
    title = f"reference: {NAMES[comparison.part]}, {f'mean of {len(runs)} seeds' if len(runs) > 1 else 'one seed'}"
    every = [{"step": step, "values": values} for step, values in mean_rows([run / "metrics.jsonl" for run in runs])]
    rows = thinned(every)
    curves = [curve for curve in others if curve["part"] != comparison.part]
    curves.append({"part": comparison.part, "updates": comparison.updates, "name": title, "rows": rows})
    file.write_text(json.dumps({"settings": settings, "curves": curves}, separators=(",", ":")) + "\n")


def mean_rows(logs: Sequence[Path]) -> Iterator[tuple[int, dict[str, float]]]:
    """Each logged step with the mean of what every log says of it."""
    named = [{int(row["step"]): row for row in steps(log)} for log in logs]
    for step in named[0]:
        rows = [found[step] for found in named if step in found]
        keys = [key for key in ("loss", *HEALTH) if all(key in row for row in rows)]
        yield step, {key: float(f"{fmean(float(row[key]) for row in rows):.4g}") for key in keys}
