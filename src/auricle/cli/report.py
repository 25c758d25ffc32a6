"""Write the report of a run again, or compare runs: one HTML file that loads nothing from elsewhere.

  auricle report runs/first                                   report.html in the run
  auricle report runs/first runs/second --out both.html       curves overlaid, scores side by side
  auricle report runs/first --reference original/log.txt      an original's log as a dashed curve

A run gets its scores from RUN/evaluations/*.json ('auricle evaluate … --out RUN/evaluations/NAME.json').
"""

from __future__ import annotations

import argparse
import json

from auricle.cli.flags import add_flags, config_from
from auricle.commands.report import ReportConfig, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, ReportConfig)
    parser.add_argument("--json", action="store_true", help="print where the page is, and its size, as JSON")


def run(args: argparse.Namespace) -> int:
    result = report(config_from(ReportConfig, args))
    if args.json:
        print(json.dumps({"report": str(result.report), "bytes": result.size}))
    else:
        print(f"{result.report} ({result.size / 1e6:.2f} MB)")
    return 0
