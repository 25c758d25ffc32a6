"""The data of a run: batches to learn from, and lists that are only scored.

A method's own ``data`` module chooses the dataset and returns a TrainingData, or a subclass that makes batches differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import torch

from auricle.core.errors import AuricleError
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import ClipDataset, Sample, SampleIndex
from auricle.data.loading.loader import Loader, make_loader
from auricle.data.loading.sampler import HeldOutBatches, ShuffledBatches, draw_held_out
from auricle.data.loading.statistics import Statistics
from auricle.data.manifest.manifest import Manifest
from auricle.methods.config import PretrainConfig, TrainConfig

HELD_OUT_CLIPS = 2048  # clips of a longer list that are scored ([m2d 5.4](docs/specification/m2d.md#s5-4))


class Processes(Protocol):
    """Rank and number of processes of a distributed run (``training.distributed.DistContext``)."""

    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    @property
    def is_main(self) -> bool: ...
    @property
    def quiet(self) -> bool: ...
    def broadcast(self, value: Any) -> Any: ...


@dataclass
class TrainingData:
    """A dataset with the batches of this process.

    dataset      the clips that are learnt from, or scored
    statistics   mean and standard deviation to normalise with, equal on all processes
    key          16 hex digits that change when the clips do
    config       the settings of the run
    processes    this process among those of the run
    valid, test  lists that are scored and not learnt from; None where none is named
    weights      one per clip: an epoch draws its clips with replacement, in proportion; None: each clip once
    """

    dataset: ClipDataset
    statistics: Statistics
    key: str
    config: PretrainConfig
    processes: Processes
    valid: TrainingData | None = None
    test: TrainingData | None = None
    weights: np.ndarray | None = None
    loaders: list[Loader] = field(default_factory=list)

    @property
    def train(self) -> TrainConfig:
        return self.config.train

    @property
    def clips(self) -> int:
        """Clips of an epoch: a short list may be repeated."""
        return len(self.dataset)

    @property
    def listed_clips(self) -> int:
        """Clips of the list."""
        return len(self.dataset.manifest)

    @property
    def batch_clips(self) -> int:
        """Clips of this process's batch; of its largest where they differ."""
        assert self.train.batch_size is not None, "a batch size of auto is resolved before"
        return self.train.batch_size

    @property
    def update_clips(self) -> int:
        """Clips of one weight update, over all micro-steps and processes."""
        return self.batch_clips * self.train.accum_iter * self.processes.world

    def warnings(self) -> list[str]:
        """Return what is doubtful about the clips, for people; looked at once, before the first weight update."""
        return []

    def set_config(self, config: PretrainConfig) -> None:
        """Replace the settings, here and in the scored lists (once ``--batch-size auto`` is resolved)."""
        for part in (self, self.valid, self.test):
            if part is not None:
                part.config = config

    def micro_steps(self) -> int:
        """Return the number of batches of each process in an epoch.

        Raises:
            AuricleError: if the clips do not fill one weight update.
        """
        size, accum, world = self.batch_clips, self.train.accum_iter, self.processes.world
        per_epoch = self.clips // (size * world)
        if per_epoch < accum:
            raise AuricleError(
                f"one weight update takes {self.update_clips} clips ({size} x {accum} micro-steps x {world} processes) but "
                f"there are {self.clips}; lower --batch-size or --accum-iter, or repeat the list with --min-ds-size "
                f"{self.update_clips}"
            )
        return per_epoch

    def batches(self, micro_step: int) -> Iterator[Batch]:
        """Iterate endlessly over this process's training batches, from a micro-step of the run on."""
        sampler = self.training_sampler()
        epoch, inside = divmod(micro_step, sampler.micro_steps)
        return iter(self.open_loader(replace(sampler, epoch=epoch, micro_step=inside)))

    def scored_batches(self) -> Iterable[Batch]:
        """Return this process's share of the batches that are scored: the same clips and draws every time."""
        return self.loaders[0] if self.loaders else self.open_loader(self.scoring_sampler())

    def sample(self, clips: int) -> Iterable[Batch]:
        """Return batches of ``clips`` clips (of all, where there are fewer): the same clips and draws every time."""
        batches = draw_held_out(self.clips, self.batch_clips, clips, self.train.seed)
        return make_loader(self.dataset, HeldOutBatches(batches), collate=self.collate)

    def first_clips(self, clips: int) -> Batch:
        """Return the first clips of the first epoch's order, as in training, as one batch."""
        return next(
            iter(make_loader(self.dataset, ShuffledBatches(self.clips, min(clips, self.clips), self.train.seed)))
        )

    def facts(self) -> dict[str, str]:
        """Return the description of the data for the card of the run."""
        return {"statistics": f"mean {self.statistics.mean:.4f}, standard deviation {self.statistics.std:.4f}"}

    def replaced(self) -> int:
        """Return how many clips could not be read and were replaced by others so far."""
        return sum(len(loader.failed) for loader in self.all_loaders())

    def report(self) -> str:
        """Return a message about the clips that were replaced; empty if there were none."""
        return "\n".join(filter(None, (loader.report() for loader in self.all_loaders())))

    # What a subclass with other batches replaces.

    def training_sampler(self) -> Any:
        """Return the sampler of this process's training batches, at the beginning of the run."""
        rank, world = self.processes.rank, self.processes.world
        return ShuffledBatches(
            self.clips,
            self.batch_clips,
            self.train.seed,
            rank,
            world,
            weights=self.weights,
            shards=self.shards(),
            buffer=self.train.shuffle_buffer,
        )

    def shards(self) -> np.ndarray | None:
        """Return the number of the shard of every clip of the data set, (n,); None where clips come in any order.

        Raises:
            AuricleError: the clips are loose files, and --shuffle is shards.
        """
        if self.train.shuffle == "clips":
            return None
        numbers, names = self.dataset.manifest.table.codes("store")
        if names == [None]:
            raise AuricleError(
                "--shuffle shards needs clips in archives, and these are loose files; 'auricle prepare shards' writes them, and "
                "--shuffle clips needs none"
            )
        return np.resize(numbers, len(self.dataset))

    def scoring_sampler(self) -> HeldOutBatches:
        """Return the sampler of this process's scored batches."""
        batches = draw_held_out(self.clips, self.batch_clips, HELD_OUT_CLIPS, self.train.seed)
        return HeldOutBatches(batches, self.processes.rank, self.processes.world)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return collate(samples)

    def open_loader(self, sampler: Iterable[list[SampleIndex]]) -> Loader:
        pin = self.processes.device.type == "cuda"
        self.loaders.append(make_loader(self.dataset, sampler, self.train.workers, pin, self.collate))
        return self.loaders[-1]

    def all_loaders(self) -> list[Loader]:
        return self.loaders + [loader for part in (self.valid, self.test) if part for loader in part.loaders]


def content_key(manifest: Manifest) -> str:
    """Return 16 hex digits of the ids and lengths (and weights), in order: another list is another run."""
    digest = hashlib.sha256()
    for id, samples, weight in manifest.table.rows("id", "num_samples", "weight"):
        own = "" if weight == 1 else f"\t{weight}"
        digest.update(f"{id}\t{samples}{own}\n".encode())
    return digest.hexdigest()[:16]
