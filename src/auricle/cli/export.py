"""Export a model as one graph, waveform in, scores and embedding out, with a certificate that it gives the same numbers.

  auricle export --model mn04_as --out mn04-onnx                      ONNX
  auricle export --model RUN --to openvino --out detector --clip example.wav
  auricle export --model m2d_as_vit_base-80x608p16x16 --length 10 --frames --out m2d-onnx
  auricle export --model mn04_as --to web --out mn04-web              a page that tags sound in the browser
  auricle export --model mn04_as --to litert --out mn04-phone         LiteRT, for phones
  auricle export --model RUN --quantize auto --score-on FOLDER --out small
                                                                      the 8-bit form that loses least
  auricle export --verify mn04-onnx                                   replay an export on another machine

The folder holds the graph, labels.json, certificate.json and its page, golden clips, and run.py, which needs the runtime and
NumPy alone. An export that differs from its source by more than 1e-5 in a score or 1e-4 in a logit is refused;
with --quantize the certificate states what is lost instead.
"""

from __future__ import annotations

import argparse
import sys

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.commands.export import BundleVerification, Export, ExportConfig, export_model, verify_export
from auricle.core.console import printable
from auricle.core.io import dumps


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, ExportConfig)
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace) -> None:
    config = config_from(ExportConfig, args)
    result: Export | BundleVerification
    if config.verify is not None:
        result = verify_export(config.verify)
    else:
        result = export_model(config)
        for note in result.notes:
            print(f"note: {note}", file=sys.stderr)
        if not result.description.heads:
            print(f"note: {result.description.model} has no classes; the graph gives embeddings only", file=sys.stderr)
    print(dumps(result.to_json(), indent=1) if args.json else printable(str(result), keep="\n"))
