"""Measure an encoder on labelled recordings, beside its untrained self, log-mel statistics and chance.

  auricle evaluate esc10/audio --model logmel-stats --labels esc10/meta.csv --seconds 5
  auricle evaluate my_sounds/ --model runs/first --protocol knn --split-by drawn
  auricle evaluate fsdd/audio --model runs/first --labels fsdd/meta.csv --label-column digit --split-by groups --seconds 1
  auricle evaluate --suite tasks.yaml --model runs/first
  EVAR=~/evar auricle evaluate --suite all --model runs/first      M2D's nine tasks, in EVAR's folders ('quick': four)

Embeddings are cached: the second evaluation reads no audio. Every score is added to the store of 'auricle results'. A
suite is a file of tasks and protocols:

  tasks:
    - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [linear, knn]}
"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_OK, EXIT_SOME_FAILED, exit_code
from auricle.commands.evaluate import EvaluateConfig, evaluate_suite, measure, print_problems, print_skipped
from auricle.core.io import dumps

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, EvaluateConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some clips, tasks or places could not be used; 2 when no task of a suite could be measured."""
    command = shlex.join(["auricle", *sys.argv[1:]])
    config = config_from(EvaluateConfig, args)
    if config.suite:
        return run_suite(config, command, quiet=args.quiet, as_json=args.json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result's notes say the same
        evaluation, keeper = measure(config, command=command, quiet=args.quiet)
    problems: list[str] = []
    try:
        print(dumps(evaluation.to_json(), indent=1) if args.json else as_text(evaluation, config.model), flush=True)
    finally:  # shown first, and kept where it cannot be shown
        problems += keeper.keep(evaluation)
    for id, reason in evaluation.failed.items():
        print(f"{id}: {reason}", file=sys.stderr)
    print_problems(problems)
    return EXIT_SOME_FAILED if evaluation.failed or problems else EXIT_OK


def as_text(evaluation: Evaluation, model: str) -> str:
    """Return the scores, and the verdict in the words of the report."""
    from auricle.reports.verdicts import verdict_text

    return f"{evaluation}\n\n{verdict_text(evaluation, Path(model))}"


def run_suite(config: EvaluateConfig, command: str, *, quiet: bool, as_json: bool) -> int:
    """Measure the tasks of a suite; results are printed as they come, as JSON when all are there."""
    result = evaluate_suite(config, command=command, quiet=quiet, show=None if as_json else _print_evaluation)
    if as_json:
        print(dumps(result.to_json()))
    else:
        print_skipped(result.skipped)
    print_problems(result.problems)
    return exit_code(len(result.evaluations), len(result.skipped) + len(result.problems))


def _print_evaluation(evaluation: Evaluation) -> None:
    print(f"{evaluation}\n", flush=True)
