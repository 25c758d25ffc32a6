"""The page of ``auricle serve`` in a real browser, on a real server: from a file that is dropped to a head that labels it.

One server and one browser serve all tests. Requests to any other address are blocked and counted, and so is every message on
the console.
"""

from __future__ import annotations

import base64
import csv
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from helpers.axe import accessibility_problems
from helpers.chromium import chromium
from helpers.paths import SHARED
from helpers.patience import PATIENCE
from helpers.serving import RunningServer, make_tagger
from helpers.sounds import tone, write_sound

# one server, an index, a browser, and a head that is trained: all in one process
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("serve page")]

PUBLISHED, ESC10 = SHARED / "weights/mn04_as_mAP_432.pt", SHARED / "data/esc10"
REAL = PUBLISHED.is_file() and ESC10.is_dir()
LABEL = "Dog" if REAL else "owl"  # a class of the model that is reviewed
VIEWS = ("recordings", "similar", "review", "train", "compare", "runs")
REVIEWED = 10
MICROPHONE = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
DROP = """([name, data]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), c => c.charCodeAt(0))], name));
  const given = {dataTransfer: transfer, bubbles: true, cancelable: true};
  for (const kind of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(kind, given));
}"""


def recordings_in(folder: Path) -> None:
    """Dogs and rain of ESC-10 where they are at hand; else tones of two pitches. 5 or 6 seconds each."""
    folder.mkdir()
    if REAL:
        with open(ESC10 / "meta.csv") as rows:
            named = [(row["category"], row["filename"]) for row in csv.DictReader(rows)]
        for category in ("dog", "rain"):
            for name in [name for kind, name in named if kind == category][:5]:
                shutil.copy(ESC10 / "audio" / name, folder / f"{category}-{name}")
        return
    for number in range(10):
        kind, hertz = (("low", 300), ("high", 3000))[number % 2]
        write_sound(folder / f"{kind}-{number}.wav", np.tile(tone(2.0, hertz=hertz + 40 * number, seed=number), 3))


@pytest.fixture(scope="module")
def world(tmp_path_factory, programs):
    """A server with recordings, a model and an index of them."""
    folder = tmp_path_factory.mktemp("world")
    recordings_in(folder / "sounds")
    model = "mn04_as" if REAL else str(make_tagger(folder / "tagger.safetensors"))
    weights = str(PUBLISHED) if REAL else None
    index = IndexConfig(
        (str(folder / "sounds"),), out=str(folder / "index"), model=model, weights=weights, window=2, hop=1
    )
    index_recordings(index)
    words = [str(folder / "sounds"), "--model", model, "--index", index.out, "--state", str(folder / "state")]
    words += ["--weights", weights] if weights else []
    with RunningServer(words, folder / "errors.txt", python=programs / "python") as server:
        server.sounds = sorted((folder / "sounds").iterdir())
        yield server


@pytest.fixture(scope="module")
def browser():
    with chromium(*MICROPHONE) as opened:
        yield opened


@pytest.fixture(scope="module")
def page(browser, world):
    """The page. At the end: nothing was asked of others, and the console is empty."""
    troubles: list[str] = []
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE)

    def own(route):
        if route.request.url.startswith(world.address):
            return route.continue_()
        troubles.append(route.request.url)
        return route.abort()

    context.route(lambda url: not url.startswith(("blob:", "data:")), own)
    opened = context.new_page()
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto(world.address)
    opened.wait_for_selector("html[data-ready]")
    yield opened
    context.close()
    assert troubles == []


def go(page: Any, address: str) -> None:
    """Open a view, and wait until it is there."""
    name = address.partition("?")[0].partition("/")[0]
    page.evaluate("address => { location.hash = '/' + address; }", address)
    page.wait_for_selector(f"main.view-{name}")


def until(page: Any, condition: str, *, patience: float = PATIENCE) -> None:
    """Wait for a condition. (``wait_for_function`` needs ``eval``, which the policy of the page forbids.)"""
    end = time.monotonic() + patience
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"this did not come true: {condition}"
        page.wait_for_timeout(50)


def open_recording(page: Any) -> None:
    """Open the first recording of the list, and wait for its labels."""
    id = page.evaluate("fetch('/api/recordings?limit=1').then(r => r.json()).then(r => r.recordings[0].id)")
    go(page, f"recording/{id}")
    page.wait_for_selector(".scores li")


def press(page: Any, key: str) -> None:
    """Press a key on the page itself, not in a field."""
    page.locator("#view").focus()
    page.keyboard.press(key)


def select_part(page: Any, start: float, end: float) -> None:
    """Drag over a share of the spectrogram."""
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + start * box["width"], box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], box["y"] + 80, steps=4)
    page.mouse.up()


def test_from_a_file_to_a_head_of_ones_own(page, world):
    dropped = world.sounds[0]
    drop(page, dropped)
    label_a_part(page)
    find_similar(page, dropped.name)
    review(page, world)
    train(page)
    label_again(page)
    compare(page, world)


def drop(page: Any, file: Path) -> None:
    """Drop a file: its labels appear, over time too, and can be downloaded."""
    go(page, "recordings")
    page.evaluate(DROP, [f"dropped{file.suffix}", base64.b64encode(file.read_bytes()).decode()])
    page.wait_for_selector(".scores li")
    assert page.inner_text("h1") == f"dropped{file.suffix}"
    if REAL:
        assert page.inner_text(".scores li .name") in ("Dog", "Animal", "Bark", "Domestic animals, pets")
    until(page, "document.querySelector('.spectrogram').naturalWidth > 100")
    assert page.locator(".lane canvas").count() >= 3
    with page.expect_download() as download:
        page.click(".menu summary")
        page.click(".menu li a:has-text('Audacity')")
    assert download.value.suggested_filename.startswith("dropped")


