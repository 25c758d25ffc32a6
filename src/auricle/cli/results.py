"""``auricle results`` and ``auricle report``: the scores measured here, and pages of runs."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_OK, EXIT_SOME_FAILED, exit_code
from auricle.commands.results import (
    ReportConfig,
    ResultsConfig,
    add_results,
    compare_results,
    nothing_found,
    report,
    results,
)
from auricle.core.io import dumps

FORMATS = ("text", "csv", "markdown", "json")


class Results:
    """Show every score ever measured here: filtered, exported, or two models compared with paired tests.

    auricle results --task esc10
    auricle results --format markdown > scores.md
    auricle results --side-by-side --no-baselines    one table: a line per task and protocol, a column per model
    auricle results --compare logmel-stats runs/first
    auricle results --add first.json                 a result that 'auricle evaluate --out' wrote

    Two models are compared where they were measured on the same task: the same clips, labels, split and seconds.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ResultsConfig)
        parser.add_argument(
            "--compare", nargs=2, metavar=("A", "B"), help="two models by name or path, or two rows by id"
        )
        parser.add_argument(
            "--side-by-side",
            action="store_true",
            help="a line per task, protocol and metric, a column per model: its latest score ± standard deviation",
        )
        parser.add_argument("--add", nargs="+", metavar="FILE", help="add evaluations that were saved as JSON")
        parser.add_argument("--format", choices=FORMATS, default="text", help="form of the rows (default: text)")
        parser.add_argument("--json", action="store_true", help="the same as --format json")

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        """Return 0; 1 when something could not be read or compared; 2 when nothing could."""
        config = config_from(ResultsConfig, args)
        style = "json" if args.json else args.format
        if args.add:
            return _add(args.add, config)
        return _compare(config, args.compare, style) if args.compare else _show(config, style, args.side_by_side)


def _show(config: ResultsConfig, style: str, side_by_side: bool) -> int:
    from auricle.evaluation.results import FORMATS as WRITERS
    from auricle.evaluation.score_table import TABLE_FORMATS

    found = results(config)
    if found.rows or style != "text":
        print((TABLE_FORMATS if side_by_side else WRITERS)[style](found.rows).rstrip("\n"))
    if not found.rows:
        print(nothing_found(config), file=sys.stderr if style != "text" else sys.stdout)
    return _problems(found.problems)


def _compare(config: ResultsConfig, pair: list[str], style: str) -> int:
    from auricle.evaluation.compare import as_table

    comparisons, refused = compare_results(config, *pair)
    print(dumps([asdict(c) for c in comparisons], indent=1) if style == "json" else as_table(comparisons))
    return _problems(refused)


def _add(files: list[str], config: ResultsConfig) -> int:
    count, problems = add_results(files, config.store)
    print(f"{count} evaluation{'s' * (count != 1)} added")
    return max(_problems(problems), exit_code(count, len(files) - count))


def _problems(problems: Sequence[str]) -> int:
    """Print what could not be done on stderr; return the exit code."""
    for problem in problems:
        print(f"auricle: {problem}", file=sys.stderr)
    return EXIT_SOME_FAILED if problems else EXIT_OK


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
