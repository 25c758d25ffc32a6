"""A page of ``auricle export --to web`` in chromium: its errors, its resampling beside soxr, and the time of ten seconds.

auricle export --model mn04_as --to web --out mn04-web --clip recording.wav
python -m benchmarks.web_page mn04-web --model mn04_as recording.wav
"""

from __future__ import annotations

import argparse
import base64
import functools
import http.server
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

import auricle

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
]
FLAGS += ["--disable-component-update", "--disable-sync", "--mute-audio"]
RATES = (8000, 11025, 16000, 22050, 44100, 48000, 96000)
EDGE = 0.05  # seconds at both ends that are left out: each resampler begins and ends in its own way
CALLS = 10
FLOATS = "(text) => new Float32Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer)"
TEXT = "(x) => { let s = ''; const b = new Uint8Array(x.buffer); for (const v of b) s += String.fromCharCode(v); return btoa(s); }"


class Server(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def opened(folder: Path) -> Iterator[Any]:
    """Serve a folder on this machine and open its page."""
    from playwright.sync_api import sync_playwright

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Server, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.server_port}/")
        page.wait_for_selector("html[data-ready]")
        yield page
        browser.close()
    server.shutdown()


def floats(page: Any, code: str, *values: Any) -> np.ndarray:
    """Run code of the page that gives a Float32Array; arrays travel as text."""
    sent = [
        base64.b64encode(v.astype(np.float32).tobytes()).decode() if isinstance(v, np.ndarray) else v for v in values
    ]
    wrapped = (
        f"async (values) => {{ const floats = {FLOATS}, text = {TEXT}; return text(await ({code})(values, floats)); }}"
    )
    return np.frombuffer(base64.b64decode(page.evaluate(wrapped, sent)), np.float32)


def decibels(found: np.ndarray, expected: np.ndarray, rate: int) -> float:
    """The root mean square of the difference, relative to what is expected."""
    cut = slice(round(EDGE * rate), min(len(found), len(expected)) - round(EDGE * rate))
    error = found[cut].astype(np.float64) - expected[cut]
    return 10 * np.log10((error**2).mean() / (expected[cut].astype(np.float64) ** 2).mean())


def resampling(page: Any, wave: np.ndarray, rate: int) -> None:
    print("\n| from | to | the page beside soxr | the browser's own resampling beside soxr |\n|---|---|---|---|")
    own = """async ([text, from, to], floats) => {
      const { Resampler } = await import(new URL("page/signals.js", location)), r = new Resampler(from, to);
      const parts = [r.push(floats(text)), r.flush()], out = new Float32Array(parts[0].length + parts[1].length);
      out.set(parts[0]); out.set(parts[1], parts[0].length); return out; }"""
    browser = """async ([file, to]) => {
      const bytes = Uint8Array.from(atob(file), (c) => c.charCodeAt(0));
      return (await new OfflineAudioContext(1, 1, to).decodeAudioData(bytes.buffer)).getChannelData(0); }"""
    for other in (r for r in RATES if r != rate):
        sent, memory = soxr.resample(wave, rate, other).astype(np.float32), io.BytesIO()
        soundfile.write(memory, sent, other, "FLOAT", format="WAV")
        expected = soxr.resample(sent, other, rate)
        ours = decibels(floats(page, own, sent, other, rate), expected, rate)
        theirs = decibels(floats(page, browser, base64.b64encode(memory.getvalue()).decode(), rate), expected, rate)
        print(f"| {other} | {rate} | {ours:.0f} dB | {theirs:.0f} dB |")


def scores(page: Any, recording: Path, model: str, weights: str | None) -> None:
    page.set_input_files("#file", recording)
    page.wait_for_selector("#status:has-text('Done'), #trouble:not([hidden])")
    print(f"\n{recording.name}: {page.inner_text('#facts')}")
    with page.expect_download() as download:
        page.click("#save-scores")
    _, whole, *_ = (
        Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    )  # names, then the whole recording
    found = np.sort([float(value) for value in whole.split(",")[3:]])[::-1]
    tags = auricle.tag(recording, model, weights=weights, top_k=len(found)).results[0].tags
    labels = page.locator("#heads .labels .name").all_inner_texts()
    print(f"largest difference of a score, by rank: {np.abs(found - [tag.score for tag in tags]).max():.1e}")
    print(f"the ten likeliest are those of auricle.tag, in order: {labels == [tag.label for tag in tags[:10]]}")


def timed(page: Any, seconds: float) -> None:
    code = """async ([seconds, calls]) => {
      const { Network } = await import(new URL("page/network.js", location)), network = new Network();
      const description = await (await fetch("labels.json")).json(), size = Math.round(seconds * description.sample_rate);
      await network.open(description);
      const samples = Float32Array.from({ length: size }, () => 0.1 * (Math.random() - 0.5)), times = [];
      for (let i = 0; i <= calls; i++) {
        const start = performance.now();
        await network.run(samples, [0, size], [description.heads[0].scores]);
        times.push(performance.now() - start);
      }
      return new Float32Array(times.slice(1)); }"""
    times = floats(page, code, seconds, CALLS)
    print(
        f"\n{seconds:g} s of sound in the browser: least {times.min():.0f} ms, median {np.median(times):.0f} ms of {CALLS} calls"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of auricle export --to web")
    parser.add_argument("recording", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights")
    args = parser.parse_args()
    with opened(args.folder) as page:
        page.click("#check")
        page.wait_for_selector("#check-status:has-text('limits'), #check-status:has-text('Beyond')")
        print(page.inner_text("#check-status"))
        print(page.inner_text("#checked"))
        scores(page, args.recording, args.model, args.weights)
        rate = int(page.inner_text("#model-facts tr:nth-child(2) td").split()[0])
        resampling(page, soxr.resample(*soundfile.read(args.recording, dtype="float32"), rate).astype(np.float32), rate)
        timed(page, 10.0)


if __name__ == "__main__":
    main()
