"""``auricle export --to web``: the page in a real browser gives the scores, events and files of ``auricle tag``.

One browser and one set of pages serve all tests. Requests to anywhere but the page's own server are blocked and counted, and
the page's own content security policy stays in force.
"""

from __future__ import annotations

import csv
import functools
import http.server
import io
import json
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

import auricle
from auricle.commands.export import ExportConfig, verify_export
from auricle.core.errors import AuricleError
from auricle.data.audioset import audioset_classes
from auricle.exporting.web import runtime_files as pinned
from auricle.exporting.web.runtime_files import runtime_files
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.models.log_mel_stats import LogMelStats
from helpers.chromium import chromium
from helpers.paths import SHARED
from helpers.patience import PATIENCE

RATE = 32000
PUBLISHED, METRO = SHARED / "weights/mn04_as_mAP_432.pt", SHARED / "data/audio/metro_station-paris.wav"
REAL = PUBLISHED.is_file() and METRO.is_file()


def detector():
    """Log-mel statistics with two heads: one with thresholds and a background class; one whose classes exclude each other."""
    encoder = LogMelStats()
    animals = LabelSpace(
        "multilabel", ("w", "c", "n"), ("Wren, small", "Crow", "Noise"), ("n",), (0.05,) * 3, (0.1, 0, 1)
    )
    animals = animals.with_thresholds((0.4, 0.99, 0.1), fitted_on="a test")
    place = LabelSpace("multiclass", ("Wood", "Town", "Coast"), scale=(0.05,) * 3, offset=(0.0,) * 3)
    first = encoder.with_head(make_head("linear", encoder, 3, seed=4), animals)
    return first.with_head(make_head("linear", encoder, 3, seed=7), place, name="place").eval()


@functools.cache
def tagger_network():
    """mn04_as as published where it is at hand; else a tiny MN with random weights."""
    if REAL:
        return auricle.load("mn04_as", weights=str(PUBLISHED))
    config = MNConfig(width=0.1, num_classes=527)
    return MN(config, classes=audioset_classes(), label_type="multilabel", seed=1).eval()


def changing_sound(seconds: float, rate: int) -> np.ndarray:
    """A tone that rises, with noise that comes and goes."""
    time = np.arange(round(seconds * rate)) / rate
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * (200 + 400 * time) * time) + 0.2 * noise * (np.sin(2 * time) > 0)).astype(
        np.float32
    )


