"""Tables of the recordings beside the checkout whose tested clips the small encoder never saw, for the suite of this name.

    python -m benchmarks.suites.unseen_parts --shared ../shared --out unseen

The small encoder of the benchmarks (``benchmarks.with_labels``) learns, without labels, from ESC-10 folds 1 to 3 and the digits of
four speakers. Of these, fold 3 and the fourth speaker validate here and the others train; folds 4 and 5 and the other two speakers
are tested. A tenth of the training clips would not do for validation: a good encoder has all of them right after a few epochs, and
HEAR's program takes the first epoch of the best. The silence of keyword spotting is made of clips of folds 4 and 5.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from auricle.data.manifest.formats import write_manifest
from benchmarks.small_scale.sounds import HONEST, digits, esc10, place_of

TABLES = ("esc10.csv", "digits.csv", "noise.csv")


def write_tables(shared: Path, out: Path) -> list[Path]:
    """Write the tables: clips of both tasks with their parts, and the recordings that silence is cut from.

    Args:
        shared: Folder with data/esc10 and data/fsdd.
        out: Folder of the tables; their paths are relative to it.

    Returns:
        The files.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, manifest in enumerate((esc10(shared), digits(shared))):
        learnt = HONEST.train[number]
        parts = dict.fromkeys(learnt, "train") | {learnt[-1]: "valid"} | dict.fromkeys(HONEST.test[number], "test")
        clips = [replace(clip, split=parts[place_of(clip)], fold=None) for clip in manifest]
        written.append(write_manifest(replace(manifest, clips=clips), out / TABLES[number]))
    sounds = esc10(shared)
    unseen = [clip for clip in sounds if place_of(clip) in HONEST.test[0]]
    return [*written, write_manifest(replace(sounds, clips=unseen), out / TABLES[2])]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with data/esc10 and data/fsdd")
    parser.add_argument("--out", type=Path, default=Path("unseen"), help="folder of the tables")
    given = parser.parse_args()
    print(*write_tables(given.shared, given.out), sep="\n")
