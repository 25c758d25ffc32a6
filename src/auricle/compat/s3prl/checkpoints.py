"""Checkpoint strings of SUPERB's upstreams, ``PATH,MEAN,STD``, and their settings file. No PyTorch here."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.io import read_yaml

SETTINGS: dict[str, Any] = {"padding": "exact", "updates": 10000}


@dataclass(frozen=True)
class UpstreamWeights:
    """A parsed string.

    Attributes:
        path: What ``auricle.load`` takes.
        stats: Mean and standard deviation; None where the string has none.
    """

    path: str
    stats: tuple[float, float] | None = None


def parse_checkpoint(text: Any, upstream: str, *, stats_needed: bool = False) -> UpstreamWeights:
    """Parse ``PATH`` or ``PATH,MEAN,STD``.

    Args:
        text: The string.
        upstream: Name of the upstream, for messages.
        stats_needed: Refuse a string without statistics.

    Raises:
        AuricleError: There is no path, the statistics are no numbers, or the deviation is not above 0.
    """
    if not isinstance(text, (str, os.PathLike)) or not os.fspath(text):
        form = "PATH,MEAN,STD" if stats_needed else "PATH"
        raise AuricleError(f"the upstream {upstream} needs a checkpoint: -k {form}")
    words = os.fspath(text).rsplit(",", 2)
    if len(words) == 1 and not stats_needed:
        return UpstreamWeights(words[0])
    stats = tuple(map(_number, words[1:]))
    if len(stats) != 2 or None in stats:
        raise AuricleError(
            f"the upstream {upstream} takes -k PATH,MEAN,STD with two numbers, found '{text}'; the upstream m2d_calcnorm "
            "measures them"
        )
    mean, std = float(stats[0] or 0.0), float(stats[1] or 0.0)
    if std <= 0:
        raise AuricleError(f"the standard deviation of '{text}' should be above 0")
    return UpstreamWeights(words[0], (mean, std))


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_settings(source: Any) -> dict[str, Any]:
    """Return the settings of an upstream: a mapping, a YAML file, or None for the defaults.

    Raises:
        AuricleError: The file cannot be read, or has an unknown setting or value.
    """
    given = source or {}
    if isinstance(given, (str, Path)):
        if not Path(given).is_file():
            raise AuricleError(f"there is no settings file {given}")
        given = read_yaml(Path(given)) or {}
    if not isinstance(given, Mapping):
        raise AuricleError(f"the settings of an upstream are a mapping of {', '.join(SETTINGS)}, found {given!r}")
    for name in given:
        if name not in SETTINGS:
            raise AuricleError(f"unknown setting '{name}' of an upstream{nearest(str(name), tuple(SETTINGS))}")
    values = {**SETTINGS, **given}
    if type(values["updates"]) is not int or values["updates"] < 1:
        raise AuricleError(f"updates should be a whole number above 0, found {values['updates']!r}")
    return values
