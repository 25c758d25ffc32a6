"""ICBHI, SPRSound and CirCor are read from small folders in their official layouts."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from auricle.data.published.base import read_published
from auricle.data.published.table import DATASETS

from auricle.core.errors import AuricleError
from auricle.data.published.medical import num_training_windows, read_circor
from helpers.paths import GOLDEN
from helpers.sounds import tone, write_sound

CIRCOR = json.loads((GOLDEN / "finetune" / "circor_patients.json").read_text())
CYCLES = {  # onset, offset, crackles, wheezes
    "101_1b1_Al_sc_Meditron": ["0.0362\t0.5791\t0\t0", "0.5791\t1.2450\t1\t0"],
    "102_1b1_Ar_sc_Meditron": ["0.2640\t1.7361\t0\t1", "1.7361\t1.9000\t1\t1"],
}
EVENTS = {
    "train_json/40996386_3.3_0_p1_3142": [(0, 400, "Normal"), (400, 900, "Fine Crackle")],
    "test_json/inter_test_json/41023215_0.7_1_p3_3056": [(100, 600, "Wheeze")],
    "test_json/intra_test_json/40996386_3.3_0_p2_3143": [(0, 800, "Wheeze+Crackle"), (800, 900, "Rhonchi")],
}


@pytest.fixture
def icbhi(tmp_path):
    audio = tmp_path / "ICBHI_final_database"
    for i, (name, lines) in enumerate(CYCLES.items()):
        write_sound(audio / f"{name}.wav", tone(2.0, 4000, 300.0, seed=i), 4000)
        (audio / f"{name}.txt").write_text("\n".join(lines) + "\n")
    split = zip(CYCLES, ("train", "test"))
    (tmp_path / "ICBHI_challenge_train_test.txt").write_text("".join(f"{name}\t{part}\n" for name, part in split))
    return tmp_path


@pytest.fixture
def sprsound(tmp_path):
    for place, events in EVENTS.items():
        file = tmp_path / f"{place}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"start": str(start), "end": str(end), "type": kind} for start, end, kind in events]
        file.write_text(json.dumps({"record_annotation": "DAS", "event_annotation": rows}))
        folder = "train_wav" if place.startswith("train") else "test_wav"
        write_sound(tmp_path / folder / f"{file.stem}.wav", tone(1.0, 8000, 300.0), 8000)
    return tmp_path


@pytest.fixture
def circor(tmp_path):
    """40 patients, of whom every second one has a murmur, with one recording of 6 s each."""
    for number in range(40):
        id, murmur = 2530 + number, "Present" if number % 2 else "Absent"
        outcome = "Abnormal" if number % 4 else "Normal"
        lines = [
            f"{id} 1 4000",
            f"AV {id}_AV.hea {id}_AV.wav {id}_AV.tsv",
            f"#Murmur: {murmur}",
            f"#Outcome: {outcome}",
        ]
        write_sound(tmp_path / "training_data" / f"{id}_AV.wav", tone(6.0, 4000, 200.0), 4000)
        (tmp_path / "training_data" / f"{id}.txt").write_text("\n".join(lines))
    return tmp_path


def read(name, folder):
    return read_published(DATASETS[name], folder).manifest


def test_a_breathing_cycle_is_a_clip_of_its_patient_with_the_official_part(icbhi):
    manifest = read("icbhi", icbhi)
    assert manifest.classes == ("normal", "crackle", "wheeze", "both")
    assert [clip.labels[0] for clip in manifest] == ["normal", "crackle", "wheeze", "both"]
    assert [clip.split for clip in manifest] == ["train", "train", "test", "test"]
    assert [clip.group for clip in manifest] == ["101", "101", "102", "102"]
    first = manifest.clips[0]
    assert (first.start * 4000, first.end * 4000) == (int(0.0362 * 4000), int(0.5791 * 4000))
    assert manifest.audio(first).is_file()


def test_recordings_without_cycles_are_left_out_and_named(icbhi):
    (icbhi / "ICBHI_final_database" / "102_1b1_Ar_sc_Meditron.txt").unlink()
    manifest = read("icbhi", icbhi)
    assert len(manifest) == 2
    assert any("1 of 2 recordings have no table of cycles" in note and "102_1b1" in note for note in manifest.notes)


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
    assert [(clip.start, clip.end) for clip in train] == [(0.0, 0.4), (0.4, 0.9)]
    assert {clip.group for clip in train} == {"40996386"}
    assert manifest.classes[:2] == ("Normal", "Fine Crackle")


def test_an_unknown_event_is_refused_in_words(sprsound):
    next((sprsound / "train_json").iterdir()).write_text(
        '{"event_annotation": [{"start": 0, "end": 9, "type": "Cough"}]}'
    )
    with pytest.raises(AuricleError, match="has an event 'Cough'"):
        read("sprsound", sprsound)


def test_heart_sounds_are_windows_to_learn_from_and_whole_recordings_to_test(circor):
    manifest = read("circor", circor)
    parts = {part: manifest.select(split=part) for part in ("train", "valid", "test")}
    assert {part: len({clip.group for clip in clips}) for part, clips in parts.items()} == {
        "train": 25,
        "valid": 5,
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


@pytest.mark.parametrize("name", ["icbhi", "sprsound", "circor"])
def test_another_folder_is_refused_with_the_layout_that_was_expected(name, tmp_path):
    (tmp_path / "something.txt").write_text("")
    with pytest.raises(AuricleError, match=r"is not laid out as .* Expected: "):
        read(name, tmp_path)
