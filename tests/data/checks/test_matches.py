"""Copies are found in another form and at another place; other sounds, and other takes of a sound, are not."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import read
from auricle.data.checks.matches import Excerpt, candidates, compare
from helpers.faulty_sounds import RATE, clean_sound, fingerprint


def encoded(wave: np.ndarray, format: str, subtype: str, rate: int = RATE, **how: float) -> io.BytesIO:
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format=format, subtype=subtype, **how)
    file.seek(0)
    return file


def wav(wave: np.ndarray) -> io.BytesIO:
    return encoded(wave, "WAV", "FLOAT")


COPIES: dict[str, Callable[[np.ndarray], io.BytesIO]] = {
    "gain": lambda wave: wav(0.1 * wave),
    "polarity": lambda wave: wav(-wave),
    "shift": lambda wave: wav(np.concatenate([np.zeros(613, np.float32), wave])),
    "trimmed": lambda wave: wav(wave[1000:]),
    "16 bits": lambda wave: encoded(wave, "FLAC", "PCM_16"),
    "telephone": lambda wave: encoded(wave[::2], "WAV", "ULAW", RATE // 2),
    "mp3": lambda wave: encoded(wave, "MP3", "MPEG_LAYER_III", compression_level=0.7),
    "ogg": lambda wave: encoded(wave, "OGG", "VORBIS", compression_level=0.7),
    "noise at -20 dB": lambda wave: wav(wave + 0.1 * wave.std() * np.random.default_rng(0).standard_normal(len(wave))),
    "offset and hum": lambda wave: wav(wave + 0.1 + 0.2 * np.sin(2 * np.pi * 50 * np.arange(len(wave)) / RATE)),
}


def shared(*files: io.BytesIO):
    """What the clips of two files share."""
    parts = [read(file) for file in files]
    found = candidates([fingerprint(part.wave, part.rate) for part in parts])
    excerpts = [Excerpt(file, 0.0, len(part.wave) / part.rate) for file, part in zip(files, parts)]
    return next((match for one in found if (match := compare((one, *excerpts)))), None)


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_a_copy_is_found(name, seconds):
    wave = clean_sound(10, seconds)
    match = shared(wav(wave), COPIES[name](wave))
    assert match is not None
    assert match.share > 0.8


def test_the_shift_is_exact():
    wave = clean_sound(11, 3.0)
    match = shared(wav(wave), wav(wave[RATE:]))
    assert match.shift == pytest.approx(1.0, abs=1e-3)
    assert match.seconds == pytest.approx(2.0, abs=1e-2)
    assert match.share == 1.0


def test_clips_that_share_a_part_overlap():
    wave = clean_sound(12, 4.0)
    match = shared(wav(wave[: 5 * RATE // 2]), wav(wave[3 * RATE // 2 :]))
    assert match.seconds == pytest.approx(1.0, abs=0.02)
    assert match.share == pytest.approx(0.4, abs=0.02)


def test_other_sounds_are_not_alike():
    prints = [fingerprint(clean_sound(seed)) for seed in range(40)]
    files = [wav(clean_sound(seed)) for seed in range(40)]
    matches = [
        compare((one, *(Excerpt(files[n], 0.0, 1.2) for n in (one.first, one.second)))) for one in candidates(prints)
    ]
    assert not any(matches)


def test_another_take_of_a_word_is_not_a_copy():
    """The same harmonics and envelope, spoken again with other timing and breath."""

    def take(seed: int) -> np.ndarray:
        random = np.random.default_rng(seed)
        time = np.arange(RATE // 2) / RATE
        phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * time * random.uniform(0.9, 1.1))) / RATE
        voice = sum(np.sin(k * phase + random.uniform(0, 6)) / k for k in range(1, 25))
        return (0.1 * voice * np.hanning(len(time)) + 0.005 * random.standard_normal(len(time))).astype(np.float32)

    assert shared(wav(take(1)), wav(take(2))) is None


def test_a_file_that_is_gone_is_no_match(tmp_path):
    wave = clean_sound(13)
    one = candidates([fingerprint(wave), fingerprint(wave)])[0]
    assert compare((one, Excerpt(tmp_path / "gone.wav", 0, 1.2), Excerpt(wav(wave), 0, 1.2))) is None


def test_a_frequent_sub_fingerprint_says_nothing():
    assert len(candidates([fingerprint(clean_sound(14))] * 20)) == 190
    assert candidates([fingerprint(clean_sound(14))] * 200) == []


def test_without_sound_there_are_no_candidates():
    assert candidates([]) == []
    assert candidates([fingerprint(np.zeros(RATE))] * 3) == []
