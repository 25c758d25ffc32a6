"""Spellings of the first edition. They work for one more version, are absent from help, and name the new spelling.

Everything in this file goes in the version named by ``GONE_IN``; values that a config translates itself
(``option(old=...)`` in ``core.options``) go with it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import MISSING
from pathlib import Path

from auricle.core.errors import AuricleError, nearest

GONE_IN = "0.4"

VERBS = {"evaluate set": ("evaluate", "--suite")}  # old verb: (new verb, option)
OPTIONS = {
    "evaluate": {"--folding": "--split-by"},
    "complexity": {"--model-name": "--model"},
    "pretrain": {
        "--width": "--embed-dim",
        "--heads": "--num-heads",
        "--mel-bins": "--n-mels",
        "--ffn-width": "--ffn-dim",
        "--decoder-width": "--decoder-embed-dim",
        "--decoder-heads": "--decoder-num-heads",
        "--state-minutes": "--checkpoint-minutes",
        "--state-steps": "--checkpoint-steps",
        "--keep-states": "--keep-checkpoints",
    },
}
VALUES = {
    ("evaluate", "--protocol"): {"logistic": "linear", "knn-vote": "knn"},
    ("evaluate", "--metric"): {"balanced-accuracy": "balanced_accuracy", "roc-auc": "roc_auc", "d-prime": "d_prime"},
    **{(verb, "--precision"): {"bfloat16": "bf16"} for verb in ("pretrain",)},
}
PROBES = {
    "linear": ("linear", "logistic-cv"),
    "knn": ("knn", "knn-cosine", "knn-xares"),
    "fewshot": ("linear",),
    "evar": ("evar",),
}  # evaluate PROBE MODEL DATA: the protocols of each
METHODS = ("m2d", "m2d-x", "m2d-as", "m2d-s", "m2d-d2v", "msm-mae", "mae-ast")  # pretrain METHOD DATA


def note(old: str, new: str) -> None:
    """Print one line on stderr that names the new spelling."""
    if not int(os.environ.get("RANK", 0)):
        print(f"auricle: '{old}' is now '{new}'; the old spelling goes in version {GONE_IN}", file=sys.stderr)


def translate(verb: str, args: Sequence[str]) -> tuple[str, list[str]]:
    """Translate a verb and its arguments to the new grammar, as far as the text alone determines it."""
    if verb in VERBS:
        new, option = VERBS[verb]
        note(f"auricle {verb} FILE", f"auricle {new} {option} FILE")
        verb, args = new, [option, *args]
    if verb == "pretrain" and _names_a_method(args):
        note(f"auricle pretrain {args[0]} DATA", f"auricle pretrain DATA --method {args[0]}")
        args = [*args[1:], "--method", args[0]]
    return verb, [*renamed(verb, args)]


def _names_a_method(args: Sequence[str]) -> bool:
    """True for ``pretrain METHOD …``; a folder of that name without a second argument is data."""
    if not args or args[0] not in METHODS:
        return False
    return not Path(args[0]).exists() or (len(args) > 1 and not args[1].startswith("-"))


def renamed(verb: str, args: Sequence[str]) -> Iterator[str]:
    """Yield the arguments; rename options and values of the first edition."""
    option = ""
    for arg in args:
        if arg.startswith("--"):
            option, equals, value = arg.partition("=")
            if option in OPTIONS.get(verb, {}):
                note(option, OPTIONS[verb][option])
                option = OPTIONS[verb][option]
            yield option + equals + (_new_value(verb, option, value) if equals else "")
        else:
            yield _new_value(verb, option, arg)
            option = ""


def _new_value(verb: str, option: str, value: str) -> str:
    new = VALUES.get((verb, option), {}).get(value, value)
    if new != value:
        note(f"{option} {value}", f"{option} {new}")
    return new


def place(verb: str, values: argparse.Namespace, args: list[str]) -> list[str]:
    """Assign extra positional arguments to the options that replace them.

    Returns:
        The arguments that are unknown to the earlier grammar too.
    """
    if verb == "prepare" and len(args) == 1 and values.out is not MISSING:
        if not os.path.exists(values.source):
            from auricle.data.published.table import published_dataset

            published_dataset(values.source)  # which is refused, with the nearest name
        return args
    if verb.startswith("prepare") and len(args) == 1:
        note(f"auricle {verb} SOURCE OUT", f"auricle {verb} SOURCE --out OUT")
        values.out = args.pop()
    elif verb == "complexity" and args:
        note("auricle complexity NAME …", "auricle complexity --model NAME …")
        values.model = [*args, *values.model]
        return []
    elif verb == "evaluate" and len(args) == 2 and values.source in PROBES:
        note("auricle evaluate PROBE MODEL DATA", "auricle evaluate DATA --model MODEL --protocol PROTOCOL")
        if not any(arg.startswith("--protocol") for arg in values.typed):
            values.protocol = values.source
        elif values.protocol not in PROBES[values.source]:
            known = ", ".join(PROBES[values.source])
            raise AuricleError(f"'{values.source}' has no protocol '{values.protocol}'; it has {known}")
        values.few_shot = values.few_shot or values.source == "fewshot"
        values.model, values.source = args
        return []
    elif verb == "pretrain" and len(args) == 1:
        raise AuricleError(f"unknown method '{values.source}'{nearest(values.source, METHODS)}")
    return args
