"""Propose a recipe for my data: start weight, method, sizes, batch, epochs, noise, with reasons, cost and commands.

  auricle advise my_sounds/ --domain respiratory --noisy yes --gpus 1 --gpu-memory 24
  auricle advise --domain speech --hours 960 --clips 281241 --gpus 4 --gpu-memory 80
  auricle advise                            asks, on a terminal

The rules are those of M2D's application guide (docs/application-guide.md). Nothing is trained or downloaded. Where this
machine has a GPU, time and memory come from a few measured steps; elsewhere they are extrapolated, which the answer states.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from auricle.cli.flags import Leaf, VerbParser, add_flags, config_from, leaves, reader_of, shown
from auricle.commands.advise.advise import advise, as_json
from auricle.commands.advise.facts import Advice, AdviseConfig, Proposal, RunCost
from auricle.core.console import duration

QUESTIONS = ("source", "domain", "hours", "clips", "labels", "above_8khz", "noisy", "noise", "gpus", "gpu_memory")
YES = ("y", "yes", "true", "1")
NO = ("n", "no", "false", "0")


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, AdviseConfig)
    parser.add_argument("--json", action="store_true", help="the whole advice as JSON")


def run(args: argparse.Namespace) -> None:
    if not [word for word in args.typed if word != "--json"] and sys.stdin.isatty():
        ask(args)
    advice = advise(config_from(AdviseConfig, args), quiet=args.json)
    print(json.dumps(as_json(advice), indent=1) if args.json else as_text(advice))


def ask(args: argparse.Namespace, answer: Callable[[str], str] = input) -> None:
    """Ask for the facts and store them in ``args``; an empty answer keeps the default, an impossible one is asked again."""
    by_name = {leaf.field.name: leaf for leaf in leaves(AdviseConfig)}
    for name in QUESTIONS:
        leaf = by_name[name]
        default = "yes" if leaf.default is True else "no" if leaf.default is False else shown(leaf, leaf.default)
        while True:
            text = answer(f"{leaf.field.metadata['help']} [{default or 'none'}]: ").strip()
            try:
                value = value_of(leaf, text) if text else getattr(args, name)
                AdviseConfig(**{name: value})
            except (ValueError, argparse.ArgumentTypeError) as error:
                print(f"  {error}", file=sys.stderr)
                continue
            setattr(args, name, value)
            break


def value_of(leaf: Leaf, text: str) -> Any:
    """Return an answer as a value. Raises ValueError or ArgumentTypeError for one that cannot be read."""
    if leaf.kind is not bool:
        return reader_of(leaf)(text)
    if text.lower() not in YES + NO:
        raise ValueError("yes or no?")
    return text.lower() in YES


def as_text(advice: Advice) -> str:
    parts = [f"advice: {advice.strategy}" + (f", from {advice.weight}" if advice.weight else "")]
    if advice.plan:
        parts.append(settings(advice.plan))
    if advice.cost:
        parts.append(cost(advice.cost))
    parts.append("why\n" + "\n".join(f"- {reason}" for reason in advice.reasons))
    if advice.notes:
        parts.append("mind\n" + "\n".join(f"- {note}" for note in advice.notes))
    parts.append("commands\n" + "\n".join(advice.commands))
    return "\n\n".join(parts)


def settings(plan: Proposal) -> str:
    noise = f"noise ratio   {plan.noise_ratio:g}\n" if plan.noise_ratio else ""
    least = f"min-ds-size   {plan.min_ds_size}\n" if plan.min_ds_size else ""
    return (
        f"method        {plan.method}\n"
        f"input, patch  {plan.input_size}, {plan.patch_size}, {plan.sample_rate} Hz\n"
        f"epochs        {plan.epochs}, of which {plan.warmup_epochs} warm-up\n"
        f"batch         {plan.batch_size} x {plan.accum_iter} micro-steps x {plan.gpus} GPU = {plan.effective_batch}\n"
        f"blr           {plan.blr:g}\n{noise}{least}"
    ).rstrip("\n")


def cost(run: RunCost) -> str:
    memory, time = f"{run.memory / 2**30:.1f} GiB", duration(run.seconds)
    return f"memory        about {memory} on each GPU\ntime          about {time}\n{run.how}"
