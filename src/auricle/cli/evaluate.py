"""Measure an encoder on a labelled task, beside its untrained self, log-mel statistics and chance.

  auricle evaluate linear logmel-stats esc10/audio --labels esc10/meta.csv --seconds 5
  auricle evaluate knn runs/first my_sounds/ --folding drawn
  auricle evaluate linear runs/first fsdd/audio --labels fsdd/meta.csv --label-column digit --folding groups --seconds 1

Embeddings are cached: the second evaluation touches no audio. Every score is appended to the store of 'auricle
results'.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings

from auricle.cli.flags import add_flags, config_from
from auricle.commands.evaluate import EvaluateConfig, evaluate
from auricle.core.io import dumps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, EvaluateConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="the whole result as JSON on stdout")


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some clips could not be read (the others are scored)."""
    command = shlex.join(["auricle", *sys.argv[1:]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result's notes say the same
        found = evaluate(config_from(EvaluateConfig, args), command=command, quiet=args.quiet)
    print(dumps(found.to_json(), indent=1) if args.json else found)
    for id, words in found.failed.items():
        print(f"{id}: {words}", file=sys.stderr)
    return 1 if found.failed else 0
