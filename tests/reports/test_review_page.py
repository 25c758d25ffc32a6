"""The page of a review in a real browser: answered from the keyboard, kept, undone, and saved as a table of answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from auricle.index.answers import read_answers
from auricle.reports.clip_pages.review_page import ReviewQuestions, review_page
from auricle.review.precision import precision_of
from auricle.review.queue import ReviewItem
from helpers.axe import accessibility_problems
from helpers.chromium import until, watch
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound

SCORES = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)

pytestmark = pytest.mark.xdist_group("pages of reports")  # each file is made, and opened in a browser, once


@pytest.fixture(scope="module")
def page_file(tmp_path_factory) -> Path:
    """A page about four frogs and two owls in one recording; the frogs were drawn with different probabilities."""
    folder = tmp_path_factory.mktemp("review")
    recording = folder / "a, b.wav"
    write_sound(recording, np.concatenate([tone(0.5, 16000, 300.0 * (i + 1), seed=i) for i in range(6)]), 16000)
    probabilities = (None, None, 0.5, 0.25, None, None)
    items = [
        ReviewItem(str(recording), i / 2, i / 2 + 0.5, "Owl" if i > 3 else "Frog", score, "mn@ab", p)
        for i, (score, p) in enumerate(zip(SCORES, probabilities))
    ]
    page = review_page(ReviewQuestions(items, "ann", wanted=0.5, context=0.1), folder)
    (folder / "review.html").write_text(page.html, encoding="utf-8")
    return folder / "review.html"


@pytest.fixture
def opened(browser, page_file):
    """A function that opens the page; nothing may go wrong in it, and nothing may be asked of the network."""
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)

    def open_page(width: int = 1200):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 900})
        watch(page, troubles)
        page.goto(page_file.as_uri())
        return page

    yield open_page
    context.close()
    assert troubles == []


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page, tmp_path: Path):
    with page.expect_download(timeout=1000 * PATIENCE) as download:
        page.click("#download")
    path = tmp_path / "answers.csv"
    download.value.save_as(path)
    return read_answers(path)


def test_answers_from_the_keyboard_become_a_table_of_answers(opened, tmp_path):
    page = opened()
    press(page, "y", "n", "u", "o")
    page.keyboard.type('toad, "common"')
    press(page, "Enter", "o", "Enter")
    assert "5 of 6 answered, 1 unsure" in page.inner_text("#counts")
    assert "Is it Owl? (score 0.40)" in page.inner_text("#question")
    answers = saved(page, tmp_path)
    assert [(a.start, a.label, a.answer, a.other) for a in answers] == [
        (0.0, "Frog", "yes", ""),
        (0.5, "Frog", "no", ""),
        (1.0, "Frog", "unsure", ""),
        (1.5, "Frog", "other", 'toad, "common"'),
        (2.0, "Owl", "other", ""),
    ]
    assert [a.score for a in answers] == list(SCORES[:5])
    assert {a.reviewer for a in answers} == {"ann"}
    assert {a.model for a in answers} == {"mn@ab"}
    assert [a.probability for a in answers] == [None, None, 0.5, 0.25, None]
    assert all(Path(a.path).is_file() for a in answers)


def test_answers_are_kept_and_undone_and_the_name_of_the_class_itself_is_a_yes(opened, tmp_path):
    page = opened()
    press(page, "y", "n")
    page.reload()  # not closed and opened: a new process of the browser may read before the old one has written
    assert "2 of 6 answered" in page.inner_text("#counts")
    press(page, "z", "z")
    assert "0 of 6 answered" in page.inner_text("#counts")
    assert page.is_disabled("#undo")
    press(page, "o")
    page.keyboard.type("frog")
    press(page, "Enter")
    page.fill("#reviewer", "  bob ")
    page.locator("#name").focus()
    assert [(a.answer, a.reviewer) for a in saved(page, tmp_path)] == [("yes", "bob")]


def test_answers_in_two_tabs_are_joined(opened, tmp_path):
    one, other = opened(), opened()
    press(one, "y", "n")
    until(other, "Object.keys(state.answers).length === 2")
    other.locator("#all button").nth(2).click()
    press(other, "u")
    until(one, "Object.keys(state.answers).length === 3")
    assert "3 of 6 answered, 1 unsure" in one.inner_text("#counts")
    assert [a.answer for a in saved(one, tmp_path)] == ["yes", "no", "unsure"]


def test_a_class_can_be_reviewed_alone(opened):
    page = opened()
    page.select_option("#filter", "Owl")
    assert "Clip 5 of 6" in page.inner_text("#name")
    assert page.is_disabled("#back")
    page.locator("#name").focus()
    press(page, "y", "n")
    assert "2 of 2 answered" in page.inner_text("#counts")
    assert "All clips of Owl have an answer" in page.inner_text("#status")
    assert page.locator("#all li:not([hidden])").count() == 2


def test_the_page_computes_the_curve_of_the_command(opened, tmp_path):
    page = opened()
    press(page, "y", "n", "y", "n", "y")
    until(page, "!!state.answers[4]")
    rows = page.evaluate("precisionCurve('Frog')")
    found = precision_of(saved(page, tmp_path), "Frog", 0.5)
    expected = [(t, p, low, high) for t, p, low, high, _ in found.rows()]
    assert [(r["threshold"], r["precision"], r["low"], r["high"]) for r in rows] == [pytest.approx(e) for e in expected]
    press(page, "ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert "Frog: 38 % right" in page.inner_text("#found")
    assert not page.locator("#chart").is_hidden()


def test_the_sound_plays_with_the_span_marked(opened):
    page = opened()
    press(page, "ArrowRight")
    mark = page.evaluate("[clip().mark, clip().seconds, clip().from]")
    assert mark[0] == pytest.approx([0.1 / 0.7, 0.6 / 0.7], abs=0.01)
    assert mark[1:] == pytest.approx([0.7, 0.4], abs=0.01)
    page.evaluate("stop()")
    press(page, " ")
    until(page, "audio !== null && audio.currentTime > 0.02")
    assert page.evaluate("audio.error") is None


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_fits_the_screen_and_has_names_for_everything(opened, width):
    page = opened(width)
    press(page, "y", "n")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = """[...document.querySelectorAll('button, input, select, img, progress')].filter(e =>
      !(e.textContent.trim() || e.alt || e.getAttribute('aria-label') || (e.labels && e.labels.length))).map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    assert page.evaluate("document.activeElement.id") == "name"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, page_file, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.goto(page_file.as_uri())
    press(page, "y", "n")
    try:
        assert accessibility_problems(page) == []
    finally:
        context.close()
