"""``auricle results`` and ``auricle report``: the scores measured here, and pages of runs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.commands.results import ReportConfig, ResultsConfig, compare_results, report, results, store_path
from auricle.core.io import dumps

FORMATS = ("text", "csv", "markdown", "json")


class Results:
    """Show every score ever measured here: filtered, exported, or two models compared with paired tests.

    auricle results --task esc10
    auricle results --format markdown > scores.md
    auricle results --compare logmel-stats runs/first
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ResultsConfig)
        parser.add_argument("--compare", nargs=2, metavar=("A", "B"), help="two models by name, or two rows by id")
        parser.add_argument("--format", choices=FORMATS, default="text", help="form of the rows (default: text)")
        parser.add_argument("--json", action="store_true", help="the same as --format json")

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        config = config_from(ResultsConfig, args)
        style = "json" if args.json else args.format
        print(_comparison(config, args.compare, style) if args.compare else _table(config, style))


def _table(config: ResultsConfig, style: str) -> str:
    from auricle.evaluation.results import FORMATS as WRITERS

    rows = results(config)
    if not rows and style == "text":
        return _no_rows(config)
    return WRITERS[style](rows).rstrip("\n")


def _no_rows(config: ResultsConfig) -> str:
    path = store_path(config.store)
    if not results(ResultsConfig(store=config.store)):
        return f"no results yet in {path}: 'auricle evaluate' adds them"
    return f"no result in {path} matches; 'auricle results' without filters shows all"


def _comparison(config: ResultsConfig, pair: list[str], style: str) -> str:
    from auricle.evaluation.compare import as_table

    comparisons = compare_results(config, *pair)
    return dumps([asdict(c) for c in comparisons], indent=1) if style == "json" else as_table(comparisons)


class Report:
    """Write the report of a run again, or one page that compares runs: an HTML file that loads nothing from elsewhere.

      auricle report runs/first                                   report.html in the run
      auricle report runs/first runs/second --out both.html       curves overlaid, scores side by side
      auricle report runs/first --reference original/log.txt      an original's log as a dashed curve

    The scores of a run are in RUN/evaluations/*.json: 'auricle evaluate DATA --model RUN' writes them.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ReportConfig)
        parser.add_argument("--json", action="store_true", help="print the path of the page and its size as JSON")

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        result = report(config_from(ReportConfig, args))
        if args.json:
            print(json.dumps({"report": str(result.report), "bytes": result.size}))
        else:
            print(f"{result.report} ({result.size / 1e6:.2f} MB)")
