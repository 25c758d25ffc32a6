"""Evaluate as EfficientAT's programs do without ``--train``: mAP and ROC on AudioSet's or FSD50K's evaluation part.

The printed lines are the original's ([efficientat_training 12](docs/specification/efficientat_training.md#s12)). Of a
longer clip of FSD50K the first ten seconds are scored (the original draws ten seconds).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from auricle.compat.datasets import read_dataset
from auricle.compat.efficientat.programs import ProgramLine
from auricle.compat.efficientat.training import DATASETS, Load, folder_of, published_network
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import TEST_SPLITS, Manifest

if TYPE_CHECKING:
    from auricle.models.base import Encoder

HEADERS = {("ex_fsd50k", 2024): "FSD50K evaluation split"}  # generation 2023 prints AudioSet for FSD50K as well
SECONDS = 10.0


def evaluate(line: ProgramLine, load: Load) -> int:
    """Score the networks of a line and print the result. Return 0, or 1 if clips could not be read."""
    if line.script == "ex_openmic":
        raise AuricleError("ex_openmic has no evaluation (the original ends in an error there): add --train")
    from auricle.compat.scored_clips import score_clips
    from auricle.metrics.classification import mean_average_precision, mean_roc_auc

    names = line.get("ensemble") or [evaluated_name(line)]
    several = len(names) > 1 and line.generation == 2024
    shown = str(names) if several else evaluated_name(line)
    manifest = evaluation_part(read_dataset(DATASETS[line.script], folder_of(line)))
    encoder = evaluated_network(line, names, load, manifest.label_classes())
    device = "cuda" if line["cuda"] and cuda_is_there() else "cpu"
    task, plural = ("AudioSet" if line.script == "ex_audioset" else "FSD50K"), "s" * several
    print(f"Running {task} evaluation for model{plural} '{shown}' on device '{device}'")
    scored = score_clips(
        encoder.to(device),
        manifest,
        seconds=None if line.get("variable_eval_length") else SECONDS,
        batch_size=line["batch_size"],
        workers=line["num_workers"],
        half=device == "cuda" and line.script == "ex_audioset",
    )
    split = HEADERS.get((line.script, line.generation), "AudioSet test split")
    print(f"Results on {split} for loaded model{plural}: {shown}")
    print(f"  mAP: {mean_average_precision(scored.logits, scored.labels):.3f}")
    print(f"  ROC: {mean_roc_auc(scored.logits, scored.labels):.3f}")
    return 1 if scored.failed else 0


def cuda_is_there() -> bool:
    import torch

    return torch.cuda.is_available()


def evaluated_name(line: ProgramLine) -> str:
    """Return the name of the network that a line evaluates: ``--model_name``, else ``--pretrained_name``.

    Raises:
        AuricleError: the line names none.
    """
    name = line["model_name"] if "model_name" in line.values else line["pretrained_name"]
    if name is None:
        raise AuricleError(
            f"{line.script} without --train evaluates a network: name it with --pretrained_name, or add --train"
        )
    return name


def evaluation_part(manifest: Manifest) -> Manifest:
    """Return the clips of the test part. Raises AuricleError where there are none."""
    rows = manifest.in_splits(TEST_SPLITS)
    if not rows.any():
        raise AuricleError(f"{manifest.root} holds no clips of the evaluation part")
    return manifest.select(ids=[id for id, chosen in zip(manifest.ids, rows) if chosen])


def evaluated_network(line: ProgramLine, names: Sequence[str], load: Load, classes: tuple[str, ...]) -> Encoder:
    """Return the network of a line, or the ensemble, with the data's number of classes."""
    from auricle.inference.pipeline import as_encoder

    single = len(names) == 1
    encoder = as_encoder([published_network(line, load, name) if single else load(name) for name in names])
    if encoder.num_classes() == len(classes):
        return encoder
    print(
        f"note: {names[0]} has {encoder.num_classes()} classes and the data {len(classes)}: its last layer is drawn at random, as "
        "in the original, so these scores say nothing. To fine-tune, add --train",
        file=sys.stderr,
    )
    return encoder.with_classes(len(classes), classes=[(name, name) for name in classes])
