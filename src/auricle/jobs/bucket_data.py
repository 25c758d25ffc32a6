"""MAE-AST's data: audio of any lengths, in batches by samples (specification mae_ast 8)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from auricle.data.alike import WholeClips
from auricle.data.batch import Batch
from auricle.data.buckets import BucketBatches, BucketConfig, buckets, samples_of
from auricle.data.items import Sample
from auricle.data.lengths import with_lengths
from auricle.data.loader import make_loader
from auricle.data.manifest import Manifest
from auricle.data.manifest_io import read_manifest
from auricle.data.sampler import HeldOut
from auricle.data.statistics import Statistics
from auricle.errors import AuricleError
from auricle.jobs.methods import MAEASTPretrain
from auricle.jobs.run_data import TrainingData, key_of
from auricle.signal.front_ends import front_end
from auricle.training.plan import Plan

if TYPE_CHECKING:
    from auricle.training.distribution import Ranks

UNNORMALISED = Statistics(0.0, 1.0)  # the network's own batch norm takes the data's place (specification mae_ast 3.3)


@dataclass
class BucketData(TrainingData):
    """Batches of clips of like length; ``groups`` are their numbers, longest first."""

    groups: tuple[np.ndarray, ...] = ()
    left_out: int = 0  # files that could not be opened

    def replaced(self) -> int:
        return super().replaced() + sum(data.left_out for data in (self, self.valid, self.test) if data)  # type: ignore[attr-defined]

    @property
    def batch_clips(self) -> int:
        return len(self.groups[0]) // self.ranks.world

    def plan(self) -> Plan:
        return Plan.of_batches(self.sampler().micro_steps, self.config.train)

    def sampler(self) -> BucketBatches:
        return BucketBatches(self.groups, self.config.train.seed, self.ranks.rank, self.ranks.world)

    def held_out_sampler(self) -> HeldOut:
        return HeldOut(self.groups, self.ranks.rank, self.ranks.world)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return cast(WholeClips, self.dataset).collate(samples)

    def first_clips(self, clips: int) -> Batch:
        """The longest clips, cut alike."""
        return next(iter(make_loader(self.dataset, HeldOut([self.groups[0][:clips]]), collate=self.collate)))

    def facts(self) -> dict[str, str]:
        sizes = [len(group) // self.ranks.world for group in self.groups]
        return {"batches": f"{len(sizes)} an epoch, of {min(sizes)} to {max(sizes)} clips"}


def open_buckets(config: MAEASTPretrain, ranks: Ranks) -> BucketData:
    """The training list of a run, and its validation and test lists. Raises AuricleError for what cannot be used."""
    lists = lists_of(config)
    data = opened_list(lists[0], config, ranks, ranks.world)
    data.valid, data.test = (opened_list(path, config, ranks) if path else None for path in lists[1:])
    return data


def lists_of(config: MAEASTPretrain) -> tuple[str, str, str]:
    """What is learnt, validated and tested on: of a folder with train.tsv that list, and valid.tsv and test.tsv beside it."""
    folder = Path(config.source)
    if not (folder / "train.tsv").is_file():
        return config.source, config.valid, config.test
    beside = {name: str(path) if (path := folder / f"{name}.tsv").is_file() else "" for name in ("valid", "test")}
    return str(folder / "train.tsv"), config.valid or beside["valid"], config.test or beside["test"]


def opened_list(source: str, config: MAEASTPretrain, ranks: Ranks, world: int = 1) -> BucketData:
    """``world`` ranks share each batch; with 1 each takes whole ones (held-out lists)."""
    train = config.train
    listed = read_manifest(source)
    readable = with_lengths(listed, quiet=not ranks.first)
    if ranks.first:
        for note in readable.notes[len(listed.notes) :]:
            print(f"{source}: {note}", file=sys.stderr)
    manifest = kept(readable, config.data, source, quiet=not ranks.first)
    groups = buckets(manifest, config.data, train.batch_size, train.seed, world)
    dataset = WholeClips(
        manifest, front_end(config.front_end), config.data, seed=train.seed, min_frames=config.model.patch[1]
    )
    left_out = len(listed) - len(readable)
    return BucketData(dataset, UNNORMALISED, key_of(manifest), config, ranks, groups=groups, left_out=left_out)


def kept(manifest: Manifest, config: BucketConfig, source: str, quiet: bool) -> Manifest:
    """The clips of allowed lengths; how many were left out is said. Raises AuricleError when none is left."""
    clips = tuple(clip for clip in manifest if config.keeps(samples_of(clip)))
    out = len(manifest) - len(clips)
    words = f"{out} of {len(manifest)} clips of {source} have fewer than {config.min_sample_size} samples" + (
        f" or more than {config.max_keep_size}" if config.max_keep_size else ""
    )
    if not clips:
        raise AuricleError(f"{words}: none is left; lower --min-sample-size")
    if out and not quiet:
        print(f"{words}: left out (--min-sample-size)", file=sys.stderr)
    return replace(manifest, clips=clips)
