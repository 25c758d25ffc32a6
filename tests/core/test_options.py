"""Settings are checked where they are made, so Python and the command line refuse the same things."""

import importlib
import pkgutil
from dataclasses import MISSING, fields, is_dataclass

import pytest

import auricle
from auricle.core.errors import AuricleError


def configs():
    modules = [m.name for m in pkgutil.walk_packages(auricle.__path__, "auricle.") if not m.name.endswith("__main__")]
    found = {v for name in modules for v in vars(importlib.import_module(name)).values() if is_dataclass(v)}
    return sorted((kind for kind in found if isinstance(kind, type)), key=lambda kind: kind.__qualname__)


def choices():
    return [(kind, f.name) for kind in configs() for f in fields(kind) if f.metadata.get("choices")]


@pytest.mark.parametrize(("kind", "name"), choices(), ids=lambda value: getattr(value, "__name__", value))
def test_a_value_that_is_none_of_its_choices_is_refused_with_the_flag(kind, name):
    needed = {f.name: "x" for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    with pytest.raises(AuricleError, match=f"--{name.replace('_', '-')} is one of .*, not 'nonsense'"):
        kind(**{**needed, name: "nonsense"})
