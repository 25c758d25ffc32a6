"""Choose the device, the precision and the memory policy of a process.

PyTorch is imported inside the functions, so that modules of settings can import this one.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library
LARGEST_C_INT = 2**31 - 1


def pick_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """Return the device of a name.

    Args:
        name: "auto" (a GPU where there is one, else the CPU), or a name that PyTorch knows: "cpu", "cuda", "cuda:1".
        local_rank: index of this process among those of one machine; with "auto" it picks that GPU.

    Raises:
        AuricleError: if this machine does not have the device.
    """
    import torch

    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        if local_rank >= torch.cuda.device_count():
            raise AuricleError(f"process {local_rank + 1} has no GPU: there are {torch.cuda.device_count()} here")
        return torch.device("cuda", local_rank)
    if name == "cpu":
        return torch.device("cpu")  # no trial: ``tune_allocator`` has to run before the first tensor
    try:
        trial = torch.zeros(1, device=name)
        trial.item()  # fails on "meta", which holds no values
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise AuricleError(
            f"the device '{name}' cannot be used here: {reason}; expected auto, cpu, cuda or cuda:N "
            "('auricle doctor' lists what this machine has)"
        ) from None
    return trial.device


def cpu_has_bf16() -> bool:
    """Return True if this CPU has bfloat16 multiply instructions (AVX-512 BF16 or AMX)."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def resolve_precision(name: str, device: torch.device) -> str:
    """Return the precision in which networks are trained: "float32", "bf16" or "fp16".

    Args:
        name: one of these, or "auto": bf16 where the hardware multiplies in it, else fp16 on a GPU and float32 on a CPU.

    Raises:
        AuricleError: for fp16 on a CPU, which has no gradient scaling there.
    """
    import torch

    if name == "fp16" and device.type == "cpu":
        raise AuricleError("fp16 training needs a GPU; use --precision bf16 or float32 on a CPU")
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_has_bf16() else "float32"


def tune_allocator() -> bool:
    """Keep freed memory in the process, on large pages. This changes speed, never a number.

    Call it before the first tensor is made: PyTorch reads its own setting only once. A training step frees its
    activations and gradients and allocates the same sizes again in the next step. By default large blocks go back to the
    system and come again as untouched pages, at a page fault per 4 KiB: about 130,000 faults and 5 % of a ViT-B step.
    Large pages save 2 % more (benchmarks/RESULTS.md). Peak memory grows by about 3 % and is held until the process ends.

    Returns:
        False where the C library has no such switch.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST_C_INT))
