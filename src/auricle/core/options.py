"""Describe the fields of frozen configs, check them, and convert configs to plain values and back.

The descriptions serve ``--help``, the documentation and the saved configuration.
"""

from __future__ import annotations

import math
import numbers
import os
import re
import reprlib
import types
import typing
from dataclasses import MISSING, Field, field, fields, is_dataclass, replace
from typing import Any

from auricle.core.errors import AuricleError, nearest

NUMBERS = {int: numbers.Integral, float: numbers.Real}  # also those of NumPy
KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false", types.NoneType: "nothing (null)"}

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kKmMgG]?[iI]?[bB]?)\s*")


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    choices: tuple[str, ...] = (),
    flag: str = "",
    special: dict[str, Any] | None = None,
    old: dict[Any, Any] | None = None,
    group: str = "",
    advanced: bool | None = None,
    factory: Any = MISSING,
) -> Any:
    """Declare a dataclass field with its meaning.

    Args:
        help: one line; name the unit.
        choices: the allowed values.
        flag: another name on the command line.
        special: special values on the command line, such as ``{"none": None}``.
        old: values of earlier versions and what they are now, such as ``{0: None}``: translated when a saved
            configuration or a command line is read.
        group: heading of the option in ``--help``; of all its options where the field is a config itself.
        advanced: True: shown by ``--help all`` only; None: as the config that this field belongs to.
        factory: makes the default where it is a config itself.
    """
    metadata: dict[str, Any] = {
        "help": help,
        "choices": choices,
        "flag": flag,
        "special": special or {},
        "old": old or {},
    }
    metadata |= {"group": group, "advanced": advanced}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def argument(help: str = "", *, default: Any = MISSING, many: bool = False) -> Any:
    """Declare a dataclass field that is a positional argument of a verb; ``many``: one or more values."""
    metadata = {"help": help, "positional": True, "many": many}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def paths_as_text(config: Any) -> None:
    """Turn the paths among the values of a frozen config into text: from Python, settings may be ``Path`` objects."""
    for f in fields(config):
        value = getattr(config, f.name)
        if isinstance(value, os.PathLike):
            object.__setattr__(config, f.name, os.fsdecode(value))
        elif isinstance(value, tuple) and any(isinstance(item, os.PathLike) for item in value):
            texts = tuple(os.fsdecode(item) if isinstance(item, os.PathLike) else item for item in value)
            object.__setattr__(config, f.name, texts)


def check_ranges(config: Any, names: tuple[str, ...], least: float, most: float = math.inf) -> None:
    """Raise AuricleError for a setting that is below ``least``, above ``most``, infinite or not a number."""
    for name in names:
        value = getattr(config, name)
        if value is None or (least <= value <= most and value < math.inf):
            continue
        bound = f"of at least {least:g}" if most == math.inf else f"from {least:g} to {most:g}"
        raise AuricleError(f"--{name.replace('_', '-')} must be a number {bound}, not {value}")


def size_of(text: str, name: str = "size") -> int:
    """Return the number of bytes of a size in words.

    Raises:
        AuricleError: for anything else.

    Example:
        >>> size_of("200MB"), size_of("1.5 GiB")
        (200000000, 1610612736)
    """
    match = SIZE.fullmatch(text)
    unit = UNITS.get(match[2].upper()) if match else None
    count = int(float(match[1]) * unit) if match and unit else 0
    if count < 1:
        raise AuricleError(f"{name} is a size such as 200MB or 2GB, got '{text}'")
    return count


def check_choices(config: Any) -> None:
    """Raise AuricleError for a setting that is not among its choices."""
    for f in fields(config):
        choices, value = f.metadata.get("choices"), getattr(config, f.name)
        if choices and value is not None and value not in choices:
            raise AuricleError(
                f"--{(f.metadata.get('flag') or f.name).replace('_', '-')} is one of {', '.join(choices)}, not '{value}'"
            )


def names_of(config: Any) -> set[str]:
    """Return the names of all settings, including those of nested configs."""
    parts = {f.name: getattr(config, f.name) for f in fields(config)}
    nested = [names_of(value) for value in parts.values() if is_dataclass(value)]
    return {name for name, value in parts.items() if not is_dataclass(value)}.union(*nested)


def old_names_of(config: Any) -> dict[str, str]:
    """Return the names of earlier versions with the settings that they name now, including those of nested configs."""
    names = dict(getattr(config, "OLD_NAMES", {}))
    for item in fields(config):
        value = getattr(config, item.name)
        names |= old_names_of(value) if is_dataclass(value) else {}
    return names


