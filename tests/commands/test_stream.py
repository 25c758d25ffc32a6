"""The command ``auricle stream``: sources, sinks, and a clean end."""

from __future__ import annotations

import csv
import io
import json
import signal
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import numpy as np
import pytest
import soundfile

import auricle
from auricle.audio.live import network
from auricle.audio.live.base import LiveChunk, Reader
from auricle.audio.live.pcm import pcm_chunks
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.live.events import EventChange
from auricle.inference.live.sinks.clips import ClipsFolder
from auricle.inference.live.sinks.webhook import Webhook
from helpers.encoders import logmel_stats
from helpers.sounds import write_sound

RATE = 16000


def changing(seconds: float = 6.0) -> np.ndarray:
    """Loud, quiet, loud: a second each."""
    loud = np.arange(round(seconds * RATE)) // RATE % 2 == 0
    noise = np.random.default_rng(0).standard_normal(len(loud))
    return (np.where(loud, 0.2, 0.001) * noise).astype(np.float32)


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A weight file of the smallest network, with two classes."""
    path = tmp_path_factory.mktemp("tagger") / "tagger.safetensors"
    encoder = logmel_stats().with_classes(2, classes=[("a", "Dog, bark"), ("b", "Rain")], label_type="multiclass")
    save_encoder(encoder, path)
    return path


@pytest.fixture
def sound(tmp_path):
    return write_sound(tmp_path / "garden.wav", changing(), RATE)


# ---- the command
def lines_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_a_file_played_gives_the_events_of_tag(tagger, sound, tmp_path, capsys):
    options = ["--model", str(tagger), "--window", "1", "--hop", "0.25", "--threshold", "0.5"]
    assert (
        main(["stream", str(sound), *options, "--speed", "max", "--json", "--windows", "--out", str(tmp_path / "out")])
        == 0
    )
    out, err = capsys.readouterr()
    *lines, summary = lines_of(out)
    offline = auricle.tag(sound, tagger, window=1, hop=0.25, threshold=0.5).results[0]
    windows = [line for line in lines if line["kind"] == "window"]
    assert [line["end"] for line in windows] == [w.end for w in offline.windows]
    assert [line["tags"][w.tags[0].label] for line, w in zip(windows, offline.windows)] == pytest.approx(
        [w.tags[0].score for w in offline.windows], abs=1e-5
    )
    expected = sorted((e.label, e.start, e.end) for e in offline.events)
    assert sorted((x["label"], x["start"], x["end"]) for x in lines if x["kind"] == "closed") == expected
    assert summary["kind"] == "summary"
    assert (summary["heard"], summary["lost"], summary["events"]) == (pytest.approx(6.0), 0.0, len(expected))
    assert summary["load"] > 0
    assert "of a core" in err
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out" / "events.csv").read_text())))
    assert sorted((row["label"], float(row["start"])) for row in rows) == [
        (x, pytest.approx(s)) for x, s, _ in expected
    ]
    tracks = (tmp_path / "out" / "events.labels.txt").read_text().splitlines()
    assert len(tracks) == len(expected)
    kinds = [line["kind"] for line in lines_of((tmp_path / "out" / "events.jsonl").read_text())]
    assert kinds.count("opened") == kinds.count("closed") == len(expected)


def auricle_stream(*words: str, **streams) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "auricle", "stream", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **streams
    )


def test_a_pipe_of_wav_without_a_length_is_heard_and_ctrl_c_closes_its_events(tagger):
    samples = (np.clip(changing(3.0), -1, 1) * 32767).astype("<i2").tobytes()
    header = b"RIFF\xff\xff\xff\xffWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16)
    command = auricle_stream(
        "-",
        "--model",
        str(tagger),
        "--window",
        "1",
        "--hop",
        "0.5",
        "--threshold",
        "0.4",
        "--windows",
        "--json",
        stdin=subprocess.PIPE,
    )
    command.stdin.write(header + b"data\xff\xff\xff\xff" + samples)
    command.stdin.flush()
    told = []  # while the pipe is open: all windows but the last one, which the end of the sound may move
    while not told or told[-1]["kind"] != "window" or told[-1]["end"] < 2.5:
        told.append(json.loads(command.stdout.readline()))
    first = next(line for line in told if line["kind"] != "window")
    command.send_signal(signal.SIGINT)
    out, err = command.stdout.read(), command.stderr.read()
    command.wait(60)
    assert first["kind"] == "opened"
    assert command.returncode == 130, err
    *lines, summary = [*told, *lines_of(out.decode())]
    opened = [line["label"] for line in lines if line["kind"] == "opened"]
    assert sorted(opened) == sorted(line["label"] for line in lines if line["kind"] == "closed")
    assert summary["heard"] == pytest.approx(3.0, abs=0.3)
    assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.wav"], "nowhere.wav"),
        (["-", "--speed", "0"], "--speed"),
        (["-", "--webhook", "ftp://x"], "http"),
        (["-", "--format", "mp3"], "format"),
        (["-", "--mqtt", "house"], "mqtt"),
    ],
)
def test_what_cannot_be_heard_is_refused_in_words(words, message, tagger, capsys):
    assert main(["stream", *words, "--model", str(tagger)]) == 2
    assert message in capsys.readouterr().err


def test_a_microphone_says_what_to_install(tagger, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    assert main(["stream", "live", "--model", str(tagger)]) == 2
    assert "pip install 'auricle[live]'" in capsys.readouterr().err


# ---- sources
@pytest.mark.parametrize("kind", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "PCM_U8"])
def test_wav_of_every_usual_kind_is_read_from_a_pipe(kind):
    wave = np.stack([changing(0.5), changing(0.5) / 2], axis=1)
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV", subtype=kind)
    file.seek(0)
    chunks = list(pcm_chunks(file, "s16le", 8000, 1))
    expected, _ = soundfile.read(io.BytesIO(file.getvalue()), dtype="float32")
    heard = np.concatenate([chunk.samples for chunk in chunks])
    assert {chunk.rate for chunk in chunks} == {RATE}
    assert np.abs(heard[: len(expected)] - expected.mean(1)).max() < 1e-6


def test_raw_samples_may_arrive_in_pieces_of_a_sample():
    class Drip(io.BytesIO):
        def read(self, size=-1):
            return super().read(min(size, 5))

    wave = (changing(0.01) * 2**23).astype(np.int32)
    data = wave.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    heard = np.concatenate([chunk.samples for chunk in pcm_chunks(Drip(data), "s24le", RATE, 1)])
    assert np.allclose(heard, wave / 2**23, atol=1e-7)


def test_a_source_that_cannot_wait_drops_sound_and_says_how_much():
    release, full = threading.Event(), threading.Event()

    def source():
        for i in range(6):
            yield LiveChunk(np.full(100, i, np.float32), 100)
        full.set()
        release.wait(10)
        yield LiveChunk(np.full(100, 9, np.float32), 100)

    reader = Reader(source(), may_drop=True, waiting=4)
    full.wait(10)
    chunks = iter(reader)
    first = [next(chunks) for _ in range(4)]
    release.set()
    rest = list(chunks)
    assert [int(c.samples[0]) for c in (*first, *rest)] == [0, 1, 2, 3, 9]
    assert rest[-1].lost == 2.0


class Radio(BaseHTTPRequestHandler):
    """A web radio that ends each connection after a second of sound."""

    sound = b""
    served = 0

    def do_GET(self):
        type(self).served += 1
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.end_headers()
        self.wfile.write(self.sound)

    def log_message(self, *words):
        pass


class Hook(BaseHTTPRequestHandler):
    """Refuses the first two posts."""

    bodies: ClassVar[list[dict]] = []
    refused = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if type(self).refused < 2:
            type(self).refused += 1
            self.send_response(503)
        else:
            self.bodies.append(body)
            self.send_response(204)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def server(request):
    server = HTTPServer(("127.0.0.1", 0), request.param)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("server", [Radio], indirect=True)
def test_a_network_stream_is_connected_again_and_the_time_away_is_told(server):
    pytest.importorskip("av")
    file = io.BytesIO()
    soundfile.write(file, changing(1.0), RATE, format="WAV")
    Radio.sound, troubles, heard, again = file.getvalue(), [], 0, 0
    for chunk in network.network_chunks(f"{server}/live.wav", first_wait=0.01, on_trouble=troubles.append):
        heard, again = heard + len(chunk.samples), again + chunk.reconnected
        if again == 3 and heard == 4 * RATE:
            break
    assert Radio.served == 4
    assert len(troubles) == 3
    with pytest.raises(AuricleError, match="cannot be opened"):
        next(network.network_chunks("http://127.0.0.1:9/none", timeout=1.0))


# ---- sinks
def change(kind: str, start: float, end: float, score: float = 0.8) -> EventChange:
    return EventChange(kind, "Dog, bark", start, end, score, start)


@pytest.mark.parametrize("server", [Hook], indirect=True)
def test_a_webhook_is_tried_again_until_it_takes_each_event_in_order(server):
    hook = Webhook(server, first_wait=0.01)
    for i in range(3):
        hook.take(change("opened", i, i + 1.0), "")
        hook.take(change("updated", i, i + 1.0), "")
        hook.take(change("closed", i, i + 1.0), "2026-05-01T12:00:00")
    assert hook.close() == ()
    assert [(body["kind"], body["start"]) for body in Hook.bodies] == [
        (k, i) for i in range(3) for k in ("opened", "closed")
    ]


def test_a_webhook_that_is_not_there_is_told_at_the_end():
    hook = Webhook("http://127.0.0.1:9/none", first_wait=0.01, patience=0.1)
    hook.take(change("opened", 0.0, 1.0), "")
    (told,) = hook.close()
    assert told.startswith("1 events did not reach")


def test_a_clip_holds_the_event_and_what_came_before(tmp_path):
    clips, wave = ClipsFolder(tmp_path / "clips", window=1.0, pre_roll=0.5, longest=2.0), changing(8.0)
    for i, part in enumerate(np.split(wave, 16)):
        clips.add_audio(part, RATE, 0.5 * i)
        if i == 4:
            clips.take(change("opened", 1.5, 2.5), "2026-05-01T12:00:00.000+02:00")
        if i == 6:
            clips.take(change("closed", 1.5, 3.0), "2026-05-01T12:00:00.000+02:00")
        if i == 8:
            clips.take(change("opened", 3.5, 4.5), "")  # never closed: cut off
    assert clips.close() == ()
    files = sorted((tmp_path / "clips" / "Dog-bark").iterdir())
    assert [file.name for file in files] == ["00000003.50s_0.80.flac", "2026-05-01T12-00-00_0.80.flac"]
    for file, (start, stop) in zip(files, ((3.0, 5.5), (1.0, 3.0))):
        samples, rate = soundfile.read(file, dtype="float32")
        assert rate == RATE
        assert np.abs(samples - wave[round(start * RATE) : round(stop * RATE)]).max() < 1e-4
