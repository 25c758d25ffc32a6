"""Parse a Hydra command line into a table of dotted names: ``--config-dir D --config-name N group.name=value …``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from auricle.core import io
from auricle.core.errors import AuricleError, nearest

FLAGS = {"--config-dir": "folder", "-cd": "folder", "--config-path": "folder", "-cp": "folder"}
FLAGS |= {"--config-name": "name", "-cn": "name"}
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class HydraLine:
    """A parsed line: folder and name of the YAML file with the defaults ("" if there is none), values by dotted name."""

    folder: str
    name: str
    values: dict[str, Any]


def parse_hydra_line(args: Sequence[str]) -> HydraLine:
    """Parse a line.

    Raises:
        AuricleError: for an argument that is neither a known flag nor name=value.
    """
    rest, file, values = list(args), {"folder": "", "name": ""}, {}
    while rest:
        arg = rest.pop(0)
        flag, equals, text = arg.partition("=")
        if flag in FLAGS:
            file[FLAGS[flag]] = text if equals else _following(flag, rest)
        elif arg.startswith(("-", "~")) or not equals:
            raise AuricleError(f"unknown argument '{arg}'; expected {', '.join(FLAGS)} or name=value")
        else:
            values[flag.lstrip("+").replace("/", ".")] = _value(text)
    return HydraLine(file["folder"], file["name"], values)


def _following(flag: str, rest: list[str]) -> str:
    if not rest:
        raise AuricleError(f"{flag} needs a value")
    return rest.pop(0)


def _value(text: str) -> Any:
    """Parse a value as Hydra does: numbers, booleans, lists and null; anything else is text."""
    try:
        return yaml.safe_load(text)
    except Exception:  # of the reader, or of dates, numbers and deep nesting
        return text


def read_yaml(folder: str, name: str) -> dict[str, Any]:
    """Read the values of a YAML file by dotted name.

    Raises:
        AuricleError: if the file does not exist, is not YAML or has no groups.
    """
    path = Path(folder) / f"{name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        existing = [file.stem for file in Path(folder).glob("*.yaml")] if Path(folder).is_dir() else []
        raise AuricleError(
            f"there is no {path}{nearest(path.stem, existing)}; without --config-dir the published settings apply"
        )
    table = io.read_yaml(path)
    if not isinstance(table, dict):
        raise AuricleError(f"{path} holds no settings; expected groups such as 'task:' with names below them")
    return dict(_flat(table))


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resolve_reference(name: str, values: dict[str, Any]) -> Any:
    """Return the value of a name and follow references ``${group.name}``.

    Raises:
        AuricleError: if a reference is circular or has no value.
    """
    value, seen = values[name], {name}
    while isinstance(value, str) and (match := REFERENCE.fullmatch(value.strip())):
        if match[1] in seen or match[1] not in values:
            raise AuricleError(f"{name} refers to {match[1]}, which has no value")
        seen.add(match[1])
        value = values[match[1]]
    return value
