"""Which recipe fits my data: start weight, method, sizes, batch, epochs, noise, with reasons, cost and the command line.

  auricle advise my_sounds/ --domain respiratory --noisy yes --gpus 1 --gpu-memory 24
  auricle advise --domain speech --hours 960 --clips 281241 --gpus 4 --gpu-memory 80
  auricle advise                            asks, on a terminal

The rules are those of M2D's application guide; docs/application-guide.md tells them. Nothing is trained, and nothing is
downloaded. Where this machine has a GPU, time and memory come from a few measured steps; else they are extrapolated, and
the answer says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from auricle.cli.flags import add_flags, config_from, leaves
from auricle.commands.advise.advise import advise, as_json
from auricle.commands.advise.facts import Advice, AdviseConfig, Proposal, RunCost
from auricle.core.errors import AuricleError

QUESTIONS = ("source", "domain", "hours", "clips", "labels", "above_8khz", "noisy", "noise", "gpus", "gpu_memory")
YES = ("y", "yes", "true", "1")
NO = ("n", "no", "false", "0")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_flags(parser, AdviseConfig)
    parser.add_argument("--json", action="store_true", help="the whole advice as JSON")


def run(args: argparse.Namespace) -> int:
    if not [word for word in args.typed if word != "--json"] and sys.stdin.isatty():
        ask(args)
    advice = advise(config_from(AdviseConfig, args), quiet=args.json)
    print(json.dumps(as_json(advice), indent=1) if args.json else told(advice))
    return 0


def ask(args: argparse.Namespace, answer: Callable[[str], str] = input) -> None:
    """Put the questions into ``args``; an empty answer keeps the default, an impossible one is asked again."""
    fields = {item.name: (item, kind) for item, kind, *_ in leaves(AdviseConfig)}
    for name in QUESTIONS:
        item, kind = fields[name]
        default = getattr(args, name)
        while True:
            text = answer(f"{item.metadata['help']} [{shown(default)}]: ").strip()
            try:
                value = default if not text else read(text, kind, item.metadata)
                AdviseConfig(**{name: value})
            except (ValueError, AuricleError) as error:
                print(f"  {error}", file=sys.stderr)
                continue
            setattr(args, name, value)
            break


def read(text: str, kind: Any, metadata: Any) -> Any:
    """An answer as a value. Raises ValueError for one that cannot be."""
    words, choices = metadata.get("words") or {}, metadata.get("choices") or ()
    if text in words:
        return words[text]
    if kind is bool:
        if text.lower() not in YES + NO:
            raise ValueError("yes or no?")
        return text.lower() in YES
    if choices and text not in choices:
        raise ValueError(f"one of {', '.join(choices)}, please")
    return kind(text)


def shown(default: Any) -> str:
    """A default as a person would type it."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    return "auto" if default == -1 else str(default) if default else "none"


def told(advice: Advice) -> str:
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


def cost(found: RunCost) -> str:
    hours = found.seconds / 3600
    time = f"{hours / 24:.1f} days" if hours > 72 else f"{hours:.1f} hours"
    return f"memory        about {found.memory / 2**30:.1f} GiB on each GPU\ntime          about {time}\n{found.how}"
