"""Answers become the table of labels that ``auricle finetune`` reads."""

from __future__ import annotations

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.index.answers import Answer
from auricle.review.labels import label_table, write_labels
from helpers.sounds import tone, write_sound


def answers(folder) -> list[Answer]:
    path = str(folder / "night.wav")
    return [
        Answer(path, 4.0, 5.0, "Frog", "unsure"),
        Answer(path, 0.0, 1.0, "Frog", "yes"),
        Answer(path, 0.0, 1.0, "Owl", "no"),
        Answer(path, 1.0, 2.0, "Frog", "no"),
        Answer(path, 2.0, 3.0, "Frog", "other", "Toad, common"),
        Answer(path, 3.0, 4.0, "Frog", "other"),
    ]


def test_yes_no_and_other_become_labels_and_known_classes(tmp_path):
    write_sound(tmp_path / "night.wav", tone(5.0, 16000), 16000)
    table = label_table(answers(tmp_path))
    read = read_manifest(write_labels(table, tmp_path / "out" / "labels.csv"))
    assert [(clip.start, clip.labels, clip.known) for clip in read] == [
        (0.0, ("Frog",), ("Frog", "Owl")),
        (1.0, (), ("Frog",)),
        (2.0, ("Toad, common",), ("Frog", "Toad, common")),
        (3.0, (), ("Frog",)),
    ]
    assert (read.root / read.clips[0].path).resolve() == (tmp_path / "night.wav").resolve()
    assert table.notes == ("1 span without a label (unsure) left out of the labels",)


def test_where_classes_exclude_each_other_a_no_alone_is_left_out(tmp_path):
    table = label_table(answers(tmp_path), exclusive=True)
    assert [(clip.start, clip.labels, clip.known) for clip in table.manifest] == [
        (0.0, ("Frog",), None),
        (2.0, ("Toad, common",), None),
    ]
    assert "3 spans" in table.notes[0]


def test_answers_that_give_no_label_are_refused():
    with pytest.raises(AuricleError, match="yes or no"):
        label_table([Answer("/a.wav", 0.0, 1.0, "Frog", "unsure")])
