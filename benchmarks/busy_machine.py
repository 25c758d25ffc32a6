"""How much do busy neighbours cost? ``python -m benchmarks.busy_machine [--cells tag …] [--ways passive one] [--rounds 3]``

Runs whole commands (training of the small preset and of a ViT-B, tagging, embedding, the logistic probe) on a machine
that is otherwise idle and beside two busy processes, in four ways:

    default   as PyTorch waits by itself, one thread per core
    passive   OMP_WAIT_POLICY=passive, one thread per core
    one       one thread
    auricle   what the command line chooses (auricle.core.devices)

Rounds are interleaved; the table shows median seconds of wall time and, for the choice of the command line, the ratio
to the best of the others. Exit code 1 when a ratio is above 1.3. Run it on a machine that nobody else uses.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BAR = 1.3
NEIGHBOURS = 2
WAYS = {"default": {}, "passive": {"OMP_WAIT_POLICY": "passive"}, "one": {"OMP_NUM_THREADS": "1"}, "auricle": {}}
SETTINGS = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
# With PyTorch already imported the command line leaves the threads as they are.
AS_GIVEN = "import sys, torch; from auricle.cli.main import main; sys.exit(main(sys.argv[1:]))"


def prepare(folder: Path) -> dict[str, list[str]]:
    """Make sounds, weights and a prepared folder; return the command of every cell ("OUT" becomes a fresh path)."""
    import torch

    from auricle.data.synthetic.corpus import make_corpus
    from auricle.hub.weight_file import save_encoder
    from auricle.models.efficientat.config import MNConfig
    from auricle.models.efficientat.mn import MN

    sounds, prepared = folder / "sounds", folder / "prepared"
    make_corpus(sounds, clips_per_class=6, seconds=5.0, quiet=True)
    torch.manual_seed(0)
    save_encoder(MN(MNConfig(width=0.4)).eval(), folder / "mn04.safetensors")
    run(["prepare", str(sounds), "--out", str(prepared)], "auricle", folder)
    train = ["--warmup-updates", "1", "--out", "OUT", "--quiet"]
    small = ["pretrain", str(prepared), "--method", "msm-mae", "--preset", "small", *train]
    encoder = folder / "small"
    run([encoder.as_posix() if word == "OUT" else word for word in [*small, "--max-updates", "2"]], "auricle", folder)
    cells = {
        "train-small": [*small, "--max-updates", "30"],
        "train-vitb": ["pretrain", str(prepared), "--method", "m2d", "--batch-size", "8", "--max-updates", "3", *train],
        "tag": ["tag", str(sounds), "--model", str(folder / "mn04.safetensors"), "--out", "OUT", "--quiet"],
        "embed": ["embed", str(sounds), "--model", str(encoder), "--out", "OUT.npy", "--quiet"],
        "probe": [
            *("evaluate", str(sounds), "--model", str(encoder), "--protocol", "logistic-cv", "--split-by", "drawn"),
            *("--store", str(folder / "results.sqlite"), "--no-baselines", "--quiet"),
        ],
    }
    run(cells["probe"], "auricle", folder)  # embeddings are cached from now on: the cell is the probe alone
    return cells


def run(command: list[str], way: str, folder: Path) -> float:
    """Run one command in a process of its own; return its seconds."""
    out = tempfile.mkdtemp(dir=folder)
    words = [word.replace("OUT", f"{out}/out") if word.startswith("OUT") else word for word in command]
    start = ["-m", "auricle"] if way == "auricle" else ["-c", AS_GIVEN]
    environment = {k: v for k, v in os.environ.items() if k not in SETTINGS} | WAYS[way]
    environment["AURICLE_CACHE"] = str(folder / "cache")
    began = time.perf_counter()
    done = subprocess.run([sys.executable, *start, *words], env=environment, capture_output=True, text=True)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"auricle {' '.join(words)} failed:\n{done.stderr[-2000:]}")
    return seconds


def spin() -> None:
    while True:
        pass


def measure(cells: dict[str, list[str]], loads: list[str], others: list[str], rounds: int, folder: Path) -> list[dict]:
    ways = [*others, "auricle"]
    rows = []
    for load in loads:
        neighbours = [multiprocessing.Process(target=spin, daemon=True) for _ in range(NEIGHBOURS * (load == "busy"))]
        for process in neighbours:
            process.start()
        for name, command in cells.items():
            times: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(rounds):
                first = number % len(ways)
                for way in ways[first:] + ways[:first]:
                    times[way].append(run(command, way, folder))
            seconds = {way: statistics.median(values) for way, values in times.items()}
            ratio = seconds["auricle"] / min(value for way, value in seconds.items() if way != "auricle")
            rows.append({"cell": name, "load": load, "seconds": seconds, "ratio": ratio, "all": times})
            print(line(rows[-1]), flush=True)
        for process in neighbours:
            process.kill()
    return rows


def line(row: dict) -> str:
    seconds = "".join(f"{row['seconds'][way]:>9.1f}" if way in row["seconds"] else f"{'-':>9}" for way in WAYS)
    return f"{row['cell']:<12} {row['load']:<5}{seconds}{row['ratio']:>9.2f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", help="only these cells")
    parser.add_argument("--loads", nargs="+", default=["idle", "busy"], choices=("idle", "busy"))
    others = [way for way in WAYS if way != "auricle"]
    parser.add_argument("--ways", nargs="+", default=others, choices=others, help="compare with these only")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cells = prepare(Path(name))
        print(f"{'cell':<12} {'load':<5}" + "".join(f"{way:>9}" for way in WAYS) + "    ratio", flush=True)
        chosen = {k: v for k, v in cells.items() if not args.cells or k in args.cells}
        rows = measure(chosen, args.loads, args.ways, args.rounds, Path(name))
    if args.json:
        print(json.dumps(rows))
    return int(any(row["ratio"] > BAR for row in rows))


if __name__ == "__main__":
    sys.exit(main())
