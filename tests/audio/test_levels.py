"""Absurd samples are refused with their place; unusual levels are noted."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import AudioNote, blocks, note_texts, read
from auricle.audio.sources import audio_sources
from auricle.core.errors import AudioError
from helpers.containers import RATE, pcm, sweep, wav


def float_wav(wave: np.ndarray, subtype: str = "FLOAT") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, wave.T, RATE, subtype=subtype, format="WAV")
    return file.getvalue()


def note_of(content: bytes) -> str:
    """The note about a file, which reading it whole and in blocks gives alike; "" if there is none."""
    streamed: list[AudioNote] = []
    assert list(blocks(content, seconds=0.3, rate=8000, notes=streamed))
    found = read(content).notes
    assert tuple(streamed) == found
    assert len(found) < 2
    return found[0].message if found else ""


@pytest.mark.parametrize("value", [3e29, 1e20, -1e12, 5e9])
@pytest.mark.parametrize("channels", [1, 2])
def test_one_absurd_sample_is_refused_with_its_value_and_place(value, channels):
    wave = np.stack([sweep()] * channels)
    wave[-1, RATE] = value
    with pytest.raises(AudioError, match=r"a sample of -?\d(\.\d+)?e\+\d+ at 1\.000 s, far outside \[-1, 1\]"):
        read(float_wav(wave))
    with pytest.raises(AudioError, match=r"1\.000 s"):
        list(blocks(float_wav(wave), seconds=0.3, rate=8000))
    assert len(read(float_wav(wave), end=0.9).wave)
    assert np.abs(read(float_wav(wave), check=False).wave).max() > 1e9


def test_a_double_that_no_float_holds_is_refused():
    wave = sweep().astype(np.float64)
    wave[100] = 1e300
    with pytest.raises(AudioError, match="infinite"):
        read(float_wav(wave, "DOUBLE"))


@pytest.mark.parametrize(("scale", "name"), [(32768, "16-bit"), (8388608, "24-bit"), (2147483648, "32-bit")])
def test_integers_stored_as_floats_are_pointed_out(scale, name):
    assert f"they look like {name} integers stored as floats; divide them by {scale}" in note_of(
        float_wav(sweep() * scale)
    )


def test_loud_samples_are_pointed_out_and_ordinary_overs_are_not():
    assert "samples reach 51.3" in note_of(float_wav(sweep() * 100))
    assert not note_of(float_wav(sweep() * 4))


def test_silence_a_constant_and_an_offset_are_pointed_out():
    assert note_of(wav(bytes(2 * RATE))).endswith("digital silence")
    assert note_of(wav(pcm(np.full(RATE, 0.25)))).endswith("all samples are 0.25")
    assert "the mean of the samples is 0.3," in note_of(wav(pcm(0.5 * sweep() + 0.3)))
    assert not note_of(wav(pcm(0.5 * sweep() + 0.02)))


def test_a_part_of_a_file_is_not_called_silent():
    content = wav(pcm(np.concatenate([np.zeros(RATE), sweep()])))
    assert not read(content, end=0.5).notes
    assert not note_of(content)


def test_notes_of_many_files_are_a_line_per_kind():
    silent = [AudioNote("silence", f"{i}.wav: digital silence") for i in range(3)]
    texts = note_texts([*silent, silent[0], AudioNote("header", "x.wav: cut")])
    assert texts == (
        "3 files hold one and the same sample from beginning to end (digital silence); the first: 0.wav: digital silence",
        "x.wav: cut",
    )
    assert note_texts([]) == ()


def test_samples_in_memory_are_judged_as_those_of_files():
    def found(wave: np.ndarray) -> str:
        notes: list[AudioNote] = []
        source = next(audio_sources((wave, RATE)))
        source.read(8000, "soxr", notes)
        streamed: list[AudioNote] = []
        list(source.blocks(8000, "soxr", streamed))
        assert streamed == notes
        return " ".join(note_texts(notes))

    assert "look like 16-bit integers stored as floats" in found(sweep() * 32768)
    assert "look like 16-bit integers stored as floats" in found(np.stack([sweep(), sweep() * 32768]))
    assert found(np.zeros(RATE, np.float32)) == "audio: digital silence"
    assert "an offset" not in found(sweep())
    assert "mean of the samples is 0.3" in found(sweep() + 0.3)
    with pytest.raises(AudioError, match=r"holds a sample of 1e\+20, far outside"):
        found(np.where(np.arange(RATE) == 5, 1e20, sweep()[:RATE]))
