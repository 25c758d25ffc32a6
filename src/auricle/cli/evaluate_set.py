"""The first edition's form of 'auricle evaluate --suite FILE --model NAME': measure an encoder on every task of a file.

auricle evaluate set tasks.yaml --model runs/first
EVAR=~/evar auricle evaluate set all --model runs/first      M2D's nine tasks, in EVAR's folders ('quick': four)
"""

from __future__ import annotations

import argparse
import shlex
import sys

from auricle.cli.evaluate import print_suite
from auricle.commands.evaluate import EvaluateConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("suite", help="file of tasks and protocols (YAML), or one that is shipped: quick, all")
    parser.add_argument("--model", default="", help="encoder: a published name, a weight file or a run folder")
    parser.add_argument("--weights", help="local weight file of a published name")
    parser.add_argument("--baselines", action=argparse.BooleanOptionalAction, default=True, help="score baselines too")
    parser.add_argument("--store", help="results file (default: results.sqlite in the cache folder)")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="all results as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some tasks could not be measured."""
    names = ("model", "suite", "weights", "baselines", "store")
    config = EvaluateConfig(**{name: getattr(args, name) for name in names})
    return print_suite(config, shlex.join(["auricle", *sys.argv[1:]]), quiet=args.quiet, as_json=args.json)
