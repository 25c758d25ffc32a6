"""Windows over streams of any length."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auricle.audio.windows import windows
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
