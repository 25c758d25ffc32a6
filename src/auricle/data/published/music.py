"""Music and instruments: OpenMIC-2018, GTZAN, NSynth and Surge.

Layouts, counts and splits: [efficientat_training 3](docs/specification/efficientat_training.md#s3) and
[evaluation 1.3](docs/specification/evaluation.md#s1-3).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from functools import partial
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset, find, rows_of, with_split_table

# ---- OpenMIC-2018

OPENMIC_CLASSES = (
    "accordion", "banjo", "bass", "cello", "clarinet", "cymbals", "drums", "flute", "guitar", "mallet_percussion",
    "mandolin", "organ", "piano", "saxophone", "synthesizer", "trombone", "trumpet", "ukulele", "violin", "voice",
)  # fmt: skip
RELEVANT = 0.5  # a probability above it is a label
TABLE, ARRAYS = "openmic-2018-aggregated-labels.csv", "openmic-2018.npz"
Probabilities = dict[str, dict[str, float]]  # of the annotated classes, by class, by clip


def read_openmic(folder: Path) -> Manifest:
    """Read the probabilities of the annotated instruments, with split01. Clips without an annotation are left out."""
    archives = {split: folder / f"openmic_{split}.csv_mp3.hdf" for split in ("train", "test")}
    if (folder / "audio").is_dir():
        clips = [
            _openmic_clip(key, annotated, split, path=f"audio/{key[:3]}/{key}.ogg")
            for key, annotated, split in _openmic_rows(folder)
            if annotated
        ]
    elif any(file.is_file() for file in archives.values()):
        clips = [clip for split, file in archives.items() if file.is_file() for clip in _archived_openmic(file, split)]
    else:
        raise LayoutError("there is no audio and no openmic_train.csv_mp3.hdf")
    return Manifest(clips, folder, OPENMIC_CLASSES)


def _openmic_clip(id: str, annotated: Mapping[str, float], split: str, **where: str) -> Clip:
    labels = tuple(name for name, probability in annotated.items() if probability > RELEVANT)
    return Clip(id, labels=labels, known=tuple(annotated), split=split, **where)  # type: ignore[arg-type]


def _openmic_rows(folder: Path) -> Iterator[tuple[str, dict[str, float], str]]:
    """Yield key, probabilities of the annotated classes, and split of every clip of split01."""
    table = find(folder, TABLE, ARRAYS)
    probabilities = _openmic_table(table) if table.name == TABLE else _openmic_arrays(table)
    partitions = find(folder, "partitions")
    for split in ("train", "test"):
        for key in find(partitions, f"split01_{split}.csv").read_text(encoding="utf-8-sig").split():
            yield key, probabilities.get(key, {}), split


def _openmic_table(table: Path) -> Probabilities:
    """Read ``sample_key,instrument,relevance``: a row per annotated instrument."""
    probabilities: Probabilities = {}
    for row in rows_of(table, "sample_key", "instrument", "relevance"):
        if row["instrument"] not in OPENMIC_CLASSES:
            raise LayoutError(f"{table} has the instrument '{row['instrument']}', which is not one of the 20")
        probabilities.setdefault(row["sample_key"], {})[row["instrument"]] = float(row["relevance"])
    return {key: {name: of[name] for name in OPENMIC_CLASSES if name in of} for key, of in probabilities.items()}


def _openmic_arrays(file: Path) -> Probabilities:
    """Read ``sample_key`` (n), ``Y_true`` (n, 20) and ``Y_mask`` (n, 20)."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            keys, values, masks = (arrays[name] for name in ("sample_key", "Y_true", "Y_mask"))
    except (OSError, ValueError, KeyError) as error:
        raise AuricleError(
            f"{file} cannot be read without running code from it ({error}); put {TABLE} beside it"
        ) from None
    rows = zip(map(str, keys), values, masks)
    return {key: _annotated(value, mask) for key, value, mask in rows}


def _annotated(values: np.ndarray, mask: np.ndarray) -> dict[str, float]:
    return {name: float(values[i]) for i, name in enumerate(OPENMIC_CLASSES) if mask[i] > RELEVANT}


def _archived_openmic(file: Path, split: str) -> Iterator[Clip]:
    from auricle.data.stores.hdf5 import archive_rows

    classes = len(OPENMIC_CLASSES)
    for key, target in archive_rows(file, classes):
        if target.shape != (2 * classes,):
            raise AuricleError(
                f"{file} holds targets of {len(target)} values; expected {2 * classes}: labels, then masks"
            )
        annotated = _annotated(target[:classes], target[classes:])
        yield _openmic_clip(key.removesuffix(".mp3"), annotated, split, store=file.name, key=key)


OPENMIC = PublishedDataset(
    name="openmic",
    title="OpenMIC-2018",
    url="https://zenodo.org/records/1432913",
    licence="CC BY 4.0; every recording has its own licence",
    layout=f"{TABLE} (or {ARRAYS}), partitions/split01_train.csv and split01_test.csv, and audio/; or "
    "openmic_train.csv_mp3.hdf and openmic_test.csv_mp3.hdf",
    read=read_openmic,
    expected={"train": 14_915, "test": 5_085},
    multilabel=True,
    note="Only some instruments are annotated for a clip: the column known names them.",
)

# ---- GTZAN

# the fault-filtered split (of jordipons/sklearn-audio-transfer-learning, as torchaudio has it): numbers of each genre
GTZAN_SPLIT = "gtzan_filtered.csv"


