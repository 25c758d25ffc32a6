"""Write embeddings of files, folders and tables, with any encoder, to .npy, .npz or .parquet with an index.

  auricle embed sounds/ --model runs/first --out sounds.npy
  auricle embed a.wav b.mp3 --model runs/first --level frames --out frames.npz
  auricle embed table.csv --model runs/first --layers 5 11 --pooling mean_std --out layers.parquet
  auricle embed day.flac --model runs/first --window 10 --hop 5 --out day.npz

Broken files are named at the end and the others are written (exit code 1). The same command continues a run that was
stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code, print_failures
from auricle.commands.embed import EmbedConfig, as_json, embed
from auricle.core.console import printable
from auricle.inference.tag_results import Failure


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, EmbedConfig)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some clips could not be embedded; without any the command fails with 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # labels and groups do not matter here
        result = embed(config_from(EmbedConfig, args), quiet=args.quiet)
    for note in result.notes:
        print(f"note: {printable(note)}", file=sys.stderr)
    print_failures([Failure(id, message) for id, message in result.failed.items()], str(result.index))
    kept = f", {result.kept} of them finished before" if result.kept else ""
    failed = f", {len(result.failed)} failed" if result.failed else ""
    clips = "1 clip" if result.clips == 1 else f"{result.clips} clips"
    text = f"{result.out}: {clips}, {result.width} numbers per vector{kept}{failed}"
    print(json.dumps(as_json(result), indent=1) if args.json else text)
    return exit_code(result.clips, len(result.failed))
