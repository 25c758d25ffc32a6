"""Classes without clips, with few, in one part only; labels that differ in spelling alone."""

from __future__ import annotations

import pytest

from auricle.data.audioset import audioset_classes
from auricle.data.checks.label_faults import class_counts, label_findings, similar_labels
from auricle.data.manifest.manifest import Clip, Manifest


def manifest(*rows: tuple[str, str], classes: tuple[str, ...] | None = None) -> Manifest:
    """Clips of (labels, split)."""
    clips = [
        Clip(f"{n}.wav", f"{n}.wav", labels=tuple(filter(None, labels.split("+"))), split=split or None)
        for n, (labels, split) in enumerate(rows)
    ]
    return Manifest(clips, classes=classes)


def found(data: Manifest) -> dict[str, str]:
    return {finding.name: finding.summary for finding in label_findings(data)}


ENOUGH = (("frog", ""),) * 5 + (("wren", ""),) * 5


def test_five_clips_of_every_class_are_enough():
    assert found(manifest(*ENOUGH)) == {}


def test_without_labels_nothing_is_found():
    assert found(manifest(("", ""), ("", ""))) == {}


def test_rare_empty_and_unlabelled():
    data = manifest(*ENOUGH, ("owl", ""), ("", ""), classes=("frog", "wren", "owl", "bat"))
    assert found(data) == {
        "empty-class": "1 class: bat",
        "rare-class": "1 class with fewer than 5 clips: owl (1)",
        "unlabelled": "1 of 12 clips",
    }


def test_a_class_that_is_tested_and_not_trained():
    rows = (*(("frog", "train"),) * 5, *(("frog", "test"),) * 5, *(("owl+frog", "test"),) * 5)
    finding = next(one for one in label_findings(manifest(*rows)) if one.name == "missing-in-training")
    assert finding.summary == "1 class: owl"
    assert [clip.id for clip in finding.clips] == [f"{n}.wav" for n in range(10, 15)]
    assert "missing-in-training" not in found(manifest(*(("frog", "train"),) * 5, *(("owl", ""),) * 5))


def test_counts_follow_the_class_list():
    assert class_counts(manifest(("b+a", ""), ("a", ""), classes=("c", "a", "b"))) == {"c": 0, "a": 2, "b": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Dog bark", "dog_bark"),
        ("dog-bark", "Dog Bark"),
        ("dog bark", "dog barks"),
        ("helicopter", "helicoptor"),
        ("chainsaw", "chainsawe"),
        ("crackling fire", "crackilng fire"),
    ],
)
def test_labels_that_differ_in_spelling_alone(one, other):
    assert similar_labels([one, other, "rain", "sea waves"]) == {tuple(sorted((one, other)))}


def test_other_words_are_not_alike():
    assert (
        similar_labels(["class 1", "class 2", "cat", "car", "male speech", "female speech", "grass", "gras"]) == set()
    )


def test_of_the_527_classes_of_audioset_two_pairs_are_one_letter_apart():
    names = [name for _, name in audioset_classes()]
    assert similar_labels(names) == {("Gargling", "Gurgling"), ("Harmonic", "Harmonica")}
