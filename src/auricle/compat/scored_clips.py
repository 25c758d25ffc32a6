"""Logits of an encoder for all clips of a labelled manifest, for programs that evaluate a network on a data set."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
import torch

from auricle.core.console import progress_bar
from auricle.data.datasets.base import CropConfig, SampleIndex
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.loading.loader import make_loader
from auricle.data.manifest.manifest import Manifest
from auricle.models.base import Encoder

PER_WORKER = 8  # batches that make another loading process worth its start


@dataclass(frozen=True)
class ScoredClips:
    """Logits and labels, both (N, C), the classes in their order, and the clips that could not be read with the reason."""

    logits: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    failed: dict[str, str]


def score_clips(
    encoder: Encoder,
    manifest: Manifest,
    *,
    seconds: float | None,
    batch_size: int,
    workers: int = 0,
    half: bool = False,
) -> ScoredClips:
    """Compute the logits of all clips.

    Args:
        encoder: on the device that computes; it has as many classes as the data.
        seconds: every clip is cut to its start of this length, or padded with zeros; None: whole clips, one by one.
        batch_size: clips that are encoded together.
        workers: at most so many loading processes.
        half: compute in half precision.
    """
    classes = class_names(encoder, manifest)
    start = CropConfig(crop="start")
    clips = Waveforms(
        manifest, encoder.info.sample_rate, seconds, config=start, classes=classes, resampler=encoder.front.resampler
    )
    rows, size = [SampleIndex(0, row, row) for row in range(len(manifest))], 1 if seconds is None else batch_size
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    loader = make_loader(clips, batches, min(workers, len(batches) // PER_WORKER, os.cpu_count() or 1))
    network, device = encoder.for_inference(), next(encoder.parameters()).device
    logits, labels = [], []
    with torch.no_grad(), torch.autocast(device.type, torch.float16, enabled=half):
        for batch in progress_bar(loader, what="evaluate", unit="batch", total=len(batches)):
            assert batch.audio is not None
            assert batch.labels is not None
            scores = network.logits(batch.audio.to(device))
            assert scores is not None
            logits.append(scores.float().cpu().numpy())
            labels.append(batch.labels.numpy())
    if loader.failed:
        print(f"note: {loader.report()}", file=sys.stderr)
    return ScoredClips(np.concatenate(logits), np.concatenate(labels), classes, loader.failed)


def class_names(encoder: Encoder, manifest: Manifest) -> tuple[str, ...]:
    """Return the classes in the order of the logits, by the names that the manifest uses."""
    space = encoder.info.label_space
    if space is None or not space.named:
        return manifest.label_classes()
    return space.spelt_as(manifest.table.distinct("labels"))
