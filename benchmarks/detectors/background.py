"""Does a detector that learnt background keep silent on sound of none of its classes?

Four classes of ESC-10 are looked for, and the six others are a folder named background. Each fold is tested by a detector that
``auricle finetune TREE --target-precision 0.9`` makes of the other folds; beside it one that learnt the four folders alone.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.detectors.features import read_features
from auricle.detectors.files import load_scores
from auricle.detectors.frozen_heads import logits_of
from benchmarks.detectors.clips import Place
from benchmarks.detectors.results import Results
from benchmarks.detectors.settings import BACKGROUND_DRAWS, MODEL, TARGET_PRECISION

BACKGROUND = "background"


def measure(place: Place, results: Results) -> None:
    manifest = place.manifest("ESC-10")
    classes = sorted({clip.labels[0] for clip in manifest})
    for draw in range(1, BACKGROUND_DRAWS + 1):
        order = RandomKey(draw).of("four classes").permutation(len(classes))
        wanted = sorted(classes[i] for i in order[:4])
        for fold in range(1, 6):
            for trained in (True, False):
                names = {"draw": draw, "fold": fold, "background": trained}
                if not results.have(part="background", **names):
                    tested = scored(place, manifest, wanted, fold, trained)
                    results.add(part="background", classes=", ".join(wanted), **names, **tested)


def scored(place: Place, manifest: Manifest, wanted: list[str], fold: int, trained: bool) -> dict[str, int]:
    """Train on the other folds and count what is decided on this one."""
    folder = place.out / "background"
    shutil.rmtree(folder, ignore_errors=True)
    train = [clip for clip in manifest if clip.fold != fold and (trained or clip.labels[0] in wanted)]
    test = [clip for clip in manifest if clip.fold == fold]
    write_tree(manifest, train, wanted, folder / "train")
    run = auricle.finetune(
        folder / "train", model=MODEL, weights=str(place.weights), out=folder / "run", quiet=True,
        target_precision=TARGET_PRECISION,
    ).run  # fmt: skip
    encoder = auricle.load(run)
    space = encoder.info.label_space
    assert space is not None
    features, _ = read_features(
        manifest.select(ids=[clip.id for clip in test]), encoder, sorted({c.labels[0] for c in test})
    )
    decided = space.decide(torch.from_numpy(logits_of(encoder.heads["main"], features))).numpy()
    labels = {clip.id: clip.labels[0] for clip in test}
    of = np.array([labels[id] for id in features.ids])
    is_wanted = np.isin(of, wanted)
    right = np.array([bool(row[space.ids.index(name)]) for row, name in zip(decided, of) if name in wanted])
    return {
        "fired": int(decided[~is_wanted].any(1).sum()),
        "others": int((~is_wanted).sum()),
        "found": int(right.sum()),
        "wanted": int(is_wanted.sum()),
        "false": int(decided[is_wanted].any(1).sum() - right.sum()),
        "learnt": sum(len(part.ids) for part in load_scores(run)),
    }


def write_tree(manifest: Manifest, clips: list[Clip], wanted: list[str], folder: Path) -> None:
    """Link clips into a folder per class, and all others into the folder background."""
    for clip in clips:
        name = clip.labels[0] if clip.labels[0] in wanted else BACKGROUND
        (folder / name).mkdir(parents=True, exist_ok=True)
        source = manifest.audio(clip).resolve()
        (folder / name / source.name).symlink_to(source)
