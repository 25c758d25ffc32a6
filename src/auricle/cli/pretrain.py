"""Pre-train an encoder on recordings without labels.

auricle pretrain DATA --preset small --out RUN          a small encoder (msm-mae), in minutes on a laptop
auricle pretrain DATA --method m2d --out RUN            another method
auricle pretrain --method m2d --help                    the settings of that method, with their published defaults
auricle pretrain DATA --method m2d --dry-run            parameters, memory, steps and time, without training
auricle pretrain --continue RUN                         continue exactly where it stopped
torchrun --nproc-per-node 2 -m auricle pretrain …       several processes
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import MISSING, asdict
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.cli.flags import VerbParser, add_flags, config_from, leaves, typed_options
from auricle.cli.main import EXIT_OK, EXIT_SOME_FAILED
from auricle.cli.run_length import follow_typed_length, typed_values
from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.core.io import dumps
from auricle.methods.registry import find_method, methods_of, preset_values

if TYPE_CHECKING:
    from auricle.training.run import RunResult

DEFAULT_METHOD = "msm-mae"


def add_arguments_for(argv: Sequence[str], parser: VerbParser) -> None:
    """Add the options of the method in ``argv``, or of the run to continue."""
    named = typed_values("method", argv)
    method = method_of_run(argv) or (named[-1] if named else DEFAULT_METHOD)
    settings = find_method(method).settings
    parser.description = f"{parser.description}\n\nmethods: {', '.join(methods_of('pretrain'))}"
    add_flags(parser, settings)
    parser.set_defaults(settings=settings, method=method)
    for name in ("method", "source"):  # not needed with --continue
        parser.required.pop(name, None)
    add_preset(argv, parser, method)
    follow_typed_length(argv, parser)
    parser.add_argument("--continue", dest="continue_from", metavar="RUN", help="continue this run where it stopped")
    parser.add_argument("--allow", nargs="+", default=(), metavar="NAME", help="settings that --continue may change")
    parser.add_argument("--dry-run", action="store_true", help="print what the run would cost; train nothing")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.advanced.add("allow")
    if named:  # its own settings belong to the short help too
        parser.advanced -= {leaf.field.name for leaf in leaves(settings) if leaf.group == "objective"}


def add_preset(argv: Sequence[str], parser: VerbParser, method: str) -> None:
    """Add ``--preset``: its values become the defaults of the other options."""
    presets = find_method(method).presets
    if not presets:
        return
    parser.add_argument("--preset", metavar="NAME", help=f"named settings: {', '.join(presets)}")
    names = typed_values("preset", argv)
    if names:
        parser.set_defaults(**preset_values(method, names[-1]))


def method_of_run(argv: Sequence[str]) -> str:
    """Return the method of the run that ``--continue`` names; "" without it."""
    names = typed_values("continue", argv)
    if not names:
        return ""
    from auricle.hub.run_folder import RunFolder

    return str(RunFolder.open(Path(names[-1])).read_config().get("method", ""))


def run(args: argparse.Namespace) -> int:
    from auricle.commands.pretrain import continue_run, pretrain
    from auricle.compat.m2d.published_files import published_files, with_published_out

    if args.continue_from:
        if getattr(args, "preset", None):
            raise AuricleError("a run is continued with the settings it was started with; leave --preset out")
        changes = typed_options(args, args.settings)
        allow = tuple(name.replace("-", "_") for name in args.allow)
        if args.dry_run:
            raise AuricleError("--dry-run is about a new run, --continue about an old one; say one of them")
        run, watchers = Path(args.continue_from), (published_files,)
        return answer(continue_run(run, changes, allow=allow, callbacks=watchers, quiet=args.quiet), args.json)
    if args.source is MISSING:
        raise AuricleError("name the recordings: auricle pretrain DATA --out RUN (or --continue RUN)")
    config = config_from(args.settings, args)
    if args.dry_run:
        from auricle.training.run import dry_run

        cost = dry_run(config)
        print(dumps(asdict(cost)) if args.json else cost)
        return EXIT_OK
    result = pretrain(with_published_out(config), callbacks=(published_files,), quiet=args.quiet)
    return answer(result, args.json)


def answer(result: RunResult, as_json: bool) -> int:
    """Print where the run is; return 1 when clips could not be read and were replaced."""
    from auricle.training.log import updates_and_epochs

    if int(os.environ.get("RANK", 0)):
        return EXIT_OK
    if as_json:
        print(dumps({**asdict(result), "run": str(result.run)}))
    elif result.already:
        print(f"{result.run} is finished: {updates_and_epochs(result.steps, result.epochs)}; nothing to continue")
    else:
        print(f"{result.run}: {number_of(result.steps, 'weight update')}. {loss_sentence(result)}".rstrip())
        print(f"use it: auricle.load('{result.run}')")
    sys.stdout.flush()
    return EXIT_SOME_FAILED if result.replaced else EXIT_OK


def loss_sentence(result: RunResult) -> str:
    """Return how the loss moved, in the words of the report; empty where nothing was logged."""
    from auricle.hub.run_folder import RunFolder
    from auricle.training.log import LossChange, length_of_run, read_log

    change = LossChange.of(read_log(RunFolder(result.run).metrics, "step"))
    return "" if change is None else change.sentence(length_of_run(result.epochs))
