"""From a data set and a sampler to batches, in this process or in workers: the same batches either way."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from multiprocessing.synchronize import Event
from typing import NamedTuple

import torch
from torch.utils.data import DataLoader

from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import ClipDataset, Item, Sample

ATTEMPTS = 20  # replacements tried for one place before the data are given up as broken


class Fetched(NamedTuple):
    """One place of a batch: its sample, or None with the reason to stop; and the clips that could not be read."""

    sample: Sample | None
    failed: dict[str, str]
    stop: str = ""


class FetchedBatch(NamedTuple):
    """The same for a whole batch."""

    batch: Batch | None
    failed: dict[str, str]
    stop: str = ""


class Replacing:
    """The data set seen by the loader: a clip that cannot be read is replaced by one drawn with its place's own key.

    The replacement for attempt k is drawn by ``RandomKey(seed, epoch, position).of("replacement/k")``, uniform over the
    data set, so it is the same in every run and with any number of workers.
    """

    def __init__(self, dataset: ClipDataset):
        self.dataset = dataset

    def __getitem__(self, item: Item) -> Fetched:
        key = RandomKey(self.dataset.seed, item.epoch, item.position)
        failed: dict[str, str] = {}
        for attempt in range(ATTEMPTS):
            try:
                return Fetched(self.dataset[item], failed)
            except (AudioError, OSError) as error:
                failed[self.dataset.clip(item.number).id] = str(error)
            except AuricleError as error:
                return Fetched(None, failed, str(error))
            item = item._replace(number=int(key.of(f"replacement/{attempt}").integers(0, len(self.dataset))))
        return Fetched(None, failed, f"{ATTEMPTS} clips in a row cannot be read; the last: {list(failed.values())[-1]}")


class Loader:
    """Iterates over Batches. ``failed`` grows: id -> why, for each clip that was replaced so far.

    Raises AuricleError when what is wrong is not one clip.
    """

    def __init__(self, loader: DataLoader):
        self.loader = loader
        self.failed: dict[str, str] = {}

    def __iter__(self) -> Iterator[Batch]:
        for fetched in self.loader:
            self.failed |= fetched.failed
            if fetched.batch is None:
                raise AuricleError(fetched.stop)
            yield fetched.batch

    def report(self) -> str:
        """What to say at the end about clips that were replaced; empty when all was well."""
        if not self.failed:
            return ""
        first = next(iter(self.failed.values()))
        return f"{len(self.failed)} clips could not be read and were replaced by others; the first: {first}"


def make_loader(
    dataset: ClipDataset,
    sampler: Iterable[list[Item]],
    workers: int = 0,
    pin_memory: bool = False,
    collate: Callable[[Sequence[Sample]], Batch] = collate,
) -> Loader:
    """A Loader of ``dataset`` in the order of ``sampler``. One iteration over an endless sampler serves a whole run.

    Each worker process computes with one thread. PyTorch's default generator is left alone.
    """
    return Loader(
        DataLoader(
            Replacing(dataset),  # type: ignore[arg-type]
            batch_sampler=sampler,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=partial(_collate, collate),
            pin_memory=pin_memory,
            worker_init_fn=partial(_settle, _leaving()) if workers else None,
            generator=torch.Generator().manual_seed(0),
            persistent_workers=workers > 0,
        )
    )


def _collate(collate: Callable[[Sequence[Sample]], Batch], fetched: Sequence[Fetched]) -> FetchedBatch:
    failed = {id: why for item in fetched for id, why in item.failed.items()}
    samples = [item.sample for item in fetched if item.sample is not None]
    stop = next((item.stop for item in fetched if item.stop), "")
    return FetchedBatch(None if stop else collate(samples), failed, stop)


def _leaving() -> Event:
    """Set when this process ends: from then on its workers may be ended too."""
    event = multiprocessing.Event()
    atexit.register(event.set)  # before multiprocessing ends what is left of its children
    return event


def _settle(leaving: Event, worker: int) -> None:
    """One thread; and Ctrl-C and a polite kill, which reach every process of a group, are the run's to answer: its
    workers go on reading until it has saved, and end with it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if leaving.is_set() else None)
