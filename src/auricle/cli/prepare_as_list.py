"""The weighted AudioSet list of M2D-AS: a CSV with the columns file_name, label (class ids) and weight.

  auricle prepare as-list data/files_audioset.csv eval_segments.csv balanced_train_segments.csv \\
      unbalanced_train_segments.csv --out data/files_as_weighted.csv

A clip's id is the first 11 characters of its file name. A class that n clips of the list have weighs 1000 / (n + 100),
a clip the sum over its classes to the power of 1 / 1.5. Files that no segment list knows are left out and counted; the
exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict

from auricle.cli.flags import add_flags, config_from
from auricle.commands.prepare.lists import AsListConfig, prepare_as_list

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, AsListConfig)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    result = prepare_as_list(config_from(AsListConfig, args))
    if result.unknown:
        names = ", ".join(result.unknown[:SHOWN]) + (", …" if len(result.unknown) > SHOWN else "")
        print(f"{len(result.unknown)} files are in no segment list and were left out: {names}", file=sys.stderr)
    answer = {**asdict(result), "out": str(result.out)}
    print(json.dumps(answer) if args.json else f"{result.out}: {result.rows} clips, {result.classes} classes")
    return 1 if result.unknown else 0
