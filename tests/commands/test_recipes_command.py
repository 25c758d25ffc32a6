"""``auricle models recipes``, and the page about the recipes."""

from __future__ import annotations

import json

import pytest

from auricle.cli.main import main
from auricle.commands.models.recipes import UNMEASURED, ListRecipesConfig, list_recipes
from auricle.core.errors import AuricleError
from auricle.data.published.table import DATASETS
from helpers.paths import ROOT

ALL = list_recipes(ListRecipesConfig())


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
def test_a_recipe_has_a_source_a_generation_and_a_place_on_the_page(recipe):
    page = (ROOT / "docs" / "recipes.md").read_text()
    short = recipe.name.removeprefix("efficientat-")
    assert f"`{recipe.name}`" in page or short in page
    assert "docs/specification/" in recipe.source
    assert recipe.generation
    assert recipe.data in ("", *DATASETS)
    assert recipe.measured == UNMEASURED


def test_recipes_are_listed_with_their_expected_score(capsys):
    assert main(["models", "recipes", "--data", "icbhi"]) == 0
    printed = capsys.readouterr().out
    assert "expected: Score 63.29 with M2D-X pre-trained further, best epoch on the test part ± 0.22" in printed
    assert "measured: never run at full scale here" in printed
    assert "esc50" not in printed


def test_one_recipe_is_printed_with_its_settings(capsys):
    assert main(["models", "recipes", "sprsound"]) == 0
    printed = capsys.readouterr().out
    assert "front-end            decibel-mel/16k" in printed
    assert "clip-grad            none" in printed


def test_programs_get_json(capsys):
    assert main(["models", "recipes", "m2d-circor", "--json"]) == 0
    (recipe,) = json.loads(capsys.readouterr().out)
    assert recipe["command"] == "auricle finetune DATA --recipe m2d-circor --model MODEL"
    assert recipe["settings"]["priority"] == ["Present", "Unknown", "Absent"]
    assert (recipe["data"], recipe["expected"][:23]) == ("circor", "weighted accuracy 0.832")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ListRecipesConfig("icbi"), "no recipe 'icbi'.*icbhi"),
        (ListRecipesConfig(data="esc500"), "no recipe is about 'esc500'.*esc50"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(config, message):
    with pytest.raises(AuricleError, match=message):
        list_recipes(config)
