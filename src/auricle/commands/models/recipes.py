"""``auricle models recipes``: the published recipes of learning with labels or from a teacher."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import argument, option
from auricle.methods.registry import METHODS

VERBS = ("finetune", "distill")
UNMEASURED = "never run at full scale here"


@dataclass(frozen=True)
class ListRecipesConfig:
    """Recipes to list."""

    name: str | None = argument("one recipe, which is printed with its settings", default=None)
    data: str | None = option(None, "only the recipes of this data set, as auricle prepare names it")


@dataclass(frozen=True)
class Recipe:
    """One published recipe.

    Attributes:
        name: what follows ``--recipe``.
        verb: ``finetune`` or ``distill``.
        data: the data set, as ``auricle prepare`` names it; "" for data of one's own.
        source: the program, and where in the specification its settings stand.
        generation: of the program.
        expected: the published score, with the weights that it was reached with; None: not published.
        tolerance: how far published runs lie around it; None: not published.
        measured: what was measured here, and at which scale.
        settings: by the names of the options.
    """

    name: str
    verb: str
    data: str
    source: str
    generation: str
    expected: str | None
    tolerance: str | None
    measured: str
    settings: dict[str, Any]

    @property
    def command(self) -> str:
        """The command line that runs it."""
        return f"auricle {self.verb} DATA --recipe {self.name} --model MODEL"


def list_recipes(config: ListRecipesConfig) -> tuple[Recipe, ...]:
    """Return the recipes of both verbs.

    Raises:
        AuricleError: There is no recipe of this name, or none of this data set.
    """
    recipes = [
        Recipe(
            name,
            method.verb,
            preset.data,
            preset.source,
            preset.generation,
            preset.expected,
            preset.tolerance,
            preset.measured or UNMEASURED,
            dict(preset.values),
        )
        for verb in VERBS
        for method in METHODS.values()
        if method.verb == verb
        for name, preset in method.presets.items()
    ]
    names, data = [recipe.name for recipe in recipes], sorted({recipe.data for recipe in recipes if recipe.data})
    if config.name is not None and config.name not in names:
        raise AuricleError(f"there is no recipe '{config.name}'{nearest(config.name, names)}")
    if config.data is not None and config.data not in data:
        raise AuricleError(
            f"no recipe is about '{config.data}'{nearest(config.data, data)}; there are {', '.join(data)}"
        )
    return tuple(
        recipe for recipe in recipes if config.name in (None, recipe.name) and config.data in (None, recipe.data)
    )
