"""Windows over streams of any length."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.audio.windows import covering_enough, windows
from auricle.compat.efficientat.command_line import zero_padded
from auricle.core.errors import AuricleError

sizes = st.integers(1, 40)


def cut(wave, block, size, hop, **how):
    return list(windows((wave[i : i + block] for i in range(0, len(wave), block)), size, hop, **how))


@given(total=st.integers(1, 200), block=sizes, size=sizes, hop=sizes)
def test_windows_lie_on_the_grid_hold_their_samples_and_end_with_the_recording(total, block, size, hop):
    wave = np.arange(total, dtype=np.float32)
    found = cut(wave, block, size, hop)
    for window in found:
        np.testing.assert_array_equal(window.wave, wave[window.start : window.stop])
    assert [window.start for window in found[:-1]] == [i * hop for i in range(len(found) - 1)]
    assert {len(window.wave) for window in found} == {min(size, total)}
    if hop <= size:
        assert found[-1].stop == total
        heard = np.unique(np.concatenate([np.arange(w.start, w.stop) for w in found]))
        assert len(heard) == total


@given(total=st.integers(1, 200), block=sizes, size=sizes, hop=sizes)
def test_the_published_rule_pads_the_last_window_with_zeros(total, block, size, hop):
    wave = np.arange(1, total + 1, dtype=np.float32)
    found = cut(wave, block, size, hop, tail=zero_padded)
    count = max(0, math.ceil((total - size) / hop) + 1)
    padded = np.pad(wave, (0, max(0, count * hop + size - total)))
    assert [(w.start, w.stop) for w in found] == [(i * hop, i * hop + size) for i in range(count)]
    for window in found:
        np.testing.assert_array_equal(window.wave, padded[window.start : window.stop])


def test_a_long_stream_is_never_held_whole():
    def stream():
        for _ in range(100_000):
            yield np.zeros(100, np.float32)

    longest = max(
        window.wave.base.nbytes if window.wave.base is not None else 0 for window in windows(stream(), 300, 150)
    )
    assert longest < 10_000


@pytest.mark.parametrize(("size", "hop"), [(0, 1), (1, 0)])
def test_windows_without_length_are_refused(size, hop):
    with pytest.raises(AuricleError, match="at least one sample"):
        next(windows([np.zeros(3, np.float32)], size, hop))


@pytest.mark.parametrize(
    ("seconds", "starts"), [(5.0, [0]), (5.01, [0]), (5.3, [0, 0.3]), (7.6, [0, 2.5]), (7.8, [0, 2.5, 2.8])]
)
def test_a_rest_that_adds_hardly_anything_is_no_window(seconds, starts):
    cut = windows([np.zeros(round(seconds * 100), np.float32)], 500, 250, covering_enough)
    assert [round(window.start / 100, 2) for window in cut] == starts


def test_a_rest_between_distant_windows_is_one_if_there_is_enough_of_it():
    for samples, count in ((1010, 1), (1400, 2)):
        assert len(list(windows([np.zeros(samples, np.float32)], 200, 1000, covering_enough))) == count
