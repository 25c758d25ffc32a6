"""Pre-train a small encoder on a folder of sounds, measure it honestly, and write a report: about five minutes on two cores.

auricle demo                                     on a synthetic corpus
auricle demo my_sounds/ --labels labels.csv      on your own recordings
auricle demo --serve                             ends on a page in the browser, with the encoder just made (auricle serve)
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.commands.demo import DemoConfig, DemoResult, demo
from auricle.core.io import dumps

if TYPE_CHECKING:
    from auricle.serve.settings import ServeConfig

HOST, PORT = "127.0.0.1", 8765
WINDOW = 3.0  # seconds of a window of the index: a clip of the synthetic corpus


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, DemoConfig)
    parser.add_argument("--json", action="store_true", help="answer as one JSON object")
    parser.add_argument(
        "--serve",
        action="store_true",
        help="then index the recordings with the encoder, and open its page (auricle serve)",
    )
    parser.add_argument("--port", type=port_of, default=PORT, metavar="N", help="of --serve, or auto: any that is free")


def port_of(text: str) -> int | None:
    """Read a port of the command line."""
    return None if text == "auto" else int(text)


def run(args: argparse.Namespace) -> int:
    """0, or 1 when some recordings could not be read; with --serve that of the server."""
    if not args.serve:
        result = demo(config_from(DemoConfig, args))
        print(dumps(as_json(result)) if args.json else as_text(result))
        return 1 if result.failed else 0
    from auricle.cli.serve import open_socket, serve

    with open_socket(HOST, args.port) as opened:  # first: five minutes are not spent in vain
        result = demo(config_from(DemoConfig, args))
        print(dumps(as_json(result)) if args.json else as_text(result), flush=True)
        config = page_of(result, args.port, quiet=args.quiet)
        return serve(config, opened, json=args.json, quiet=args.quiet)


def page_of(result: DemoResult, port: int | None, *, quiet: bool) -> ServeConfig:
    """Index the recordings with the encoder just made; return the settings of its page."""
    from auricle.index.build import index_recordings
    from auricle.index.config import IndexConfig
    from auricle.serve.settings import ServeConfig

    out, recordings, run = result.run.parent, str(result.recordings), str(result.run)
    index = str(out / "index")
    index_recordings(IndexConfig((recordings,), index, run, window=WINDOW, hop=WINDOW), quiet=quiet)
    return ServeConfig((recordings,), (run,), index=index, runs=str(out), state=str(out / "page"), port=port)


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
