"""What callers hand over becomes sources: files, bytes, waveforms with a rate, entries of data sets; else a clear error."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.audio.resample import check_rate
from auricle.audio.sources import AudioSource, audio_sources, find_audio
from auricle.core.errors import AudioError, AuricleError
from helpers.sounds import tone, write_sound

RATE = 16000
WAVE = tone(0.2, RATE)


def one(audio, sample_rate=None) -> AudioSource:
    (source,) = audio_sources(audio, sample_rate)
    return source


def samples(source: AudioSource) -> np.ndarray:
    return source.read(RATE, "soxr")


@dataclass
class Decoder:
    """As torchcodec's, which Hugging Face data sets return."""

    data: torch.Tensor
    sample_rate: int

    def get_all_samples(self):
        return self


# ---- waveforms
@pytest.mark.parametrize(
    "audio",
    [
        (WAVE, RATE),
        [WAVE, float(RATE)],
        (RATE, WAVE),  # scipy.io.wavfile.read
        (torch.from_numpy(WAVE)[None], RATE),  # torchaudio.load
        (torch.from_numpy(WAVE), torch.tensor(RATE)),
        (WAVE, np.int64(RATE)),
        {"array": WAVE, "sampling_rate": RATE},
        {"array": WAVE.tolist(), "sampling_rate": RATE, "path": None},
        {"raw": WAVE, "sampling_rate": RATE},
        {"audio": {"array": WAVE, "sampling_rate": RATE}, "path": "in the archive.mp3", "label": 3},
        {"audio": WAVE, "sample_rate": RATE},
        Decoder(torch.from_numpy(WAVE)[None], RATE),
        {"audio": Decoder(torch.from_numpy(WAVE)[None], RATE), "label": 3},
    ],
)
def test_a_waveform_with_its_rate_needs_no_other(audio):
    for rate in (None, 48000):
        source = one(audio, rate)
        assert (source.sample_rate, source.length()) == (RATE, 0.2)
        assert np.allclose(samples(source), WAVE, atol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 6, 8])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_channels_come_first_or_last(channels, make):
    levels = np.linspace(0.2, 1.0, channels, dtype=np.float32)
    recording = levels[:, None] * WAVE
    mean = recording.mean(0)
    for array in (recording, np.ascontiguousarray(recording.T)):
        source = one(make(array), RATE)
        assert source.length() == 0.2
        assert np.allclose(samples(source), mean, atol=1e-6)


@pytest.mark.parametrize("shape", [(64, 3200), (3200, 64), (16, 3200), (1, 2, 3200), ()])
def test_a_batch_is_not_taken_for_channels(shape):
    with pytest.raises(AuricleError, match="shape"):
        one(torch.zeros(shape), RATE)


def test_half_precision_and_gradients_are_samples():
    wave = torch.from_numpy(WAVE).bfloat16().requires_grad_()
    assert np.allclose(samples(one(wave, RATE)), WAVE, atol=0.01)


@pytest.mark.parametrize(
    ("audio", "words"),
    [
        (np.zeros(9, np.int16), "samples / 32768"),
        (np.zeros(9, np.int64), "float samples"),
        (np.zeros(9, np.float32), "needs its sample rate"),
        ({"array": np.zeros(9)}, "needs its sample rate"),
        ((np.zeros(9), 0), "sample rate"),
        ((np.zeros(9), float("inf")), "sample rate"),
        ({"array": np.zeros(9), "sampling_rate": "fast"}, "sample rate"),
        (np.zeros((0, 2)), "empty"),
        ((np.array([0.0, np.nan]), RATE), "NaN"),
        ((np.array([0.0, 1e300]), RATE), "NaN or infinite"),
    ],
)
def test_a_waveform_that_cannot_be_used_is_refused_in_words(audio, words):
    with pytest.raises(AuricleError, match=words):
        one(audio, RATE if words == "empty" else None)


def test_a_sample_rate_is_a_whole_number_of_hertz():
    assert [check_rate(rate) for rate in (16000, 16000.0, np.int32(16000), torch.tensor(16000))] == [16000] * 4
    for rate in (0, -1, 16000.5, float("nan"), float("inf"), None, "x", [1, 2]):
        with pytest.raises(AuricleError, match="sample rate"):
            check_rate(rate)


