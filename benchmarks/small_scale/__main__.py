"""Does pre-training on a small folder of sounds pay? ``python -m benchmarks.small_scale --part honest --updates 500``

Trains contenders of ``settings`` on a part of ``sounds`` with several seeds, probes each beside the untrained network of its
seed, log-mel mean and deviation, and chance, and prints the tables. Resumable: what is finished is not done again, a run
that was cut off goes on; ``--table`` only prints. ``--costs`` prints what a run of each contender takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.small_scale import costs, curves, tables
from benchmarks.small_scale.probes import floor, probe
from benchmarks.small_scale.runs import Comparison, trained
from benchmarks.small_scale.settings import CONTENDERS
from benchmarks.small_scale.sounds import PARTS, pool, tasks


def main() -> None:
    args = arguments()
    comparison = Comparison(Path(args.out), args.part, args.updates, Path(args.shared))
    if args.costs:
        print(costs.table(comparison, args.contenders))
        return
    if not args.table:
        measure(comparison, args)
    results = tables.collect(comparison, args.contenders, args.seeds, args.layers)
    print(tables.markdown(results, args.against))
    if args.files:
        tables.write(results, Path(args.files))
        curves.write(comparison, args.contenders, args.seeds, Path(args.files))
    if args.reference:
        curves.write_reference(comparison, args.contenders[0], args.seeds, Path(args.reference))


def measure(comparison: Comparison, args: argparse.Namespace) -> None:
    comparison.out.mkdir(parents=True, exist_ok=True)
    data = pool(comparison.shared, args.part, comparison.out)
    named = tasks(comparison.shared, args.part, comparison.out)
    floor(comparison.folder, named)
    for seed in args.seeds:
        for name in args.contenders:
            probe(trained(comparison, name, seed, data), seed, named, args.layers)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="search", choices=tuple(PARTS))
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=tuple(CONTENDERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13])
    parser.add_argument("--updates", type=int, default=500, help="weight updates of a run, of 96 clips each")
    parser.add_argument("--layers", nargs="*", default=[], help="probe these blocks instead of the encoder's output")
    parser.add_argument(
        "--against", default="", help="a contender that every other is compared with, paired over seeds"
    )
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10 and data/fsdd")
    parser.add_argument("--out", default="runs/small-scale")
    parser.add_argument("--files", default="", help="folder that gets scores.csv and curves.csv")
    parser.add_argument(
        "--reference", default="", help="file that gets the mean curve of the first contender, for reports"
    )
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    parser.add_argument(
        "--costs", action="store_true", help="print audio, operations and time of a run of each contender"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