def read_gtzan(folder: Path) -> Manifest:
    """Read folders of genres, with the fault-filtered split; recordings that it leaves out are left out here too."""
    root = next((inner for inner in ("genres_original", "genres") if (folder / inner).is_dir()), "")
    names = [name for name in files_below(folder / root, AUDIO_SUFFIXES) if PurePosixPath(name).parent.name]
    splits = fault_filtered_split()
    genres, found = {stem.partition(".")[0] for stem in splits}, {PurePosixPath(name).parent.name for name in names}
    if not found or found - genres:
        other = f"; {min(found - genres)} is no genre of GTZAN" if found else ""
        raise LayoutError(f"there are no folders of genres with recordings{other}")
    clips = [
        Clip(path, path, labels=(PurePosixPath(path).parent.name,), split=splits.get(PurePosixPath(path).stem))
        for path in (f"{root}/{name}".lstrip("/") for name in names)
    ]
    used = [clip for clip in clips if clip.split is not None]
    left_out = len(clips) - len(used)
    notes = (
        (f"{left_out} faulty or repeated recordings are left out, as in the fault-filtered split",) if left_out else ()
    )
    return Manifest(used, folder, notes=notes)


def fault_filtered_split() -> dict[str, str]:
    """Return the split of every recording that is used, by its name without suffix: "blues.00029": "train"."""
    text = resources.files(__package__).joinpath(GTZAN_SPLIT).read_text(encoding="utf-8")
    splits: dict[str, str] = {}
    for row in csv.DictReader(text.splitlines()):
        for numbers in row["numbers"].split():
            first, _, last = numbers.partition("-")
            splits |= {f"{row['genre']}.{n:05d}": row["split"] for n in range(int(first), int(last or first) + 1)}
    return splits


GTZAN = PublishedDataset(
    name="gtzan",
    title="GTZAN",
    url="http://marsyas.info/downloads/datasets.html",
    licence="none is given",
    layout="a folder of each genre (blues/blues.00000.wav, …), itself or in genres_original/ or genres/",
    read=read_gtzan,
    expected={"train": 443, "valid": 197, "test": 290},
    note="The fault-filtered split uses 930 of the 1,000 recordings.",
)

# ---- NSynth

NSYNTH_SPLITS = ("train", "valid", "test")


def read_nsynth(folder: Path, label: str) -> Manifest:
    """Read ``nsynth-train/examples.json`` and ``audio/``, likewise valid and test; ``label`` is a field of the examples."""
    clips: list[Clip] = []
    for split in NSYNTH_SPLITS:
        table = find(folder, f"nsynth-{split}") / "examples.json"
        for note, row in _examples(table).items():
            if label not in row:
                raise LayoutError(f"the example '{note}' of {table} has no '{label}'")
            clips.append(Clip(note, f"nsynth-{split}/audio/{note}.wav", labels=(str(row[label]),), split=split))
    values = {clip.labels[0] for clip in clips}
    return Manifest(clips, folder, tuple(sorted(values, key=lambda v: (int(v) if v.isdecimal() else 0, v))))


def _examples(table: Path) -> dict[str, dict[str, Any]]:
    try:
        examples = json.loads(table.read_text(encoding="utf-8"))
        return {str(note): dict(row) for note, row in examples.items()}
    except FileNotFoundError:
        raise LayoutError(f"there is no {table}") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise AuricleError(f"cannot read {table}: {error}") from None


def _nsynth(name: str, what: str, label: str) -> PublishedDataset:
    return PublishedDataset(
        name=name,
        title=f"NSynth, {what}",
        url="https://magenta.tensorflow.org/datasets/nsynth",
        licence="CC BY 4.0",
        layout="nsynth-train/, nsynth-valid/ and nsynth-test/, each with examples.json and audio/",
        read=partial(read_nsynth, label=label),
        expected={"train": 289_205, "valid": 12_678, "test": 4_096},
    )


NSYNTH = _nsynth("nsynth", "instrument family", "instrument_family_str")
NSYNTH_PITCH = _nsynth("nsynth-pitch", "pitch", "pitch")
NSYNTH_VELOCITY = _nsynth("nsynth-velocity", "velocity", "velocity")

# ---- Surge

SURGE_TONES = 2_084


def read_surge(folder: Path) -> Manifest:
    """Read folders of tones, a file of each note. The label is the note (the file's name); tones are groups."""
    names = [name for name in files_below(folder, AUDIO_SUFFIXES) if PurePosixPath(name).parent.name]
    if not names:
        raise LayoutError("there are no folders of tones with recordings")
    clips = [
        Clip(name, name, labels=(PurePosixPath(name).stem,), group=str(PurePosixPath(name).parent)) for name in names
    ]
    tones = len({clip.group for clip in clips})
    different = (f"{tones:,} tones instead of {SURGE_TONES:,}",) if tones != SURGE_TONES else ()
    chosen, notes = with_split_table(clips, folder, "surge")
    return Manifest(chosen, folder, notes=(*different, *notes))


SURGE = PublishedDataset(
    name="surge",
    title="Surge synthesiser, pitch",
    url="https://zenodo.org/records/4677097",
    licence="see its page",
    layout="a folder of each tone with a recording of each of 88 notes, and for EVAR's split its table surge.csv",
    read=read_surge,
    note="EVAR splits by tone (1,692, 195 and 197) from a list of its own: put its table surge.csv into the folder.",
)
