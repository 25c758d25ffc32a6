"""Speech to a prepared folder with the features of a speech model beside the spectrograms, for M2D-S.

  auricle prepare speech LibriSpeech/train-clean-100 ls100
  auricle pretrain m2d-s ls100 --csv-bg-noise audioset --noise-ratio 0.2

The folder is what 'auricle prepare' writes (manifest.csv, lms/, …), and features/<id>.npy, (1, features, width), 50 a
second. The speech model comes from the transformers library ([hf] extra), by name or folder. Broken files are counted
and listed; the exit code is then 1. A run that was stopped is continued by the same command.
"""

from __future__ import annotations

import argparse
import json

from auricle.cli.failures import report_failures
from auricle.cli.flags import add_flags, config_from
from auricle.commands.prepare.speech import SpeechConfig, SpeechResult, as_json, prepare_speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, SpeechConfig)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    result = prepare_speech(config_from(SpeechConfig, args))
    report_failures(result.failed)
    print(json.dumps(as_json(result), indent=1) if args.json else summary(result))
    return 1 if result.failed else 0


def summary(result: SpeechResult) -> str:
    kept = f", {result.skipped} already finished" if result.skipped else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    return f"{result.out}: features of {result.done} clips in {result.seconds:.1f} s{kept}{failed}"
