"""Servers for tests: the application inside the test, and ``auricle serve`` as a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient

from auricle.hub.weight_file import save_encoder
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.serve.app import make_app
from auricle.serve.settings import ServeConfig
from helpers.encoders import FAMILIES
from helpers.patience import PATIENCE
from helpers.sounds import write_sounds

ADDRESS = "http://127.0.0.1"  # the test client's own name is no name of the server
CLASSES = ("owl", "frog", "cricket")


def make_tagger(file: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """Write a tagger of toy size with drawn weights."""
    encoder = FAMILIES["mn"].make()
    head = make_head("linear", encoder, num_classes=len(classes))
    save_encoder(encoder.with_head(head, LabelSpace("multilabel", classes)), file)
    return file


def make_world(folder: Path, count: int = 2, seconds: float = 4.0) -> dict[str, Any]:
    """Write recordings and a tagger; return settings of a server for them."""
    write_sounds(folder / "night", count, seconds)
    return {
        "folders": (str(folder / "night"),),
        "model": (str(make_tagger(folder / "tagger.safetensors")),),
        "state": str(folder / "state"),
    }


@contextmanager
def client_of(**settings: Any) -> Iterator[TestClient]:
    """An application in this process, and a client of it."""
    app = make_app(ServeConfig(**settings))
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


def finished(client: TestClient | httpx.Client, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for the end of a job and return its last state."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        job = client.get(f"/api/jobs/{job['id']}").json()
        if job["state"] in ("done", "failed", "cancelled"):
            return job
        time.sleep(0.05)
    raise AssertionError(f"the job did not end: {job}")


def ids_of(client: TestClient | httpx.Client) -> list[str]:
    """The ids of all recordings."""
    return [recording["id"] for recording in client.get("/api/recordings").json()["recordings"]]


class RunningServer:
    """``auricle serve`` as a process; ``client`` asks it.

    Args:
        words: of the command line, beside --port and --json.
        log: file for standard error.
        verb: "serve", or a verb that ends in a server.
        python: that starts it; another one than this is a fixture (``programs``).
    """

    def __init__(self, words: list[str], log: Path, verb: str = "serve", python: str | Path = sys.executable):
        self.log = log
        line = [python, "-m", "auricle", verb, *words, "--port", "auto", "--json"]
        with open(log, "a") as errors:
            self.process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=errors, text=True)
        assert self.process.stdout is not None
        said = next((line for line in self.process.stdout if line.startswith('{"address"')), "")
        assert said, log.read_text()
        self.facts = json.loads(said)
        self.address = self.facts["address"].rstrip("/")
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE)

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def memory(self) -> int:
        """Resident bytes of the server and the processes that it started."""
        total = 0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            try:
                total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (OSError, IndexError):
                continue
        return total

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    def __enter__(self) -> RunningServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        found = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [*found, *(grandchild for child in found for grandchild in _children(child))]