def label_a_part(page: Any) -> None:
    select_part(page, 0.1, 0.5)
    press(page, "l")
    page.keyboard.type("my dog")
    page.keyboard.press("Enter")
    page.wait_for_selector(".own-labels li:has-text('my dog')")


def find_similar(page: Any, name: str) -> None:
    """The same sound is in the index; a match becomes an example, another one an example of what is not meant."""
    select_part(page, 0.0, 0.4)
    press(page, "s")
    page.wait_for_selector(".card")
    assert page.locator(".card .what a").first.inner_text() == name
    page.locator(".card").nth(1).locator("text=Like this").click()
    page.wait_for_selector(".example.like >> nth=1")
    page.locator(".card").last.locator("text=Not this").click()
    page.wait_for_selector(".example.unlike")
    page.wait_for_selector(".cards[aria-busy=false] .card")


def review(page: Any, world: Any) -> None:
    """Answer with keys, one answer too many, which is undone."""
    go(page, "review")
    page.select_option(".head select", LABEL)
    page.wait_for_selector(".answers")
    for number in range(REVIEWED + 1):
        name = page.inner_text(".question .small a")
        press(page, "y" if name.startswith(("dog", "low")) else "n")
        page.wait_for_selector(f".head .small:text-matches('^{number + 1} of')")
    press(page, "z")
    page.wait_for_selector(f".head .small:text-matches('^{REVIEWED} of')")
    page.wait_for_selector("svg.curve")
    assert len(world.client.get("/api/review/curve", params={"label": LABEL}).json()["points"]) > 0
    answers = [label for label in world.client.get("/api/labels").json()["labels"] if label["id"] is None]
    assert len(answers) == REVIEWED


def train(page: Any) -> None:
    go(page, "train")
    page.wait_for_selector("th:has-text('my dog')")
    page.fill("input[required]", "my-head")
    page.click("button:text-is('Train')")
    page.wait_for_selector(".learnt, .problem")
    assert page.is_visible(".learnt"), page.inner_text("main")
    assert page.input_value("#model") == "my-head"


def label_again(page: Any) -> None:
    """The head that was trained labels the recording."""
    go(page, "recordings")
    page.click(".recordings a:has-text('dropped')")
    page.wait_for_selector(".scores li")
    assert set(page.locator(".scores .name > span").all_inner_texts()) == {"my dog", LABEL}


def compare(page: Any, world: Any) -> None:
    """Both models are side by side, and the run of the head has its report."""
    go(page, "compare")
    page.wait_for_selector("table.both")
    assert page.locator(".two .timeline").count() == 2
    go(page, "runs")
    address = page.locator(".run a:has-text('report')").first.get_attribute("href")
    assert "<html" in world.client.get(address).text


def test_the_time_line_zooms_plays_and_selects(page):
    open_recording(page)
    box = page.locator(".stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.wheel(0, -400)
    page.wait_for_selector(".overview:not([hidden])")
    press(page, "0")
    page.wait_for_selector(".overview", state="hidden")
    press(page, " ")
    page.wait_for_selector(".play-main.on")
    until(page, "Number(document.querySelector('.stage').ariaValueNow) > 0.2")
    press(page, " ")
    page.wait_for_selector(".play-main:not(.on)")
    select_part(page, 0.1, 0.5)
    assert page.is_visible(".chosen")
    press(page, "Escape")
    assert page.is_hidden(".chosen")


def test_a_recording_of_the_microphone_becomes_a_recording(page):
    go(page, "recordings")
    press(page, "r")
    until(page, "document.querySelector('.level .number').innerText >= '0:01'")
    press(page, "r")
    page.wait_for_selector("main.view-recording .scores li")
    assert page.inner_text("h1").startswith("recording-")


def test_the_keys_are_listed_and_lead_to_the_views(page):
    press(page, "?")
    page.wait_for_selector("dialog[open]")
    page.keyboard.press("Escape")
    for number, name in enumerate(VIEWS, 1):
        press(page, str(number))
        page.wait_for_selector(f"main.view-{name}")


@pytest.mark.parametrize(("theme", "width"), [("light", 1400), ("dark", 390)])
def test_every_view_is_accessible_and_fits_the_screen(page, theme, width):
    """Rules of axe-core, and no view that is wider than the screen."""
    recording = page.evaluate("fetch('/api/recordings?limit=1').then(r => r.json()).then(r => r.recordings[0].id)")
    page.emulate_media(color_scheme=theme)
    problems = []
    for view in (*VIEWS, f"recording/{recording}"):
        page.set_viewport_size({"width": width, "height": 850})
        go(page, view)
        page.wait_for_load_state("networkidle")
        until(page, "!document.querySelector('[aria-busy=true]')")  # pale while it searches
        problems += [f"{view}: {problem}" for problem in accessibility_problems(page)]
        for narrower in (width, 800) if width > 800 else (width,):
            page.set_viewport_size({"width": narrower, "height": 850})
            if page.evaluate("document.documentElement.scrollWidth") > narrower:
                problems.append(f"{view} is wider than {narrower} pixels")
    page.set_viewport_size({"width": 1400, "height": 900})
    assert problems == []
