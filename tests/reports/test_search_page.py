"""The page of search results in a real browser: chosen and marked from the keyboard, the marks make the next command."""

from __future__ import annotations

from pathlib import Path

import pytest

from auricle.commands.search import SearchConfig, search_index
from helpers.axe import accessibility_problems
from helpers.chromium import watch
from helpers.patience import PATIENCE
from helpers.tone_index import ToneIndex, make_tone_index

pytestmark = pytest.mark.xdist_group("pages of reports")  # each file is made, and opened in a browser, once


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ToneIndex:
    return make_tone_index(tmp_path_factory.mktemp("tones"))


@pytest.fixture
def opened(browser, made, tmp_path):
    """A function that searches and opens the page; nothing may go wrong in it, and nothing may be asked of the network."""
    troubles: list[str] = []
    contexts = []

    def open_page(*query: str, width: int = 1200, **settings):
        page_file = tmp_path / "found.html"
        search_index(SearchConfig(str(made.index.folder), query, page=page_file, **settings), made.encoder)
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        watch(page, troubles)
        page.goto(page_file.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


def spans(page) -> list[str]:
    return page.eval_on_selector_all(
        "#cards li:not(.example)", "cards => cards.map(c => c.textContent.match(/#\\d+/)[0])"
    )


def test_marks_become_examples_of_the_next_search(opened, made):
    example = str(made.examples / "low.wav")
    page = opened(example, top_k=3)
    found = spans(page)
    assert page.locator("#cards li.example").count() == 1
    for key in ("ArrowRight", "y", "ArrowRight", "n", "ArrowRight", "y", "y"):
        page.keyboard.press(key)
    command = page.inner_text("#commands")
    assert command.startswith(
        f"auricle search {made.index.folder} {example} '{found[0]}' --unlike '{found[1]}' --top-k 3"
    )
    page.keyboard.press("z")  # the third was marked and taken back
    page.keyboard.press("z")
    page.keyboard.press("z")
    assert "--unlike" not in page.inner_text("#commands")
    page.reload()
    assert f"'{found[0]}'" in page.inner_text("#commands")


def test_sound_plays_in_its_own_card_and_stops_when_another_is_chosen(opened):
    page = opened("label:high > 0.9", top_k=2)
    second = page.locator("#cards li").nth(1)
    second.locator(".sound").click()
    second.locator(".sound", has_text="Stop").wait_for(timeout=1000 * PATIENCE)
    assert second.get_attribute("aria-current") == "true"
    page.keyboard.press("ArrowLeft")
    second.locator(".sound", has_text="Play").wait_for(timeout=1000 * PATIENCE)
    assert page.locator("#cards li").nth(0).get_attribute("aria-current") == "true"


def test_example_cannot_be_marked(opened):
    page = opened("#1", top_k=2)
    page.keyboard.press("y")
    assert page.inner_text("#status") == "this is an example already"


def test_linked_recordings_play_their_span(opened, made):
    page = opened("label:high > 0.9", top_k=1, path="20240601_220000.WAV", link=True)
    page.locator(".sound").click()
    page.locator(".sound", has_text="Stop").wait_for(timeout=1000 * PATIENCE)
    assert page.evaluate("audio.currentTime") >= 1.9
    assert made.sounds.name in page.evaluate("data.clips[0].sound")


def test_page_of_nothing_says_so(opened):
    page = opened("label:low > 0.9", place="nowhere")
    assert "0 spans with low > 0.9" in page.inner_text("h1")
    assert "there is no place 'nowhere'" in page.inner_text(".warnings")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_is_accessible(opened, made, scheme):
    page = opened(str(made.examples / "low.wav"), "label:low > 0.5", top_k=3)
    page.emulate_media(color_scheme=scheme)
    for key in ("ArrowRight", "y", "ArrowRight", "n"):
        page.keyboard.press(key)
    assert accessibility_problems(page) == []


@pytest.mark.parametrize("width", [390, 800, 1400])
def test_page_is_no_wider_than_the_window(opened, width):
    page = opened("label:high", top_k=4, width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_recording_that_is_gone_is_left_out_and_named(made, tmp_path):
    moved = made.sounds / "hill/S4A01234_20240602_120000.wav"
    moved.rename(moved.with_suffix(".gone"))
    try:
        config = SearchConfig(str(made.index.folder), "label:high > 0.9", page=tmp_path / "found.html")
        results = search_index(config, made.encoder).results
    finally:
        moved.with_suffix(".gone").rename(moved)
    assert any(moved.name in note for note in results.notes)
    assert "20240601_220000.WAV" in Path(tmp_path / "found.html").read_text(encoding="utf-8")
