"""Load batches from a data set in the order of a sampler, in this process or in workers: the batches are the same."""

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

from auricle.core.console import number_of
from auricle.core.devices import POLICY
from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import ClipDataset, Sample, SampleIndex

ATTEMPTS = 20  # replacements of one sample before training stops


class FetchedSample(NamedTuple):
    """One sample of a batch, or None with the reason to stop, and the clips that could not be read before it."""

    sample: Sample | None
    failed: dict[str, str]
    stop: str = ""


class FetchedBatch(NamedTuple):
    """A batch, or None with the reason to stop, and the clips that could not be read."""

    batch: Batch | None
    failed: dict[str, str]
    stop: str = ""


class ReplacingDataset:
    """A data set that replaces a clip that cannot be read by another one, drawn with the key of its position.

    The replacement for attempt k is drawn by ``RandomKey(seed, epoch, position).of("replacement/k")``, uniform over the
    data set. It is the same in every run and with any number of workers.
    """

    def __init__(self, dataset: ClipDataset):
        self.dataset = dataset

    def __getitem__(self, index: SampleIndex) -> FetchedSample:
        key = RandomKey(self.dataset.seed, index.epoch, index.position)
        failed: dict[str, str] = {}
        for attempt in range(ATTEMPTS):
            try:
                return FetchedSample(self.dataset[index], failed)
            except AudioError as error:
                failed[self.dataset.clip(index.number).id] = str(error)
            except AuricleError as error:
                return FetchedSample(None, failed, str(error))
            except Exception as error:  # whatever a library or the file system raises about one clip
                failed[self.dataset.clip(index.number).id] = " ".join(f"{type(error).__name__}: {error}".split())
            index = index._replace(number=int(key.of(f"replacement/{attempt}").integers(0, len(self.dataset))))
        return FetchedSample(
            None, failed, f"{ATTEMPTS} clips in a row cannot be read; the last: {list(failed.values())[-1]}"
        )


class Loader:
    """Iterates over batches.

    Attributes:
        failed: The error of every clip that was replaced so far, by id.

    Raises:
        AuricleError: While iterating, for an error that is not one of a single clip.
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
        """Return a message about the clips that were replaced; empty when there are none."""
        if not self.failed:
            return ""
        first = next(iter(self.failed.values()))
        return f"{number_of(len(self.failed), 'clip')} could not be read and others replaced them; the first: {first}"


def make_loader(
    dataset: ClipDataset,
    sampler: Iterable[list[SampleIndex]],
    workers: int = 0,
    pin_memory: bool = False,
    collate: Callable[[Sequence[Sample]], Batch] = collate,
) -> Loader:
    """Make the loader of a data set. One iteration over an endless sampler serves a whole run.

    Args:
        dataset: The data set.
        sampler: Yields the positions of each batch.
        workers: Worker processes, each with one thread; 0 loads in this process.
        pin_memory: True puts batches into page-locked memory.
        collate: Makes a batch of samples.

    PyTorch's default generator is not used.
    """
    return Loader(
        DataLoader(
            ReplacingDataset(dataset),  # type: ignore[arg-type]
            batch_sampler=sampler,  # type: ignore[arg-type]
            num_workers=workers,
            collate_fn=partial(_collate, collate),
            pin_memory=pin_memory,
            worker_init_fn=partial(_start_worker, _exit_event()) if workers else None,
            generator=torch.Generator().manual_seed(0),
            persistent_workers=workers > 0,
        )
    )


def _collate(collate: Callable[[Sequence[Sample]], Batch], fetched: Sequence[FetchedSample]) -> FetchedBatch:
    failed = {id: why for item in fetched for id, why in item.failed.items()}
    samples = [item.sample for item in fetched if item.sample is not None]
    stop = next((item.stop for item in fetched if item.stop), "")
    return FetchedBatch(None if stop else collate(samples), failed, stop)


def _exit_event() -> Event:
    """Return an event that is set when this process ends, so that its workers may end too."""
    event = multiprocessing.Event()
    atexit.register(event.set)  # runs before multiprocessing ends its remaining children
    return event


def _start_worker(exiting: Event, worker: int) -> None:
    """Use one thread, and ignore Ctrl-C and SIGTERM: they reach every process of a group, and the main process handles them.
    Workers read on until the main process has saved, and end with it."""
    POLICY.fix(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0) if exiting.is_set() else None)
