"""Measure an encoder on a labelled task, beside its untrained self, log-mel statistics and chance.

  auricle evaluate esc10/audio --model logmel-stats --labels esc10/meta.csv --seconds 5
  auricle evaluate my_sounds/ --model runs/first --protocol knn --split-by drawn
  auricle evaluate fsdd/audio --model runs/first --labels fsdd/meta.csv --label-column digit --split-by groups --seconds 1
  auricle evaluate --suite tasks.yaml --model runs/first

Embeddings are cached: the second evaluation touches no audio. Every score is appended to the store of 'auricle
results'.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings

from auricle.cli.flags import add_flags, config_from
from auricle.commands.evaluate import EvaluateConfig, evaluate, evaluate_suite, print_skipped
from auricle.core.errors import AuricleError
from auricle.core.io import dumps

FIRST_EDITION_PROBES = {
    "linear": ("logistic", "logistic-cv"),
    "knn": ("knn-vote", "knn-cosine", "knn-xares"),
    "fewshot": ("logistic",),
    "evar": ("evar",),
}


def add_arguments_for(typed: list[str], parser: argparse.ArgumentParser) -> None:
    """Also the first edition's form, ``evaluate PROBE MODEL DATA [--protocol P] [--folding F]``."""
    if typed and typed[0] in FIRST_EDITION_PROBES:
        parser.add_argument("probe", help=argparse.SUPPRESS)
        parser.add_argument("old_model", help=argparse.SUPPRESS)
        parser.add_argument("--folding", dest="split_by", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    add_flags(parser, EvaluateConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="the whole result as JSON on stdout")
    if typed and typed[0] in FIRST_EDITION_PROBES:
        parser.set_defaults(protocol=typed[0])


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some clips could not be read or some tasks not be measured (the others are scored)."""
    command = shlex.join(["auricle", *sys.argv[1:]])
    if hasattr(args, "probe"):
        args.model, known = args.old_model, FIRST_EDITION_PROBES[args.probe]
        if args.protocol not in (args.probe, *known):
            raise AuricleError(f"'{args.probe}' has no protocol '{args.protocol}'; it has {', '.join(known)}")
        args.few_shot = args.few_shot or args.probe == "fewshot"
    config = config_from(EvaluateConfig, args)
    if config.suite:
        return print_suite(config, command, quiet=args.quiet, as_json=args.json)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result's notes say the same
        evaluation = evaluate(config, command=command, quiet=args.quiet)
    print(dumps(evaluation.to_json(), indent=1) if args.json else evaluation)
    for id, reason in evaluation.failed.items():
        print(f"{id}: {reason}", file=sys.stderr)
    return 1 if evaluation.failed else 0


def print_suite(config: EvaluateConfig, command: str, *, quiet: bool, as_json: bool) -> int:
    """Measure the tasks of a suite and print the results."""
    result = evaluate_suite(config, command=command, quiet=quiet)
    if as_json:
        print(dumps({"evaluations": [e.to_json() for e in result.evaluations], "absent": result.skipped}))
    else:
        print("\n\n".join(str(evaluation) for evaluation in result.evaluations))
        print_skipped(result.skipped)
    return 1 if result.skipped else 0
