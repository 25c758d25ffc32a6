"""Choose the device, the precision, the memory policy and the threads of a process.

PyTorch is imported inside the functions, so that modules of settings can import this one, and so that the command line
can choose how threads wait before PyTorch is loaded.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h of the GNU C library
LARGEST_C_INT = 2**31 - 1


def pick_device(name: str = "auto", local_rank: int = 0) -> torch.device:
    """Return the device of a name.

    Args:
        name: "auto" (a GPU where there is one, else the CPU), or a name of PyTorch: "cpu", "cuda", "cuda:1".
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


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a forward pass. Weights, optimiser state and losses stay float32.

    Args:
        precision: "float32", "bf16" or "fp16", as ``resolve_precision`` returns it.
        device: where the network is.
    """
    import torch

    dtype = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if dtype is None and not torch.is_autocast_enabled(device.type):
        return nullcontext()  # entering an autocast that does nothing takes as long as a small operation
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)


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


# ---- threads, by the load of the machine
#
# OpenMP threads that wait actively take the processor from busy neighbours, and the neighbours take it from them: every
# command becomes several times slower (benchmarks/busy_machine.py, docs/shared-machines.md). The rules:
# - Waiting: the OpenMP runtime reads OMP_WAIT_POLICY once, when PyTorch is loaded. The command line measures the load
#   first: beside busy neighbours it asks for passive waiting, on an idle machine it leaves the default.
# - Number: as many threads as the other processes leave cores free, at least one. A single thread never waits.
# - Where: PyTorch, and the BLAS and OpenMP pools of NumPy, SciPy and scikit-learn, loaded before or after the choice. The
#   threads of OpenBLAS wait actively whatever OMP_WAIT_POLICY says.
# - Again: every step of a progress bar and every fit of a probe calls recheck(), which measures every few seconds.
# - Small products run on one thread whatever the load: one_thread().
# What the user sets wins: OMP_WAIT_POLICY, the variables in USER_SETTINGS, set_threads(). Another number of threads
# may change the last bits of a sum. As a library Auricle changes nothing by itself.

USER_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
PROBE_SECONDS = 0.08  # the clock of /proc/stat ticks every 0.01 s
RECHECK_SECONDS = 3.0
SMALL_PRODUCT = 5e8  # multiply-adds that one core does in less than about 0.1 s
BUSY_CORES = 0.35  # less than this is the noise of an idle desktop


def available_cores() -> int:
    """Count the processor cores that this process may use (affinity and the quota of its control group)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group of version 2, or "max"
        return cores


@dataclass(frozen=True)
class _CpuClock:
    """Processor seconds used so far on our cores: by every process (None where that is unknown), and by this one."""

    wall: float
    everybody: float | None
    own: float

    @classmethod
    def read(cls) -> _CpuClock:
        own = os.times()
        return cls(time.monotonic(), _busy_seconds(), own.user + own.system)

    def age(self) -> float:
        return time.monotonic() - self.wall

    def others_since(self, earlier: _CpuClock) -> float | None:
        """Return the number of cores that other processes used between the two readings."""
        if self.everybody is None or earlier.everybody is None or self.wall <= earlier.wall:
            return None
        used = (self.everybody - earlier.everybody) - (self.own - earlier.own)
        return max(0.0, used / (self.wall - earlier.wall))


