"""Crops, parts, classes and sampling weights of fine-tuning agree with the original program."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from auricle.core.options import with_values
from auricle.data.audioset import weight_clips
from auricle.data.datasets.base import LabelVectors, crop_start, fit_length
from auricle.data.manifest.formats import read_manifest
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.label_kind import kind_of
from auricle.methods.supervised.labelled_clips.parts import Parts, split_parts
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN

FOLDER = GOLDEN / "finetune"
BOOKS = json.loads((FOLDER / "bookkeeping.json").read_text())


class Recorded:
    """A source of random numbers that gives a recorded start, and checks between which ones it was drawn."""

    def __init__(self, start, length):
        self.start, self.bounds = start, (0, length)

    def integers(self, low, high):
        assert (low, high) == self.bounds
        return self.start


def crop_cases():
    _, meta = read_golden(FOLDER / "crops.safetensors")
    for kind, size in (("wave", "unit_samples"), ("logmel", "crop_frames")):
        starts = {case["case"]: case["start"] for case in meta[kind]["starts"]}
        tensors = {name for name in read_golden(FOLDER / "crops.safetensors")[0] if name.startswith(f"{kind}.")}
        for case in sorted({int(name.split(".")[1]) for name in tensors}):
            yield kind, case, meta[kind][size], starts.get(case)


@pytest.mark.parametrize(("kind", "case", "size", "start"), crop_cases())
def test_clips_are_cut_and_padded_as_published(kind, case, size, start):
    tensors, _ = read_golden(FOLDER / "crops.safetensors")
    clip = tensors[f"{kind}.{case}.in"].numpy()
    source = Recorded(start, clip.shape[-1] - size)
    first = crop_start(source, clip.shape[-1], size, published=True)
    np.testing.assert_array_equal(fit_length(clip[..., first:], size), tensors[f"{kind}.{case}.random"].numpy())
    np.testing.assert_array_equal(fit_length(clip, size), tensors[f"{kind}.{case}.first"].numpy())


def parts_of(case, folder):
    """The parts as a run makes them of the table."""
    with (folder / "table.csv").open("w", newline="") as file:
        csv.writer(file).writerows([case["columns"], *case["rows"]])
    changes = {"fold": case["held_out_fold"] if "fold" in case["columns"] else None, "valid_ratio": 0.0}
    config = with_values(FinetuneConfig("supervised", str(folder / "table.csv")), changes)
    return split_parts(read_manifest(folder / "table.csv"), config), config


@pytest.mark.parametrize("number", range(len(BOOKS["tables"])))
def test_tables_give_the_published_parts_and_training_targets(number, tmp_path):
    case = BOOKS["tables"][number]
    parts, config = parts_of(case, tmp_path)
    for name, part in zip(("train", "valid", "test"), parts):
        assert [clip.path for clip in part or ()] == case["parts"][name]["files"]
    train, wanted = parts.train, case["parts"]["train"]
    held_out = "fold" in case["columns"]  # the classes of a table with folds are those of all its rows, not of one part
    classes = sorted(set(train.table.distinct("labels"))) if held_out else list(train.label_classes())
    assert classes == wanted["classes"]
    vectors = LabelVectors(classes, train)
    assert [vectors(clip)[0].tolist() for clip in train] == wanted["targets"]
    assert (kind_of(Parts(train, None, None), config)[0] == "multilabel") == wanted["multi_label"]


@pytest.mark.parametrize("case", BOOKS["sampler_weights"], ids=lambda case: case["what"])
def test_clips_weigh_what_their_classes_weigh(case):
    names = [f"clip{i:07d}.npy" for i in range(len(case["labels"]))]
    segments = {name[:11]: tuple(labels.split(",")) for name, labels in zip(names, case["labels"])}
    rows, unknown = weight_clips(names, segments, case["added"])
    assert not unknown
    assert [row.weight for row in rows] == pytest.approx(case["clip_weights"], rel=1e-9)
