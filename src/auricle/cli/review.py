"""Ask a person whether detections are right, one by one; from the answers compute precision, thresholds and labels.

  auricle review night/                                 of auricle tag --out night: a page of 100 spans, review/review.html
  auricle review INDEX "label:Dog bark"                 spans of an index with a score of this class
  auricle review matches.csv --ask "Dog bark"           what auricle search found, asked about one class
  auricle review answers.csv --target-precision 0.9     what the answers say: report.html, labels.csv, thresholds
  auricle review ann.csv bob.csv                        of two reviewers: their agreement, too
  auricle review answers.csv --update RUN               give a detector the new thresholds
  auricle review RUN --refit --target-precision 0.95    choose thresholds again without answers

Open review.html in a browser, answer from the keyboard, and save answers.csv. A recording that cannot be read is named, and the
others are asked about (exit code 1).
"""

from __future__ import annotations

import argparse
import sys
import warnings

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code, print_failures
from auricle.commands.review.review import ReviewConfig, review
from auricle.core.console import printable
from auricle.core.io import dumps
from auricle.inference.tag_results import Failure


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, ReviewConfig)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some recordings could not be read; without any the command fails with 2."""
    from auricle.commands.review.answers import ReviewedAnswers
    from auricle.commands.review.ask import AskedQuestions

    config = config_from(ReviewConfig, args)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about the labels of tables, which are queues here
        result = review(config, quiet=args.quiet)
    for note in result.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    if args.json:
        print(dumps(result.to_json(), indent=1))
    elif isinstance(result, AskedQuestions):
        print(printable(str(result), keep="\n"))
        print(f"open {printable(str(result.page))} in a browser, answer, and download answers.csv")
    elif isinstance(result, ReviewedAnswers):
        print(printable(str(result), keep="\n"))
        for name, path in result.files.items():
            print(f"{name}: {printable(str(path))}")
    else:
        for figures in result.classes:
            there = f"precision {figures.precision:.2f}, recall {figures.recall:.2f}"
            print(f"{printable(figures.id)}: threshold {figures.threshold:.3f}, {there}")
    if isinstance(result, AskedQuestions):
        print_failures([Failure(file, error) for file, error in result.failed.items()])
        return exit_code(len(result.items), len(result.failed))
    return 0
