"""The readers on tiny trees in the published formats, against what EfficientAT's data classes made of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import read_published
from auricle.data.published.table import DATASETS
from auricle.data.stores.base import open_store
from helpers.golden_files import read_golden


@pytest.fixture(scope="module")
def golden(shared) -> Path:
    return shared / "golden/efficientat_training"


@pytest.fixture(scope="module")
def items(golden) -> dict:
    return json.loads((golden / "items.json").read_text(encoding="utf-8"))


def read(golden: Path, name: str) -> Manifest:
    if name in ("audioset", "fsd50k", "openmic"):
        pytest.importorskip("h5py")
    return read_published(DATASETS[name], golden / "data" / name).manifest


def classes_of(manifest: Manifest) -> list[list[int]]:
    """The indices of every clip's classes, in the order of the class list."""
    index = {name: i for i, name in enumerate(manifest.label_classes())}
    return [sorted(index[label] for label in clip.labels) for clip in manifest]


def test_audioset_has_the_clips_in_order_with_their_classes(golden, items):
    train = read(golden, "audioset").select(split="train")
    assert list(train.ids) == [name for name, _ in items["audioset.full_training"]["names"]]
    assert classes_of(train) == items["audioset.full_training"]["target_classes"]
    assert list(read(golden, "audioset").select(split="test").ids) == items["audioset.test"]["names"]


@pytest.mark.parametrize(("split", "key"), [("train", "train"), ("valid", "valid"), ("test", "eval")])
def test_fsd50k_has_the_clips_in_order_with_their_classes(golden, items, split, key):
    part = read(golden, "fsd50k").select(split=split)
    wanted = items[f"fsd50k.{key}"]
    classes = dict(zip((name.removesuffix(".mp3") for name in wanted["names"]), wanted["target_classes"]))
    assert dict(zip(part.ids, classes_of(part))) == classes


@pytest.mark.parametrize("split", ["train", "test"])
def test_openmic_has_the_annotated_clips_in_order(golden, items, split):
    part = read(golden, "openmic").select(split=split)
    assert [f"{id}.mp3" for id in part.ids] == items[f"openmic.{split}"]["names"]


@pytest.mark.parametrize("fold", [1, 2])
def test_esc50_has_the_clips_of_every_fold_in_order(golden, items, fold):
    manifest = read(golden, "esc50")
    folds = manifest.table.numbers("fold")
    for part, rows in (("train", folds != fold), ("test", folds == fold)):
        wanted = items[f"esc50.fold{fold}.{part}"]
        clips = [clip for clip, chosen in zip(manifest, rows) if chosen]
        assert [clip.id for clip in clips] == wanted["names"]
        assert [clip.labels[0] for clip in clips] == [f"class{target}" for target in wanted["target"]]


@pytest.mark.parametrize("split", ["train", "test"])
def test_dcase20_has_the_clips_in_the_order_of_its_table(golden, items, split):
    part = read(golden, "dcase20").select(split=split)
    rows = items[f"dcase20.{split}"]["rows"]
    assert list(part.ids) == [row[0] for row in rows]
    assert classes_of(part) == [[row[1]] for row in rows]


@pytest.mark.parametrize("row", range(6))
def test_mp3_in_a_file_decodes_as_published(golden, items, row):
    key = f"decode:audioset/balanced_train_segments_mp3.hdf:{row}"
    manifest = read(golden, "audioset")
    wave = open_store(manifest, "audio").open(manifest.clips[row]).read(rate=32000).wave
    assert [1, len(wave)] == items[key]["shape"]
    tensors, _ = read_golden(golden / "items.safetensors")
    slices = {name: values for name, values in tensors.items() if name.rpartition("@")[0] == key}
    assert slices
    for name, values in slices.items():
        start = int(name.rpartition("@")[2])
        np.testing.assert_allclose(wave[start : start + values.numel()], values.flatten().numpy(), atol=2e-6)
