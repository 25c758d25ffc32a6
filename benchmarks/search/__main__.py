"""How fast and how right is search, and what does reviewing save? ``python -m benchmarks.search million|precision|afternoon``

million: exact and approximate search among a million generated vectors: times, recall, building, memory, vectors of fewer bits.
precision: ESC-10 and 2,000 spoken digits in an index, each searched by itself: how many of the ten nearest are of its class.
afternoon: one labelled clip of a class, then search, answers and suggestions, against labelling clips of chance.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.search import afternoon, million, precision


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("million", "precision", "afternoon"))
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10, data/fsdd and weights")
    parser.add_argument("--small", default=None, help="precision: run folder of the small encoder")
    parser.add_argument("--out", default="runs/search", help="folder for indexes and results")
    parser.add_argument("--count", type=int, default=1_000_000, help="million: vectors")
    parser.add_argument("--width", type=int, default=384, help="million: numbers per vector; 384: of mn04's clips")
    parser.add_argument("--kinds", nargs="+", default=list(million.KINDS), choices=million.KINDS, help="million: data")
    parser.add_argument("--rounds", type=int, default=5, help="million: times that each query is searched")
    parser.add_argument("--pools", nargs="+", default=list(afternoon.POOLS), choices=afternoon.POOLS, help="afternoon")
    parser.add_argument("--starts", type=int, default=1, help="afternoon: first clips per class and division")
    args = parser.parse_args()
    shared, out = Path(args.shared), Path(args.out)
    if args.part == "million":
        million.measure(shared, out, args.kinds, args.count, args.width, args.rounds)
    elif args.part == "precision":
        precision.measure(shared, out, args.small)
    else:
        afternoon.measure(shared, out, args.pools, args.starts)


if __name__ == "__main__":
    main()
