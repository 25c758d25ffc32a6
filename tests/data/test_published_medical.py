"""ICBHI, SPRSound and CirCor are read from small folders in their official layouts."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from auricle.core.errors import AuricleError
from auricle.data.published.base import read_published
from auricle.data.published.medical import num_training_windows, read_circor
from auricle.data.published.table import DATASETS
from helpers import medical_sets
from helpers.paths import GOLDEN

CIRCOR = json.loads((GOLDEN / "finetune" / "circor_patients.json").read_text())


@pytest.fixture
def icbhi(tmp_path):
    medical_sets.icbhi(tmp_path)
    return tmp_path


@pytest.fixture
def sprsound(tmp_path):
    medical_sets.sprsound(tmp_path)
    return tmp_path


@pytest.fixture
def circor(tmp_path):
    medical_sets.circor(tmp_path)
    return tmp_path


def read(name, folder):
    return read_published(DATASETS[name], folder).manifest


def test_a_breathing_cycle_is_a_clip_of_its_patient_with_the_official_part(icbhi):
    manifest = read("icbhi", icbhi)
    assert manifest.classes == ("normal", "crackle", "wheeze", "both")
    assert [clip.labels[0] for clip in manifest] == ["normal", "crackle", "wheeze", "both", "normal"]
    assert [clip.split for clip in manifest] == ["train", "train", "test", "test", "train"]
    assert [clip.group for clip in manifest] == ["101", "101", "102", "102", "103"]
    first = manifest.clips[0]
    assert (first.start * 8000, first.end * 8000) == (int(0.0362 * 8000), int(0.5791 * 8000))
    assert manifest.audio(first).is_file()


def test_recordings_without_cycles_are_left_out_and_named(icbhi):
    (icbhi / "ICBHI_final_database" / "102_1b1_Ar_sc_Meditron.txt").unlink()
    manifest = read("icbhi", icbhi)
    assert len(manifest) == 3
    assert any("1 of 3 recordings have no table of cycles" in note and "102_1b1" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [("101_1b1_Al_sc_Meditron\tdev\n", "expected a recording, a tab, and train or test"), ("", "is empty")],
)
def test_a_damaged_split_is_refused_in_words(icbhi, change, message):
    (icbhi / "ICBHI_challenge_train_test.txt").write_text(change)
    with pytest.raises(AuricleError, match=message):
        read("icbhi", icbhi)


def test_a_damaged_table_of_cycles_is_refused_in_words(icbhi):
    (icbhi / "ICBHI_final_database" / "101_1b1_Al_sc_Meditron.txt").write_text("0.1\t0.2\tyes\tno\n")
    with pytest.raises(AuricleError, match="expected onset, offset, crackles and wheezes"):
        read("icbhi", icbhi)


@pytest.mark.parametrize(
    ("name", "tested"), [("sprsound", ["Wheeze"]), ("sprsound-intra", ["Wheeze+Crackle", "Rhonchi"])]
)
def test_events_of_either_test_part_are_clips_in_milliseconds(sprsound, name, tested):
    manifest = read(name, sprsound)
    assert [clip.labels[0] for clip in manifest if clip.split == "test"] == tested
    train = manifest.select(split="train")
    assert [(clip.start, clip.end) for clip in train] == [(0.0, 0.4), (0.4, 0.9), (0.0, 0.4)]
    assert {clip.group for clip in train} == {"40996386", "41000000"}
    assert manifest.classes[:2] == ("Normal", "Fine Crackle")


def test_an_unknown_event_is_refused_in_words(sprsound):
    (sprsound / "train_json/40996386_3.3_0_p1_3142.json").write_text(
        '{"event_annotation": [{"start": 0, "end": 9, "type": "Cough"}]}'
    )
    with pytest.raises(AuricleError, match="has an event 'Cough'"):
        read("sprsound", sprsound)


def test_heart_sounds_are_windows_to_learn_from_and_whole_recordings_to_test(circor):
    manifest = read("circor", circor)
    parts = {part: manifest.select(split=part) for part in ("train", "valid", "test")}
    assert {part: len({clip.group for clip in clips}) for part, clips in parts.items()} == {
        "train": 26,
        "valid": 4,
        "test": 10,
    }
    assert not manifest.leaks()
    first = [(clip.start, clip.end) for clip in parts["train"].clips[:2]]
    assert first == [(0.0, 5.0), (2.5, 6.0)]
    assert all(clip.start is None for clip in parts["test"])
    assert Counter(clip.labels[0] for clip in parts["test"]) == {"Absent": 5, "Present": 5}


def test_the_three_splits_of_patients_differ_and_are_drawn_the_same_every_time(circor):
    tested = [frozenset(read_circor(circor, split=split).select(split="test").ids) for split in (1, 1, 2, 3)]
    assert tested[0] == tested[1]
    assert len(set(tested)) == 3


def test_a_published_list_of_patients_is_taken_instead_of_a_draw(circor):
    rows = [f"x/stratified_data1/{'test_data' if i < 3 else 'train_data'}/{2530 + i}_AV.wav" for i in range(40)]
    (circor / "datalist_stratified_data1.csv").write_text("\n".join(["dest_file", *rows]))
    manifest = read("circor", circor)
    assert set(manifest.select(split="test").ids) == {"2530_AV", "2531_AV", "2532_AV"}
    assert any("datalist_stratified_data1.csv of the folder" in note for note in manifest.notes)


@pytest.mark.parametrize("case", CIRCOR["windows"], ids=lambda case: str(case["samples_at_16k"]))
def test_recordings_give_the_published_number_of_training_windows(case):
    assert num_training_windows(case["samples_at_16k"] / 16000) == case["training_windows"]
