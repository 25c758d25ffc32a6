"""Environmental sounds and scenes: ESC-50, UrbanSound8K, FSD50K and TAU Urban Acoustic Scenes 2020 Mobile (DCASE20).

Layouts, counts and splits: [efficientat_training 4](docs/specification/efficientat_training.md#s4) and
[evaluation 1.3](docs/specification/evaluation.md#s1-3).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset, find, in_order, number, rows_of

# ---- ESC-50


def read_esc50(folder: Path) -> Manifest:
    """Read ``meta/esc50.csv``. Clips of one source recording (``src_file``) are a group; folds keep them together."""
    table = find(folder, "meta/esc50.csv", "meta.csv", "esc50.csv")
    audio = find(folder, "audio", "audio_32k").name
    rows = rows_of(table, "filename", "fold", "target", "category")
    clips = [
        Clip(
            id=row["filename"],
            path=f"{audio}/{row['filename']}",
            labels=(row["category"],),
            fold=number(row["fold"], "fold", table),
            group=row.get("src_file") or None,
        )
        for row in rows
    ]
    classes = in_order((number(row["target"], "target", table), row["category"]) for row in rows)
    return Manifest(clips, folder, classes)


ESC50 = PublishedDataset(
    name="esc50",
    title="ESC-50",
    url="https://github.com/karolpiczak/ESC-50",
    licence="CC BY-NC 3.0",
    layout="meta/esc50.csv (or meta.csv) and the recordings in audio/ (or audio_32k/)",
    read=read_esc50,
    expected={f"fold {fold}": 400 for fold in range(1, 6)},
)

# ---- UrbanSound8K

US8K_FOLDS = (873, 888, 925, 990, 936, 823, 838, 806, 816, 837)  # 8,732 clips


def read_urbansound8k(folder: Path) -> Manifest:
    """Read ``metadata/UrbanSound8K.csv``. Its start and end are places in the original recordings and are not used."""
    table = find(folder, "metadata/UrbanSound8K.csv", "UrbanSound8K.csv")
    find(folder, "audio")
    rows = rows_of(table, "slice_file_name", "fsID", "fold", "classID", "class")
    clips = [
        Clip(
            id=row["slice_file_name"],
            path=f"audio/fold{row['fold']}/{row['slice_file_name']}",
            labels=(row["class"],),
            fold=number(row["fold"], "fold", table),
            group=row["fsID"],
        )
        for row in rows
    ]
    return Manifest(clips, folder, in_order((number(row["classID"], "classID", table), row["class"]) for row in rows))


URBANSOUND8K = PublishedDataset(
    name="urbansound8k",
    title="UrbanSound8K",
    url="https://urbansounddataset.weebly.com/urbansound8k.html",
    licence="CC BY-NC 3.0",
    layout="metadata/UrbanSound8K.csv and the recordings in audio/fold1/ to audio/fold10/",
    read=read_urbansound8k,
    expected={f"fold {fold}": count for fold, count in enumerate(US8K_FOLDS, start=1)},
)

# ---- FSD50K

FSD50K_SPLITS = {"train": "train", "val": "valid", "eval": "test"}


def read_fsd50k(folder: Path) -> Manifest:
    """Read ``FSD50K.ground_truth``; the recordings are WAV files, or mp3 in the HDF5 files of EfficientAT."""
    truth = find(folder, "FSD50K.ground_truth")
    classes = _vocabulary(find(truth, "vocabulary.csv"))
    development = rows_of(find(truth, "dev.csv"), "fname", "labels", "split")
    evaluation = [{**row, "split": "eval"} for row in rows_of(find(truth, "eval.csv"), "fname", "labels")]
    rows = [*development, *evaluation]
    if unknown := {row["split"] for row in rows} - FSD50K_SPLITS.keys():
        raise LayoutError(f"{truth / 'dev.csv'} has the split '{min(unknown)}'; expected train and val")
    if (folder / "FSD50K.dev_audio").is_dir():
        return Manifest([_fsd50k_file(row) for row in rows], folder, classes)
    archives = {part: folder / f"FSD50K.{part}_mp3.hdf" for part in FSD50K_SPLITS}
    if not any(file.is_file() for file in archives.values()):
        raise LayoutError("there is no FSD50K.dev_audio and no FSD50K.train_mp3.hdf")
    return Manifest(_fsd50k_archived(rows, archives), folder, classes)


def _vocabulary(table: Path) -> tuple[str, ...]:
    """Return the classes of ``vocabulary.csv``: index, name and id, without a header."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    if any(len(row) < 2 or not row[0].isdecimal() for row in rows):
        raise LayoutError(f"{table} is no list of index, name and id without a header")
    return in_order((int(row[0]), row[1]) for row in rows)


