"""Published weights: list them, show one, bring it here, convert between layouts, verify.

auricle models list --family mn
auricle models show mn10_as --bibtex
auricle models get mn10_as
auricle models get mn04_as --weights mn04_as_mAP_432.pt
auricle models convert runs/first --to m2d --out m2d_vit_base-80x608p16x16p16k-first/checkpoint-100.pth
auricle models verify mn04_as runs/first
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, NamedTuple

from auricle.cli.flags import add_flags, config_from
from auricle.commands.models import (
    ConvertConfig,
    Description,
    GetConfig,
    ListModelsConfig,
    ShowConfig,
    VerifyConfig,
    convert,
    get_models,
    list_models,
    show,
)


def _list(args: argparse.Namespace) -> int:
    rows = list_models(config_from(ListModelsConfig, args))
    style = "json" if args.json else args.format
    print(json.dumps([r.row() for r in rows], indent=1) if style == "json" else STYLES[style](rows))
    return 0


STYLES: dict[str, Callable[[Any], str]] = {"text": str, "markdown": lambda rows: rows.markdown()}


def _show(args: argparse.Namespace) -> int:
    found = show(config_from(ShowConfig, args))
    if args.bibtex:
        print(_bibtex(found))
    elif args.json:
        print(json.dumps({"name": found.name, **found.facts, "papers": found.papers}, indent=1))
    else:
        print("\n".join(_lines(found)))
    return 0


def _bibtex(found: Description) -> str:
    from auricle.hub.published.citations import bibtex

    return bibtex(found.papers) or f"% no paper is known for {found.name}"


def _lines(found: Description) -> Iterator[str]:
    yield found.name
    for key, value in {**found.facts, "papers": list(found.papers)}.items():
        if value not in (None, "", [], {}):
            yield f"  {key.replace('_', ' '):<20} {_worded(value)}"


def _worded(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_worded(part)}" for key, part in value.items() if part not in (None, ""))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_worded, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) and value >= 100_000 else str(value)


def _get(args: argparse.Namespace) -> int:
    got = get_models(config_from(GetConfig, args))
    if args.json:
        failed = [{"name": name, "error": error} for name, error in got.failed]
        print(json.dumps({"kept": [asdict(kept) for kept in got.kept], "failed": failed}, indent=1))
    for kept in () if args.json else got.kept:
        print(f"{kept.name}: {kept.file} ({kept.size:,} bytes, sha256 {kept.sha256})\n  licence: {kept.licence}")
        if kept.note:
            print(f"  note: {kept.note}")
    for name, error in got.failed:
        print(f"auricle: {name}: {error}", file=sys.stderr)
    if not got.kept:
        return 2
    return 1 if got.failed else 0


def _convert(args: argparse.Namespace) -> int:
    done = convert(config_from(ConvertConfig, args))
    if args.json:
        print(json.dumps(asdict(done), indent=1))
        return 0
    print(f"{done.file}: {done.tensors} tensors, {done.size:,} bytes, sha256 {done.sha256}\n  licence: {done.licence}")
    if done.hint:
        print(f"  note: {done.hint}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    from auricle.commands.verify_models import verify_models

    found = verify_models(config_from(VerifyConfig, args))
    if args.json:
        print(json.dumps([{**asdict(v), "passed": v.passed} for v in found], indent=1))
    for one in () if args.json else found:
        print(f"{one.name}: {'good' if one.passed else 'NOT good'}")
        for check in one.checks:
            print(f"  {'yes' if check.passed else 'NO ':<4} {check.what:<12} {check.detail}")
    return 0 if all(one.passed for one in found) else 1


class Action(NamedTuple):
    config: type
    run: Callable[[argparse.Namespace], int]
    help: str


ACTIONS = {
    "list": Action(ListModelsConfig, _list, "the table of published weights"),
    "show": Action(ShowConfig, _show, "all that is known of a name, a weight file or a run folder"),
    "get": Action(GetConfig, _get, "download, check, convert and keep"),
    "convert": Action(ConvertConfig, _convert, "write another layout"),
    "verify": Action(VerifyConfig, _verify, "checksum, strict loading, finite numbers, the encoder contract"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, action in ACTIONS.items():
        one = actions.add_parser(name, help=action.help, description=action.help, allow_abbrev=False)
        add_flags(one, action.config)
        one.add_argument("--json", action="store_true", help="print JSON instead of text")
        if name == "list":
            one.add_argument(
                "--format", choices=("text", "markdown", "json"), default="text", help="how rows are printed"
            )
        if name == "show":
            one.add_argument("--bibtex", action="store_true", help="print the papers to cite")


def run(args: argparse.Namespace) -> int:
    return ACTIONS[args.action].run(args)
