"""The parts whose costs the simulation takes are measured on real clips, each in a process of its own."""

from __future__ import annotations

import pytest
from benchmarks.scale_plan.measure import part, run_timed

from auricle.core.errors import AuricleError
from helpers.paths import SHARED

ESC10 = SHARED / "data" / "esc10" / "audio"
WEIGHTS = SHARED / "weights" / "mn04_as_mAP_432.pt"


@pytest.mark.slow
@pytest.mark.skipif(not (ESC10.is_dir() and WEIGHTS.is_file()), reason="needs ../shared: ESC-10 and mn04_as")
def test_decoding_and_scoring_are_measured_by_both_clocks_beside_a_second_process():
    found = part("tagging", str(ESC10), "--weights", str(WEIGHTS), "--clips", "3", beside=2)
    for name in ("decode", "score"):
        seconds, processor = found[name]
        assert seconds > 0 < processor
    assert found["audio_seconds"] == pytest.approx(5, abs=0.5)


def test_lines_of_a_file_are_timed_while_a_command_writes_them(tmp_path):
    file = tmp_path / "lines"
    timed = run_timed(["bash", "-c", f"echo a > {file}; sleep 0.3; echo b >> {file}; sleep 0.1"], file)
    assert len(timed.lines) == 2
    assert timed.lines[0] <= timed.lines[1] <= timed.seconds


def test_a_command_that_fails_is_named_with_its_last_words():
    with pytest.raises(AuricleError, match=r"exit 3.*no such thing"):
        run_timed(["bash", "-c", "echo no such thing >&2; exit 3"])
