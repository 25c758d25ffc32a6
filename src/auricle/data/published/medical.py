"""Respiratory and heart sounds: ICBHI 2017, SPRSound, CirCor DigiScope.

Tables, counts and splits: [finetuning 9.1](docs/specification/finetuning.md#s9-1) and
[finetuning 10.1](docs/specification/finetuning.md#s10-1).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from auricle.audio.decode import AudioInfo, probe
from auricle.core.errors import AudioError, content_fault
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset, find, rows_of

# ---- ICBHI 2017: breathing cycles of recordings

ICBHI_CLASSES = ("normal", "crackle", "wheeze", "both")  # index: crackles + 2 * wheezes
ICBHI_SPLIT = "ICBHI_challenge_train_test.txt"
ICBHI_FOLDERS = ("ICBHI_final_database", "audio_and_txt_files", ".")


def read_icbhi(folder: Path) -> Manifest:
    """Read the official split of the recordings and the table of cycles beside each of them.

    A clip is a breathing cycle; it begins and ends at a sample of its recording. The group is the patient.
    """
    parts = _icbhi_parts(find(folder, ICBHI_SPLIT, *(f"{name}/{ICBHI_SPLIT}" for name in ICBHI_FOLDERS)))
    first = next(iter(parts))
    place = next((name for name in ICBHI_FOLDERS if (folder / name / f"{first}.txt").is_file()), None)
    if place is None:
        raise LayoutError(f"there is no {first}.txt, the cycles of the first recording of {ICBHI_SPLIT}")
    clips: list[Clip] = []
    without = [name for name in parts if not (folder / place / f"{name}.txt").is_file()]
    for name, part in parts.items():
        if name not in without:
            clips += _icbhi_cycles(folder, place, name, part)
    lack = (
        f"{len(without)} of {len(parts)} recordings have no table of cycles and are left out: {', '.join(without[:5])}"
    )
    return Manifest(clips, folder, ICBHI_CLASSES, (lack,) if without else ())


def _icbhi_parts(table: Path) -> dict[str, str]:
    """Return the part of every recording: lines of a name and "train" or "test"."""
    parts: dict[str, str] = {}
    for line in _lines(table):
        name, _, part = line.partition("\t") if "\t" in line else line.rpartition(" ")
        if part.strip() not in ("train", "test"):
            raise LayoutError(f"a line of {table.name} is '{line}'; expected a recording, a tab, and train or test")
        parts[name.strip()] = part.strip()
    if not parts:
        raise LayoutError(f"{table.name} is empty")
    return parts


def _icbhi_cycles(folder: Path, place: str, name: str, part: str) -> Iterator[Clip]:
    """Yield the cycles of a recording, lines of onset, offset (seconds), crackles and wheezes (0 or 1)."""
    path = name + ".wav" if place == "." else f"{place}/{name}.wav"
    info, table = _info(folder / path), folder / place / f"{name}.txt"
    for line in _lines(table):
        try:
            onset, offset = (float(cell) for cell in line.split()[:2])
            crackles, wheezes = (int(cell) for cell in line.split()[2:4])
            label = ICBHI_CLASSES[crackles + 2 * wheezes]
        except (ValueError, IndexError):
            raise LayoutError(
                f"a line of {table.name} is '{line}'; expected onset, offset, crackles and wheezes"
            ) from None
        start, end = (_at_sample(seconds, info) for seconds in (onset, offset))
        id, group = f"{name}@{onset:g}-{offset:g}", name.split("_")[0]
        yield _with_info(Clip(id, path, start=start, end=end, labels=(label,), split=part, group=group), info)


def _at_sample(seconds: float, info: AudioInfo | None) -> float:
    """Return where the last sample before a time begins: [int(onset * rate), int(offset * rate)) is a cycle."""
    return seconds if info is None else int(seconds * info.rate) / info.rate


# ---- SPRSound: events of recordings

SPRSOUND_CLASSES = (
    "Normal",
    "Fine Crackle",
    "Wheeze",
    "Coarse Crackle",
    "Wheeze+Crackle",
    "Rhonchi",
    "Stridor",
)
SPRSOUND_PARTS = {  # (annotations, recordings), both in the folder or in its BioCAS2022
    "train": (("train_json", "train2022_json"), ("train_wav", "train2022_wav")),
    "inter": (("test_json/inter_test_json", "test2022_json/inter_test_json"), ("test_wav", "test2022_wav")),
    "intra": (("test_json/intra_test_json", "test2022_json/intra_test_json"), ("test_wav", "test2022_wav")),
}
BIOCAS = "BioCAS2022"


def read_sprsound(folder: Path, *, test: str = "inter") -> Manifest:
    """Read the JSON annotation of every recording. A clip is an event; the group is the patient.

    Args:
        folder: of the data set.
        test: the part that is called "test": "inter" (other patients) or "intra" (mostly patients of the training part); the
            other one is called "inter_test" or "intra_test", and neither learnt from nor scored.
    """
    clips: list[Clip] = []
    for part, places in SPRSOUND_PARTS.items():
        split = "train" if part == "train" else "test" if part == test else f"{part}_test"
        tables, audio = (find(folder, *names, *(f"{BIOCAS}/{name}" for name in names)) for names in places)
        for table in sorted(tables.glob("*.json")):
            clips += _sprsound_events(table, f"{audio.relative_to(folder).as_posix()}/{table.stem}.wav", split)
    if not clips:
        raise LayoutError(f"no JSON file of {', '.join(SPRSOUND_PARTS['train'][0])} and the test parts holds an event")
    return Manifest(clips, folder, SPRSOUND_CLASSES)


def _sprsound_events(table: Path, path: str, split: str) -> Iterator[Clip]:
    """Yield the events of a recording: start and end in milliseconds, and the type."""
    try:
        events = json.loads(table.read_text(encoding="utf-8-sig"))["event_annotation"]
        rows = [(int(event["start"]), int(event["end"]), str(event["type"]).strip()) for event in events]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise LayoutError(
            f"{table.name} is not the annotation of a recording ({content_fault(error)}); expected event_annotation, "
            "a list of start, end and type"
        ) from None
    for start, end, label in rows:
        if label not in SPRSOUND_CLASSES:
            raise LayoutError(f"{table.name} has an event '{label}'; expected one of {', '.join(SPRSOUND_CLASSES)}")
        id, group = f"{split}/{table.stem}@{start}-{end}", table.stem.split("_")[0]
        yield Clip(id, path, start=start / 1000, end=end / 1000, labels=(label,), split=split, group=group)


# ---- CirCor DigiScope: recordings of patients

MURMURS = ("Absent", "Present", "Unknown")
OUTCOMES = ("Normal", "Abnormal")
CIRCOR_SEEDS = {1: 14, 2: 42, 3: 84}  # of the three splits of patients
CIRCOR_CLIPS = {1: (17_746, 2_857, 801), 2: (17_986, 2_570, 793), 3: (17_949, 2_580, 773)}
TEST_SHARE, VALID_SHARE = 0.25, 0.1
WINDOW, HOP = 5.0, 2.5  # seconds of training clips
LIST_PARTS = {"train_data": "train", "vali_data": "valid", "test_data": "test"}


class Patient(NamedTuple):
    """A patient: id, murmur, outcome, and the names of the recordings."""

    id: str
    murmur: str
    outcome: str
    recordings: tuple[str, ...]


def read_circor(folder: Path, *, split: int) -> Manifest:
    """Read the text file of every patient.

    Clips of the training and validation part are windows of 5 s, one every 2.5 s; those of the test part are whole recordings,
    to be scored in consecutive windows (``--eval-windows full``). The label is the patient's murmur, the group the patient.

    Args:
        folder: of the data set.
        split: which of the three splits of patients. The published list datalist_stratified_data<split>.csv in the folder
            gives it; without that file it is drawn by the published rule.
    """
    audio = find(folder, "training_data", ".")
    patients = [_patient(file) for file in sorted(audio.glob("*.txt"), key=_by_number) if file.stem.isdigit()]
    if not patients:
        raise LayoutError("there is no text file of a patient, such as training_data/2530.txt")
    listed = folder / f"datalist_stratified_data{split}.csv"
    parts = _listed_parts(listed) if listed.is_file() else _drawn_parts(patients, CIRCOR_SEEDS[split])
    place = "" if audio == folder else f"{audio.name}/"
    clips = [clip for patient in patients for clip in _recordings(folder, place, patient, parts.get(patient.id))]
    source = f"{listed.name} of the folder"
    if not listed.is_file():
        seed = CIRCOR_SEEDS[split]
        source = (
            f"drawn by the published rule (seed {seed}); {listed.name} of M2D's app/circor in the folder would be taken"
        )
    return Manifest(clips, folder, MURMURS, (f"split {split} of the patients: {source}",))


def _by_number(file: Path) -> tuple[int, str]:
    return (int(file.stem) if file.stem.isdigit() else 0, file.stem)


def _patient(file: Path) -> Patient:
    """Read a patient's file: "id n rate", n lines of location and files, and lines "#Key: value"."""
    lines = _lines(file)
    try:
        count = int(lines[0].split()[1])
        recordings = tuple(line.split()[2].removesuffix(".wav") for line in lines[1 : 1 + count])
    except (IndexError, ValueError):
        raise LayoutError(
            f"{file.name} does not begin with a patient's id, the number of recordings and their lines"
        ) from None
    facts = {key.lstrip("#").strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if facts.get("Murmur") not in MURMURS:
        raise LayoutError(f"{file.name} has the murmur '{facts.get('Murmur')}'; expected {', '.join(MURMURS)}")
    return Patient(file.stem, facts["Murmur"], facts.get("Outcome", OUTCOMES[0]), recordings)


def _listed_parts(table: Path) -> dict[str, str]:
    """Return the part of every patient in a published list, whose paths end in train_data/<file> and so on."""
    parts: dict[str, str] = {}
    for row in rows_of(table, "dest_file"):
        *_, part, name = Path(str(row["dest_file"])).parts
        if part in LIST_PARTS:
            parts[name.split("_")[0].split(".")[0]] = LIST_PARTS[part]
    if not parts:
        raise LayoutError(f"{table.name} has no path in {', '.join(LIST_PARTS)}")
    return parts


def _drawn_parts(patients: Sequence[Patient], seed: int) -> dict[str, str]:
    """Draw a quarter of the patients for testing, then a tenth for validation, stratified by outcome and murmur.

    Source: [finetuning 10.1](docs/specification/finetuning.md#s10-1).
    """
    from sklearn.model_selection import train_test_split

    strata = {patient.id: f"{patient.outcome} {patient.murmur}" for patient in patients}
    ids = list(strata)
    try:
        rest, test = train_test_split(ids, test_size=TEST_SHARE, random_state=seed, stratify=list(strata.values()))
        kept = [strata[id] for id in rest]
        share = VALID_SHARE / (1 - TEST_SHARE)
        _, valid = train_test_split(rest, test_size=share, random_state=seed + 1, stratify=kept)
    except ValueError as error:
        raise LayoutError(f"{len(patients)} patients are too few for the published split ({error})") from None
    return {id: "test" if id in set(test) else "valid" if id in set(valid) else "train" for id in ids}


def _recordings(folder: Path, place: str, patient: Patient, part: str | None) -> Iterator[Clip]:
    """Yield the clips of a patient's recordings: whole ones to test, windows else."""
    for name in patient.recordings:
        path = f"{place}{name}.wav"
        info = _info(folder / path)
        whole = _with_info(Clip(name, path, labels=(patient.murmur,), split=part, group=patient.id), info)
        if part == "test" or info is None:
            yield whole
            continue
        seconds = info.num_samples / info.rate
        for number in range(num_training_windows(seconds)):
            start = number * HOP
            end = min(start + WINDOW, seconds)
            yield _with_info(
                Clip(
                    f"{name}@{start:g}", path, start=start, end=end, labels=whole.labels, split=part, group=patient.id
                ),
                info,
            )


def num_training_windows(seconds: float) -> int:
    """Return how many windows a recording gives: one every 2.5 s that has 2.5 s of sound; none below 2.5 s."""
    return int((seconds - HOP) / HOP + 1e-9) + 1 if seconds >= HOP else 0


# ---- for all readers


def _lines(file: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LayoutError(f"{file.name} cannot be read: {error}") from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _info(path: Path) -> AudioInfo | None:
    """Return rate and length of a recording; None where it cannot be opened (``read_published`` reports missing files)."""
    try:
        return probe(path)
    except AudioError:
        return None


def _with_info(clip: Clip, info: AudioInfo | None) -> Clip:
    return clip if info is None else replace(clip, rate=info.rate, num_samples=info.num_samples)


# ---- what is known of them

ICBHI = PublishedDataset(
    name="icbhi",
    title="ICBHI 2017 Respiratory Sound Database",
    url="https://bhichallenge.med.auth.gr",
    licence="see its page",
    layout=f"{ICBHI_SPLIT}, and recordings (.wav) with their cycles (.txt) in {ICBHI_FOLDERS[0]}/",
    read=read_icbhi,
    expected={"train": 4_142, "test": 2_756},
    note="the official split is by recording: patients 156 and 218 are in both parts",
)
SPRSOUND = PublishedDataset(
    name="sprsound",
    title="SPRSound, events, test part of other patients",
    url="https://github.com/SJTU-YONGFU-RESEARCH-GRP/SPRSound",
    licence="see its page",
    layout="train_wav/, train_json/, test_wav/, test_json/inter_test_json/ and test_json/intra_test_json/ (or the same with 2022)",
    read=read_sprsound,
    expected={"train": 6_656, "test": 1_429, "intra_test": 1_004},
)
SPRSOUND_INTRA = replace(
    SPRSOUND,
    name="sprsound-intra",
    title="SPRSound, events, test part of mostly the same patients",
    read=partial(read_sprsound, test="intra"),
    expected={"train": 6_656, "test": 1_004, "inter_test": 1_429},
    note="156 of the 160 patients of the test part are in the training part too",
)


def _circor(name: str, split: int) -> PublishedDataset:
    return PublishedDataset(
        name=name,
        title=f"CirCor DigiScope, patients of split {split}",
        url="https://physionet.org/content/circor-heart-sound/1.0.3/",
        licence="ODC-By 1.0",
        layout="training_data/ with a text file and the recordings of every patient (2530.txt, 2530_AV.wav, …)",
        read=partial(read_circor, split=split),
        expected=dict(zip(("train", "valid", "test"), CIRCOR_CLIPS[split])),
        note="M2D's three splits of patients are not a part of the data set; clips to test are whole recordings",
    )


CIRCOR = _circor("circor", 1)
CIRCOR_2 = _circor("circor-2", 2)
CIRCOR_3 = _circor("circor-3", 3)
