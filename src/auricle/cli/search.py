"""Find the places in an index that are like a sound, or that a model has scored: where else is this sound?

  auricle search INDEX bark.wav                                 the 20 spans that are most like it
  auricle search INDEX night.flac@12-15 '#348' --unlike '#77'   like a part of a recording and a span, unlike another
  auricle search INDEX 'label:Dog bark > 0.5' --after 22:00 --before 05:00 --place pond
  auricle search INDEX bark.wav --page bark.html                with players and spectrograms, to mark and search again
  auricle search INDEX bark.wav --label bark --format csv --out bark.csv      then: auricle review bark.csv
  auricle search INDEX duplicates                               groups of spans that are nearly the same

Quote what holds #, < or >: the shell gives them a meaning of its own. Scores from 0 to 1 are calibrated; similarities reach from
-1 to 1, and 0 is the mean of the index.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_OK
from auricle.commands.search import SearchConfig, search_index
from auricle.core.console import number_of, printable


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, SearchConfig)
    parser.add_argument("--json", action="store_true", help="the answer as one JSON object: --format json")
    parser.add_argument("--quiet", action="store_true", help="no notes")


def run(args: argparse.Namespace) -> int:
    """Return 0, also where nothing was found; what cannot be searched fails with 2."""
    config = config_from(SearchConfig, args)
    config = replace(config, format="json") if args.json else config
    outcome = search_index(config)
    results = outcome.results
    if not args.quiet:
        for note in results.notes:
            print(f"note: {printable(note)}", file=sys.stderr)
    if outcome.out is None:
        sys.stdout.write(outcome.text)
    else:
        print(f"{number_of(len(results), 'span')} written to {outcome.out}")
    if outcome.page is not None:
        print(f"open {outcome.page} in a browser", file=sys.stderr if config.format != "table" else sys.stdout)
    return EXIT_OK
