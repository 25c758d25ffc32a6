"""Fingerprints do not depend on gain or blocks, survive as text, and are a shared sample in long recordings."""

import numpy as np
import pytest

from auricle.data.checks import fingerprints
from auricle.data.checks.fingerprints import Fingerprint
from helpers.faulty_sounds import RATE, clean_sound, fingerprint


def same_bits(one: Fingerprint, other: Fingerprint) -> float:
    """The share of equal bits of the frames that both have."""
    _, here, there = np.intersect1d(one.frames, other.frames, return_indices=True)
    differing = one.keys[here] ^ other.keys[there]
    return 1 - np.unpackbits(differing.view(np.uint8)).mean()


def test_half_a_second_has_frames_every_12_ms():
    assert len(fingerprint(clean_sound(0, 0.5))) == pytest.approx(0.5 * 5500 / 64, abs=3)


@pytest.mark.parametrize("block", [160, 999, 100_000])
def test_it_does_not_depend_on_the_blocks(block):
    wave = clean_sound(1)
    one, other = fingerprint(wave, block=block), fingerprint(wave, block=len(wave))
    assert np.array_equal(one.frames, other.frames)
    assert same_bits(one, other) > 0.999


def test_gain_and_noise_change_few_bits_and_another_sound_changes_half():
    wave = clean_sound(2)
    noisy = wave + 0.003 * np.random.default_rng(0).standard_normal(len(wave))
    assert same_bits(fingerprint(wave), fingerprint(0.05 * wave)) > 0.99
    assert same_bits(fingerprint(wave), fingerprint(noisy)) > 0.85
    assert same_bits(fingerprint(wave), fingerprint(clean_sound(3))) < 0.65


def test_silence_has_none():
    assert len(fingerprint(np.zeros(RATE))) == 0
    padded = np.concatenate([clean_sound(4), np.zeros(3 * RATE)])
    assert fingerprint(padded).frames.max() < (len(clean_sound(4)) / RATE + 0.3) * 5500 / 64


def test_text_holds_it_whole_and_other_text_is_refused():
    made = fingerprint(clean_sound(5))
    read = Fingerprint.from_text(made.to_text())
    for name in ("keys", "frames", "weak"):
        assert np.array_equal(getattr(read, name), getattr(made, name))
    with pytest.raises(ValueError, match="fingerprint|base85"):
        Fingerprint.from_text(made.to_text()[:-7])


def test_of_a_long_recording_copies_keep_the_same_frames(monkeypatch):
    monkeypatch.setattr(fingerprints, "MOST_FRAMES", 60)
    wave = clean_sound(6, 4.0)
    one, other = fingerprint(wave), fingerprint(0.3 * wave)
    assert len(one) == len(other) == 60
    assert len(np.intersect1d(one.frames, other.frames)) >= 55
