"""What a rank needs before its first batch of a corpus of millions of clips in shards: time and memory.

    python -m benchmarks.sampler_scale [--rows 500000 1000000 2000000] [--json] [--plot FILE.png]

A manifest of shards of 2,000 clips (id, store, key, rate, num_samples, one to three of 527 labels, weight) is generated. A fresh
process opens it, makes the data set and the key of the clips, and draws the order of an epoch shard by shard, uniformly and in
proportion to the weights, up to the first batch of each: what a run does at its start. The peak resident memory includes Python,
NumPy and PyTorch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

CLASSES, PER_SHARD = 527, 2000
RANKS = 8


def write_table(path: Path, rows: int) -> None:
    """Write the manifest, drawn with one seed."""
    source = np.random.default_rng(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,store,key,rate,num_samples,labels,weight\n")
        for start in range(0, rows, 100_000):
            count = min(100_000, rows - start)
            samples, weights = source.integers(16_000, 480_000, count).tolist(), source.random(count).tolist()
            labels, lengths = source.integers(0, CLASSES, (count, 3)).tolist(), source.integers(1, 4, count).tolist()
            for i in range(count):
                number = start + i
                classes = ",".join(f"/m/{label:05d}" for label in labels[i][: lengths[i]])
                shard = number * 7919 % rows // PER_SHARD
                file.write(
                    f"part{number % 41:02d}/{number:09x}.flac,train-{shard:06d}.tar,part{number % 41:02d}/{number:09x}.flac,"
                    f'32000,{samples[i]},"{classes}",{weights[i]:.6f}\n'
                )


def clocks() -> np.ndarray:
    """Wall seconds, and processor seconds of this process and of those that it started."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([time.perf_counter(), sum(usage.ru_utime + usage.ru_stime for usage in used)])


def measure(path: Path) -> dict[str, Any]:
    """Wall and processor seconds of every part of the start of a rank, and the peak memory in MiB."""
    times: dict[str, np.ndarray] = {}
    last = clocks()

    def lap(name: str) -> None:
        nonlocal last
        now = clocks()
        times[name], last = now - last, now

    from auricle.data.datasets.waveforms import Waveforms
    from auricle.data.loading.sampler import ShuffledBatches
    from auricle.data.manifest.formats import read_manifest
    from auricle.methods.data import content_key

    lap("imports")
    manifest = read_manifest(path)
    lap("open the manifest")
    data = Waveforms(manifest, 32000, 10.0, classes=manifest.label_classes())
    lap("data set")
    content_key(manifest)
    lap("key of the clips")
    shards, weights = manifest.table.codes("store")[0], manifest.table.numbers("weight")
    for name, drawn in (("uniform", None), ("weighted", weights)):
        sampler = ShuffledBatches(len(data), 64, rank=3, world=RANKS, weights=drawn, shards=shards)
        batch = next(iter(sampler))
        clips = [data.clip(index.number) for index in batch]
        assert len(clips) == 64
        lap(f"order of an epoch and first batch, {name}")
    times["all"] = np.sum(list(times.values()), axis=0)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {name: part.tolist() for name, part in times.items()} | {"peak memory MiB": memory}


def measured_apart(rows: int) -> dict[str, Any]:
    """Measure in a process of its own."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "manifest.csv"
        write_table(path, rows)
        line = [sys.executable, "-m", "benchmarks.sampler_scale", "--measure", str(path)]
        return dict(json.loads(subprocess.run(line, check=True, capture_output=True, text=True).stdout))


def plot(rows: list[int], found: list[dict[str, Any]], path: Path) -> None:
    """Draw processor seconds by part, and the peak memory, over the number of rows."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (times, memory) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    millions = [number / 1e6 for number in rows]
    for name in [name for name, part in found[0].items() if isinstance(part, list)]:
        seconds = [result[name][1] for result in found]
        if max(seconds) > 0.3:
            times.plot(millions, seconds, "o-", label=name, linewidth=2.5 if name == "all" else 1.2)
    memory.plot(millions, [result["peak memory MiB"] for result in found], "o-")
    times.set(ylabel="processor seconds")
    times.legend(fontsize=7, frameon=False)
    memory.set(ylabel="peak memory, MiB")
    for axes in (times, memory):
        axes.set(xlabel="million rows", xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[500_000, 1_000_000, 2_000_000])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--plot", type=Path, help="draw the seconds and the memory over the number of rows")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(Path(args.measure))))
        return
    found = [measured_apart(rows) for rows in args.rows]
    if args.plot:
        plot(args.rows, found, args.plot)
    if args.json:
        print(json.dumps(found))
        return
    print(f"| | {' | '.join(f'{rows:,} rows' for rows in args.rows)} |")
    print("| --- |" + " --- |" * len(found))
    for name in found[0]:
        print(f"| {name} | {' | '.join(shown(result[name]) for result in found)} |")


def shown(value: list[float] | float) -> str:
    """Write wall and processor seconds, or a size."""
    return f"{value[0]:.1f} s / {value[1]:.1f} s" if isinstance(value, list) else f"{value:,.0f}"


if __name__ == "__main__":
    main()
