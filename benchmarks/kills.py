"""A run killed again and again at random moments ends with the very weights of one that nothing stopped.

python -m benchmarks.kills [--kills 100]

Each kill is a SIGKILL at a random moment: during a step, while a state is being written, between epochs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from auricle.commands.pretrain import continue_run, pretrain
from auricle.training.checkpoint import CheckpointStore
from helpers.training_runs import config, prepared


def final(run: Path) -> dict[str, torch.Tensor]:
    return load_file(CheckpointStore(run / "checkpoints").checkpoints()[0] / "weights.safetensors")


def killed_run(data: Path, out: Path, kills: int, settings: dict) -> int:
    """Start and continue ``out``, killing it ``kills`` times; returns how many of them hit it while it wrote a state."""

    def go() -> None:
        torch.set_num_threads(1)
        if (out / "config.yaml").is_file():
            continue_run(out, quiet=True)
        else:
            pretrain(config(data, out, **settings), quiet=True)

    moments, saving = random.Random(0), 0
    for _ in range(kills):
        process = multiprocessing.get_context("fork").Process(target=go)
        process.start()
        time.sleep(0.15 + 0.35 * moments.random())
        process.kill()
        process.join()
        saving += any(out.glob(f"checkpoints/.partial-{process.pid}"))
        if process.exitcode != -signal.SIGKILL:
            raise SystemExit("the run ended before all kills; give it more --epochs")
    return saving


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=0, help="length of the run; 0: 8 a kill")
    args = parser.parse_args()
    torch.set_num_threads(1)
    settings = dict(accum_iter=2, epochs=args.epochs or 8 * args.kills, checkpoint_steps=2)
    with tempfile.TemporaryDirectory() as name:
        data = prepared(Path(name) / "data")
        whole, out = Path(name) / "whole", Path(name) / "killed"
        pretrain(config(data, whole, **settings), quiet=True)
        saving = killed_run(data, out, args.kills, settings)
        continue_run(out, quiet=True)
        a, b = final(whole), final(out)
        same = a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)
    print(
        f"{args.kills} kills, {saving} of them while a state was being written: weights {'identical' if same else 'DIFFER'}"
    )
    sys.exit(not same)


if __name__ == "__main__":
    main()