def _fsd50k_clip(row: Mapping[str, Any], **where: str) -> Clip:
    return Clip(row["fname"], labels=tuple(row["labels"].split(",")), split=FSD50K_SPLITS[row["split"]], **where)  # type: ignore[arg-type]


def _fsd50k_file(row: Mapping[str, Any]) -> Clip:
    audio = "FSD50K.eval_audio" if row["split"] == "eval" else "FSD50K.dev_audio"
    return _fsd50k_clip(row, path=f"{audio}/{row['fname']}.wav")


def _fsd50k_archived(rows: list[Mapping[str, Any]], archives: Mapping[str, Path]) -> list[Clip]:
    """Return the clips in the HDF5 files; one that is in none of them keeps a path where nothing is."""
    from auricle.data.stores.hdf5 import archive_names

    names = {part: set(archive_names(file)) if file.is_file() else set() for part, file in archives.items()}
    clips = []
    for row in rows:
        key, part = f"{row['fname']}.mp3", row["split"]
        there = key in names[part]
        where = {"store": archives[part].name, "key": key} if there else {"path": f"{archives[part].name}/{key}"}
        clips.append(_fsd50k_clip(row, **where))
    return clips


FSD50K = PublishedDataset(
    name="fsd50k",
    title="FSD50K",
    url="https://zenodo.org/records/4060432",
    licence="CC BY 4.0; every recording has its own licence",
    layout="FSD50K.ground_truth/ (dev.csv, eval.csv, vocabulary.csv), and FSD50K.dev_audio/ and FSD50K.eval_audio/ or "
    "FSD50K.train_mp3.hdf, FSD50K.val_mp3.hdf and FSD50K.eval_mp3.hdf",
    read=read_fsd50k,
    expected={"train": 36_796, "valid": 4_170, "test": 10_231},
    multilabel=True,
)

# ---- FSDnoisy18k


def read_fsdnoisy18k(folder: Path) -> Manifest:
    """Read ``FSDnoisy18k.meta``: noisy and verified clips train, the test part is verified."""
    meta = find(folder, "FSDnoisy18k.meta")
    clips = [
        Clip(
            f"{split}/{row['fname']}", f"FSDnoisy18k.audio_{split}/{row['fname']}", labels=(row["label"],), split=split
        )
        for split in ("train", "test")
        for row in rows_of(find(meta, f"{split}.csv"), "fname", "label")
    ]
    return Manifest(clips, folder)


FSDNOISY18K = PublishedDataset(
    name="fsdnoisy18k",
    title="FSDnoisy18k",
    url="https://zenodo.org/records/2529934",
    licence="CC BY 4.0; every recording has its own licence",
    layout="FSDnoisy18k.meta/ (train.csv, test.csv), FSDnoisy18k.audio_train/ and FSDnoisy18k.audio_test/",
    read=read_fsdnoisy18k,
    expected={"train": 17_585, "test": 947},
    note="EVAR draws a tenth of the training part for validation; the evar protocol holds a tenth out.",
)

# ---- DCASE20


def read_dcase20(folder: Path) -> Manifest:
    """Read ``meta.csv`` in its order, with the split of ``evaluation_setup``; files in neither list are left out."""
    table = find(folder, "meta.csv")
    rows = rows_of(table, "filename", "scene_label", "identifier")
    setup = find(folder, "evaluation_setup")
    lists = {"train": "fold1_train.csv", "test": "fold1_evaluate.csv"}
    splits = {row["filename"]: split for split, name in lists.items() for row in rows_of(find(setup, name), "filename")}
    clips = [
        Clip(
            id=row["filename"],
            path=row["filename"],
            labels=(row["scene_label"],),
            split=splits[row["filename"]],
            group=row["identifier"],
        )
        for row in rows
        if row["filename"] in splits
    ]
    if not clips:
        raise AuricleError(f"none of the files of {table} is in the lists of {setup}")
    ignored = len(rows) - len(clips)
    notes = (f"{ignored:,} files of meta.csv are in neither list of evaluation_setup and left out",) if ignored else ()
    return Manifest(clips, folder, tuple(sorted({row["scene_label"] for row in rows})), notes)


DCASE20 = PublishedDataset(
    name="dcase20",
    title="TAU Urban Acoustic Scenes 2020 Mobile, development (DCASE 2020 task 1a)",
    url="https://zenodo.org/records/3819968",
    licence="non-commercial research; see its LICENSE",
    layout="meta.csv, evaluation_setup/fold1_train.csv and fold1_evaluate.csv, and the recordings in audio/",
    read=read_dcase20,
    expected={"train": 13_962, "test": 2_970},
)
