"""Parts of ``benchmarks.gpu_card`` in this process: the peak rate, equal answers on the device, forward throughput."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from auricle.core.devices import autocast
from benchmarks.gpu_card.networks import NETWORKS, encoder_of, waves
from benchmarks.gpu_card.settings import Sizes

Row = dict[str, Any]

# Largest |answer - answer of the CPU in float32| / |answer of the CPU|, both as norms of all features. Newly drawn weights lose
# more to rounding than trained ones: in bf16 on a CPU MN is 0.13 away, ViTs 0.004.
LIMITS = {"float32": 1e-4, "tf32": 1e-2, "bf16": 0.3, "fp16": 0.05, "compiled": 1e-4}
UNSTEADY = {"float32": 1e-2, "compiled": 1e-2}
CLIPS = 2  # that answers are compared on


@contextmanager
def arithmetic(name: str, device: str) -> Iterator[None]:
    """float32: exact products; tf32: products of 10 bits of mantissa on GPUs that have them; bf16 and fp16: autocast."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if name == "float32" else "high")
    torch.backends.cudnn.allow_tf32 = name != "float32"
    try:
        with autocast(name if name in ("bf16", "fp16") else "float32", torch.device(device)):
            yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


def seconds_of(work: Callable[[], Any], sizes: Sizes) -> float:
    """Median seconds of a call after two of warm-up."""
    times = []
    for _ in range(sizes.rounds + 2):
        sizes.synchronise()
        start = time.perf_counter()
        work()
        sizes.synchronise()
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def peak(sizes: Sizes) -> list[Row]:
    """Operations per second of a large matrix product in each arithmetic: what utilisation is a share of."""
    rows = []
    for name, dtype in {"tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}.items():
        a, b = (torch.randn(sizes.product, sizes.product, device=sizes.device).to(dtype) for _ in range(2))
        with arithmetic("tf32", sizes.device):
            seconds = seconds_of(lambda a=a, b=b: a @ b, sizes)
        rows.append({"arithmetic": name, "tflops": 2 * sizes.product**3 / seconds / 1e12})
    return rows


@torch.inference_mode()
def same(sizes: Sizes) -> list[Row]:
    """Front end and features of every family on the device against the CPU, in each arithmetic, and compiled."""
    rows = []
    for name, network in NETWORKS.items():
        encoder = encoder_of(network, sizes)
        wave = waves(encoder, sizes, CLIPS)
        spec = encoder.frontend(wave).values
        reference = encoder(wave).frames
        limits = LIMITS if network.steady else UNSTEADY
        encoder = encoder.to(sizes.device)
        moved = wave.to(sizes.device)
        with arithmetic("float32", sizes.device):
            rows.append(_apart(name, "front end", encoder.frontend(moved).values, spec, LIMITS["float32"]))
            found = encoder.core(spec.to(sizes.device)).frames
            compiled = torch.compile(lambda values, core=encoder.core: core(values).frames, backend=sizes.compiler)
            rows.append(_apart(name, "compiled", compiled(spec.to(sizes.device)), found.cpu(), limits["compiled"]))
        for kind in ("float32", "tf32", "bf16", "fp16"):
            with arithmetic(kind, sizes.device):
                rows.append(_apart(name, kind, encoder.for_inference()(moved).frames, reference, limits.get(kind)))
    return rows


def _apart(network: str, what: str, found: Tensor, reference: Tensor, limit: float | None) -> Row:
    apart = float((found.float().cpu() - reference).norm() / reference.norm())
    return {"network": network, "what": what, "apart": apart, "limit": limit, "ok": limit is None or apart <= limit}


@torch.inference_mode()
def forward(sizes: Sizes) -> list[Row]:
    """Waveform to features: clips per second, share of the peak, memory of a pass; plain forms where there are some."""
    rates = {row["arithmetic"]: row["tflops"] for row in peak(sizes)}
    rows = []
    for name, network in NETWORKS.items():
        encoder = encoder_of(network, sizes)
        operations = operations_of(lambda encoder=encoder: encoder(waves(encoder, sizes, 1)))
        wave = waves(encoder, sizes, sizes.batch).to(sizes.device)
        seconds = wave.shape[1] / encoder.info.sample_rate
        encoder = encoder.to(sizes.device)
        forms: dict[str, Callable[[], Any]] = {
            "auricle": lambda encoder=encoder, wave=wave: encoder.for_inference()(wave)
        }
        if network.plain is not None:
            plain = network.plain(encoder).to(sizes.device).eval()
            forms["plain"] = lambda plain=plain, wave=wave: plain(wave)
        for kind in ("tf32", "bf16"):
            for form, work in forms.items():
                with arithmetic(kind, sizes.device):
                    speed = _speed(work, sizes, operations, rates[kind])
                rows.append({"network": name, "form": form, "arithmetic": kind, "clip_s": seconds, **speed})
    return rows


def operations_of(work: Callable[[], Any]) -> float:
    """Floating-point operations of a call: products and convolutions, as PyTorch counts them."""
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops())


def _speed(work: Callable[[], Any], sizes: Sizes, operations: float, tflops: float) -> Row:
    memory, held = None, 0
    if sizes.device == "cuda":
        held = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
    clips = sizes.batch / seconds_of(work, sizes)
    if sizes.device == "cuda":
        memory = (torch.cuda.max_memory_allocated() - held) / 2**20
    return {"clips_per_s": clips, "utilisation": clips * operations / tflops / 1e12, "working_mib": memory}
