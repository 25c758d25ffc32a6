"""``auricle models …``: list published weights and recipes, show one, get it, convert between layouts, merge, verify."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.cli.main import EXIT_OK, exit_code
from auricle.commands.models.merge import MergeConfig, merge
from auricle.commands.models.models import (
    ConvertConfig,
    GetConfig,
    ListModelsConfig,
    ModelDescription,
    ShowConfig,
    VerifyConfig,
    convert,
    get_models,
    list_models,
    show,
)
from auricle.commands.models.push import PushConfig, push
from auricle.commands.models.recipes import ListRecipesConfig, list_recipes
from auricle.core.console import printable
from auricle.core.io import dumps

JSON = "print JSON instead of text"
SHOWN_CLASSES = 12  # of a head, in text


class ListModels:
    """List the published weights.

    auricle models list
    auricle models list --family mn --format markdown
    auricle models list --repositories                           those of the Hugging Face Hub that are here
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ListModelsConfig)
        parser.add_argument(
            "--format", choices=("text", "markdown", "json"), default="text", help="form of the rows (default: text)"
        )
        parser.add_argument("--json", action="store_true", help="the same as --format json")

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        config = config_from(ListModelsConfig, args)
        if config.repositories:
            return _print_repositories(args.json or args.format == "json")
        rows = list_models(config)
        style = "json" if args.json else args.format
        if style == "json":
            print(json.dumps([row.row() for row in rows], indent=1))
        else:
            print(rows.markdown() if style == "markdown" else rows)


def _print_repositories(as_json: bool) -> None:
    from auricle.commands.models.repositories import kept_repositories

    kept = kept_repositories()
    if as_json:
        print(json.dumps([asdict(one) for one in kept], indent=1))
    elif not kept:
        print(
            "no repository with weights of Auricle is on this machine; 'auricle models get hf://owner/name' brings one"
        )
    for one in () if as_json else kept:
        print(f"{printable(one.name)}  {one.size:,} bytes  {one.licence}")


class Show:
    """Describe a published name, a weight file, a run folder or a repository of the Hugging Face Hub.

    auricle models show mn10_as
    auricle models show runs/first
    auricle models show hf://owner/name                          licence and facts of its card; weights are not downloaded
    auricle models show mn10_as --bibtex
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ShowConfig)
        parser.add_argument("--bibtex", action="store_true", help="print the papers to cite")
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        description = show(config_from(ShowConfig, args))
        if args.bibtex:
            print(_bibtex(description))
        elif args.json:
            facts = {"name": description.name, **description.facts, "papers": description.papers}
            print(json.dumps(facts, indent=1))
        else:
            print("\n".join(_lines(description)))


def _bibtex(description: ModelDescription) -> str:
    from auricle.hub.published.record import bibtex

    return bibtex(description.papers) or f"% no paper is known for {description.name}"


def _lines(description: ModelDescription) -> Iterator[str]:
    yield description.name
    facts = dict(description.facts)
    heads = facts.pop("heads", {})
    for key, value in {**facts, "papers": list(description.papers)}.items():
        if value or value in (0, False):
            yield f"  {key.replace('_', ' '):<20} {_text(value)}"
    for name, head in heads.items():
        yield f"  head {printable(name)}"
        for key, value in head.items():
            if value:
                yield f"    {key.replace('_', ' '):<18} {_head_text(value)}"


def _head_text(value: Any) -> str:
    """Facts of a head in one line: the first of many classes, and numbers by class."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        texts = {key: _text(part) for key, part in value.items()}
        alike = len(texts) > 1 and len(set(texts.values())) == 1
        parts = [f"all: {next(iter(texts.values()))}"] if alike else [f"{key}: {text}" for key, text in texts.items()]
    else:
        parts = list(value)
    more = f"; and {len(parts) - SHOWN_CLASSES} more" if len(parts) > SHOWN_CLASSES else ""
    return printable("; ".join(parts[:SHOWN_CLASSES])) + more


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items() if part not in (None, ""))
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.7g}"  # float32 has no more digits
    return f"{value:,}" if isinstance(value, int) and value >= 100_000 else str(value)


