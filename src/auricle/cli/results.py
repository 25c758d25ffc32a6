"""Every score ever measured here: filter, print, export, and set two models side by side with paired tests.

auricle results --task esc10
auricle results --format markdown > scores.md
auricle results --compare logmel-stats runs/first
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from auricle.cli.flags import add_flags, config_from
from auricle.commands.results import ResultsConfig, compare_results, results, store_path
from auricle.core.io import dumps

FORMATS = ("text", "csv", "markdown", "json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, ResultsConfig)
    parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two models by name, or two rows by id")
    parser.add_argument("--format", choices=FORMATS, default="text", help="how rows are printed (default: text)")
    parser.add_argument("--json", action="store_true", help="the same as --format json")


def run(args: argparse.Namespace) -> int:
    config = config_from(ResultsConfig, args)
    style = "json" if args.json else args.format
    print(_compared(config, args.compare, style) if args.compare else _listed(config, style))
    return 0


def _listed(config: ResultsConfig, style: str) -> str:
    from auricle.evaluation.results import FORMATS

    rows = results(config)
    if not rows and style == "text":
        return f"no results yet in {store_path(config.store)}: 'auricle evaluate' adds them"
    return FORMATS[style](rows).rstrip("\n")


def _compared(config: ResultsConfig, pair: list[str], style: str) -> str:
    from auricle.evaluation.compare import as_table

    found = compare_results(config, *pair)
    return dumps([asdict(c) for c in found], indent=1) if style == "json" else as_table(found)
