"""Find what is wrong with recordings and their labels, before anything is learnt from them.

  auricle check sounds/                                 print what was found
  auricle check sounds/ --labels meta.csv --out check   also check/report.html, findings.csv and clips.csv
  auricle check clips.csv --clean clean.csv             also a manifest without broken clips and copies
  auricle check train/ test/                            is anything of the one in the other?

Files that cannot be read, silence, clipping, offset, missing bandwidth and dead channels; the same sound twice, also in another
format; the same sound in several splits or folds; labels that contradict each other, are nearly alike, empty or rare. Exit code 1:
some files cannot be read.
"""

from __future__ import annotations

import argparse
import sys

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code
from auricle.commands.check import CheckConfig, check_clips
from auricle.core.console import printable
from auricle.core.io import dumps


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, CheckConfig)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some files cannot be read, 2 when none can."""
    report = check_clips(config_from(CheckConfig, args), quiet=args.quiet)
    for note in report.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    if args.json:
        print(dumps(report.to_json(), indent=1))
    else:
        print(printable(str(report), keep="\n"))
        if report.cleaned is not None:
            left_out = ", ".join(f"{count:,} {why}" for why, count in (report.left_out or {}).items() if count)
            print(f"{report.cleaned} is the cleaned manifest; left out: {left_out or 'nothing'}")
        if report.page is not None:
            print(f"open {report.page} in a browser")
    return exit_code(report.clips - len(report.failed), len(report.failed))
