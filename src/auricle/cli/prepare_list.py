"""A list of training files: a CSV with the column file_name, sorted, relative to the data root.

  auricle prepare list data/fsd50k_lms data/files_fsd50k.csv

The data root is the folder of the list, unless --root says otherwise.
"""

from __future__ import annotations

import argparse
import json

from auricle.cli.flags import add_flags, config_from
from auricle.commands.prepare.lists import ListConfig, prepare_list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, ListConfig)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    result = prepare_list(config_from(ListConfig, args))
    answer = {"out": str(result.out), "rows": result.rows}
    print(json.dumps(answer) if args.json else f"{result.out}: {result.rows} files")
    return 0
