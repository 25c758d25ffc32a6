"""``auricle serve`` as a process: hostile uploads, clients that hang or leave, signals in the middle, and what a restart finds."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from auricle.audio.write import encode_audio
from helpers.patience import PATIENCE
from helpers.serving import RunningServer, finished, ids_of, make_world
from helpers.sounds import tone, write_sound

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("server process")]

GOOD = encode_audio(tone(2.0), 16000, ".wav")
BROKEN = (
    b"",
    b"RIFF" + bytes(range(256)) * 20,
    GOOD[:200],
    b"OggS" + bytes(5000),
    b"fLaC\xff\xff\xff\xff" + bytes(300),
)
ROUNDS = 50  # uploads beside each other
GROWTH = 60e6  # bytes of memory that rounds of uploads may add


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("process")
    return make_world(folder, count=2), folder


def words_of(world, **more):
    settings = world | more
    words = [*settings["folders"], "--model", *settings["model"], "--state", settings["state"]]
    return [*words, "--read-timeout", "1", "--max-upload", "5MB"]


@pytest.fixture(scope="module")
def server(world):
    settings, folder = world
    with RunningServer(words_of(settings), folder / "log.txt") as server:
        yield server


def wait_for(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def incoming(world):
    return [path for folder in ("incoming", "training") for path in (world[1] / "state").glob(f"{folder}/*")]


def upload(address, name, content):
    with httpx.Client(timeout=PATIENCE) as client:
        return client.post(f"{address}/api/recordings", files=[("files", (name, content))])


def test_what_strangers_send_fills_no_log(server, world):
    log = world[1] / "log.txt"
    before = log.read_text()
    host, port = server.address.removeprefix("http://").rstrip("/").split(":")
    for request in (
        b"\x16\x03\x01 no HTTP\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
            connection.sendall(request)
            assert connection.recv(100)
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert httpx.post(f"{server.address}/api/recordings", content=b"no form", headers=kind).status_code == 400
    assert log.read_text() == before


def test_parallel_uploads_of_good_and_broken_files_are_all_answered_in_bounded_memory(server, world):
    def one(number):
        broken = number % 2
        content = BROKEN[number // 2 % len(BROKEN)] if broken else GOOD
        return broken, upload(server.address, f"../../{number}.wav", content)

    before = len(ids_of(server.client))
    upload(server.address, "warm.wav", GOOD)
    memory = server.memory()
    with ThreadPoolExecutor(ROUNDS) as pool:
        answers = list(pool.map(one, range(ROUNDS)))
    for broken, answer in answers:
        assert answer.status_code == (415 if broken else 201), answer.text
        assert broken == ("error" in answer.json() and answer.json()["error"] is not None)
    assert len(ids_of(server.client)) == before + 1 + ROUNDS // 2
    assert server.memory() - memory < GROWTH
    assert not incoming(world)


def test_other_requests_are_answered_while_an_upload_is_being_decoded(server):
    with ThreadPoolExecutor(20) as pool:
        uploads = [pool.submit(upload, server.address, "a.wav", GOOD) for _ in range(20)]
        wait_for(lambda: any(done.done() for done in uploads))
        assert server.client.get("/api/about").status_code == 200
        assert not all(done.done() for done in uploads)


def connection(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


@pytest.mark.parametrize("sent", [b"", b"GET /api/ab", b"GET /api/about HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_connection_without_a_whole_request_is_closed(server, sent):
    with connection(server) as client:
        client.sendall(sent)
        assert client.recv(1000) == b""


def test_a_client_that_stops_in_the_middle_of_a_body_gets_an_answer(server, world):
    form = b"--x\r\nContent-Disposition: form-data; name=files; filename=a.wav\r\n\r\n" + GOOD[:1000]
    for path, kind, begin in (
        ("/api/recordings", "multipart/form-data; boundary=x", form),
        ("/api/tag", "application/json", b'{"recordings"'),
    ):
        with connection(server) as client:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
            client.sendall(head.encode() + begin)
            answer = b"".join(iter(lambda: client.recv(10_000), b""))
        assert answer.startswith(b"HTTP/1.1 408"), answer
        assert b'"code":"timeout"' in answer
    wait_for(lambda: not incoming(world))


def test_a_client_that_leaves_in_the_middle_leaves_nothing(server, world):
    before = len(ids_of(server.client))
    head = (
        "POST /api/recordings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        "Content-Length: 100000\r\n\r\n--x\r\nContent-Disposition: form-data; name=files; filename=a.wav\r\n\r\n"
    )
    with connection(server) as client:
        client.sendall(head.encode() + GOOD[:3000])
        wait_for(lambda: incoming(world))
    wait_for(lambda: not incoming(world))
    assert len(ids_of(server.client)) == before


def test_a_job_goes_on_when_nobody_watches_it(server):
    body = {"recordings": ids_of(server.client)[-2:], "window": 0.5, "hop": 0.1}
    job = server.client.post("/api/tag", json=body).json()
    with server.client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
        next(events.iter_lines())
    assert finished(server.client, job)["state"] == "done"


def test_a_port_in_use_is_told_before_a_model_is_loaded(server, world, programs):
    _, folder = world
    line = [str(programs / "auricle"), "serve", "--model", "nobody", "--state", str(folder / "other")]
    answer = subprocess.run([*line, "--port", str(server.port)], capture_output=True, text=True, timeout=PATIENCE)
    assert answer.returncode == 2
    assert answer.stderr == (
        f"auricle: --port {server.port} is in use by another program; choose another one, or --port auto for any that is free\n"
    )


def test_a_second_server_on_the_same_state_is_refused(server, world, programs):
    settings, _ = world
    line = [str(programs / "auricle"), "serve", *words_of(settings), "--port", "auto"]
    answer = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE)
    assert answer.returncode == 2
    assert "is in use by process" in answer.stderr
    assert "choose another --state" in answer.stderr


def until_half_done(server, job):
    """Wait until the first recording of two is finished and the second one has begun."""
    with server.client.stream("GET", f"/api/jobs/{job['id']}/events") as events:
        for line in events.iter_lines():
            if line.startswith("data: ") and json.loads(line[6:]).get("progress", 0) > 0.5:
                return


def test_a_server_that_is_stopped_and_killed_in_the_middle_loses_nothing(tmp_path):
    settings = make_world(tmp_path, count=1)
    write_sound(tmp_path / "night" / "long.wav", tone(40.0, rate=8000), 8000)
    words, log = words_of(settings), tmp_path / "log.txt"

    def kept_state():
        return json.loads((tmp_path / "state" / "jobs" / f"{job['id']}.json").read_text())["state"]

    with RunningServer(words, log) as server:
        kept = upload(server.address, "a.wav", GOOD).json()["files"][0]["recording"]
        found = {item["name"]: item["id"] for item in server.client.get("/api/recordings").json()["recordings"]}
        ids = [found["clip000.wav"], found["long.wav"]]
        job = server.client.post("/api/tag", json={"recordings": ids, "hop": 0.05}).json()
        half = connection(server)
        half.sendall(b"POST /api/recordings HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9999\r\n\r\n--")
        until_half_done(server, job)
        assert server.stop(signal.SIGTERM) == 0
        half.close()
    assert kept_state() == "running"
    with RunningServer(words, log) as server:
        until_half_done(server, job)
        assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    assert kept_state() == "running"
    with RunningServer(words, log) as server:
        assert kept["id"] in ids_of(server.client)
        assert len(server.client.get(f"/api/recordings/{kept['id']}/audio").content) == len(GOOD)
        again = finished(server.client, server.client.get(f"/api/jobs/{job['id']}").json())
        assert again["state"] == "done", again["error"]
        assert server.client.get(f"/api/recordings/{ids[1]}/results").json()["hop"] == 0.05
        assert not list((tmp_path / "state" / "incoming").iterdir())
        assert server.stop(signal.SIGINT) == 130
    assert "Traceback" not in log.read_text()


def test_the_log_of_the_server_holds_no_traceback(server, world):
    assert server.process.poll() is None
    assert "Traceback" not in (world[1] / "log.txt").read_text()
