"""The length of a training run as it was typed, and the defaults that depend on it."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.cli.flags import VerbParser


def follow_typed_length(argv: Sequence[str], parser: VerbParser) -> None:
    """Let a typed length of the run replace the default length, of the method or a preset, and the warm-up that belongs to it.

    A default warm-up that does not fit becomes "auto", a tenth of the run, unless a warm-up is typed too.
    """
    epochs, updates = (typed_number(name, argv) for name in ("epochs", "max-updates"))
    if epochs is None and updates is None:
        return
    if updates is None:
        by_updates = parser.get_default("max_updates") is not None
        parser.set_defaults(max_updates=None)
        if by_updates:
            parser.set_defaults(warmup_updates=None if parser.get_default("schedule") == "polynomial" else 0)
    if any(typed_values(name, argv) for name in ("warmup-epochs", "warmup-updates")) or "--long-warmup" in argv:
        return
    if epochs is not None and (parser.get_default("warmup_epochs") or 0) >= epochs:
        parser.set_defaults(warmup_epochs=None)
    if updates is not None and (parser.get_default("warmup_updates") or 0) >= updates:
        parser.set_defaults(warmup_updates=None)


def typed_number(option: str, argv: Sequence[str]) -> int | None:
    """Return the whole number that was typed for an option; None without one."""
    values = typed_values(option, argv)
    return int(values[-1]) if values and values[-1].isdecimal() and int(values[-1]) else None


def typed_values(option: str, argv: Sequence[str]) -> list[str]:
    """Return the values that were typed for an option, as ``--option VALUE`` or ``--option=VALUE``."""
    pairs = zip(argv, [*argv[1:], ""])
    return [
        arg.partition("=")[2] or following
        for arg, following in pairs
        if arg == f"--{option}" or arg.startswith(f"--{option}=")
    ]
