"""The progress bar and the lines that are printed while it is shown."""

from __future__ import annotations

import io
import sys

import pytest

from auricle.core.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def shown(monkeypatch):
    """Standard output and standard error in one stream, as a terminal shows them."""

    def use(stream: io.StringIO) -> io.StringIO:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return use


def test_on_a_terminal_answers_have_lines_of_their_own(shown):
    stream = shown(Terminal())
    bar = progress_bar(["a.wav", "b.wav"], what="tag", unit="file")
    for name in bar:
        with bar.pause():
            print(f"answer of {name}")
    lines = [line.rsplit("\r", 1)[-1] for line in stream.getvalue().split("\n")]
    assert "answer of a.wav" in lines
    assert "answer of b.wav" in lines


def test_in_a_log_file_the_bar_is_not_written_for_every_answer(shown):
    stream = shown(io.StringIO())
    bar = progress_bar(range(50), what="tag", unit="file")
    for _ in bar:
        with bar.pause():
            print("answer")
    assert stream.getvalue().count("tag:") <= 2


def test_a_quiet_bar_prints_nothing(shown):
    stream = shown(Terminal())
    bar = progress_bar([1, 2], quiet=True)
    for _ in bar:
        with bar.pause():
            pass
    assert stream.getvalue() == ""
