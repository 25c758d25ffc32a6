"""Recordings of ESC-10 and the spoken digits as 32-kHz WAV files of one length, and the tables that split them.

ESC-10 is cut or zero-padded to 5 s, the digits to 1 s, as the embeddings of the reference figures were made. Folds of the
digits are their speakers. The students' part is that of ``small_scale.sounds.HONEST``: folds 1 to 3 and speakers 1 to 4 are
learnt from, with four labelled clips a class; folds 4 and 5 and speakers 5 and 6 are tested.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile

from auricle.audio.decode import read
from auricle.core.console import progress_bar
from auricle.core.randomness import RandomKey
from benchmarks.small_scale.sounds import HONEST, SPEAKERS, digits, esc10

RATE = 32000
SECONDS = {"ESC-10": 5.0, "digits": 1.0}
LABELLED = 4  # clips of a class in the students' part
PIECES = 5  # of an ESC-10 clip in the pool: one for every second
Row = dict[str, str]


def clips(shared: Path, out: Path) -> dict[str, list[Row]]:
    """By task the rows path, label and fold of all clips; the files are made once."""
    found: dict[str, list[Row]] = {}
    for name, manifest in (("ESC-10", esc10(shared)), ("digits", digits(shared))):
        folder, rows = out / "audio" / name, []
        folder.mkdir(parents=True, exist_ok=True)
        for clip in progress_bar(list(manifest), total=len(manifest), what=name):
            path = folder / f"{Path(clip.id).stem}.wav"
            if not path.is_file():
                wave = read(manifest.audio(clip), rate=RATE).wave[: int(RATE * SECONDS[name])]
                wave = np.pad(wave, (0, int(RATE * SECONDS[name]) - len(wave)))
                soundfile.write(path, wave, RATE, subtype="FLOAT")
            fold = clip.fold if clip.fold is not None else SPEAKERS.index(str(clip.group)) + 1
            rows.append({"path": str(path.resolve()), "label": clip.labels[0], "fold": str(fold)})
        found[name] = rows
    return found


def write_table(rows: Iterable[Row], path: Path) -> Path:
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def split_rows(rows: Iterable[Row], train: Iterable[int], test: Iterable[int]) -> list[Row]:
    """The rows of these folds with a column split in place of fold; other folds are left out."""
    sides = {str(fold): "train" for fold in train} | {str(fold): "test" for fold in test}
    return [
        {"path": row["path"], "label": row["label"], "split": sides[row["fold"]]}
        for row in rows
        if row["fold"] in sides
    ]


def few(rows: Iterable[Row], seed: int) -> list[Row]:
    """Four training clips of each class, drawn by the seed, and all test clips."""
    by_class, kept = defaultdict(list), []
    for row in rows:
        (by_class[row["label"]] if row["split"] == "train" else kept).append(row)
    for label, members in sorted(by_class.items()):
        order = RandomKey(seed).of(f"labelled clips of {label}").permutation(len(members))
        kept += [members[place] for place in order[:LABELLED]]
    return kept


def honest_folds(task: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Folds to learn from and to test on, of the students' part."""
    if task == "ESC-10":
        return HONEST.train[0], HONEST.test[0]
    places = {speaker: number for number, speaker in enumerate(SPEAKERS, 1)}
    return tuple(places[name] for name in HONEST.train[1]), tuple(places[name] for name in HONEST.test[1])


def pool_rows(found: dict[str, list[Row]], without: Iterable[int] = ()) -> list[Row]:
    """The training clips of both tasks without labels, in pieces of a second.

    Args:
        found: as ``clips`` returns them.
        without: training folds (speakers) that are left out.
    """
    pool = []
    for name, rows in found.items():
        train = {str(fold) for fold in honest_folds(name)[0] if fold not in set(without)}
        times = PIECES if name == "ESC-10" else 1
        for row in rows:
            if row["fold"] in train:
                stem = Path(row["path"]).stem
                pool += [
                    {"id": f"{name} {stem} {place}", "path": row["path"], "start": str(place), "end": str(place + 1)}
                    for place in range(times)
                ]
    return pool