def _busy_seconds() -> float | None:
    """Sum the busy time of the cores that this process may use, from /proc/stat (Linux only)."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    allowed = os.sched_getaffinity(0)
    ticks = 0
    for line in lines:
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in allowed:
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, values[:8])
            ticks += user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def free_cores() -> float:
    """Measure how many processor cores other processes leave free; all of them where that is unknown."""
    cores = available_cores()
    if cores == 1:
        return 1.0
    before = _CpuClock.read()
    time.sleep(PROBE_SECONDS)
    busy = _CpuClock.read().others_since(before) or 0.0
    return max(0.0, cores - busy) if busy >= BUSY_CORES else float(cores)


def threads_for(cores: int, busy_elsewhere: float) -> int:
    """Return the number of threads that leaves busy neighbours their cores.

    Example:
        >>> threads_for(2, 0.1), threads_for(2, 1.0), threads_for(16, 4.2)
        (2, 1, 12)
    """
    return cores if busy_elsewhere < BUSY_CORES else max(1, round(cores - busy_elsewhere))


class ThreadPolicy:
    """The number of threads of this process and how they wait. One object, :data:`POLICY`, is used by all.

    Attributes:
        managed: True if the number of threads follows the load.
        waiting: "passive", "default" (the runtime's own), or the value that the user set.
        threads: the number chosen, or None as long as nothing was chosen.
        busy_elsewhere: number of cores that other processes used when the load was last measured, None if unknown.
    """

    def __init__(self) -> None:
        self.managed, self.waiting = False, os.environ.get("OMP_WAIT_POLICY", "default")
        self.threads: int | None = None
        self.busy_elsewhere: float | None = None
        self._clock: _CpuClock | None = None
        self._blocks, self._block_lock = 0, threading.Lock()  # of ``one_thread``, running now
        self._limit: Any = None
        self._pools: Any = None  # of the libraries that were loaded with ``_modules`` modules
        self._modules = 0

    def start(self) -> None:
        """Choose waiting policy and number of threads for a command. Call it before PyTorch is imported."""
        user_waits, user_counts = "OMP_WAIT_POLICY" in os.environ, any(name in os.environ for name in USER_SETTINGS)
        if "torch" in sys.modules or (user_waits and user_counts):
            return
        before = _CpuClock.read()
        time.sleep(PROBE_SECONDS)
        self._clock = _CpuClock.read()
        self.busy_elsewhere = self._clock.others_since(before)
        busy = self.busy_elsewhere is not None and self.busy_elsewhere >= BUSY_CORES
        if busy and not user_waits:
            os.environ["OMP_WAIT_POLICY"] = self.waiting = "passive"
        if not user_counts:
            self.managed = True
            self.threads = threads_for(available_cores(), self.busy_elsewhere or 0.0)
            if self.threads < available_cores():
                self._use(self.threads)

    def recheck(self) -> str | None:
        """Measure the load again, at most every few seconds, and change the number of threads if it asks for it.

        Returns:
            A sentence for the progress line if the number changed, else None.
        """
        if not self.managed or self._blocks or (self._clock and self._clock.age() < RECHECK_SECONDS):
            return None
        now = _CpuClock.read()
        busy = None if self._clock is None else now.others_since(self._clock)
        self._clock = now
        if busy is None:
            return None
        self.busy_elsewhere = busy
        wanted = threads_for(available_cores(), busy)
        if wanted == self.threads:
            return None
        self._use(wanted)
        return self.describe()

    def fix(self, threads: int) -> None:
        """Compute with this many threads from now on, whatever the load."""
        self.managed = False
        self._use(threads)

    def follow_load(self) -> None:
        """Let the number of threads follow the load from now on (at the calls of ``recheck``)."""
        self.managed, self._clock = True, _CpuClock.read()
        if self.threads is None:
            self.threads = available_cores()

    def _use(self, threads: int) -> None:
        self.threads = threads
        os.environ["OMP_NUM_THREADS"] = str(threads)  # for libraries and processes that are loaded from now on
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        if "numpy" in sys.modules:  # its pools, and those of SciPy and scikit-learn
            from threadpoolctl import threadpool_limits

            threadpool_limits(threads)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Run a block on one thread; see :func:`one_thread`. Blocks may overlap: the last one to end gives the threads back."""
        with self._block_lock:
            self._blocks += 1
            if self._blocks == 1:
                self._limit = self._find_pools().limit(limits=1)
        try:
            yield
        finally:
            with self._block_lock:
                self._blocks -= 1
                if self._blocks == 0:
                    self._limit.restore_original_limits()

    def _find_pools(self) -> Any:
        """Return the thread pools of the loaded libraries. Looking for them takes as long as a small fit (2 ms), and a new library
        comes with a module: they are looked for again only where modules were imported."""
        from threadpoolctl import ThreadpoolController

        if self._pools is None or self._modules != len(sys.modules):
            self._pools, self._modules = ThreadpoolController(), len(sys.modules)
        return self._pools

    def describe(self) -> str:
        """Return one sentence on threads and load, for progress lines and ``auricle doctor``."""
        cores = available_cores()
        chosen = self.threads or cores
        used = chosen if self.managed or "torch" not in sys.modules else sys.modules["torch"].get_num_threads()
        threads = f"{used} of {cores} threads, {self.waiting} waiting"
        if self.busy_elsewhere is None or self.busy_elsewhere < BUSY_CORES:
            return threads
        return f"{threads}: other processes keep {self.busy_elsewhere:.1f} cores busy"


POLICY = ThreadPolicy()


def recheck() -> str | None:
    """Let :data:`POLICY` look at the load again; see :meth:`ThreadPolicy.recheck`. Cheap enough for every batch."""
    return POLICY.recheck()


def one_thread(multiply_adds: float = 0.0) -> AbstractContextManager[None]:
    """Return a context in which NumPy, SciPy and scikit-learn compute on one thread if the products are small.

    A second thread brings nothing to a product of a few milliseconds, and beside busy neighbours it makes it a hundred times
    slower. :meth:`ThreadPolicy.recheck` changes no number of threads inside the block.

    Args:
        multiply_adds: of the largest product in the block; from ``SMALL_PRODUCT`` on, the context changes nothing.
    """
    return POLICY.one_thread() if multiply_adds < SMALL_PRODUCT else nullcontext()


def set_threads(threads: int | str = "auto") -> None:
    """Set the number of threads that Auricle computes with in this process.

    Args:
        threads: a positive number, or "auto": follow the load of the machine, as the command line does. How threads
            wait can be chosen only before PyTorch is imported: set ``OMP_WAIT_POLICY=passive`` in the environment.

    Raises:
        ValueError: threads is neither "auto" nor a positive number.

    Example:
        >>> import auricle
        >>> auricle.set_threads(1)  # beside other busy processes
    """
    if threads == "auto":
        POLICY.follow_load()
    elif isinstance(threads, int) and not isinstance(threads, bool) and threads > 0:
        POLICY.fix(threads)
    else:
        raise ValueError(f"threads must be 'auto' or a positive number, got {threads!r}")
