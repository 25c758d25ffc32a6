"""Find the clips that are most worth a label, and write a page with players that takes the answers.

  auricle suggest recordings/ --model RUN                       50 clips: suggestions/label.html and suggestions.csv
  auricle suggest night.flac --model RUN --window 3 --top-k 100
  auricle suggest recordings/ --model RUN --exclude labels.csv --out round2
  auricle suggest recordings/ --model mn04_as --only Bird Frog  ask about these classes of a published tagger

Open label.html in a browser, answer from the keyboard, and save labels.csv: auricle finetune reads it. A broken file is named
and the others are looked at (exit code 1).
"""

from __future__ import annotations

import argparse
import sys
import warnings

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code, print_failures
from auricle.commands.suggest import SuggestConfig, suggest_clips
from auricle.core.console import printable
from auricle.core.io import dumps
from auricle.inference.tag_results import Failure


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, SuggestConfig)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some files could not be read; without any the command fails with 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels and groups that the recordings have do not matter here
        result = suggest_clips(config_from(SuggestConfig, args), quiet=args.quiet)
    for note in result.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print_failures([Failure(file, error) for file, error in result.failed.items()])
    if args.json:
        print(dumps(result.to_json(), indent=1))
    else:
        print(printable(str(result), keep="\n"))
        if result.page:
            print(f"open {result.page} in a browser, answer, and download labels.csv")
            from auricle.hub.run_folder import RunFolder

            if RunFolder(args.model).features.is_file():
                print(f"then: auricle finetune labels.csv --from {args.model} --out NEW")
    return exit_code(len(result.clips), len(result.failed))
