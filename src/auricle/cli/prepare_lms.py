"""A folder of sound to a folder of log-mel files with the same relative paths, as the original M2D converter.

Each OUT/<relative path>.npy is float32 (or, with --float16, half precision), (1, 80, frames), natural log-mel, not
normalised. Files that are there are kept, so a run that was stopped is continued by the same command; broken files are
counted and listed, and do not stop the rest; the exit code is then 1. 'auricle prepare list' lists the files.

  auricle prepare lms FSD50K.dev_audio data/fsd50k_lms
"""

from __future__ import annotations

import argparse
import json
import sys

from auricle.cli.failures import report_failures
from auricle.cli.flags import add_flags, config_from
from auricle.commands.prepare.log_mel_folder import LmsConfig, LmsResult, as_json, prepare_lms


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, LmsConfig)
    parser.add_argument("--verbose", action="store_true", help="say the name of every file")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    result = prepare_lms(config_from(LmsConfig, args), say=aloud if args.verbose else None)
    report_failures(result.failed)
    print(json.dumps(as_json(result), indent=1) if args.json else summary(result))
    return 1 if result.failed else 0


def aloud(name: str) -> None:
    print(name, file=sys.stderr)


def summary(result: LmsResult) -> str:
    kept = f", {result.skipped} already there" if result.skipped else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    return f"{result.out}: {result.done} files converted in {result.seconds:.1f} s{kept}{failed}"
