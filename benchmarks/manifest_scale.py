"""A manifest of two million rows: time and memory to open it, and time of typical operations on it.

    python -m benchmarks.manifest_scale [--rows 2000000] [--csv FILE]

The table has the columns of an AudioSet list: id, path, rate, num_samples, labels (one to four of 527), split, group and
weight. It is opened in a fresh process; its peak resident memory includes Python, NumPy and Auricle.
"""

from __future__ import annotations

import argparse
import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HEADER = "id,path,rate,num_samples,labels,split,group,weight"
CLASSES = 527


def write_table(path: Path, rows: int) -> None:
    """Write a CSV of ``rows`` clips, drawn with one seed."""
    source = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"))
    with path.open("w", encoding="utf-8") as file:
        file.write(HEADER + "\n")
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            names = ["".join(row) for row in letters[source.integers(0, len(letters), (count, 8))]]
            samples, weights = source.integers(16_000, 480_000, count), source.random(count)
            labels, lengths = source.integers(0, CLASSES, (count, 4)), source.integers(1, 5, count)
            for i, name in enumerate(names):
                number = start + i
                classes = ",".join(f"/m/{label:05d}" for label in labels[i, : lengths[i]])
                split = "test" if number // 2 % 100 == 0 else "train"
                file.write(
                    f"{name}{number:07d},audio/part{number % 41:02d}/{name}{number:07d}.flac,48000,{samples[i]},"
                    f'"{classes}",{split},video{number // 2},{weights[i]:.6f}\n'
                )


def read_rows_only(path: Path) -> int:
    """Read the rows with Python's csv module and drop them: what any reader of this file costs at least."""
    with path.open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file, strict=True))


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """Run ``work`` and return its result with wall seconds and processor seconds (user and system)."""
    wall, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = work()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return result, {"wall_s": time.perf_counter() - wall, "cpu_s": cpu}


def measure(path: Path) -> dict[str, dict[str, float]]:
    """Open the table and time the operations; run in a process of its own."""
    from auricle.data.manifest.formats import read_manifest

    numbers: dict[str, dict[str, float]] = {}
    _, numbers["csv.reader alone"] = timed(lambda: read_rows_only(path))
    manifest, numbers["open"] = timed(lambda: read_manifest(path))
    numbers["open"]["peak_MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    middle = manifest.clips[len(manifest) // 2].id
    work: dict[str, Callable[[], Any]] = {
        "select the clips of a split": lambda: manifest.select(split="test"),
        "label_classes": manifest.label_classes,
        "the clip of an id": lambda: manifest[middle],
        "one row": lambda: manifest.clips[len(manifest) // 3],
        "10,000 rows at random": lambda: [manifest.clips[i] for i in range(0, len(manifest), len(manifest) // 10_000)],
        "seconds of all clips": manifest.table.seconds,
        "all weights": lambda: manifest.table.numbers("weight"),
        "iterate over all clips": lambda: sum(1 for _ in manifest),
    }
    for name, function in work.items():
        _, numbers[name] = timed(function)
    numbers["all of the above"] = {"peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    return numbers


def main() -> None:
    """Make the table, measure in a fresh process, and print the numbers as a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--csv", type=Path, help="keep the table in this file, or use the one that is there")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(args.measure)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = args.csv or Path(folder) / "manifest.csv"
        if not path.exists():
            write_table(path, args.rows)
        command = [sys.executable, "-m", "benchmarks.manifest_scale", "--measure", str(path)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        size = path.stat().st_size
    print(f"{args.rows:,} rows, {size / 2**20:.0f} MiB of CSV\n")
    print("| operation | wall s | processor s | peak RSS MiB |\n| --- | --- | --- | --- |")
    for name, numbers in json.loads(output).items():
        cells = [f"{numbers[key]:.{digits}f}" if key in numbers else "" for key, digits in FORMATS.items()]
        print(f"| {name} | {' | '.join(cells)} |")


FORMATS = {"wall_s": 4, "cpu_s": 4, "peak_MiB": 0}

if __name__ == "__main__":
    main()
