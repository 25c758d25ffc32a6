"""Put recordings into an index: every window with its vector, scores and events, to be searched and reviewed.

  auricle index recordings/ --model mn04_as --out INDEX       windows of 5 s, every 2.5 s
  auricle index recordings/ --out INDEX                       the same index, brought up to date
  auricle index /media/card1 /media/card2 --model RUN --out INDEX --window 3 --dtype int8
  auricle index recordings/ --out INDEX --recorders places.csv
  auricle index INDEX --status                                what is in it

New and changed files are read; moved ones are recognised by their content; those that are gone are removed. The same command
continues a run that was stopped, and several commands may fill one index. Many recordings are read by a process per core
(--executor pool). A broken file is named, and tried again the next time (exit code 1). Then: auricle search INDEX QUERY
"""

from __future__ import annotations

import argparse
import sys

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_OK, exit_code, print_failures
from auricle.commands.index import index_recordings, read_status
from auricle.core.console import printable
from auricle.core.io import dumps
from auricle.index.config import IndexConfig
from auricle.inference.tag_results import Failure


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, IndexConfig)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some files could not be read; without any the command fails with 2."""
    config: IndexConfig = config_from(IndexConfig, args)
    if config.status:
        for status in read_status(config):
            print(dumps(status.to_json(), indent=1) if args.json else printable(str(status), keep="\n"))
        return EXIT_OK
    report = index_recordings(config, quiet=args.quiet)
    for note in report.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print_failures([Failure(file, error) for file, error in report.failed.items()])
    print(dumps(report.to_json(), indent=1) if args.json else printable(str(report), keep="\n"))
    return exit_code(report.recordings, len(report.failed))
