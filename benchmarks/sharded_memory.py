"""What does a process hold that trains shares of a network? ``python -m benchmarks.sharded_memory [--depth 12] [--dim 768]``

Starts two processes (gloo, CPU, one thread each) for every row, which make a few weight updates of MSM-MAE with AdamW on random
spectrograms:

    ddp    each process holds the whole network
    fsdp   each holds half of every tensor; in bf16 blocks are gathered in bf16
    fsdp, gathered in float32   the same in bf16, but autocast converts the gathered weights (what ``training.sharding`` avoids)

The table shows bytes, exactly, of weights and of moments that stay between two updates, and by how much the peak of the resident
memory exceeds that before the network was built. The peak holds the gradients, activations and what is gathered; on rank 0 with
fsdp also the whole copy that files and reports are made of, which lies in the memory of the machine. Needs about 5 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys

ROWS = ("ddp float32", "fsdp float32", "ddp bf16", "fsdp bf16", "fsdp bf16 float32-gather")
UPDATES, CLIPS = 2, 2


def measure(words: str, dim: int, depth: int) -> None:
    """Train in this process of two, and print one line of JSON."""
    import torch
    from torch.distributed.tensor import DTensor

    from auricle.core.devices import autocast
    from auricle.core.randomness import BatchKey
    from auricle.data.batch import Batch
    from auricle.methods.base import TrainProgress
    from auricle.methods.config import TrainConfig
    from auricle.methods.msm_mae.config import MsmMaeConfig
    from auricle.methods.msm_mae.objective import MsmMae
    from auricle.models.m2d.config import PredictorConfig, ViTConfig
    from auricle.training import sharding
    from auricle.training.distributed import dist_context, exit_process
    from auricle.training.optimizers import make_optimizer
    from auricle.training.replica import replica_of

    parallel, precision, *rest = words.split()
    if rest:
        sharding.LOW_PRECISION = {}
    torch.set_num_threads(1)
    with dist_context("cpu") as dist:
        before = status("VmRSS")
        model = ViTConfig("80x208", "16x16", embed_dim=dim, depth=depth, num_heads=dim // 64)
        objective = MsmMae(model, PredictorConfig(384, 2, 6), MsmMaeConfig())
        parameters = sum(parameter.numel() for parameter in objective.parameters())
        replica = replica_of(objective, TrainConfig(parallel=parallel), precision, dist)
        learner = replica.objective
        optimizer = make_optimizer(learner.param_groups(0.05), "adamw", 1e-4)
        spec = torch.randn(CLIPS, 80, 208)
        batch = Batch(torch.full((CLIPS,), 208), ("a", "b"), 16000, spec=spec, front_end="m2d-logmel/16k")
        for step in range(UPDATES):
            replica.begin_micro_step(step, batch)
            with autocast(precision, dist.device):
                loss = replica.network(batch, TrainProgress(step, 2, step, 2, 0.0, None), BatchKey(0, 0, (0, 1)))[0]
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        def held(tensors: list[torch.Tensor]) -> int:
            local = [tensor.to_local() if isinstance(tensor, DTensor) else tensor for tensor in tensors]
            return sum(tensor.numel() * tensor.element_size() for tensor in local)

        moments = [value for state in optimizer.state.values() for value in state.values()]
        line = {
            "rank": dist.rank,
            "parameters": parameters,
            "weights": held(list(learner.parameters())),
            "moments": held(moments),
            "peak": status("VmHWM") - before,
        }
        for answer in dist.gather(line):
            if dist.is_main:
                print(json.dumps(answer))
    exit_process(0)


def status(name: str) -> int:
    """Return a size in bytes from the status of this process."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines[name].split()[0]) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dim", type=int, default=768, help="width of the encoder")
    parser.add_argument("--depth", type=int, default=12, help="blocks of the encoder")
    parser.add_argument("--row", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        measure(options.row, options.dim, options.depth)
        return
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    sizes = ["--dim", str(options.dim), "--depth", str(options.depth)]
    print("| training | rank | weights, MB | moments, MB | peak, MB |\n|---|---|---|---|---|")
    for row in ROWS:
        command = [*launch, "benchmarks.sharded_memory", *sizes, "--row", row]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            sys.exit(done.stderr[-3000:])
        for line in lines:
            sizes_in_mb = " | ".join(f"{line[name] / 1e6:,.0f}" for name in ("weights", "moments", "peak"))
            print(f"| {row} | {line['rank']} | {sizes_in_mb} |", flush=True)


if __name__ == "__main__":
    main()
