"""Workers for the tests of executors; a pool imports them by name."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

from auricle.core.executors.base import Executor, MakeWorker, Tell


def doubles(tell: Tell):
    """Twice each number; even ones take longer."""

    def worker(parts: Iterable[int]) -> Iterator[int]:
        for part in parts:
            time.sleep(0.01 * (part % 2 == 0))
            yield 2 * part

    return worker


def greedy(tell: Tell):
    """Reads five parts before it gives the result of the first."""

    def worker(parts: Iterable[int]) -> Iterator[int]:
        parts = iter(parts)
        while held := list(islice(parts, 5)):
            yield from held

    return worker


def mortal(folder: Path, once: int, always: int, tell: Tell):
    """Dies by SIGKILL at the part ``always``, and the first time at the part ``once``."""

    def worker(parts: Iterable[int]) -> Iterator[int]:
        for part in parts:
            tell(part)
            died = folder / str(part)
            if part == always or (part == once and not died.exists()):
                died.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield part

    return worker


def still_born(tell: Tell):
    """Cannot be made: the process ends."""
    os._exit(7)


def faulty(tell: Tell):
    """Raises at the second part."""

    def worker(parts: Iterable[int]) -> Iterator[int]:
        for part in parts:
            if part == 1:
                raise ValueError("part 1")
            yield part

    return worker


def mortal_in(folder: Path, once: int = -1, always: int = -1):
    return partial(mortal, folder, once, always)


@dataclass(frozen=True)
class KilledOnce:
    """Runs the workers of a job by another executor; one process is killed by SIGKILL.

    Args:
        executor: with other processes.
        folder: keeps the file ``died``, so that the others live.
        telling: the first process with a third message dies; else the first one that takes a third part.
    """

    executor: Executor
    folder: Path
    telling: bool = False
    repeatable = True

    def run(self, make: MakeWorker, parts, lost, on_message):
        dying = partial(dies_once, self.folder / "died", self.telling, make)
        return self.executor.run(dying, parts, lost, on_message)


def dies_once(died: Path, telling: bool, make: MakeWorker, tell: Tell):
    """The worker of ``make``, whose process dies at its third part or message unless one has died before."""
    counts = {"parts": 0, "messages": 0}

    def count(what: str) -> None:
        counts[what] += 1
        if counts["messages" if telling else "parts"] == 3 and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def telling_worker(message) -> None:
        tell(message)
        count("messages")

    def counted(parts: Iterable) -> Iterator:
        for part in parts:
            count("parts")
            yield part

    worker = make(telling_worker)
    return lambda parts: worker(counted(parts))
