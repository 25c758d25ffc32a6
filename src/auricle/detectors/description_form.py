"""The form of ``evaluations/detector.json``: the kind of each value. The file may come from anywhere, and reports rely on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from auricle.core.console import printable

MOST = 2.0**53  # of a number: floats hold whole ones up to it
MOST_DEPTH = 20  # of values of any kind


@dataclass(frozen=True)
class Number:
    """A finite number; JSON's null stands for NaN where ``none`` is True."""

    least: float = -MOST
    whole: bool = False
    none: bool = True


@dataclass(frozen=True)
class Optional:
    """Null, or a value of a form."""

    form: Any


@dataclass(frozen=True)
class Mapping:
    """A mapping: of the ``required`` names all are there, those of ``known`` have their form, others that of ``rest``."""

    known: dict[str, Any]
    required: tuple[str, ...] = ()
    rest: Any = object  # any value


class Nothing:
    """The form that no value has."""


TEXT, SCORE = str, Number()
COUNT, SECONDS = Number(0, whole=True, none=False), Number(0)
TEXTS = [TEXT]


def _by_name(form: Any) -> Mapping:
    return Mapping({}, rest=form)


PART = Mapping(
    {
        "clips": COUNT,
        "seconds": SECONDS,
        "groups": COUNT,
        "classes": _by_name(Mapping({"clips": COUNT, "groups": COUNT})),
    },
    required=("clips", "classes"),
)
HEAD_SETTINGS = Mapping(  # of ``FrozenHead``
    {
        "strength": Number(1e-12, none=False),
        "scores": TEXT,
        "layers": [COUNT],
        "per_class": bool,
        "seed": COUNT,
    },
    rest=Nothing,
)
TRIAL = Mapping(
    {
        "head": TEXT,
        "settings": Mapping({}),
        "metric": TEXT,
        "score": SCORE,
        "se": SCORE,
        "fold_scores": [SCORE],
        "loss": SCORE,
        "seconds": SECONDS,
    },
    required=("head", "settings", "score"),
)
THRESHOLDS = Mapping(
    {
        "goal": Mapping({"in_words": TEXT}),
        "fitted_on": TEXT,
        "classes": [Mapping({"id": TEXT}, required=("id",))],
        "notes": TEXTS,
        "values": _by_name(SCORE),
    }
)
FORM = Mapping(
    {
        "classes": TEXTS,
        "names": TEXTS,
        "background": TEXTS,
        "kind": TEXT,
        "reason": TEXT,
        "head": Mapping({"kind": TEXT, "settings": HEAD_SETTINGS}),
        "parts": _by_name(PART),
        "scores": _by_name(_by_name(SCORE)),
        "trials": [TRIAL],
        "notes": TEXTS,
        "data": Mapping({}),
        "left_out": Mapping({}),
        "folds": COUNT,
        "calibration": Optional(Mapping({"ece_before": SCORE, "ece_after": SCORE, "fitted_on": TEXT})),
        "thresholds": Optional(THRESHOLDS),
    }
)


def fault(value: Any, form: Any, where: str = "") -> str:
    """Return the place of the first value of another kind ("parts.train.clips"); "" for a value of this form."""
    if isinstance(form, Optional):
        return "" if value is None else fault(value, form.form, where)
    if isinstance(form, Mapping):
        return _mapping_fault(value, form, where)
    if isinstance(form, list):
        if not isinstance(value, list):
            return where
        return next((found for i, item in enumerate(value) if (found := fault(item, form[0], f"{where}.{i}"))), "")
    if isinstance(form, Number):
        return "" if _is_number(value, form) else where
    if form is object:
        return "" if _is_shallow(value) else where
    return "" if isinstance(value, form) else where


def _mapping_fault(value: Any, form: Mapping, where: str) -> str:
    if not isinstance(value, dict):
        return where or "whole content"
    for name in (*form.required, *value):
        place = f"{where}.{name}" if where else name
        inside = fault(value[name], form.known.get(name, form.rest), place) if name in value else place
        if inside:
            return printable(inside)[:200]
    return ""


def _is_number(value: Any, form: Number) -> bool:
    if value is None:
        return form.none
    if isinstance(value, bool) or not isinstance(value, (int, float)) or (form.whole and not isinstance(value, int)):
        return False
    return form.least <= value <= MOST and math.isfinite(value)


def _is_shallow(value: Any, depth: int = 0) -> bool:
    """Return True for a value that is not nested so deeply that writing it fails."""
    if isinstance(value, dict):
        value = list(value.values())
    return not isinstance(value, list) or (depth < MOST_DEPTH and all(_is_shallow(item, depth + 1) for item in value))
