"""Growing a detector from four to eight classes, and merging two: is anything lost?

Each fold of ESC-10 is tested. The first detector learns four classes; it grows by the clips of four more with ``--from``. Both are
scored on the tested clips of the first four classes by the likeliest of these four, the grown one also by the likeliest of all.
On fold 1 the detectors of four classes each are merged.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.audio.decode import read
from auricle.commands.models.merge import MergeConfig, merge
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.detectors.features import LabelledFeatures, read_features
from auricle.detectors.frozen_heads import logits_of
from auricle.models.base import Encoder
from benchmarks.detectors.clips import Place
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import MODEL

SIZES = (4, 8)  # classes, in the order of their names


def measure(place: Place, results: Results) -> None:
    manifest = place.manifest("ESC-10")
    classes = sorted({clip.labels[0] for clip in manifest})
    first, second = classes[: SIZES[0]], classes[SIZES[0] : SIZES[1]]
    for fold in range(1, 6):
        if results.have(part="growing", fold=fold):
            continue
        folder = place.out / f"growing-{fold}"
        shutil.rmtree(folder, ignore_errors=True)
        common = {"model": MODEL, "weights": str(place.weights), "quiet": True}
        small, other, grown = folder / "first", folder / "second", folder / "grown"
        auricle.finetune(table(manifest, first, fold, folder / "first.csv"), out=small, **common)
        new = table(manifest, second, fold, folder / "second.csv")
        auricle.finetune(new, out=other, **common)
        auricle.finetune(new, out=grown, from_run=str(small), **common)
        test = manifest.select(ids=[c.id for c in manifest if c.fold == fold and c.labels[0] in classes[: SIZES[1]]])
        features, _ = read_features(test, place.encoder(MODEL), classes[: SIZES[1]])
        old = features.take(np.flatnonzero(features.targets[:, : SIZES[0]].any(1)))
        before, after = auricle.load(small), auricle.load(grown)
        results.add(
            part="growing", fold=fold, clips=len(old), before=right(before, old, first), after=right(after, old, first),
            among_eight=right(after, old, classes[: SIZES[1]]),
            all_clips=len(features), of_all=right(after, features, classes[: SIZES[1]]),
        )  # fmt: skip
        if fold == 1:
            merged = merge(MergeConfig((str(small), str(other)), str(folder / "merged")))
            waves = [read(test.audio(clip), rate=before.info.sample_rate).wave for clip in test]
            difference = largest_difference(auricle.load(merged.file), (before, auricle.load(other)), waves)
            results.add(part="merged", clips=len(waves), heads=list(merged.heads), largest_difference=difference)


def table(manifest: Manifest, classes: list[str], fold: int, path: Path) -> Path:
    """Write the table of the clips of some classes outside a fold."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clips = [clip for clip in manifest if clip.fold != fold and clip.labels[0] in classes]
    return write_manifest(replace(manifest, clips=tuple(replace(clip, fold=None) for clip in clips)), path)


def right(encoder: Encoder, features: LabelledFeatures, classes: list[str]) -> int:
    """Return how many clips have the highest logit, of these classes, for their class."""
    space = encoder.info.label_space
    assert space is not None
    columns = [space.ids.index(name) for name in classes]
    logits = logits_of(encoder.heads["main"], features)[:, columns]
    return int((logits.argmax(1) == features.targets.argmax(1)).sum())


@torch.inference_mode()
def largest_difference(merged: Encoder, parts: tuple[Encoder, ...], waves: list[np.ndarray]) -> float:
    """Return the largest difference of a logit of the merged detector to that of its part, over recordings."""
    differences = [0.0]
    for wave in waves:
        batch = torch.from_numpy(wave)[None]
        of_merged = list(merged.eval().logits_by_head(batch).values())
        of_parts = [part.eval().logits(batch) for part in parts]
        differences += [float((a - b).abs().max()) for a, b in zip(of_merged, of_parts, strict=True)]
    return max(differences)
