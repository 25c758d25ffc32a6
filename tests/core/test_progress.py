"""The progress bar and the lines that are printed while it is shown."""

from __future__ import annotations

import io
import sys

import pytest

from auricle.core.console import duration, progress_bar


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


def test_the_bar_shows_parts_of_a_long_step_and_goes_on_to_whole_ones(shown):
    stream = shown(Terminal())
    bar = progress_bar(total=2, what="tag", unit="file")
    bar.mininterval = 0.0
    bar.show_part(0.3456, "night.flac 0:20:44 of 1:00:00")
    bar.show_part(0.2, "never backwards")
    assert bar.n == pytest.approx(0.3456)
    bar.finish_step()
    assert bar.n == 1
    bar.show_part(1.5)
    bar.finish_step()
    bar.close()
    assert bar.n == 2
    assert "0.35/2" in stream.getvalue()
    assert "night.flac 0:20:44 of 1:00:00" in stream.getvalue()
    assert "2/2" in stream.getvalue().rsplit("\r", 1)[-1]


def test_a_job_of_nothing_has_no_bar(shown):
    stream = shown(Terminal())
    progress_bar(total=0, what="embed").close()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 seconds"), (89, "89.0 seconds"), (90, "1.5 minutes"), (3600, "60.0 minutes"), (5400, "1.5 hours"),
     (71 * 3600, "71.0 hours"), (2283.4 * 3600, "95.1 days"), (3e8, "9.5 years")],
)  # fmt: skip
def test_a_length_of_time_has_a_unit_that_fits(seconds, text):
    assert duration(seconds) == text
