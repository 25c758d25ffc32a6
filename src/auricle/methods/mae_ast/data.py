"""Data of MAE-AST: audio of any lengths, in batches of clips of similar length ([mae_ast 8](docs/specification/mae_ast.md#s8))."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.batch import Batch
from auricle.data.datasets.base import Sample
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import HeldOutBatches
from auricle.data.loading.statistics import Statistics
from auricle.data.loading.variable_length import BucketBatches, BucketConfig, WholeClips, clip_samples, make_buckets
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import with_lengths
from auricle.frontends.base import front_end
from auricle.methods.data import Processes, TrainingData, content_key
from auricle.methods.mae_ast.config import MAEASTPretrain

# the network's batch norm normalises instead: [mae_ast 3.3](docs/specification/mae_ast.md#s3-3)
UNNORMALISED = Statistics(0.0, 1.0)


@dataclass
class LengthBatchedData(TrainingData):
    """Batches of clips of similar length.

    groups    the clips' numbers, one array per batch of all processes, longest clips first
    left_out  files that could not be opened
    """

    groups: tuple[np.ndarray, ...] = ()
    left_out: int = 0

    @property
    def batch_clips(self) -> int:
        return len(self.groups[0]) // self.processes.world

    @property
    def update_clips(self) -> int:
        """1: a batch of any size makes a weight update."""
        return 1

    def micro_steps(self) -> int:
        """Return the number of batches of each process in an epoch.

        Raises:
            AuricleError: if they do not make one weight update.
        """
        batches, accum = self.training_sampler().micro_steps, self.train.accum_iter
        if batches < accum:
            raise AuricleError(f"one weight update takes {accum} batches (--accum-iter), an epoch has {batches}")
        return batches

    def first_clips(self, clips: int) -> Batch:
        """Return the longest clips, cut to one length."""
        return next(iter(make_loader(self.dataset, HeldOutBatches([self.groups[0][:clips]]), collate=self.collate)))

    def facts(self) -> dict[str, str]:
        sizes = [len(group) // self.processes.world for group in self.groups]
        return {"batches": f"{len(sizes)} an epoch, of {min(sizes)} to {max(sizes)} clips"}

    def replaced(self) -> int:
        parts = [part for part in (self, self.valid, self.test) if isinstance(part, LengthBatchedData)]
        return super().replaced() + sum(part.left_out for part in parts)

    def training_sampler(self) -> BucketBatches:
        if self.train.shuffle != "clips":
            raise AuricleError(
                "--shuffle shards does not go with batches of clips of one length, which come from all shards; leave it out"
            )
        return BucketBatches(self.groups, self.train.seed, self.processes.rank, self.processes.world)

    def scoring_sampler(self) -> HeldOutBatches:
        return HeldOutBatches(self.groups, self.processes.rank, self.processes.world)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return cast(WholeClips, self.dataset).collate(samples)


def open_lists(config: MAEASTPretrain, processes: Processes) -> LengthBatchedData:
    """Open the training list of a run, and its validation and test lists.

    Raises:
        AuricleError: for lists that are not there or hold no usable clips.
    """
    train, *scored = find_lists(config)
    assert train is not None
    data = open_list(train, config, processes, processes.world)
    data.valid, data.test = (open_list(path, config, processes) if path else None for path in scored)
    return data


def find_lists(config: MAEASTPretrain) -> tuple[str | None, str | None, str | None]:
    """Return the lists to learn from, to validate and to test on.

    The source is a list, or a folder with train.tsv; valid.tsv and test.tsv beside it count unless the settings name others.
    """
    folder = Path(config.source)
    if not (folder / "train.tsv").is_file():
        return config.source, config.valid, config.test
    beside = {name: str(path) if (path := folder / f"{name}.tsv").is_file() else None for name in ("valid", "test")}
    return str(folder / "train.tsv"), config.valid or beside["valid"], config.test or beside["test"]


def open_list(source: str, config: MAEASTPretrain, processes: Processes, world: int = 1) -> LengthBatchedData:
    """Open one list. ``world`` processes share each batch; with 1 each process takes whole batches (scored lists)."""
    train = config.train
    assert train.batch_size is not None
    listed = read_manifest(source, label_notes=False)
    readable = with_lengths(listed, quiet=processes.quiet)
    if processes.is_main:
        for note in readable.notes[len(listed.notes) :]:
            print(f"{source}: {note}", file=sys.stderr)
    manifest = keep_allowed_lengths(readable, config.data, source, quiet=processes.quiet)
    groups = make_buckets(manifest, config.data, train.batch_size, train.seed, world)
    dataset = WholeClips(
        manifest, front_end(config.front_end), config.data, seed=train.seed, min_frames=config.model.patch[1]
    )
    left_out = len(listed) - len(readable)
    return LengthBatchedData(
        dataset, UNNORMALISED, content_key(manifest), config, processes, groups=groups, left_out=left_out
    )


def keep_allowed_lengths(manifest: Manifest, config: BucketConfig, source: str, quiet: bool) -> Manifest:
    """Return the clips of allowed lengths, and print how many were left out.

    Raises:
        AuricleError: if none is left.
    """
    used = np.array([config.keeps(samples) for samples in clip_samples(manifest).tolist()], bool)
    left_out = int((~used).sum())
    longer = f" or more than {config.max_keep_size}" if config.max_keep_size else ""
    message = (
        f"{left_out} of {len(manifest)} clips of {source} have fewer than {config.min_sample_size} samples{longer}"
    )
    if not used.any():
        raise AuricleError(f"{message}: none is left; lower --min-sample-size")
    if left_out and not quiet:
        print(f"{message}: left out (--min-sample-size)", file=sys.stderr)
    return replace(manifest, clips=manifest.table.take(used))
