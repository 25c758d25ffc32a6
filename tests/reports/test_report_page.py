"""The page in a real browser: nothing asked of the network, no errors, readable at every width, map and sounds work."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from auricle.reports.page import build_report
from helpers.patience import PATIENCE
from helpers.report_runs import CLASSES, make_run, make_sounds

pytestmark = pytest.mark.xdist_group("pages of reports")  # each file is made, and opened in a browser, once


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(tmp_path_factory.mktemp("cache")))
        sounds = make_sounds(tmp_path_factory.mktemp("sounds"))
        return build_report(make_run(sounds, tmp_path_factory.mktemp("runs") / "tones"))


@pytest.fixture
def opened(browser, page_file):
    """A function that opens the page; at the end nothing must have gone wrong in any page it opened."""
    troubles: list[str] = []

    def open_page(width: int = 1200, scheme: str = "light", touch: bool = False):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=touch)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda r: None if _own(r.url, page_file) else troubles.append(f"asked for {r.url}"))
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in browser.contexts:
        context.close()
    assert troubles == []


def _own(url: str, page_file: Path) -> bool:
    return url == page_file.as_uri() or url.startswith(("data:", "blob:"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_the_page_fits_every_width_and_both_schemes(opened, width, scheme):
    page = opened(width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]")
    assert (lightness > 128) == (scheme == "light")
    small = page.evaluate(
        "Math.min(...[...document.querySelectorAll('.chart text')].map(t => t.getBoundingClientRect().height))"
    )
    assert small > 10


HIDDEN = """
[...document.querySelectorAll('.scroll')].filter(box => box.querySelector('table.scores, table.classes, table.mistakes'))
  .filter(box => box.scrollWidth > box.clientWidth).map(box => box.querySelector('table').className)
"""


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_column_of_the_scores_is_cut_off(opened, width):
    page = opened(width)
    assert page.evaluate(HIDDEN) == []
    lead = page.locator("table.scores tbody tr").nth(1).locator("td").nth(2)
    box = lead.bounding_box()
    assert lead.inner_text()[0] in "+−"
    assert 0 < box["x"] < box["x"] + box["width"] <= width


@pytest.mark.parametrize("width", [390, 1280])
def test_the_drawings_of_scores_share_the_axis_above_them(opened, width):
    page = opened(width)
    table = page.locator("table.scores").first
    axis = table.locator("svg.scale").bounding_box()
    for i in range(3):
        bar = table.locator("tbody svg.bar").nth(i).bounding_box()
        assert bar["x"] == pytest.approx(axis["x"], abs=1)
        assert bar["width"] == pytest.approx(axis["width"], abs=1)
    assert table.locator("svg.scale text").all_text_contents() == ["0", "25", "50", "75", "100"]
    dots = table.locator("circle.fold title").all_text_contents()
    assert len(dots) >= 6
    assert all(re.fullmatch(r".+: \d+\.\d %", dot) for dot in dots)


@pytest.mark.parametrize("width", [390, 1280])
def test_classes_are_named_on_the_map(opened, width):
    page = opened(width)
    names = page.locator("svg.map text")
    assert sorted(names.all_text_contents()) == sorted(CLASSES)
    boxes = [names.nth(i).bounding_box() for i in range(len(CLASSES))]
    frame = page.locator("svg.map").bounding_box()
    for i, a in enumerate(boxes):
        assert frame["x"] <= a["x"]
        assert a["x"] + a["width"] <= frame["x"] + frame["width"]
        for b in boxes[:i]:
            apart = abs(a["y"] - b["y"]) >= 0.7 * a["height"]
            assert apart or a["x"] + a["width"] <= b["x"] or b["x"] + b["width"] <= a["x"]


def test_pointing_at_a_clip_of_the_map_shows_it(opened):
    page = opened()
    page.locator("svg.map path.playable").last.hover()
    tip = page.locator("#tip")
    assert tip.is_visible()
    assert ".wav" in tip.inner_text()
    assert tip.locator("img").evaluate("image => image.decode().then(() => image.naturalWidth)") > 10


def test_a_clip_of_the_map_plays_on_a_click_and_stops_on_the_next(opened):
    page = opened()
    watch_sounds(page)
    point = page.locator("svg.map path.playable").last
    point.click()
    until(page, "window.played.length === 1 && window.played[0].currentTime > 0.02")
    assert page.evaluate("window.played[0].error") is None
    point.click()
    until(page, "window.played[0].paused")


def test_a_clip_of_the_map_plays_from_the_keyboard(opened):
    page = opened()
    watch_sounds(page)
    page.locator("svg.map path.playable").last.focus()
    page.keyboard.press("Enter")
    until(page, "window.played.length === 1 && window.played[0].currentTime > 0.02")


def test_every_button_plays_a_sound_that_the_page_holds(opened):
    page = opened()
    missing = page.evaluate(
        "(() => { const sounds = JSON.parse(document.getElementById('store').textContent).sounds;"
        "return [...document.querySelectorAll('button.play')].filter(b => !sounds[b.dataset.sound]).length })()"
    )
    assert missing == 0
    watch_sounds(page)
    page.locator("#clips button.play").first.click()
    until(page, "window.played.length === 1 && window.played[0].duration > 0.2")


def test_pointing_at_a_curve_reads_its_values_out(opened):
    page = opened()
    page.locator("#training .chart svg").first.hover()
    tip = page.locator("#tip").inner_text()
    assert tip.startswith("epoch")
    assert any(character.isdigit() for character in tip)


def test_choosing_a_class_picks_its_clips_out(opened):
    page = opened()
    page.locator(".classes button").first.click()
    assert page.locator("svg.map.some path.chosen").count() == 8
    page.locator(".classes button").first.click()
    assert page.locator("svg.map.some").count() == 0


def until(page, condition: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition; the page's own policy forbids evaluating strings in it, so it is asked repeatedly."""
    for _ in range(round(seconds / 0.05)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")


def watch_sounds(page) -> None:
    """Note every sound that is played, without changing how it is."""
    page.evaluate(
        """() => {
          window.played = [];
          const play = HTMLMediaElement.prototype.play;
          HTMLMediaElement.prototype.play = function () { window.played.push(this); return play.call(this); };
        }"""
    )
