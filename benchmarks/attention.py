"""Explicit or fused attention? ``python -m benchmarks.attention [--threads N] [--device cuda]``

Forward and backward of the two forms in ``auricle.models.layers.transformer.attend`` at the lengths of an M2D step
(batch 8): explicit (matmul, softmax, matmul on contiguous heads) and PyTorch's scaled_dot_product_attention, in bfloat16 and
float32.
Prints median milliseconds of processor time on the CPU (wall time on a GPU): the ground for the choice in ``attend``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SHAPES = {  # what: batch, heads, tokens, channels per head
    "online encoder, visible": (8, 12, 58, 64),
    "target encoder, masked": (8, 12, 134, 64),
    "predictor, all": (8, 16, 191, 32),
    "encoder, a whole clip": (8, 12, 191, 64),
}


def explicit(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v


FORMS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "explicit": explicit,
    "fused": functional.scaled_dot_product_attention,
}


def cost(form: Callable, qkv: Tensor, device: str) -> float:
    """Milliseconds of one forward and backward, from the fused projection (B, N, 3, heads, d) to its gradient."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    out = form(*qkv.permute(2, 0, 3, 1, 4).unbind(0)).transpose(1, 2).flatten(2)
    out.backward(out.detach())
    if device == "cuda":
        torch.cuda.synchronize()
    return 1000 * (clock() - start)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{'':26} {'type':9}" + "".join(f"{name:>10}" for name in FORMS) + "  explicit is faster by")
    for what, (batch, heads, tokens, channels) in SHAPES.items():
        for kind in (torch.bfloat16, torch.float32):
            qkv = torch.randn(batch, tokens, 3, heads, channels, device=args.device, dtype=kind, requires_grad=True)
            times: dict[str, list[float]] = {name: [] for name in FORMS}
            for _ in range(args.rounds + 1):  # interleaved; the first round warms up
                for name, form in FORMS.items():
                    times[name].append(cost(form, qkv, args.device))
            median = {name: statistics.median(spent[1:]) for name, spent in times.items()}
            cells = "".join(f"{value:10.2f}" for value in median.values())
            print(f"{what:26} {str(kind)[6:]:9}{cells}  {median['fused'] / median['explicit']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
