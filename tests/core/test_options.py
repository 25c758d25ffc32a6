"""Settings are checked where they are made, so Python and the command line refuse the same things."""

import importlib
import pkgutil
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Literal

import pytest

import auricle
from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.options import as_plain, differences, from_plain, names_of, option, option_arguments


def configs():
    modules = [m.name for m in pkgutil.walk_packages(auricle.__path__, "auricle.") if not m.name.endswith("__main__")]
    values = (value for name in modules for value in module_values(name))
    found = {value for value in values if isinstance(value, type) and is_dataclass(value)}
    return sorted(found, key=lambda kind: kind.__qualname__)


def module_values(name):
    """What a module holds; nothing for one of an extra that is not installed."""
    try:
        return vars(importlib.import_module(name)).values()
    except MissingExtra:
        return ()


def choices():
    chosen = ((kind, f) for kind in configs() for f in fields(kind) if f.metadata.get("choices"))
    return [(kind, f.name, (f.metadata.get("flag") or f.name).replace("_", "-")) for kind, f in chosen]


@pytest.mark.parametrize(("kind", "name", "flag"), choices(), ids=lambda value: getattr(value, "__name__", value))
def test_a_value_outside_its_choices_is_refused_with_the_flag(kind, name, flag):
    needed = {f.name: "x" for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING}
    with pytest.raises(AuricleError, match=f"--{flag} is one of .*, not 'nonsense'"):
        kind(**{**needed, name: "nonsense"})


@dataclass(frozen=True)
class Inner:
    size: int = 3


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    rates: tuple[int, ...] = (16000,)
    path: str | None = None


def test_plain_values_give_the_config_back():
    config = Outer(Inner(5), (1, 2), "a")
    assert as_plain(config) == {"inner": {"size": 5}, "rates": [1, 2], "path": "a"}
    assert from_plain(Outer, as_plain(config)) == config
    assert from_plain(Outer, {}) == Outer()
    assert names_of(config) == {"size", "rates", "path"}


def test_an_unknown_name_is_refused_with_the_nearest_known_one():
    with pytest.raises(AuricleError, match="config.yaml holds 'siz', which Inner does not know; did you mean size"):
        from_plain(Outer, {"inner": {"siz": 4}}, "config.yaml")


@dataclass(frozen=True)
class Typed:
    count: int
    rate: float = 0.5
    kind: Literal["a", "b"] = "a"
    least: int | None = None
    sizes: tuple[int, ...] = ()
    inner: Inner = Inner()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": "12"}, "holds '12' as 'count'; expected a whole number"),
        ({"count": True}, "expected a whole number"),
        ({"count": 1, "rate": "3e-4"}, "expected a number"),
        ({"count": 1, "kind": "c"}, "expected one of a, b"),
        ({"count": 1, "least": [2]}, "expected a whole number or nothing"),
        ({"count": 1, "sizes": [1, "x"]}, "expected a list: a whole number"),
        ({"count": 1, "inner": 3}, "the settings of Inner are expected by name"),
        ([1], "the settings of Typed are expected by name"),
        ({3: 1}, "the settings of Typed are expected by name"),
        ({}, "does not hold 'count'"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_name(values, words):
    with pytest.raises(AuricleError, match=words):
        from_plain(Typed, values, "config.yaml")
    assert from_plain(Typed, {"count": 1, "rate": 2, "least": None, "sizes": []}) == Typed(1, 2.0)


def test_differences_are_dotted_names():
    assert differences(Outer(), Outer(Inner(4), path="b")) == ["inner.size", "path"]


def test_options_on_the_command_line_name_the_special_value_of_none():
    @dataclass(frozen=True)
    class Config:
        workers: int | None = option(2, special={"auto": None})
        hop: float | None = option(1.0)

    assert option_arguments(Config(workers=None, hop=None), Config()) == ["--workers", "auto", "--hop", "none"]
