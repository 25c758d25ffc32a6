"""Settings of work on a corpus: where it runs, with how many processes, and which share of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from auricle.core.devices import available_cores
from auricle.core.errors import AuricleError
from auricle.core.executors.base import Executor, LocalExecutor, Lost, R, T, mapping
from auricle.core.options import check_choices, check_ranges, option
from auricle.core.parallel import FEW_ITEMS

EXECUTORS = ("auto", "local", "pool", "ray")
POOL_PAYS = 600  # recordings, from which on a pool ends earlier: `python -m benchmarks.corpus --start`
POOL_PAYS_FILES = FEW_ITEMS + 1  # the same for work without a network, whose processes start sooner
MOST_AUTO = 8  # processes, unless more are asked for: each holds PyTorch and the model, half a gigabyte or more
SHARD = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True)
class CorpusShard:
    """One share of a corpus of ``count``, counted from 1: the recordings whose names have this remainder of their hash.

    A recording keeps its share when others are added, and shares differ little in size.
    """

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> CorpusShard:
        """Return the share that a text such as ``3/16`` means. Raises AuricleError for any other text."""
        found = SHARD.fullmatch(text.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise AuricleError(f"--shard {text}: expected a share and their number, such as 3/16 (from 1/16 to 16/16)")
        return cls(int(found[1]), int(found[2]))

    def holds(self, name: str) -> bool:
        """Return True if the recording of this name belongs to this share."""
        digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1

    @property
    def folder(self) -> str:
        """The name of a folder of this share."""
        width = len(str(self.count))
        return f"shard-{self.number:0{width}d}-of-{self.count}"


def executor_option(pool_from: int) -> Any:
    """Return the field of ``--executor``; ``pool_from`` recordings on, auto is a pool."""
    return option(
        "auto",
        "where recordings are worked on, on one thread each: local: this process; pool: a process per core; ray: the actors of a "
        f"Ray cluster; auto: on CPUs a pool from {pool_from} recordings on, else this process and all its threads",
        choices=EXECUTORS,
        group="this machine",
        advanced=True,
    )


def shard_option(joined: str, work: str = "work on one share of the recordings") -> Any:
    """Return the field of ``--shard``; ``joined`` says what becomes of the shares, ``work`` what is done."""
    return option(
        None,
        f"{work}, such as 3/16, or none: all of them. {joined}",
        special={"none": None},
        group="this machine",
        advanced=True,
    )


@dataclass(frozen=True)
class ExecutorSettings:
    """Where the work on many recordings runs. No setting changes an answer."""

    executor: str = executor_option(POOL_PAYS)
    processes: int | None = option(
        None,
        f"processes of the pool, or actors of Ray; auto: one per core, {MOST_AUTO} at most",
        special={"auto": None},
        group="this machine",
        advanced=True,
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if self.processes is not None:
            check_ranges(self, ("processes",), 1)

    def make_executor(
        self, items: int, device: str, pool_from: int = POOL_PAYS, most: int | None = MOST_AUTO
    ) -> Executor:
        """Return what runs the work.

        Args:
            items: number of recordings or clips.
            device: type of the device that computes: "cpu", "cuda".
            pool_from: number of items from which on auto is a pool.
            most: processes, unless more are asked for; None: one per core.

        Raises:
            AuricleError: for Ray where it is not installed.
        """
        if not items:  # no process is started for nothing
            return LocalExecutor()
        processes = self.processes or min(available_cores(), most or available_cores())
        if self.executor == "pool" or (
            self.executor == "auto" and device == "cpu" and processes > 1 and items >= pool_from
        ):
            from auricle.core.executors.pool import PoolExecutor

            return PoolExecutor(min(processes, items))
        if self.executor == "ray":
            from auricle.core.executors.ray_data import RayExecutor

            return RayExecutor(processes)
        return LocalExecutor(repeatable=self.executor == "local")

    def map(self, function: Callable[[T], R], parts: Sequence[T], lost: Lost[T, R]) -> Generator[R, None, None]:
        """Yield ``function(part)`` for each part, in order; auto is a pool from ``POOL_PAYS_FILES`` parts on.

        Args:
            function: work on files without a network. Executors with other processes pickle it.
            parts, lost: as of ``Executor.run``.
        """
        executor = self.make_executor(len(parts), "cpu", POOL_PAYS_FILES, None)
        return executor.run(partial(mapping, function), parts, lost, lambda message: None)


@dataclass(frozen=True)
class CorpusSettings(ExecutorSettings):
    """Where the work on many recordings runs, and on which share of them."""

    shard: str | None = shard_option("Shares are written apart; the same command without --shard joins them")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shard is not None:
            CorpusShard.parse(self.shard)

    @property
    def share(self) -> CorpusShard | None:
        """The share of the recordings that is worked on; None: all of them."""
        return None if self.shard is None else CorpusShard.parse(self.shard)


class FileJob:
    """What configs of work on files have in common: ``workers`` processes, an ``executor``, and a ``shard`` or none."""

    workers: int | None
    executor: str
    shard: str | None = None

    @property
    def corpus(self) -> CorpusSettings:
        """Where the work runs, and on which share of it. Raises AuricleError for settings that mean nothing."""
        return CorpusSettings(self.executor, self.workers or None, self.shard)
