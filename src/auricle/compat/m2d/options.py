"""The options of one of M2D's training programs, read from a line: the original's names, its defaults, its switches.

What has no meaning here is accepted and said; what the original does not know is refused with the nearest name.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from auricle.core.errors import AuricleError, nearest
from auricle.hub.convert.m2d_options import OPTIONS, Option, options_of


class Parser(argparse.ArgumentParser):
    """Mistakes in a line are AuricleErrors, as everywhere else."""

    def __init__(self, program: str, **how: Any):
        super().__init__(prog=f"auricle original m2d {program}", allow_abbrev=False, **how)

    def error(self, message: str) -> NoReturn:
        raise AuricleError(f"{self.prog}: {message}")


def parsed(program: str, words: Sequence[str]) -> argparse.Namespace:
    """The line's options over the program's defaults; ``given`` holds the names that stood in it.

    Raises AuricleError for an unknown option and for a value that is none.
    """
    parser = _parser(program)
    values, strange = parser.parse_known_args(list(words))
    if strange:
        raise AuricleError(_unknown(strange[0], program))
    given = frozenset(vars(values))
    for option in options_of(program):
        if not hasattr(values, _dest(option)):
            setattr(values, _dest(option), option.default_of(program))
    values.given = given
    return values


def without_effect(values: argparse.Namespace, program: str) -> Iterator[str]:
    """One sentence for every option of the line that changes nothing here, and why."""
    for option in options_of(program):
        if program in option.unused and _dest(option) in values.given:
            yield f"--{option.name} changes nothing here: {option.note}"


def _parser(program: str) -> Parser:
    parser = Parser(program, argument_default=argparse.SUPPRESS)
    for option in options_of(program):
        how: dict[str, Any] = {"action": "store_true"} if option.kind is bool else {"type": option.kind}
        parser.add_argument(*_spellings(option), dest=_dest(option), help=_meaning(option, program), **how)
    return parser


def _meaning(option: Option, program: str) -> str:
    if program in option.unused:
        return option.note
    ours = f"auricle pretrain --{option.ours.replace('_', '-')}; " if option.ours else ""
    return f"{ours}default: {option.default_of(program)}"


def _spellings(option: Option) -> list[str]:
    """``--batch_size`` and ``--batch-size``."""
    names = [option.name, *option.spellings]
    return list(dict.fromkeys(f"--{text}" for name in names for text in (name, name.replace("_", "-"))))


def _dest(option: Option) -> str:
    return option.name.replace("-", "_")


def _unknown(word: str, program: str) -> str:
    if not word.startswith("-"):
        return f"{program} takes options only, not '{word}'"
    name = word.split("=")[0].lstrip("-").replace("-", "_")
    known = tuple(option.name for option in options_of(program))
    if name not in known and name in {option.name for option in OPTIONS}:
        return f"{program} has no --{name}; the original has it in other programs only"
    return f"{program} has no option --{name}{nearest(name, known)}"
