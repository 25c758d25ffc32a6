"""Sources of live sound that break, stall and vanish: what is lost is told, the clock goes on, and the words are clear."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from auricle.audio.live import microphone, network
from auricle.cli.main import main
from auricle.commands.stream import Listening, StreamConfig
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.config import EventSettings
from helpers.encoders import logmel_stats

RATE, SECONDS, CONNECTIONS = 16000, 8, 11


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    path = tmp_path_factory.mktemp("tagger") / "tagger.safetensors"
    encoder = logmel_stats().with_classes(2, classes=[("a", "Dog, bark"), ("b", "Rain")], label_type="multiclass")
    save_encoder(encoder, path)
    return path


def wav(seconds: float) -> bytes:
    """Loud, quiet, loud: a second each."""
    loud = np.arange(round(seconds * RATE)) // RATE % 2 == 0
    file = io.BytesIO()
    noise = np.random.default_rng(0).standard_normal(len(loud))
    soundfile.write(file, np.where(loud, 0.2, 0.001) * noise, RATE, format="WAV")
    return file.getvalue()


class Radio(BaseHTTPRequestHandler):
    """Sends its sound to each of some connections, then stalls or breaks off; later ones get 404."""

    sound: ClassVar[bytes] = b""
    connections: ClassVar[int] = 0
    stall: ClassVar[float] = 0.0

    def do_GET(self):
        if type(self).connections == 0:
            self.send_error(404)
            return
        type(self).connections -= 1
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.end_headers()
        self.wfile.write(self.sound)
        time.sleep(self.stall)

    def log_message(self, *words):
        pass


@pytest.fixture
def radio(monkeypatch):
    pytest.importorskip("av", reason="the [media] extra is not installed")

    def serve(sound: bytes, connections: int, stall: float = 0.0) -> str:
        for name, value in (("sound", sound), ("connections", connections), ("stall", stall)):
            monkeypatch.setattr(Radio, name, value)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/live.wav"

    server = ThreadingHTTPServer(("127.0.0.1", 0), Radio)
    yield serve
    server.shutdown()
    server.server_close()


class Waiting(Listening):
    """A stream whose source waits: the radio here sends faster than it sounds, and a live source would drop."""

    def _chunks(self):
        address, attempts = self.config.source, self.config.reconnect
        return network.network_chunks(address, attempts=attempts, first_wait=0.25, on_trouble=self.on_trouble), False


def test_ten_broken_connections_lose_nothing_that_was_sent_and_the_clock_goes_on(radio, tagger, tmp_path):
    address, troubles = radio(wav(SECONDS), CONNECTIONS), []
    events = EventSettings(threshold=0.5)
    config = StreamConfig(
        address, model=str(tagger), window=0.5, hop=0.1, out=str(tmp_path / "out"), reconnect=1, events=events
    )
    listening, windows = Waiting(config, troubles.append), []
    answers = listening.answers()
    with pytest.raises(AuricleError, match="gone .*404.*1 attempts"):
        windows.extend(window for timed in answers for window in timed.windows)
    windows += listening.finish().windows
    report = listening.report
    assert report.heard == pytest.approx(CONNECTIONS * SECONDS, abs=1e-6)
    assert (report.reconnects, report.gaps, len(troubles)) == (10, 10, 11)
    assert "the connection broke off" in troubles[0]
    assert 10 * 0.15 <= report.lost < 60.0
    assert listening.stream.time == pytest.approx(report.heard + report.lost, abs=1e-3)
    starts = np.array([window.start for window in windows])
    pieces = np.split(starts, np.flatnonzero(np.diff(starts) > 0.3) + 1)  # windows reach over no gap
    assert [len(piece) for piece in pieces] == [10 * SECONDS - 4] * CONNECTIONS
    away = [float(after[0] - before[-1]) - 0.5 for before, after in pairwise(pieces)]
    assert sum(away) == pytest.approx(report.lost, abs=1e-3)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()]
    assert kinds.count("opened") == kinds.count("closed") == report.events > 0


def test_a_stream_that_stalls_is_left_after_the_time_that_was_set(radio):
    troubles, address = [], radio(wav(1.0), 1, stall=20.0)
    chunks = network.network_chunks(address, attempts=1, timeout=1.0, first_wait=0.01, on_trouble=troubles.append)
    heard = []
    with pytest.raises(AuricleError, match="gone"):
        heard.extend(len(chunk.samples) for chunk in chunks)
    assert sum(heard) == RATE
    assert "nothing came for 1 s" in troubles[0]


def test_an_address_that_is_not_there_is_refused_with_the_answer_of_the_server(radio, tagger, capsys):
    address = radio(b"", 0)
    assert main(["stream", address, "--model", str(tagger)]) == 2
    message = capsys.readouterr().err
    assert "404" in message
    assert "check the address" in message


def test_a_stream_of_no_sound_is_refused(radio):
    with pytest.raises(AuricleError, match="cannot be opened"):
        next(network.network_chunks(radio(b"no sound at all" * 200, 5)))


class FakeMicrophone(types.ModuleType):
    """sounddevice with a microphone that gives some blocks and then nothing more, as one that was pulled out."""

    class PortAudioError(Exception):
        pass

    def __init__(self, blocks: int):
        super().__init__("sounddevice")
        self.blocks = blocks

    def query_devices(self, name=None, kind=None):
        if name == "missing":
            raise ValueError("No input device matching 'missing'")
        one = {"name": "Built-in", "max_input_channels": 1, "default_samplerate": float(RATE)}
        return one if kind else [one]

    def InputStream(self, *, blocksize, callback, **how):  # noqa: N802
        sound = np.full((blocksize, 1), 0.1, np.float32)
        status = types.SimpleNamespace(input_overflow=False)
        for _ in range(self.blocks):
            callback(sound, blocksize, None, status)
        return threading.Lock()  # anything that can be entered


def test_a_microphone_that_vanishes_ends_the_stream_in_words_after_its_sound(tagger, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(25))
    monkeypatch.setattr(microphone, "SILENT_SECONDS", 0.3)
    assert (
        main(
            ["stream", "live", "--model", str(tagger), "--window", "1", "--hop", "0.5", "--threshold", "0.01", "--json"]
        )
        == 2
    )
    out, err = capsys.readouterr()
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds.count("opened") == kinds.count("closed") > 0  # what was open is closed
    assert json.loads(out.splitlines()[-1])["heard"] == pytest.approx(2.5)
    assert "gave nothing for 0.3 s" in err
    assert "Traceback" not in err


def test_a_microphone_that_is_not_there_is_told_with_those_that_are(tagger, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", FakeMicrophone(0))
    assert main(["stream", "live", "--model", str(tagger), "--microphone", "missing"]) == 2
    assert "there are 0: Built-in" in capsys.readouterr().err
