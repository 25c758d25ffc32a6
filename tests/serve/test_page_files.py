"""The files of the page fit together: what no browser is needed to see."""

from __future__ import annotations

import re

import pytest

from auricle.core.page_parts import shared_parts
from auricle.serve.app import PAGE
from helpers.serving import client_of

SHARED = {part.name: part.read_text("utf-8") for part in shared_parts()}
OWN = {str(file.relative_to(PAGE)): file.read_text("utf-8") for file in PAGE.rglob("*") if file.is_file()}
IMPORT = re.compile(r'import (?:\{([^}]*)\} )?from "([^"]+)"')
NAMESPACE = "http://www.w3.org/2000/svg"  # a name, not an address


def test_every_import_names_something_that_its_module_exports():
    missing = []
    for name, text in OWN.items():
        for names, address in IMPORT.findall(text):
            module = address.rpartition("/")[2] if address.startswith("../") else address.removeprefix("./")
            place = f"views/{module}" if name.startswith("views/") and address.startswith("./") else module
            source = OWN.get(place) or SHARED.get(place, "")
            exported = set(re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", source, re.MULTILINE))
            missing += [
                f"{name}: {item.strip()} of {address}" for item in names.split(",") if item.strip() not in exported
            ]
    assert missing == []


def test_every_colour_of_the_style_sheets_is_defined():
    sheets = [text for name, text in (OWN | SHARED).items() if name.endswith(".css")]
    used = {name for text in sheets for name in re.findall(r"var\((--[\w-]+)", text)}
    set_by_scripts = set(re.findall(r'setProperty\("(--[\w-]+)"', "".join(OWN.values()) + "".join(SHARED.values())))
    defined = {name for text in sheets for name in re.findall(r"(--[\w-]+):", text)}
    assert used - defined - set_by_scripts == set()


def test_nothing_names_another_server():
    found = {name: re.findall(r"https?://[^\s\"'`]+", text) for name, text in (OWN | SHARED).items()}
    assert {name: [a for a in addresses if a != NAMESPACE] for name, addresses in found.items()} == {
        n: [] for n in found
    }


@pytest.mark.parametrize("name", ["", "main.js", "views/review.js", "theme.css", "microphone.js", "icon.svg"])
def test_the_server_gives_the_files_of_the_page_and_those_that_all_pages_share(name, served):
    answer = served.get(f"/{name}")
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert answer.headers["content-type"].partition("/")[0] in ("text", "image", "application")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client_of(model="logmel-stats", state=str(tmp_path_factory.mktemp("state"))) as client:
        yield client