def as_plain(config: Any) -> Any:
    """Return a config as JSON or YAML values: nested configs as mappings, paths as text."""
    if is_dataclass(config) and not isinstance(config, type):
        return {f.name: as_plain(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, (list, tuple)):
        return [as_plain(value) for value in config]
    if isinstance(config, dict):
        return {key: as_plain(value) for key, value in config.items()}
    return config if isinstance(config, (int, float, bool, str, type(None))) else str(config)


def from_plain(kind: type, values: dict[str, Any], where: str = "the configuration") -> Any:
    """Return the config that ``as_plain`` turned into ``values``. Absent names keep their default.

    Names of earlier versions (``kind.OLD_NAMES``, from old to new) are translated.

    Args:
        kind: the dataclass.
        values: plain values by name.
        where: what holds them, for messages.

    Raises:
        AuricleError: for an unknown name, with the nearest known one, and for a value that is missing or of another type.
    """
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values):
        raise AuricleError(
            f"{where} holds {reprlib.repr(values)} where the settings of {kind.__name__} are expected by name"
        )
    hints, known = typing.get_type_hints(kind), {f.name: f for f in fields(kind)}
    renamed = getattr(kind, "OLD_NAMES", {})
    values = {renamed.get(name, name): value for name, value in values.items()}
    for name in values.keys() - known.keys():
        raise AuricleError(
            f"{where} holds '{name}', which {kind.__name__} does not know{nearest(name, tuple(sorted(known)))}"
        )
    needed = [f.name for f in known.values() if f.default is MISSING and f.default_factory is MISSING]
    for name in needed:
        if name not in values:
            raise AuricleError(f"{where} does not hold '{name}', which {kind.__name__} needs")
    return kind(
        **{name: _restored(hints[name], current(known[name], value), where, name) for name, value in values.items()}
    )


def _restored(kind: Any, value: Any, where: str, name: str) -> Any:
    if is_dataclass(kind):
        return from_plain(kind, value, where)  # type: ignore[arg-type]
    if not _is_of(kind, value):
        raise AuricleError(f"{where} holds {reprlib.repr(value)} as '{name}'; expected {_kind_in_words(kind)}")
    return tuple(value) if isinstance(value, list) else value


def _is_of(kind: Any, value: Any) -> bool:
    """Return True if ``value`` may be a setting of this type. Types that a plain value cannot have are not checked."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_is_of(part, value) for part in parts)
    if origin is typing.Literal:
        return value in parts
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            return False
        if parts[-1:] == (...,):
            return all(_is_of(parts[0], item) for item in value)
        return len(value) == len(parts) and all(map(_is_of, parts, value))
    if kind in NUMBERS:
        return isinstance(value, NUMBERS[kind]) and not isinstance(value, bool)
    return isinstance(value, kind) if kind in (bool, str, types.NoneType) else True


def _kind_in_words(kind: Any) -> str:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(_kind_in_words, parts))
    if origin is typing.Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return f"a list: {', '.join(_kind_in_words(part) for part in parts if part is not ...)}"
    return KINDS.get(kind, str(kind))


def current(item: Field, value: Any) -> Any:
    """Return today's value for one that an earlier version may have written (``option(old=...)``)."""
    old = item.metadata.get("old")
    return old[value] if old and not isinstance(value, (list, dict)) and value in old else value


def with_values(config: Any, values: dict[str, Any]) -> Any:
    """Return a copy of a config, nested configs included, with fields replaced by name; other fields stay.

    Values of earlier versions are translated, and paths become text.
    """
    mine = {}
    for item in fields(config):
        value = getattr(config, item.name)
        if is_dataclass(value):
            mine[item.name] = with_values(value, values)
        elif item.name in values:
            given = values[item.name]
            mine[item.name] = os.fsdecode(given) if isinstance(given, os.PathLike) else current(item, given)
    return replace(config, **mine)


def differences(one: Any, other: Any, prefix: str = "") -> list[str]:
    """Return the dotted names of the settings in which two configs of one kind differ."""
    names = []
    for f in fields(one):
        a, b = getattr(one, f.name), getattr(other, f.name)
        if is_dataclass(a):
            names += differences(a, b, f"{prefix}{f.name}.")
        elif a != b:
            names.append(prefix + f.name)
    return names


def option_arguments(config: Any, base: Any) -> list[str]:
    """Return the command-line options that turn ``base`` into ``config``, two configs of one kind.

    Positional arguments are left out.
    """
    arguments: list[str] = []
    for item in fields(config):
        value, before = getattr(config, item.name), getattr(base, item.name)
        if is_dataclass(value):
            arguments += option_arguments(value, before)
        elif value != before and not item.metadata.get("positional"):
            arguments += _arguments_of(item, value)
    return arguments


def _arguments_of(item: Field, value: Any) -> list[str]:
    """Return one option with its value: for None the name of the special value."""
    name = (item.metadata.get("flag") or item.name).replace("_", "-")
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if isinstance(value, (tuple, list)):
        return [f"--{name}", *map(str, value)]
    if value is None:
        special = item.metadata.get("special") or {}
        return [f"--{name}", next((text for text, meaning in special.items() if meaning is None), "none")]
    return [f"--{name}", str(value)]
