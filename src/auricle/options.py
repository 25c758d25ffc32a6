"""How a frozen config says what its fields mean: the text serves ``--help``, the docs and the saved config alike."""

from __future__ import annotations

from dataclasses import MISSING, field, fields, is_dataclass
from typing import Any


def option(default: Any = MISSING, help: str = "", *, choices: tuple[str, ...] = (), flag: str = "", factory: Any = MISSING):
    """A dataclass field with a one-line meaning (say the unit), allowed values, and another flag name if the field's does not do."""
    metadata = {"help": help, "choices": choices, "flag": flag}
    if factory is not MISSING:
        return field(default_factory=factory, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def argument(help: str = "", *, default: Any = MISSING, many: bool = False):
    """A positional argument of a verb."""
    metadata = {"help": help, "positional": True, "many": many}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def as_plain(config: Any) -> Any:
    """A config as JSON/YAML values, nested configs as mappings, paths as text."""
    if is_dataclass(config) and not isinstance(config, type):
        return {f.name: as_plain(getattr(config, f.name)) for f in fields(config)}
    if isinstance(config, (list, tuple)):
        return [as_plain(value) for value in config]
    if isinstance(config, dict):
        return {key: as_plain(value) for key, value in config.items()}
    return config if isinstance(config, (int, float, bool, str, type(None))) else str(config)
