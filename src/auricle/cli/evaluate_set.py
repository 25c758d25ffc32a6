"""Measure an encoder on every task of a task-set file.

  auricle evaluate set tasks.yaml --model runs/first
  EVAR=~/evar auricle evaluate set all --model runs/first      M2D's nine tasks, in EVAR's folders ('quick': four)

The file names tasks and protocols:

  tasks:
    - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [logistic, knn-vote]}
"""

from __future__ import annotations

import argparse
import shlex
import sys

from auricle.cli.flags import add_flags, config_from
from auricle.commands.evaluate import EvaluateSetConfig, evaluate_set, say_absent
from auricle.core.io import dumps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, EvaluateSetConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="all results as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some tasks could not be measured."""
    command = shlex.join(["auricle", *sys.argv[1:]])
    result = evaluate_set(config_from(EvaluateSetConfig, args), command=command, quiet=args.quiet)
    if args.json:
        print(dumps({"evaluations": [e.to_json() for e in result.evaluations], "absent": result.absent}))
    else:
        print("\n\n".join(str(evaluation) for evaluation in result.evaluations))
        say_absent(result.absent)
    return 1 if result.absent else 0
