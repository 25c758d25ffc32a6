"""The page of suggestions in a real browser: answered from the keyboard, kept, and saved as a table that finetune reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.data.manifest.formats import read_manifest
from helpers.chromium import until, watch
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound
from helpers.tagging import LoudestBand

pytestmark = pytest.mark.xdist_group("pages of reports")  # each file is made, and opened in a browser, once


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """A page of six clips by kind of labels, and one with links ("link")."""
    folder = tmp_path_factory.mktemp("night")
    parts = [tone(0.5, 32000, hertz, seed=i) for i, hertz in enumerate([200, 900, 2500, 4000, 6000, 9000])]
    write_sound(folder / "a, b.wav", np.concatenate(parts), 32000)
    settings = {"window": 0.5, "top_k": 6, "near": 1.0, "random_ratio": 0.3}
    found = {}
    for name, kind, link in (
        ("multilabel",) * 2 + (False,),
        ("multiclass",) * 2 + (False,),
        ("link", "multilabel", True),
    ):
        found[name] = auricle.suggest(folder, LoudestBand(kind), out=folder / name, link=link, **settings).page
    return found


@pytest.fixture
def opened(browser, pages):
    """A function that opens a page; nothing may go wrong in it, and nothing may be asked of the network."""
    troubles: list[str] = []
    contexts = {}

    def open_page(name: str, width: int = 1200):
        context = contexts.get(name) or browser.new_context(viewport={"width": width, "height": 900})
        contexts[name] = context
        page = context.new_page()
        watch(page, troubles)
        page.goto(pages[name].as_uri())
        return page

    yield open_page
    for context in contexts.values():
        context.close()
    assert troubles == []


def press(page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def saved(page, tmp_path: Path) -> Path:
    with page.expect_download(timeout=1000 * PATIENCE) as download:
        page.click("#download")
    path = tmp_path / "labels.csv"
    download.value.save_as(path)
    return path


def answers(path: Path) -> list[tuple]:
    """(start, labels, known) of each row, as the reader of ``auricle finetune`` understands the table."""
    return [(clip.labels, clip.known) for clip in read_manifest(path)]


def test_answers_about_several_labels_become_a_table_that_finetune_reads(opened, tmp_path):
    page = opened("multilabel")
    asked = page.inner_text("#question").split("?")[0].removeprefix("Is it ")
    press(page, "y", "n", "u", "1", "3", "Enter", "0")
    press(page, "/")
    page.keyboard.type('tree frog, "green"')
    press(page, "Enter", "2", "Enter")
    assert "6 of 6 answered, 1 unsure" in page.inner_text("#counts")
    path = saved(page, tmp_path)
    rows = answers(path)
    classes = ("low", "middle", "high")
    assert rows[0] == ((asked,), (asked,))
    assert rows[1][0] == ()
    assert len(rows[1][1]) == 1, "a no is known of one class"
    assert rows[2] == (("low", "high"), classes)
    assert rows[3] == ((), classes)
    assert rows[4] == (('tree frog, "green"', "middle"), (*classes, 'tree frog, "green"'))
    assert len(rows) == 5
    for clip in read_manifest(path):
        assert Path(clip.path).is_file()
        assert clip.end - clip.start == pytest.approx(0.5)


def test_answers_about_exclusive_classes_have_one_label(opened, tmp_path):
    page = opened("multiclass")
    press(page, "y", "2", "0", "n")
    assert "which one is it" in page.inner_text("#status")
    assert page.inner_text("#name").startswith("Clip 4 of 6")
    rows = answers(saved(page, tmp_path))
    assert [len(labels) for labels, _ in rows] == [1, 1, 1]
    assert rows[1:] == [(("middle",), None), (("background",), None)]
    assert "1 answered with no alone is left out" in page.inner_text("#left")
    page.locator("#name").focus()
    press(page, "3")
    assert answers(saved(page, tmp_path))[3] == (("high",), None)


def test_answers_are_kept_and_undone(opened):
    page = opened("multilabel")
    press(page, "y", "n", "s")
    page.reload()  # not closed and opened: a new process of the browser may read before the old one has written
    assert "3 of 6 answered, 0 unsure, 1 skipped" in page.inner_text("#counts")
    assert page.inner_text("#name").startswith("Clip 4 of 6")
    press(page, "z", "z")
    assert "1 of 6 answered" in page.inner_text("#counts")
    assert page.inner_text("#name").startswith("Clip 2 of 6")
    press(page, "ArrowRight", "ArrowRight", "ArrowLeft")
    assert page.inner_text("#name").startswith("Clip 3 of 6")


@pytest.mark.parametrize("name", ["multilabel", "link"])
def test_the_space_bar_plays_and_stops(opened, name):
    page = opened(name)
    press(page, " ")
    until(page, "audio !== null && audio.currentTime > 0.02 && !document.querySelector('#picture i').hidden")
    assert page.evaluate("audio.error") is None
    press(page, " ")
    until(page, "audio === null")


@pytest.mark.parametrize("width", [360, 390, 1280])
def test_the_page_fits_the_screen_and_has_names_for_everything(opened, width):
    page = opened("multilabel", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    unnamed = """[...document.querySelectorAll('button, input, img, progress')].filter(e =>
      !(e.textContent.trim() || e.alt || e.getAttribute('aria-label') || (e.labels && e.labels.length))).map(e => e.outerHTML)"""
    assert page.evaluate(unnamed) == []
    small = "[...document.querySelectorAll('.row button')].filter(b => b.getBoundingClientRect().height < 40).length"
    assert page.evaluate(small) == 0
    page.click("#yes")
    assert page.evaluate("document.activeElement.id") == "name", "the next clip is read out, and the space bar plays it"