@pytest.fixture(scope="module")
def runtime() -> Path:
    """The folder of onnxruntime-web's files, which are downloaded into the user's cache once."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    try:
        return next(iter(runtime_files().files.values())).parent
    except AuricleError as error:
        pytest.skip(f"page tests need onnxruntime-web: {error}")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sounds")
    found = {name: folder / f"{name}.wav" for name in ("own rate", "other rate", "short", "long")}
    soundfile.write(found["own rate"], changing_sound(7.3, RATE), RATE, subtype="FLOAT")
    if REAL:
        wave, rate = soundfile.read(METRO, dtype="float32")
        soundfile.write(found["other rate"], wave, rate, subtype="PCM_16")
    else:
        soundfile.write(found["other rate"], changing_sound(10.0, 44100), 44100, subtype="PCM_16")
    soundfile.write(found["short"], np.zeros(100, np.float32), RATE)
    soundfile.write(
        found["long"], np.zeros(8000 * 31 * 60, np.uint8).view(np.int8).astype(np.int16), 8000, subtype="PCM_U8"
    )
    found["text"] = folder / "text.mp3"
    found["text"].write_text("This is no sound.\n", encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def bundles(runtime, tmp_path_factory) -> dict[str, Path]:
    """The folder of each page."""
    folder = tmp_path_factory.mktemp("bundles")
    auricle.export(detector(), folder / "detector", to="web", runtime_files=runtime)
    auricle.export(tagger_network(), folder / "mn", to="web", length=10.0, batch_size=1, runtime_files=runtime)
    return {name: folder / name for name in ("detector", "mn")}


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def open_page(bundles, sounds):
    """A function that opens the page of a bundle. At the end: nothing was asked of others, nothing went wrong."""
    root = next(iter(bundles.values())).parent
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(root)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, troubles, pages = f"http://127.0.0.1:{server.server_port}/", [], {}
    microphone = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with chromium(*microphone, f"--use-file-for-fake-audio-capture={sounds['other rate']}") as browser:
        context = browser.new_context(viewport={"width": 390, "height": 800})
        context.set_default_timeout(1000 * PATIENCE)

        def own(route):
            if route.request.url.startswith(address):
                return route.continue_()
            troubles.append(route.request.url)
            return route.abort()

        context.route(lambda url: not url.startswith(("blob:", "data:")), own)

        def opened(name: str):
            if name not in pages:
                page = pages[name] = context.new_page()
                page.on("console", lambda message: troubles.append(message.text))
                page.on("pageerror", lambda error: troubles.append(str(error)))
                page.goto(f"{address}{name}/")
                page.wait_for_selector("html[data-ready]")
            return pages[name]

        yield opened
    server.shutdown()
    assert troubles == []


def choose(page, file: Path) -> None:
    """Give the page a file, and wait for an answer or a message."""
    forget_status(page)
    page.set_input_files("#file", file)
    page.wait_for_selector("#status:has-text('Done'), #trouble:not([hidden])")


def forget_status(page) -> None:
    """Empty the status line, so that waiting for its next words does not end with the last ones."""
    page.evaluate("document.querySelector('#status').textContent = ''")


def saved(page, button: str) -> str:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_text(encoding="utf-8")


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow  # two exports and a browser, for all tests of this file
def test_the_page_gives_the_scores_and_events_of_auricle_tag(open_page, sounds):
    page = open_page("detector")
    choose(page, sounds["own rate"])
    assert page.input_value("#window") == "2"
    wave, _ = soundfile.read(sounds["own rate"], dtype="float32")
    tagger = auricle.Tagger(detector(), window=2, hop=1)
    rows = table(saved(page, "#save-scores"))
    assert list(rows[0])[3:] == ["main: Wren, small", "main: Crow", "place: Wood", "place: Town", "place: Coast"]
    spans = [(float(row["start"]), float(row["end"])) for row in rows]
    assert spans == [(0, 7.3), *((i, i + 2) for i in range(6)), (5.3, 7.3)], "the recording, then windows to its end"
    for row, (start, end) in zip(rows, spans):
        part = wave[round(start * RATE) : round(end * RATE)]
        expected = np.concatenate([scores.rows[0] for scores in tagger.wave_scores(part[None]).values()])
        np.testing.assert_allclose([float(value) for value in list(row.values())[3:]], expected, atol=1e-4)
    result = tagger(sounds["own rate"]).results[0]
    expected_events = [(name, *event) for name, head in result.heads.items() for event in _events(head)]
    events = table(saved(page, "#save-events"))
    found = [(e["head"], float(e["start"]), float(e["end"]), e["label"]) for e in events]
    assert sorted(found) == sorted(expected_events)
    assert len({head for head, *_ in found}) == 2, "both heads have events, or the test shows nothing"
    assert len(saved(page, "#save-track").splitlines()) == len(found)
    assert "Noise" not in page.inner_text("#result"), "background is not reported"


def _events(head):
    return [(round(event.start, 3), round(event.end, 3), event.label) for event in head.events]


@pytest.mark.slow
def test_a_recording_at_another_rate_gets_the_labels_of_auricle_tag(open_page, sounds, bundles):
    """On 10 s at 44.1 kHz: the page's own resampling stands in for soxr."""
    page = open_page("mn")
    choose(page, sounds["other rate"])
    expected = auricle.tag(sounds["other rate"], tagger_network()).results[0].tags
    names = page.locator("#heads .labels .name").all_inner_texts()
    scores = [float(text) for text in page.locator("#heads .labels .number").all_inner_texts()]
    np.testing.assert_allclose(scores, [tag.score for tag in expected], atol=2e-3)
    if REAL:
        assert names == [tag.label for tag in expected]
    page.click("#check")
    page.wait_for_selector("#check-status:has-text('limits'), #check-status:has-text('Beyond')")
    assert page.inner_text("#check-status") == "All 5 clips are within the limits of the certificate."


