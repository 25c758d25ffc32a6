"""Listen to sound that never ends, and print events while they happen: a microphone, a network stream, a pipe, a file played.

  auricle stream live --model mn04_as --only Bark Doorbell
  auricle stream rtsp://camera.local/audio --model mn10_as --out garden --clips garden/clips
  arecord -f S16_LE -r 32000 -t raw | auricle stream - --rate 32000 --model mn04_as --json
  ffmpeg -i http://radio.example/live.mp3 -f wav - | auricle stream - --model mn04_as
  auricle stream night.flac --model mn04_as --speed max

Events and scores are those of auricle tag with the same --window and --hop. Ctrl-C closes the open events and ends (exit code 130).
"""

from __future__ import annotations

import argparse
import sys
import time

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_INTERRUPTED, EXIT_OK, EXIT_SOME_FAILED
from auricle.commands.stream import Listening, StreamConfig, TimedAnswer
from auricle.core.console import clock, printable
from auricle.core.io import dumps


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, StreamConfig)
    parser.add_argument(
        "--json", action="store_true", help="a line of JSON for each change of an event, and a summary at the end"
    )
    parser.add_argument("--windows", action="store_true", help="the labels of every window too")
    parser.add_argument(
        "--report",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="seconds between two lines on load, latency and loss",
    )
    parser.add_argument("--quiet", action="store_true", help="no such lines")
    parser.advanced |= {"windows", "report"}


def run(args: argparse.Namespace) -> int:
    """Return 0 at the end of the sound; 1 when a sink could not deliver all; 130 after Ctrl-C."""
    config = config_from(StreamConfig, args)
    listening = Listening(config, lambda text: print(f"stream: {printable(text)}", file=sys.stderr, flush=True))
    due = time.monotonic() + args.report
    try:
        for timed in listening.answers():
            show(timed, args)
            if time.monotonic() >= due and not args.quiet:
                print(f"stream: {listening.report.text()}", file=sys.stderr, flush=True)
                due = time.monotonic() + args.report
    finally:  # an error of the source too leaves no event open
        show(listening.finish(), args)
        for text in listening.report.undelivered:
            print(f"stream: {printable(text)}", file=sys.stderr)
        if args.json:
            print(dumps(listening.report.to_json()), flush=True)
        if listening.report.heard and not args.quiet:
            print(f"stream: {listening.report.text()}", file=sys.stderr)
    if listening.interrupted:
        return EXIT_INTERRUPTED
    return EXIT_SOME_FAILED if listening.report.undelivered else EXIT_OK


def show(timed: TimedAnswer, args: argparse.Namespace) -> None:
    """Print what has become known."""
    for window in timed.windows if args.windows else ():
        if args.json:
            tags = {tag.label: round(tag.score, 6) for tag in window.tags}
            print(dumps({"kind": "window", "start": window.start, "end": window.end, "tags": tags}))
        else:
            tags_text = ", ".join(f"{tag.label} {tag.score:.2f}" for tag in window.tags)
            print(f"{clock(window.start, 1)} - {clock(window.end, 1)}  {tags_text}")
    for change, time_of_day in timed.changes:
        if args.json:
            print(dumps({**change.to_json(), "clock": time_of_day}))
        elif change.kind != "updated":
            day = f"  {time_of_day[11:19]}" if time_of_day else ""
            end = f" - {clock(change.end, 1)}" if change.kind == "closed" else "    begins  "
            print(f"{clock(change.start, 1)}{end}{day}  {change.score:.2f}  {change.label}")
    if timed.changes or timed.windows:
        sys.stdout.flush()
