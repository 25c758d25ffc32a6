"""Audio to a prepared folder: log-mel files, manifest and statistics.

The folder holds manifest.csv, lms/<relative path>.npy (float32, or half precision with --float16; (1, 80, frames),
raw log-mel), statistics.json (mean and deviation over the whole corpus), prepare.json (the settings) and failed.csv
(what could not be used, and why). Broken files do not stop the rest; the exit code is then 1. A run that was stopped is
continued by the same command: finished clips are kept.

  auricle prepare ../shared/data/esc10/audio prepared --labels ../shared/data/esc10/meta.csv
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings

from auricle.cli.failures import report_failures
from auricle.cli.flags import add_flags, config_from
from auricle.commands.prepare.prepare import PrepareConfig, PrepareResult, as_json, prepare


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, PrepareConfig)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the result's notes say the same, in the report below
        result = prepare(config_from(PrepareConfig, args))
    report(result)
    print(json.dumps(as_json(result), indent=1) if args.json else summary(result))
    return 1 if result.failed else 0


def report(result: PrepareResult) -> None:
    """What deserves a look, on stderr."""
    for note in result.notes:
        print(f"note: {note}", file=sys.stderr)
    report_failures(result.failed, str(result.out / "failed.csv"))


def summary(result: PrepareResult) -> str:
    kept = f", {result.skipped} already finished" if result.skipped else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    return f"{result.out}: {result.done} clips prepared in {result.seconds:.1f} s{kept}{failed}"
