"""Measure an encoder on labelled recordings, beside its untrained self, log-mel statistics and chance.

  auricle evaluate esc10/audio --model logmel-stats --labels esc10/meta.csv --seconds 5
  auricle evaluate my_sounds/ --model runs/first --protocol knn --split-by drawn
  auricle evaluate fsdd/audio --model runs/first --labels fsdd/meta.csv --label-column digit --split-by groups --seconds 1
  auricle evaluate --suite tasks.yaml --model runs/first
  auricle evaluate --suite evar --tasks esc50 cremad --data sets --model runs/first mn04_as --page scores.html
  EVAR=~/evar auricle evaluate --suite all --model runs/first      M2D's nine tasks, in EVAR's folders ('quick': four)
  auricle evaluate audioset/ --protocol audioset --model mn04_as mn10_as      mAP, AUC and d' of taggers on the clips present

Embeddings are cached: the second evaluation reads no audio. Every score is added to the store of 'auricle results'; a suite
that was stopped goes on where it was. A suite is a file of tasks and protocols:

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
from auricle.commands.evaluate import EvaluateConfig, measure, print_problems
from auricle.commands.evaluate_suite import evaluate_suite, print_skipped
from auricle.core.io import dumps

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.suites.run import Outcome


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, EvaluateConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the whole result as JSON")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some clips, tasks or places could not be used; 2 when no task of a suite could be measured."""
    command = shlex.join(["auricle", *sys.argv[1:]])
    _data_after_models(args)
    config = config_from(EvaluateConfig, args)
    if config.as_suite:
        return run_suite(config, command, quiet=args.quiet, as_json=args.json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result's notes say the same
        evaluation, keeper = measure(config, command=command, quiet=args.quiet)
    problems: list[str] = []
    try:
        print(
            dumps(evaluation.to_json(), indent=1) if args.json else as_text(evaluation, config.first_model.name),
            flush=True,
        )
    finally:  # shown first, and kept where it cannot be shown
        problems += keeper.keep(evaluation)
    for id, reason in evaluation.failed.items():
        print(f"{id}: {reason}", file=sys.stderr)
    print_problems(problems)
    return EXIT_SOME_FAILED if evaluation.failed or problems else EXIT_OK


def _data_after_models(args: argparse.Namespace) -> None:
    """Take the last of several models for the data, where none are named and it is a folder or table of sounds."""
    from auricle.evaluation.suites.models import ModelToMeasure

    if args.suite is not None or args.source or len(args.model) < 2:
        return
    last = Path(args.model[-1])
    if last.suffix in (".csv", ".tsv", ".parquet") or (last.is_dir() and ModelToMeasure(str(last)).run is None):
        args.source = args.model[-1]
        args.model = args.model[:-1]


def as_text(evaluation: Evaluation, model: str) -> str:
    """Return the scores, and the verdict in the words of the report."""
    from auricle.reports.verdicts import verdict_text

    return f"{evaluation}\n\n{verdict_text(evaluation, Path(model))}"


def run_suite(config: EvaluateConfig, command: str, *, quiet: bool, as_json: bool) -> int:
    """Measure a suite or several models; results are printed as they come, then the comparison; as JSON when all are there."""
    from auricle.evaluation.suites.comparison import tables_as_text

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the results' notes say the same
        result = evaluate_suite(config, command=command, quiet=quiet, show=None if as_json else _print_outcome)
    if as_json:
        print(dumps(result.to_json()))
    else:
        if len(config.model) > 1 or any(table.published for table in result.tables):
            print(tables_as_text(result.tables))
        if result.page:
            print(f"\n{result.page}")
        print_skipped(result.skipped)
    for outcome in result.measured:
        for id, reason in outcome.failed.items():
            print(f"{outcome.title}: {id}: {reason}", file=sys.stderr)
    print_problems(result.problems)
    failed = len(result.skipped) + len(result.problems) + sum(bool(outcome.failed) for outcome in result.measured)
    return exit_code(len(result.measured), failed)


def _print_outcome(outcome: Outcome) -> None:
    if not outcome.measured:
        return
    if outcome.finished_before:
        row = outcome.rows[0]
        print(
            f"{outcome.task} · {outcome.protocol} · {row.metric}: {row.model} {row.score:.4f}, measured {row.time} "
            "(--again measures it once more)\n",
            flush=True,
        )
    elif outcome.evaluation is not None:
        print(f"{outcome.evaluation}\n", flush=True)
    else:
        lines = [f"  {row.model}  {row.metric} {row.score:.4f}" for row in outcome.rows]
        print("\n".join([f"{outcome.task} · {outcome.protocol}", *lines]) + "\n", flush=True)
