"""A Hydra command line as one table of dotted names: ``--config-dir D --config-name N group.name=value …``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from auricle.core.errors import AuricleError, nearest

FLAGS = {"--config-dir": "folder", "-cd": "folder", "--config-path": "folder", "-cp": "folder"}
FLAGS |= {"--config-name": "name", "-cn": "name"}
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class HydraLine:
    """A parsed line: folder and name of the YAML file with the defaults ("" if none is named), values by dotted name."""

    folder: str
    name: str
    values: dict[str, Any]


def read_line(words: Sequence[str]) -> HydraLine:
    """Parse a line. Raises AuricleError for a word that is neither a known flag nor name=value."""
    rest, file, values = list(words), {"folder": "", "name": ""}, {}
    while rest:
        word = rest.pop(0)
        flag, equals, text = word.partition("=")
        if flag in FLAGS:
            file[FLAGS[flag]] = text if equals else _following(flag, rest)
        elif word.startswith(("-", "~")) or not equals:
            raise AuricleError(f"'{word}' is not understood; expected {', '.join(FLAGS)} or name=value")
        else:
            values[flag.lstrip("+").replace("/", ".")] = _value(text)
    return HydraLine(file["folder"], file["name"], values)


def _following(flag: str, rest: list[str]) -> str:
    if not rest:
        raise AuricleError(f"{flag} needs a value")
    return rest.pop(0)


def _value(text: str) -> Any:
    """Return a value as Hydra reads it: numbers, true and false, lists, null; else text."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def read_yaml(folder: str, name: str) -> dict[str, Any]:
    """Return the file's values by dotted name. Raises AuricleError if it is not there or is no table."""
    path = Path(folder) / f"{name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        there = [file.stem for file in Path(folder).glob("*.yaml")] if Path(folder).is_dir() else []
        raise AuricleError(
            f"there is no {path}{nearest(path.stem, there)}; without --config-dir the published settings are taken"
        )
    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AuricleError(f"{path} is not YAML: {error}") from None
    if not isinstance(table, dict):
        raise AuricleError(f"{path} holds no settings; expected groups such as 'task:' with names below them")
    return dict(_flat(table))


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resolved(name: str, values: dict[str, Any]) -> Any:
    """Return the value of a name and follow ``${group.name}``. Raises AuricleError for a reference without a value."""
    value, seen = values[name], {name}
    while isinstance(value, str) and (match := REFERENCE.fullmatch(value.strip())):
        if match[1] in seen or match[1] not in values:
            raise AuricleError(f"{name} refers to {match[1]}, which has no value")
        seen.add(match[1])
        value = values[match[1]]
    return value
