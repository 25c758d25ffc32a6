"""The documentation site builds without a warning, and its pages load nothing from elsewhere."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import auricle

ROOT = Path(__file__).resolve().parents[1]
ELSEWHERE = re.compile(r"^\s*(?:https?:)?//", re.IGNORECASE)
LOADED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
IN_STYLE = re.compile(r"@import\s+(?:url\()?[\"']?((?:https?:)?//[^\"')\s]+)|url\(\s*[\"']?((?:https?:)?//[^\"')\s]+)")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("material") is None, reason="mkdocs-material is not installed ([docs])"
    ),
]


class Resources(HTMLParser):
    """Collect what a page loads from other hosts; links that a reader may follow do not count."""

    def __init__(self) -> None:
        super().__init__()
        self.elsewhere: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        target = values.get(LOADED.get(tag, ""), "")
        if ELSEWHERE.match(target) and values.get("rel") != "canonical":
            self.elsewhere.append(target)
        self.elsewhere += [next(filter(None, found)) for found in IN_STYLE.findall(values.get("style", ""))]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(out)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr[-3000:]
    return out


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    found = {}
    for page in site.rglob("*.html"):
        parser = Resources()
        parser.feed(page.read_text(encoding="utf-8"))
        if parser.elsewhere:
            found[page.relative_to(site).as_posix()] = parser.elsewhere
    assert found == {}


def test_styles_load_nothing_from_elsewhere(site: Path) -> None:
    found = {style.name: IN_STYLE.findall(style.read_text(encoding="utf-8")) for style in site.rglob("*.css")}
    assert {name: targets for name, targets in found.items() if targets} == {}


def test_the_reference_holds_every_public_name(site: Path) -> None:
    page = (site / "reference" / "api.html").read_text(encoding="utf-8")
    assert [name for name in auricle.__all__ if f"auricle.{name}" not in page] == []


def test_the_reference_holds_every_verb(site: Path) -> None:
    from auricle.cli.main import VERBS

    page = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    assert [verb for verb in VERBS if f'id="auricle-{verb.replace(" ", "-")}"' not in page] == []


def test_the_reference_links_to_the_specification(site: Path) -> None:
    pages = [(site / "reference" / name).read_text(encoding="utf-8") for name in ("api.html", "commands.html")]
    assert not any("docs/specification" in page for page in pages)
    assert any('href="../specification/m2d.html#s' in page for page in pages)
