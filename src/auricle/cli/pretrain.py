"""Pre-train an encoder on unlabelled recordings.

auricle pretrain METHOD --help                     a method's own settings, with their published defaults
auricle pretrain m2d PREPARED --out RUN            a new run
auricle pretrain mae-ast LISTS --preset patch-chunk    a published recipe
auricle pretrain --continue RUN                    go on exactly where it stopped
auricle pretrain m2d PREPARED --dry-run            parameters, memory, steps and time, without training
torchrun --nproc-per-node 2 -m auricle pretrain …  several processes
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from auricle.cli.flags import add_flags, config_from, given_flags
from auricle.commands.pretrain import PretrainResult
from auricle.core.errors import AuricleError
from auricle.core.io import dumps
from auricle.methods.presets import PRESETS, preset
from auricle.methods.settings import METHODS, PretrainConfig, settings_of


def add_arguments_for(words: Sequence[str], parser: argparse.ArgumentParser) -> None:
    """The flags of the method that ``words`` names, or that the run to be continued was made with."""
    method = method_in(words)
    settings = settings_of(method) if method else PretrainConfig
    parser.description = f"{parser.description}\nmethods: {', '.join(METHODS)}"
    parser.set_defaults(settings=settings)
    add_flags(parser, settings)
    add_preset(words, parser, method)
    for action in parser._positionals._group_actions:
        if action.dest in ("method", "source"):
            action.nargs = "?"  # not needed with --continue
    parser.add_argument("--continue", dest="continue_from", metavar="RUN", help="go on exactly where this run stopped")
    parser.add_argument("--allow", nargs="+", default=(), metavar="NAME", help="settings that --continue may change")
    parser.add_argument("--dry-run", action="store_true", help="say what the run would cost, train nothing")
    parser.add_argument("--json", action="store_true", help="answer as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def add_preset(words: Sequence[str], parser: argparse.ArgumentParser, method: str) -> None:
    """``--preset``: its values become the defaults of the other flags."""
    if method not in PRESETS:
        return
    parser.add_argument("--preset", metavar="NAME", help=f"a published recipe: {', '.join(PRESETS[method])}")
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    reader.add_argument("--preset")
    name = reader.parse_known_args(list(words))[0].preset
    if name is not None:
        values = preset(method, name)
        if any(word.partition("=")[0] == "--epochs" for word in words):  # who says epochs means them
            values = {key: value for key, value in values.items() if key not in ("max_updates", "warmup_updates")}
        parser.set_defaults(**values)


def method_in(words: Sequence[str]) -> str:
    """The first word that is no flag; with ``--continue RUN`` what the run says; "" where neither is there."""
    run = next((words[i + 1] for i, word in enumerate(words[:-1]) if word == "--continue"), "")
    run = run or next((word.partition("=")[2] for word in words if word.startswith("--continue=")), "")
    if run:
        from auricle.hub.run_folder import RunFolder

        return str(RunFolder.open(Path(run)).read_config().get("method", ""))
    return words[0] if words and not words[0].startswith("-") else ""


def run(args: argparse.Namespace) -> int:
    from auricle.commands.pretrain import continue_run, pretrain

    if args.continue_from:
        if getattr(args, "preset", None):
            raise AuricleError("a run is continued with the settings it was started with; leave --preset out")
        changes = given_flags(args, args.settings)
        allow = tuple(name.replace("-", "_") for name in args.allow)
        if args.dry_run:
            raise AuricleError("--dry-run rehearses a new run, --continue goes on with an old one; say one of them")
        return answer(continue_run(Path(args.continue_from), changes, allow=allow, quiet=args.quiet), args.json)
    if not args.method or not args.source:
        raise AuricleError("say what to learn and from what: auricle pretrain m2d FOLDER (or --continue RUN)")
    config = config_from(args.settings, args)
    if args.dry_run:
        from auricle.training.dry_run import dry_run

        told = dry_run(config)
        print(dumps(asdict(told)) if args.json else told)
        return 0
    return answer(pretrain(config, quiet=args.quiet), args.json)


def answer(result: PretrainResult, as_json: bool) -> int:
    if int(os.environ.get("RANK", 0)):
        return 0
    if as_json:
        print(dumps({**asdict(result), "run": str(result.run)}))
    elif result.already:
        print(f"{result.run} is finished: {result.steps} weight updates, {result.epochs:g} epochs; nothing to continue")
    else:
        print(f"{result.run}: {result.steps} weight updates, {result.epochs:g} epochs, loss {result.loss:.4f}")
        print(f"use it: auricle.load('{result.run}')")
    sys.stdout.flush()
    return 1 if result.replaced else 0
