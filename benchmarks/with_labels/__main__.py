"""What is learning with labels or from a teacher worth? ``python -m benchmarks.with_labels --part esc10``

search: learning rates within the training part; esc10, digits: every fold (speaker) left out, the published mn04_as
fine-tuned end to end; random: likewise from random weights; probe: logistic regression on its frozen embeddings;
student-search, students: a network of width 0.1 from four labelled clips a class, after distillation or from labels alone; the
first chooses settings on a training fold. Resumable: a result is kept in the file ``--out`` as soon as it is there, and is not
made again; ``--table`` only prints.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.with_labels import tables
from benchmarks.with_labels.runs import Results
from benchmarks.with_labels.students import ARMS, Students

PARTS = ("probe", "search", "esc10", "random", "digits", "student-search", "students")


def main() -> None:
    args = arguments()
    out = Path(args.out)
    if not args.table:
        runs = Students(out, Path(args.shared))
        for part in args.part:
            measure(runs, part, args)
    print(tables.markdown(Results(out).rows))


def measure(runs: Students, part: str, args: argparse.Namespace) -> None:
    if part == "probe":
        runs.probed()
    elif part == "search":
        runs.search(args.tasks)
    elif part == "esc10":
        runs.fine_tuned("ESC-10", args.seeds, args.folds)
    elif part == "random":
        runs.from_random(args.seeds[:1], args.folds)
    elif part == "digits":
        runs.fine_tuned("digits", args.seeds, args.folds)
    elif part == "student-search":
        runs.searched(args.tasks, args.arms)
    else:
        runs.measured(args.seeds, args.arms, args.tasks)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3], help="random uses the first of them")
    parser.add_argument("--folds", nargs="*", type=int, default=[], help="these folds alone")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=ARMS, help="student-search, students")
    parser.add_argument("--tasks", nargs="+", default=["ESC-10", "digits"], choices=("ESC-10", "digits"))
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10, data/fsdd and weights")
    parser.add_argument("--out", default="runs/with_labels.jsonl", help="the results; runs go into a folder beside it")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