@pytest.mark.slow
def test_the_time_line_follows_the_keyboard_and_fits_a_phone(open_page, sounds):
    page = open_page("detector")
    choose(page, sounds["own rate"])
    page.focus("#wave")
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        page.keyboard.press(key)
    assert page.get_attribute("#wave", "aria-valuetext") == "0:01 of 0:07"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before = page.locator("#heads .events tbody tr").count()
    page.uncheck("#own")
    page.fill("#threshold", "1")
    page.keyboard.press("Tab")
    assert page.locator("#heads .events tbody tr").count() < before
    page.check("#own")
    forget_status(page)
    page.select_option("#window", "5")
    page.wait_for_selector("#status:has-text('Done')")
    assert len(table(saved(page, "#save-scores"))) == 1 + 2


@pytest.mark.slow
def test_the_microphone_is_scored_while_it_runs(open_page):
    page = open_page("detector")
    page.click("#listen")
    page.wait_for_selector("#clock:has-text('0:03')")
    assert page.locator("#now .labels li").count() == 5
    assert page.evaluate("document.querySelector('#level').value") > -60
    page.click("#listen")
    page.wait_for_selector("#facts:has-text('were scored, and not kept')")
    rows = table(saved(page, "#save-scores"))
    assert [row["part"] for row in rows[:3]] == ["recording", "window", "window"]
    assert float(rows[-1]["end"]) >= 3
    absent = "async () => { throw new DOMException('', 'NotFoundError'); }"
    page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = {absent}; }}")
    page.click("#listen")
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#trouble") == "No microphone was found. Connect one, or choose a file."


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sound", "words"),
    [("text", "cannot be decoded"), ("short", "is too short"), ("long", "is too long: 31:00")],
)
def test_a_sound_that_cannot_be_used_gets_words(open_page, sounds, sound, words):
    page = open_page("detector")
    choose(page, sounds[sound])
    assert f"{sounds[sound].name} {words}" in page.inner_text("#trouble")
    assert not page.is_visible("#result")


@pytest.mark.slow
def test_a_page_is_verified_as_other_bundles_are(bundles, tmp_path):
    verify_export(bundles["detector"])
    certificate = json.loads((bundles["detector"] / "certificate.json").read_text(encoding="utf-8"))
    assert certificate["versions"]["onnxruntime-web"] == pinned.VERSION
    assert {"index.html", "page/main.js", "page/style.css", "runtime/ort-wasm-simd-threaded.wasm"} <= set(
        certificate["files"]
    )
    text = (bundles["detector"] / "index.html").read_text(encoding="utf-8")
    assert "http" not in text.replace("http-equiv", "").replace("http.server", "").replace(
        "http://www.w3.org/2000/svg", ""
    )


def test_the_runtime_is_taken_from_a_folder_or_an_archive_and_checked(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    with pytest.raises(AuricleError, match=r"downloads are switched off.*--runtime-files FOLDER"):
        runtime_files()
    dist = tmp_path / "package" / "dist"
    dist.mkdir(parents=True)
    with pytest.raises(AuricleError, match="does not hold ort"):
        runtime_files(str(tmp_path))
    for name in pinned.SHA256:
        (dist / name).write_text(name, encoding="utf-8")
    given = runtime_files(str(tmp_path))
    assert (set(given.files), given.version) == (set(pinned.SHA256), f"not {pinned.VERSION}, as given")
    archive = tmp_path / "npm.tgz"
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "package", "package")
    with pytest.raises(AuricleError, match="does not hold ort"):
        runtime_files(str(archive))
    archive.write_bytes(b"no archive")
    with pytest.raises(AuricleError, match="cannot be read as the archive"):
        runtime_files(str(archive))


def test_a_model_without_classes_gets_no_page(tmp_path, monkeypatch):
    pytest.importorskip("onnxscript")
    for name in pinned.SHA256:
        (tmp_path / name).touch()
    with pytest.raises(AuricleError, match="has no classes"):
        auricle.export(LogMelStats(), tmp_path / "out", to="web", runtime_files=tmp_path)
    with pytest.raises(AuricleError, match="--runtime-files is for"):
        ExportConfig(model="m", out="o", runtime_files="f")
