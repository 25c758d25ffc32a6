"""Pre-train a small encoder on a folder of sounds, measure it honestly, and write a report: about five minutes on two cores.

auricle demo                                     on a synthetic corpus
auricle demo my_sounds/ --labels labels.csv      on your own recordings
"""

from __future__ import annotations

import argparse

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.commands.demo import DemoConfig, DemoResult, demo
from auricle.core.io import dumps


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, DemoConfig)
    parser.add_argument("--json", action="store_true", help="answer as one JSON object")


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some recordings could not be read."""
    result = demo(config_from(DemoConfig, args))
    print(dumps(as_json(result)) if args.json else as_text(result))
    return 1 if result.failed else 0


def as_text(result: DemoResult) -> str:
    parts = [*(str(evaluation) for evaluation in result.evaluations), result.verdict, *result.notes]
    if result.failed:
        parts.append(f"{result.failed} recordings could not be read; see {result.run.parent / 'data' / 'failed.csv'}")
    parts.append(f"report: {result.report}\nencoder: auricle.load('{result.run}')   ({result.seconds:.0f} s in all)")
    return "\n\n".join(parts)


def as_json(result: DemoResult) -> dict:
    return {
        "run": str(result.run),
        "report": str(result.report),
        "evaluations": [evaluation.to_json() for evaluation in result.evaluations],
        "failed": result.failed,
        "words": result.verdict,
        "notes": list(result.notes),
        "seconds": round(result.seconds, 1),
    }