class Recipes:
    """List the published recipes: settings of fine-tuning and distillation, with source, expected score and tolerance.

    auricle models recipes
    auricle models recipes icbhi                                 with its settings
    auricle models recipes --data esc50 --json
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ListRecipesConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        config = config_from(ListRecipesConfig, args)
        recipes = list_recipes(config)
        if args.json:
            print(dumps([{**asdict(recipe), "command": recipe.command} for recipe in recipes]))
            return
        for recipe in recipes:
            print(f"{recipe.name}  (auricle {recipe.verb}{f', data {recipe.data}' if recipe.data else ''})")
            print(f"  {recipe.source}")
            print(
                f"  expected: {recipe.expected or 'not published'}{f' {recipe.tolerance}' if recipe.tolerance else ''}"
            )
            print(f"  measured: {recipe.measured}")
            for name, value in recipe.settings.items() if config.name else ():
                print(f"    {name.replace('_', '-'):<20} {'none' if value is None else _text(value)}")


class Get:
    """Download published weights, check and convert them, and install them on this machine.

    auricle models get mn10_as
    auricle models get mn04_as --weights mn04_as_mAP_432.pt      from a local file
    auricle models get hf://owner/name                           a repository of the Hugging Face Hub
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, GetConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        result = get_models(config_from(GetConfig, args))
        if args.json:
            failed = [{"name": name, "error": error} for name, error in result.failed]
            print(json.dumps({"kept": [asdict(weight) for weight in result.installed], "failed": failed}, indent=1))
        for weight in () if args.json else result.installed:
            print(
                f"{weight.name}: {weight.file} ({weight.size:,} bytes, sha256 {weight.sha256})\n  licence: {weight.licence}"
            )
            if weight.note:
                print(f"  note: {weight.note}")
        for name, error in result.failed:
            print(f"auricle: {name}: {error}", file=sys.stderr)
        return exit_code(len(result.installed), len(result.failed))


class Convert:
    """Write a published weight, a weight file or the encoder of a run in another layout.

    auricle models convert runs/first --to auricle --out first.safetensors
    auricle models convert mn04_as --to efficientat --out mn04_as.pt

    The layout m2d holds networks with one attention head per 64 channels, as those of M2D's published sizes.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ConvertConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        file = convert(config_from(ConvertConfig, args))
        if args.json:
            print(json.dumps(asdict(file), indent=1))
            return
        print(f"{file.file}: {file.tensors} tensors, {file.size:,} bytes, sha256 {file.sha256}")
        print(f"  licence: {file.licence}" + (f"\n  note: {file.hint}" if file.hint else ""))


class Merge:
    """Make one detector with several heads of several detectors on one backbone.

    auricle models merge runs/frogs runs/crickets --out runs/night
    auricle models merge runs/frogs/encoder.safetensors mn04_as --names frogs main --out night.safetensors

    One pass gives the answers of all, each exactly that of its own detector. A published tagger keeps its head, "main".
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, MergeConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        merged = merge(config_from(MergeConfig, args))
        if args.json:
            print(json.dumps(asdict(merged), indent=1))
            return
        heads = ", ".join(f"{printable(name)} ({count} classes)" for name, count in merged.heads.items())
        print(
            f"{printable(merged.file)}: {len(merged.heads)} heads: {heads}, {merged.size:,} bytes\n  licence: {merged.licence}"
        )


class Push:
    """Publish a model on the Hugging Face Hub, with a model card from what its run folder knows.

    auricle models push runs/frogs hf://anna/frogs --private
    auricle models push runs/frogs hf://anna/frogs --dry-run     print the card and the files, upload nothing

    The upload holds weights (safetensors), config.json and README.md, without paths of this machine. The token is the variable
    HF_TOKEN, or that of 'hf auth login'. A card from which you removed its last line is kept.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, PushConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> None:
        config = config_from(PushConfig, args)
        result = push(config)
        for note in result.notes:
            print(f"note: {printable(note)}", file=sys.stderr)
        if args.json:
            print(dumps(asdict(result), indent=1))
            return
        if config.dry_run:
            print(result.card)
        what = ", ".join(f"{name} ({size:,} bytes)" for name, size in result.files.items())
        to = result.repository if config.dry_run else f"{result.url}, commit {result.commit[:8]}"
        print(f"{'would be uploaded' if config.dry_run else 'uploaded'} to {to}: {what}")


class Verify:
    """Check weights: checksum, strict loading, finite numbers, and a test of the encoder contract.

    auricle models verify mn04_as runs/first
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, VerifyConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        from auricle.commands.models.verify import verify_models

        results = verify_models(config_from(VerifyConfig, args))
        if args.json:
            print(json.dumps([{**asdict(result), "passed": result.passed} for result in results], indent=1))
        for result in () if args.json else results:
            print(f"{result.name}: {'good' if result.passed else 'NOT good'}")
            for check in result.checks:
                print(f"  {'yes' if check.passed else 'NO ':<4} {check.what:<12} {check.detail}")
        return EXIT_OK if all(result.passed for result in results) else 1
