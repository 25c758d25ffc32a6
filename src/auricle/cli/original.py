"""The command lines of the original programs, with their options unchanged.

  auricle original efficientat inference --cuda --model_name=mn10_as --audio_path="metro.wav"
  auricle original efficientat windowed_inference --audio_path metro.wav --window_size 10 --hop_length 2.5
  auricle original efficientat complexity --model_name="mn10_as"

What comes later (training) says so and exits with 2.
"""

from __future__ import annotations

import argparse
import importlib

from auricle.errors import AuricleError, nearest

PROGRAMS = {"efficientat": "auricle.compat.original_efficientat"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("program", help=f"whose command line it is: {', '.join(PROGRAMS)}")
    parser.add_argument("line", nargs=argparse.REMAINDER, help="script and options, as in the original's read-me")


def run(args: argparse.Namespace) -> int:
    if args.program not in PROGRAMS:
        raise AuricleError(f"unknown program '{args.program}'{nearest(args.program, tuple(PROGRAMS))}")
    return importlib.import_module(PROGRAMS[args.program]).run(args.line)
