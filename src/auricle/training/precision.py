"""Which arithmetic the networks run in. Weights, optimiser state, losses and teacher averaging stay float32."""

from __future__ import annotations

import ctypes
import os
import sys

import torch

from auricle.core.errors import AuricleError

TYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def resolve(name: str, device: torch.device) -> str:
    """ "auto" is bf16 where the hardware multiplies in it, else fp16 on a GPU, else float32."""
    if name == "fp16" and device.type == "cpu":
        raise AuricleError("fp16 training needs a GPU; use --precision bf16 or float32 on a CPU")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_has_bf16() else "float32"


def cpu_has_bf16() -> bool:
    """Whether this CPU has bfloat16 multiply instructions (AVX-512 BF16 or AMX)."""
    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def autocast(name: str, device: torch.device) -> torch.autocast:
    """The context around a forward pass."""
    kind = TYPES[name]
    return torch.autocast(device.type, dtype=kind or torch.bfloat16, enabled=kind is not None)


def pick_device(name: str, local_rank: int = 0) -> torch.device:
    """ "auto" is this process's GPU where there is one. Raises AuricleError for a device that is not there."""
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if local_rank >= torch.cuda.device_count():
            raise AuricleError(f"process {local_rank + 1} has no GPU: there are {torch.cuda.device_count()} here")
        return torch.device("cuda", local_rank)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise AuricleError(f"unknown device '{name}'; expected cpu, cuda or cuda:N") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise AuricleError("no GPU is visible to PyTorch here; 'auricle doctor' says what is")
    return device


# How a training process on the CPU gets its memory. It changes speed alone, never a number.

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library
LARGEST = 2**31 - 1  # mallopt takes a C int


def tune_allocator() -> bool:
    """Keep freed memory in the process, on large pages. Call it before the first tensor. False: no switch here.

    A step frees its activations and gradients and asks for the same sizes again in the next one. By default large
    blocks go back to the system and come again as untouched pages, at a page fault per 4 KiB: about 130 000 faults and
    5 % of a ViT-B step. Large pages (PyTorch's own setting, left alone where the user has set it) spare address
    look-ups: 2 % more (benchmarks/RESULTS.md). Peak memory grows by about 3 % and is held until the process ends.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # PyTorch reads it once, when it makes its first tensor
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST))
