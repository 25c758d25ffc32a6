"""How a training process on the CPU gets its memory. It changes speed alone, never a number."""

from __future__ import annotations

import ctypes
import os
import sys

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
