"""Print the most likely labels of recordings, and over time the events: of any audio file, folder or standard input.

  auricle tag metro.wav --model mn04_as
  auricle tag night.flac --model mn10_as --window 10 --hop 5 --out night --labels-out audacity
  auricle tag sounds/ --ensemble mn40_as_ext mn40_as mn40_as_no_im_pre --json
  ffmpeg -i film.mkv -f wav - | auricle tag - --model mn10_as --picture film.png

Each answer is printed as soon as it is finished. A broken file is named and the others are tagged (exit code 1).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from dataclasses import asdict

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code
from auricle.commands.tag import TagConfig, tag
from auricle.core.progress import progress_bar
from auricle.inference.tag_results import Failure, FileTags


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, TagConfig)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    form.add_argument("--csv", action="store_true", help="lines of file, start, end, label, score instead of tables")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some files could not be tagged; 2 when none could."""
    tagging = tag(config_from(TagConfig, args))
    printer = JsonPrinter(tagging.model) if args.json else CsvPrinter() if args.csv else TablePrinter()
    failed: list[Failure] = []
    done = 0
    try:
        bar = progress_bar(tagging.outcomes, total=tagging.count, what="tag", unit="file", quiet=args.quiet)
        for outcome in bar:
            with bar.pause():
                if isinstance(outcome, Failure):
                    failed.append(outcome)
                    print(f"failed: {outcome.error}", file=sys.stderr)
                else:
                    printer.add(outcome)
                    done += 1
                    sys.stdout.flush()
    finally:
        printer.finish(failed)
    return exit_code(done, len(failed))


class TablePrinter:
    """Print each result as tables."""

    def add(self, result: FileTags) -> None:
        print(f"{result}\n")

    def finish(self, failed: list[Failure]) -> None:
        """Print what comes after the last result."""


class CsvPrinter(TablePrinter):
    """Print a row per window and label."""

    def __init__(self) -> None:
        self.writer = csv.writer(sys.stdout, lineterminator="\n")
        self.writer.writerow(("file", "start", "end", "label", "score"))

    def add(self, result: FileTags) -> None:
        for file, start, end, label, score in result.rows():
            self.writer.writerow((file, f"{start:.3f}", f"{end:.3f}", label, f"{score:.6f}"))


class JsonPrinter(TablePrinter):
    """Print one JSON object, result by result; it is complete also when the run is interrupted."""

    def __init__(self, model: str):
        print(f'{{"model": {json.dumps(model)}, "results": [', end="")
        self.separator = "\n"

    def add(self, result: FileTags) -> None:
        print(self.separator + json.dumps(result.to_json()), end="")
        self.separator = ",\n"

    def finish(self, failed: list[Failure]) -> None:
        print(f'\n], "failed": {json.dumps([asdict(failure) for failure in failed])}}}')
