"""The verb ``serve``: what it refuses before anything is served, in one line and with exit code 2."""

from __future__ import annotations

import socket
import sys

import pytest

from auricle.cli.main import main


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))

    def run(*words):
        assert main(["serve", *map(str, words)]) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.count("\n") == 1
        return shown.err

    return run


def test_without_the_extra_the_line_that_installs_it_is_printed(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert "pip install 'auricle[serve]'" in refused("--model", "logmel-stats")


def test_a_port_in_use_is_named(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"--port {port} is in use" in refused("--model", "logmel-stats", "--port", port)


def test_an_address_of_another_machine_is_named(refused):
    assert "--host 203.0.113.7" in refused("--model", "logmel-stats", "--host", "203.0.113.7", "--port", "auto")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "needs --model"),
        (("nowhere", "--model", "logmel-stats"), "nowhere: no such file or folder"),
        (("--model", "logmel-stat"), "logmel-stat"),
        (("--model", "logmel-stats", "--index", "nowhere"), "nowhere does not exist"),
        (("--model", "logmel-stats", "--runs", "nowhere"), "nowhere: no such file or folder"),
        (("--model", "logmel-stats", "--state", __file__), "--state"),
        (("--model", "logmel-stats", "--token", "none", "--host", "0.0.0.0"), "needs a token"),
    ],
)
def test_what_is_not_there_is_named(refused, words, message):
    assert message in refused(*words, "--port", "auto")


def test_a_refused_start_leaves_the_state_free(refused, tmp_path):
    for _ in range(2):
        assert "nowhere" in refused("nowhere", "--model", "logmel-stats", "--state", tmp_path / "s", "--port", "auto")
    assert not (tmp_path / "s" / "lock").exists()
