"""Labelled data as people have them: what is wrong with them is said in words, and nothing is lost silently."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.distillation.data import open_distillation
from auricle.methods.supervised.labelled_clips.description import describe
from auricle.methods.supervised.labelled_clips.doubts import doubts
from auricle.methods.supervised.labelled_clips.label_kind import kind_of
from auricle.methods.supervised.labelled_clips.parts import Parts, split_parts
from auricle.models.label_space import LabelSpace
from auricle.training.distributed import DistContext
from helpers.finetune_runs import RATE, config, understood
from helpers.sounds import tone, write_sound


def sounds_of(folder, counts, seconds=0.1):
    for place, (name, count) in enumerate(counts.items()):
        for i in range(count):
            wave = tone(seconds, RATE, 200.0 + 100 * place + 10 * i, seed=100 * place + i)
            write_sound(folder / name / f"{i}.wav", wave, RATE)
    return folder


def test_one_class_only_is_refused_with_what_to_add(tmp_path):
    (sounds_of(tmp_path, {"dog": 3}) / "table.csv").write_text(
        "path,label\n" + "".join(f"dog/{i}.wav,dog\n" for i in range(3))
    )
    with pytest.raises(
        AuricleError, match="one label 'dog': there is nothing to tell apart; .* background or with --negatives"
    ):
        understood(tmp_path / "table.csv")


def test_a_class_with_one_clip_is_named(tmp_path):
    _, _, lines = understood(sounds_of(tmp_path, {"dog": 7, "rain": 7, "siren": 1}))
    assert "1 class has a single clip, which cannot be learnt and tested: siren" in lines


def test_the_parts_say_how_they_were_made(tmp_path):
    sounds_of(tmp_path, {"dog": 8, "rain": 8})
    _, _, lines = understood(tmp_path)
    assert lines[0] == "2 classes (exactly one a clip: each of the 16 clips has one label), clips of 1 s"
    assert lines[1:4] == [
        "train: 12 clips, 1.2 s: dog 6, rain 6",
        "validation: 4 clips, 0.4 s: dog 2, rain 2",
        "test: none",
    ]
    assert (
        "parts: no column split or fold; the validation part is drawn, classes in equal shares, clip by clip"
        in lines[4]
    )
    rows = [f"{kind}/{i}.wav,{kind},{i % 4},s{i % 4}\n" for kind in ("dog", "rain") for i in range(8)]
    (tmp_path / "table.csv").write_text("path,label,fold,speaker\n" + "".join(rows))
    _, _, lines = understood(tmp_path / "table.csv", fold=1, valid_ratio=0.0)
    assert "parts: fold 1 is tested" in lines
    assert (
        "parts: the data have 4 folds, of which --fold tests one"
        in understood(tmp_path / "table.csv", valid_ratio=0.0)[2]
    )
    assert "train: 12 clips of 3 groups, 1.2 s: dog 6, rain 6" in lines


def test_the_same_recording_in_two_classes_and_in_two_parts_is_named(tmp_path):
    sounds_of(tmp_path, {"dog": 3, "rain": 3})
    shutil.copyfile(tmp_path / "dog" / "0.wav", tmp_path / "rain" / "copy.wav")
    shutil.copyfile(tmp_path / "dog" / "1.wav", tmp_path / "dog" / "again.wav")
    manifest = read_manifest(tmp_path)
    held = manifest.select(ids=["dog/again.wav"])
    train = manifest.select(ids=set(manifest.ids) - {"dog/again.wav"})
    contradicting, twice = doubts({"train": train, "test": held})
    assert "dog/0.wav (dog) and rain/copy.wav (rain)" in contradicting
    assert twice.startswith(
        "the same audio is in two parts, so that scores are too good: dog/1.wav (train) and dog/again.wav (test)"
    )


def test_groups_in_two_parts_are_named(tmp_path):
    sounds_of(tmp_path, {"dog": 4, "rain": 4})
    rows = [
        f"{kind}/{i}.wav,{kind},{'test' if i else 'train'},site{i // 2}\n" for kind in ("dog", "rain") for i in range(4)
    ]
    (tmp_path / "table.csv").write_text("path,label,split,site\n" + "".join(rows))
    parts, _, _ = understood(tmp_path / "table.csv", valid_ratio=0.0)
    [warning] = doubts(parts.present)
    assert warning == "1 of 2 groups of the test part are learnt from too (site0): its scores are too good"


def test_a_class_of_silence_alone_is_named(tmp_path):
    sounds_of(tmp_path, {"dog": 2, "rain": 2})
    for i in range(2):
        write_sound(tmp_path / "siren" / f"{i}.wav", np.zeros(1600 + i, np.float32), RATE)
    write_sound(tmp_path / "rain" / "silent.wav", np.zeros(1700, np.float32), RATE)
    [warning] = doubts({"train": read_manifest(tmp_path)})
    assert warning.startswith("all clips of siren are digital silence")


def test_recordings_without_a_label_are_left_out_and_counted(tmp_path):
    sounds_of(tmp_path, {"dog": 7, "rain": 7})
    write_sound(tmp_path / "stray.wav", tone(0.1), RATE)
    parts, space, lines = understood(tmp_path)
    assert space.kind == "multiclass"
    assert sum(map(len, parts.present.values())) == 14
    assert any(
        line.startswith("1 of 15 recordings have no label and are left out, such as stray.wav") for line in lines
    )
    parts, space, _ = understood(tmp_path, unlabelled="negative")
    assert (space.kind, sum(map(len, parts.present.values()))) == ("multilabel", 15)


def test_five_thousand_classes_are_split_quickly_and_described_in_few_lines():
    rows = (
        Clip(f"{c}-{i}", f"{c}-{i}.wav", labels=(f"class {c:04d}",), rate=100, num_samples=100)
        for c in range(5000)
        for i in range(2)
    )
    manifest, settings = Manifest(tuple(rows)), config("x", "y", "z", valid_ratio=0.5)
    start = time.process_time()
    parts = split_parts(manifest, settings)
    assert kind_of(parts, settings)[0] == "multiclass"
    classes = parts.train.label_classes()
    space = LabelSpace.of([(name, name) for name in classes], "multiclass")
    text = "\n".join(describe(parts, classes, seconds=1.0, space=space).lines())
    assert time.process_time() - start < 60  # it was minutes
    assert len(classes) == 5000
    assert len(text) < 2000
    assert "and 4988 more" in text


EXCEL = "path;start;end;label\r\nnight.wav;0,5;1,5;Grünspecht\r\nnight.wav;2,25;3,5;Frosch\r\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("semicolons.csv", EXCEL.encode()),
        ("marked.csv", EXCEL.encode("utf-8-sig")),
        ("unicode text.csv", EXCEL.replace(";", "\t").encode("utf-16")),
        ("unicode text.tsv", EXCEL.replace(";", "\t").encode("utf-16")),
    ],
)
def test_tables_of_a_german_excel_are_read(name, content, tmp_path):
    write_sound(tmp_path / "night.wav", tone(4.0, RATE), RATE)
    (tmp_path / name).write_bytes(content)
    clips = read_manifest(tmp_path / name).clips
    assert [(clip.start, clip.end, clip.labels) for clip in clips] == [
        (0.5, 1.5, ("Grünspecht",)),
        (2.25, 3.5, ("Frosch",)),
    ]


def test_a_part_without_a_class_names_the_class():
    clips = {name: Manifest([Clip(f"{name}{i}", labels=labels) for i, labels in enumerate(rows)]) for name, rows in
             {"train": [("dog",), ("dog",), ("rain",), ("rain",)], "test": [("dog",)]}.items()}  # fmt: skip
    lines = describe(Parts(clips["train"], None, clips["test"]), ("dog", "rain"), seconds=1.0).lines()
    assert "1 class has no clip to test: rain" in lines


def test_distillation_has_no_negatives(tmp_path):
    values = {"teacher": ("mn04_as",), "negatives": ("nights",)}
    settings = with_values(DistillConfig("distillation", str(tmp_path)), values)
    with pytest.raises(AuricleError, match="--negatives is for auricle finetune"):
        open_distillation(settings, DistContext(0, 1, torch.device("cpu"), quiet=True))
