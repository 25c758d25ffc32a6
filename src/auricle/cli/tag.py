"""Print the most likely labels of recordings, and over time the events: of any audio file, folder or standard input.

  auricle tag metro.wav --model mn04_as
  auricle tag night.flac --model mn10_as --window 10 --hop 5 --out night --labels-out audacity
  auricle tag night/ --model mn10_as --window 10 --only Bird Frog --summary hour label
  auricle tag sounds/ --ensemble mn40_as_ext mn40_as mn40_as_no_im_pre --json
  ffmpeg -i film.mkv -f wav - | auricle tag - --model mn10_as --picture film.png

Each answer is printed as soon as it is finished. A broken file is named and the others are tagged (exit code 1).
Times of day are shown where the names of the files hold them (20240501_053000.WAV).
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import exit_code
from auricle.commands.tag import TagConfig, Tagging, tag
from auricle.core.console import printable, progress_bar
from auricle.core.errors import AuricleError
from auricle.inference.tag_formats import csv_header, csv_rows, event_header, event_rows
from auricle.inference.tag_results import Failure, FileTags
from auricle.inference.tag_summary import SUMMARIES, TagSummary


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, TagConfig)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="one JSON object instead of text")
    form.add_argument(
        "--csv",
        action="store_true",
        help="lines of file, start, end, label, score (and detected, of a tagger with thresholds) instead of text",
    )
    form.add_argument(
        "--csv-events",
        action="store_true",
        help="lines of file, start, end, label, score, clock: the events, with --window",
    )
    form.add_argument("--time-line", action="store_true", help="the labels of every window too, after the events")
    form.add_argument(
        "--summary",
        nargs="+",
        choices=SUMMARIES,
        metavar="BY",
        help=f"tables over all recordings instead of one text each, by {', '.join(SUMMARIES)}",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Return 0; 1 when some files could not be tagged; 2 when none could."""
    config = config_from(TagConfig, args)
    if args.csv_events and not config.settings.window:
        raise AuricleError("--csv-events lists what happens when: it needs --window SECONDS")
    tagging = tag(config)
    printer = printer_of(args, config, tagging)
    failed: list[Failure] = []
    done = long = 0
    bar = progress_bar(total=tagging.count, what="tag", unit="file", quiet=args.quiet)
    tagging.listeners.append(bar.show_part)
    try:
        for outcome in tagging.outcomes:
            with bar.pause():
                if isinstance(outcome, Failure):
                    failed.append(outcome)
                    print(f"failed: {printable(outcome.error)}", file=sys.stderr)
                else:
                    for note in outcome.notes:
                        print(f"note: {printable(note)}", file=sys.stderr)
                    printer.add(outcome)
                    done += 1
                    long += tagging.is_long(outcome)
                    sys.stdout.flush()
            bar.finish_step()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(tagging.stopped) from None
    finally:
        bar.close()
        printer.finish(failed)
    if long:
        seconds = f"{tagging.clip_seconds:.3g}"
        recordings = "recordings that are" if long > 1 else "recording that is"
        print(
            f"note: one answer each for {long} {recordings} far longer than the clips of {seconds} s that this detector learnt "
            f"from; --window {seconds} scores them over time",
            file=sys.stderr,
        )
    return exit_code(done, len(failed))


def printer_of(args: argparse.Namespace, config: TagConfig, tagging: Tagging) -> TextPrinter:
    """Return what prints the answers in the form that was asked for."""
    if args.json:
        return JsonPrinter(tagging.model)
    if args.csv:
        return CsvPrinter(tagging.several_heads, tagging.detects)
    if args.csv_events:
        return EventsPrinter(tagging.several_heads)
    return SummaryPrinter(args.summary, config.events.high) if args.summary else TextPrinter(args.time_line)


class TextPrinter:
    """Print each result as text."""

    def __init__(self, time_line: bool = False) -> None:
        self.time_line = time_line

    def add(self, result: FileTags) -> None:
        print(f"{result.text(time_line=self.time_line)}\n")

    def finish(self, failed: list[Failure]) -> None:
        """Print what comes after the last result."""


class SummaryPrinter(TextPrinter):
    """Print tables over all results at the end."""

    def __init__(self, by: Sequence[str], threshold: float):
        super().__init__()
        self.by, self.summary = by, TagSummary(threshold)

    def add(self, result: FileTags) -> None:
        self.summary.add(result)

    def finish(self, failed: list[Failure]) -> None:
        print("\n\n".join(self.summary.text(by) for by in dict.fromkeys(self.by)))


class CsvPrinter(TextPrinter):
    """Print a row per window and label; with ``detects`` whether it is detected, and of several heads which one gives it."""

    def __init__(self, several_heads: bool = False, detects: bool = False) -> None:
        super().__init__()
        self.form = {"several_heads": several_heads, "detects": detects}
        self.writer = csv.writer(sys.stdout, lineterminator="\n")
        self.writer.writerow(csv_header(**self.form))

    def add(self, result: FileTags) -> None:
        self.writer.writerows(csv_rows(result, **self.form))


class EventsPrinter(TextPrinter):
    """Print a row per event."""

    def __init__(self, several_heads: bool = False) -> None:
        super().__init__()
        self.several_heads = several_heads
        self.writer = csv.writer(sys.stdout, lineterminator="\n")
        self.writer.writerow(event_header(several_heads=several_heads))

    def add(self, result: FileTags) -> None:
        self.writer.writerows(event_rows(result, several_heads=self.several_heads))


class JsonPrinter(TextPrinter):
    """Print one JSON object, result by result; it is complete also when the run is interrupted."""

    def __init__(self, model: str):
        super().__init__()
        print(f'{{"model": {json.dumps(model)}, "results": [', end="")
        self.separator = "\n"

    def add(self, result: FileTags) -> None:
        print(self.separator + json.dumps(result.to_json()), end="")
        self.separator = ",\n"

    def finish(self, failed: list[Failure]) -> None:
        print(f'\n], "failed": {json.dumps([asdict(failure) for failure in failed])}}}')
