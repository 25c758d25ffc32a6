"""The data of a run, ready for the loop: batches to learn from, and those that are only scored."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from auricle.data.batch import Batch
from auricle.data.buckets import BucketBatches
from auricle.data.collate import collate
from auricle.data.items import ClipDataset, Item, Sample
from auricle.data.loader import Loader, make_loader
from auricle.data.manifest import Manifest
from auricle.data.sampler import Batches, HeldOut, sampled
from auricle.data.statistics import Statistics
from auricle.training.plan import Plan

if TYPE_CHECKING:
    from auricle.jobs.methods import PretrainConfig
    from auricle.training.distribution import Ranks

HELD_OUT_CLIPS = 2048  # scored of a longer list: specification m2d 5.4


@dataclass
class TrainingData:
    """A data set ready for the loop. ``key`` changes when the clips do; ``valid`` and ``test`` are not learnt from.

    With ``weights``, one per clip, an epoch draws its clips with replacement, in proportion.
    """

    dataset: ClipDataset
    statistics: Statistics
    key: str
    config: PretrainConfig
    ranks: Ranks
    loaders: list[Loader] = field(default_factory=list)
    valid: TrainingData | None = None
    test: TrainingData | None = None
    weights: Sequence[float] | None = None

    @property
    def clips(self) -> int:
        """Clips of an epoch: a short list may be repeated."""
        return len(self.dataset)

    @property
    def listed(self) -> int:
        """Clips of the list."""
        return len(self.dataset.manifest)

    def settled(self, config: PretrainConfig) -> PretrainConfig:
        """Takes the settings with everything decided that was "auto"; returns them."""
        for part in (self, self.valid, self.test):
            if part:
                part.config = config
        return config

    @property
    def batch_clips(self) -> int:
        """Clips of a rank's batch; of its largest where they differ."""
        return self.config.train.batch_size

    def plan(self) -> Plan:
        """How long the run is. Raises AuricleError when the data do not fill one weight update."""
        return Plan.of(self.clips, self.config.train, self.ranks.world)

    def sampler(self) -> Batches | BucketBatches:
        """This rank's part of the run's batches, from the beginning."""
        train = self.config.train
        rank, world = self.ranks.rank, self.ranks.world
        return Batches(self.clips, train.batch_size, train.seed, rank, world, weights=self.weights)

    def batches(self, micro_step: int) -> Iterator[Batch]:
        """Endless batches from a micro-step on."""
        sampler = self.sampler()
        epoch, inside = divmod(micro_step, sampler.micro_steps)
        return iter(self.opened(replace(sampler, epoch=epoch, micro_step=inside)))

    def held_out(self) -> Iterable[Batch]:
        """This rank's share of the batches that are scored: the same clips and draws every time."""
        return self.loaders[0] if self.loaders else self.opened(self.held_out_sampler())

    def held_out_sampler(self) -> HeldOut:
        train = self.config.train
        batches = sampled(self.clips, train.batch_size, HELD_OUT_CLIPS, train.seed)
        return HeldOut(batches, self.ranks.rank, self.ranks.world)

    def opened(self, sampler: Iterable[list[Item]]) -> Loader:
        pin = self.ranks.device.type == "cuda"
        self.loaders.append(make_loader(self.dataset, sampler, self.config.train.workers, pin, self.collate))
        return self.loaders[-1]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return collate(samples)

    def first_clips(self, clips: int) -> Batch:
        """The first clips of the first epoch's order, as in training."""
        seed = self.config.train.seed
        return next(iter(make_loader(self.dataset, Batches(self.clips, min(clips, self.clips), seed))))

    def facts(self) -> dict[str, str]:
        """For the run's card."""
        return {"statistics": f"mean {self.statistics.mean:.4f}, deviation {self.statistics.std:.4f}"}

    def every_loader(self) -> list[Loader]:
        return self.loaders + [loader for part in (self.valid, self.test) if part for loader in part.loaders]

    def replaced(self) -> int:
        return sum(len(loader.failed) for loader in self.every_loader())

    def report(self) -> str:
        return "\n".join(filter(None, (loader.report() for loader in self.every_loader())))


def key_of(manifest: Manifest) -> str:
    """16 hex digits of the ids and lengths (and weights), in order: another list is another run."""
    digest = hashlib.sha256()
    for clip in manifest:
        weight = "" if clip.weight == 1 else f"\t{clip.weight}"
        digest.update(f"{clip.id}\t{clip.num_samples}{weight}\n".encode())
    return digest.hexdigest()[:16]