# ---- files
def test_bytes_and_open_files_are_recordings(tmp_path):
    path = write_sound(tmp_path / "a.wav", WAVE, RATE)
    expected, content = samples(one(path)), path.read_bytes()
    entries = [{"bytes": content, "path": "a.wav"}, {"bytes": None, "path": str(path)}, {"audio": str(path)}]
    for audio in (content, bytearray(content), memoryview(content), io.BytesIO(content), *entries):
        source = one(audio)
        assert source.length() == pytest.approx(0.2)
        assert np.array_equal(samples(source), expected)
    with open(path, "rb") as file:
        source = one(file)
        assert source.name == str(path)
        assert np.array_equal(samples(source), expected)
        with pytest.raises(AudioError, match=r"seek\(0\)"):
            one(file)
    with pytest.raises(AudioError, match="closed file"):
        one(file)
    with open(path, encoding="latin-1") as file, pytest.raises(AuricleError, match="mode 'rb'"):
        one(file)
    with soundfile.SoundFile(path) as file, pytest.raises(AuricleError, match="type ndarray"):
        one(file)


@dataclass
class Named:
    """A path of another library: text or bytes."""

    name: str | bytes

    def __fspath__(self):
        return self.name


class Text(str):
    pass


class SubPath(type(Path())):
    """A Path whose text is not its name."""

    def __str__(self):
        return f"<{super().__str__()}>"


def test_paths_of_any_kind_are_one_recording(tmp_path):
    path = write_sound(tmp_path / "a.wav", WAVE, RATE)
    with os.scandir(tmp_path) as entries:
        (entry,) = entries
    for audio in (Named(str(path)), Named(os.fsencode(path)), Text(path), SubPath(path), entry, np.str_(path)):
        (source,) = find_audio([audio])
        assert (source.name, source.content) == (str(path), path)
        assert len(samples(one(audio))) == len(WAVE)


@pytest.mark.parametrize(
    "path", ["", Text(""), Named(""), Named(b""), [""], {"path": "", "bytes": None}, ["a.wav", ""]]
)
def test_an_empty_path_is_not_the_current_folder(path, tmp_path, monkeypatch):
    write_sound(tmp_path / "a.wav", WAVE, RATE)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AuricleError, match="empty text; name the current folder as"):
        find_audio(path)
    assert [source.name for source in find_audio(".")] == ["a.wav"]


def test_an_address_of_the_network_is_no_path():
    with pytest.raises(AuricleError, match="address of the network; download"):
        find_audio("https://example.org/a.wav")


@pytest.mark.parametrize("name", [3, None])
def test_an_object_that_names_no_path_is_refused(name):
    with pytest.raises(AuricleError, match="expected a path"):
        find_audio(Named(name))


# ---- several
def test_lists_iterators_and_batches_hold_recordings_of_any_kind(tmp_path):
    path = write_sound(tmp_path / "a.wav", WAVE, RATE)
    row = {"array": WAVE, "sampling_rate": RATE}
    mixed = [path, str(path), path.read_bytes(), WAVE, (WAVE, RATE), row]
    for several in (mixed, tuple(mixed), iter(mixed), {"audio": mixed, "label": range(6)}):
        sources = list(audio_sources(several, RATE))
        assert [source.name for source in sources] == [*[str(path)] * 2, "audio 2", "audio 3", "audio 4", "audio 5"]
        assert all(np.allclose(samples(source), WAVE, atol=1e-4) for source in sources)
    names = np.array([str(path), str(tmp_path)])
    assert [source.name for source in audio_sources(names)] == [str(path)] * 2


def test_no_two_recordings_have_one_name(tmp_path):
    path = write_sound(tmp_path / "a.wav", WAVE, RATE)
    entry = {"array": WAVE, "sampling_rate": RATE, "path": str(path)}
    sources = find_audio([entry, path, path, entry, WAVE, entry | {"path": "b.wav"}], RATE)
    names = [f"{path} (2)", str(path), f"{path} (3)", "audio 4", "b.wav"]
    assert [source.name for source in sources] == names
    assert len({source.place for source in sources}) == 5
    assert not any(source.place.startswith("/") for source in sources)


def test_a_bad_waveform_of_several_costs_no_other():
    loud = np.full(9, np.inf, np.float32)
    sources = list(audio_sources([WAVE, loud, io.BytesIO(), np.zeros(0, np.float32), WAVE], RATE))
    assert [bool(source.error) for source in sources] == [False, True, True, True, False]
    for call in (lambda: samples(sources[1]), sources[1].length, lambda: next(sources[1].blocks(RATE, "soxr"))):
        with pytest.raises(AudioError, match="audio 1: holds NaN"):
            call()


@pytest.mark.parametrize(
    "audio",
    [
        None,
        3,
        0.5,
        [None],
        ["a.wav", 3],
        [0.1, 0.2, 0.3],
        [[WAVE]],
        np.array(1.0),
        np.array(["a", None], dtype=object),
        object(),
        {"label": 3},
        {},
        [{"sound": WAVE}],
        ({"label": 1},),
    ],
)
def test_anything_else_is_refused_with_what_was_given(audio):
    with pytest.raises(AuricleError, match=r"expected a path, the bytes of a file, an open file, .*; got "):
        list(audio_sources(audio, RATE))
