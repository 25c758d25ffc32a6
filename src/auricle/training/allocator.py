"""What the C library does with memory that a training step frees. It changes speed alone, never a number."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library
LARGEST = 2**31 - 1  # mallopt takes a C int


def keep_freed_memory() -> bool:
    """Let freed blocks stay with the process instead of going back to the system; False where the C library cannot.

    A step on the CPU frees its activations and gradients and asks for the same sizes again in the next one. By default
    large blocks are returned and given anew as untouched pages, at a page fault per 4 KiB: about 130 000 faults and 5 %
    of a ViT-B step (benchmarks/RESULTS.md). Peak memory stays what it was, but is not given back before the end. Only
    the GNU C library has the switch.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, LARGEST))
