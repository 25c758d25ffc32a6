"""Flags from a frozen config dataclass, and the config back from the parsed flags. Nested configs are flattened."""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any


def add_flags(parser: argparse.ArgumentParser, config: type) -> None:
    """One flag per field of ``config`` and of the configs nested in it; ``batch_size`` becomes ``--batch-size``."""
    for item, kind, default in leaves(config):
        if item.metadata.get("positional"):
            _add_positional(parser, item, kind)
        else:
            _add_option(parser, item, kind, default)


def config_from(config: type, args: argparse.Namespace) -> Any:
    """Build ``config`` (nested configs too) from parsed arguments."""
    hints = typing.get_type_hints(config)
    values = {}
    for item in fields(config):
        kind = hints[item.name]
        values[item.name] = (
            config_from(typing.cast(type, kind), args) if is_dataclass(kind) else _value(getattr(args, item.name), kind)
        )
    return config(**values)


def given_flags(args: argparse.Namespace, config: type) -> dict[str, Any]:
    """Fields of ``config`` that the command line named, with their values (``main`` notes what was typed)."""
    typed = {
        word.split("=")[0].removeprefix("--no-").removeprefix("--") for word in args.typed if word.startswith("--")
    }
    flags = {item.name: (item.metadata.get("flag") or item.name).replace("_", "-") for item, *_ in leaves(config)}
    kinds = {item.name: kind for item, kind, _ in leaves(config)}
    return {name: _value(getattr(args, name), kinds[name]) for name, flag in flags.items() if flag in typed}


def leaves(config: type, made: Any = None) -> Iterator[tuple[Field, Any, Any]]:
    """(field, type, default) of every field that is not itself a config.

    ``made`` is an instance whose values are the defaults: what a factory makes may differ from the class's own.
    """
    hints = typing.get_type_hints(config)
    for item in fields(config):
        default = default_of(item) if made is None else getattr(made, item.name)
        if is_dataclass(hints[item.name]):
            yield from leaves(hints[item.name], None if default is MISSING else default)
        else:
            yield item, hints[item.name], default


def default_of(item: Field) -> Any:
    return item.default_factory() if item.default_factory is not MISSING else item.default


def _add_positional(parser: argparse.ArgumentParser, item: Field, kind: Any) -> None:
    optional = default_of(item) is not MISSING
    shape = ("*" if optional else "+") if item.metadata["many"] else ("?" if optional else None)
    extra: dict[str, Any] = {"default": default_of(item)} if optional else {}
    parser.add_argument(item.name, help=item.metadata["help"], nargs=shape, type=_element(kind), **extra)


def _add_option(parser: argparse.ArgumentParser, item: Field, kind: Any, default: Any) -> None:
    name = "--" + (item.metadata.get("flag") or item.name).replace("_", "-")
    text = item.metadata.get("help", "").replace("%", "%%")
    common: dict[str, Any] = {"dest": item.name, "default": default, "help": _with_default(text, default)}
    if kind is bool:
        parser.add_argument(name, action=argparse.BooleanOptionalAction, **common)
    elif typing.get_origin(kind) is tuple:
        parser.add_argument(name, nargs="*", type=_element(kind), **common)
    else:
        choices = item.metadata.get("choices") or None
        metavar = None if choices else _element(kind).__name__.upper()
        parser.add_argument(
            name, type=_reader(item, kind), choices=choices, metavar=metavar, required=default is MISSING, **common
        )


def _reader(item: Field, kind: Any) -> Any:
    """Text to value; the field's special words first ("auto")."""
    words, element = item.metadata.get("words"), _element(kind)
    if not words:
        return element

    def read(text: str) -> Any:
        return words[text] if text in words else element(text)

    read.__name__ = element.__name__
    return read


def _with_default(text: str, default: Any) -> str:
    shown = default not in (None, MISSING, "", (), False, True)
    return f"{text} (default: {default})".replace("%)", "%%)") if shown else text


def _element(kind: Any) -> Any:
    """The type of one value: int of ``int | None``, str of ``tuple[str, ...]``."""
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        return _element(next(a for a in typing.get_args(kind) if a is not type(None)))
    if typing.get_origin(kind) is tuple:
        return _element(typing.get_args(kind)[0])
    return kind


def _value(value: Any, kind: Any) -> Any:
    return tuple(value) if isinstance(value, list) and typing.get_origin(kind) is tuple else value
