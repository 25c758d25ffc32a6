"""How good are detectors on a frozen encoder? ``python -m benchmarks.detectors --part heads --out runs/detectors.jsonl``

esc10: accuracy and time of the command on ESC-10; background: sound of no class; heads: which head, with how many labels;
calibration: probabilities and thresholds on unseen folds; night: events in two hours; growing: more classes, and two detectors
merged. Resumable: a result is kept in the file ``--out`` as soon as it is there, and is not made again (but for esc10, whose time
is measured again); ``--table`` only prints.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.detectors import background, calibration, esc10, growing, heads, night, settings, tables
from benchmarks.detectors.clips import Place
from benchmarks.detectors.results import Results

PARTS = ("esc10", "background", "heads", "calibration", "night", "growing")


def main() -> None:
    args = arguments()
    results = Results(Path(args.out))
    place = Place(Path(args.shared), Path(args.out).with_suffix(""), Path(args.small))
    for part in () if args.table else args.part:
        measure(part, place, results, args)
    print(tables.markdown(results))


def measure(part: str, place: Place, results: Results, args: argparse.Namespace) -> None:
    if part == "heads":
        for encoder in args.encoders:
            for task in args.tasks:
                heads.measure(place, results, encoder, task, args.heads, args.per_class)
    elif part == "esc10":
        esc10.measure(place, results, args.threads, args.note)
    elif part == "background":
        background.measure(place, results)
    elif part == "calibration":
        for kind in (calibration.CHOSEN, heads.PROBE, calibration.PROTOTYPE):
            for task in (*args.tasks, calibration.MIXTURES):
                calibration.measure(place, results, task, kind)
    elif part == "night":
        night.measure(place, results)
    else:
        growing.measure(place, results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = (heads.PROBE, *heads.FROZEN_HEADS, heads.AUTO)
    parser.add_argument("--part", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--encoders", nargs="+", default=list(settings.ENCODERS), choices=settings.ENCODERS)
    parser.add_argument("--tasks", nargs="+", default=list(settings.TASKS[:2]), choices=settings.TASKS)
    parser.add_argument("--heads", nargs="+", default=list(kinds), choices=kinds)
    parser.add_argument("--per-class", nargs="+", type=int, default=list(heads.COUNTS), help="labelled clips; 0: all")
    parser.add_argument("--threads", type=int, default=2, help="esc10")
    parser.add_argument("--note", default="", help="esc10: what else ran on the machine")
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10, data/fsdd and weights")
    parser.add_argument("--small", default="runs/with_labels/small-encoder", help="its run folder; see RESULTS.md")
    parser.add_argument(
        "--out", default="runs/detectors.jsonl", help="the results; other files go into a folder beside it"
    )
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
