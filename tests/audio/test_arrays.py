"""Samples in memory as other libraries hold them: read with the values that they show, or refused in words."""

from __future__ import annotations

import array
from collections import UserDict
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from auricle.audio.arrays import is_table, is_waveform, rated, samples_of
from auricle.audio.sources import audio_sources, find_audio
from auricle.core.errors import AudioError, AuricleError
from helpers.sounds import tone

RATE = 16000
WAVE = tone(0.1, RATE)


def samples(audio, rate=RATE) -> np.ndarray:
    (source,) = audio_sources(audio, rate)
    return source.read(RATE, "soxr")


# ---- tensors
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
FORMS = {
    "with a gradient": lambda x: x.clone().requires_grad_(),
    "computed from one": lambda x: x.clone().requires_grad_() * 1.0,
    "a parameter": lambda x: torch.nn.Parameter(x.clone()),
    "negated later": lambda x: torch.complex(torch.zeros_like(x), -x).conj().imag,
    "of every second sample": lambda x: torch.stack([x, x], dim=1).flatten()[::2],
    "expanded": lambda x: x[None].expand(2, -1),
    "in inference mode": lambda x: _in_inference_mode(x),
}


def _in_inference_mode(x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return x * 1.0


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_a_tensor_of_any_float_type_is_read_with_the_values_it_shows(form, dtype):
    plain = torch.from_numpy(WAVE).to(dtype)
    if form == "negated later" and dtype in (torch.float16, torch.bfloat16):
        plain = plain.float()  # PyTorch has no complex numbers of them
    tensor = FORMS[form](plain)
    if form == "negated later":
        assert tensor.is_neg()
    assert np.allclose(samples(tensor), plain.float().numpy(), atol=1e-6)


def test_the_smallest_floats_are_samples():
    plain = torch.from_numpy(WAVE).to(torch.float8_e4m3fn)
    assert np.allclose(samples(plain), plain.float().numpy(), atol=1e-6)


NO_SAMPLES = {
    "complex, conjugated later": lambda: torch.complex(torch.zeros(9), torch.ones(9)).conj(),
    "complex": lambda: torch.zeros(9, dtype=torch.complex64),
    "sparse": lambda: torch.zeros(2, 9).to_sparse(),
    "without values": lambda: torch.zeros(9, device="meta"),
    "nested": lambda: torch.nested.nested_tensor([torch.zeros(9), torch.zeros(5)], layout=torch.jagged),
    "whole numbers": lambda: torch.zeros(9, dtype=torch.int32),
    "truth values": lambda: torch.zeros(9, dtype=torch.bool),
    "complex numbers of NumPy": lambda: np.zeros(9, np.complex64),
    "truth values of NumPy": lambda: np.zeros(9, bool),
    "rows of different lengths": lambda: {"array": [[0.1, 0.2], [0.3]], "sampling_rate": RATE},
    "text": lambda: {"array": ["a", "b"], "sampling_rate": RATE},
    "dates": lambda: {"array": np.zeros(9, "datetime64[s]"), "sampling_rate": RATE},
}


@pytest.mark.parametrize("what", NO_SAMPLES)
def test_anything_that_is_no_waveform_is_refused_in_one_line(what):
    with pytest.raises(AuricleError, match="expected (float )?samples") as caught:
        samples(NO_SAMPLES[what]())
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("rate", [np.array(RATE), torch.tensor(float(RATE), requires_grad=True), np.float64(RATE)])
def test_a_rate_may_be_an_array_without_axes(rate):
    assert len(samples((WAVE, rate), None)) == len(WAVE)


@pytest.mark.parametrize("rate", [torch.tensor(0.0, device="meta"), np.array(1j), torch.tensor(1j), np.array("fast")])
def test_a_rate_that_is_no_number_is_refused(rate):
    assert rated((WAVE, rate)) is not None
    with pytest.raises(AuricleError, match="sample rate"):
        samples((WAVE, rate), None)


# ---- what is not NumPy's
@dataclass
class Column:
    """As a column of pandas or an array of JAX: NumPy can read it."""

    values: np.ndarray

    @property
    def dtype(self):
        return self.values.dtype

    @property
    def ndim(self):
        return self.values.ndim

    def __array__(self, dtype=None, copy=None):
        return self.values if dtype is None else self.values.astype(dtype)

    def __iter__(self):
        return iter(self.values)


def test_columns_of_numbers_and_buffers_are_waveforms():
    for audio in (Column(WAVE), array.array("f", WAVE.tolist()), memoryview(WAVE), memoryview(WAVE.astype(np.float64))):
        assert is_waveform(audio)
        assert np.allclose(samples(audio), WAVE, atol=1e-6)
    assert not is_waveform(Column(np.array(["a.wav"])))
    assert not is_waveform(memoryview(b"RIFF"))
    assert [source.name for source in audio_sources(Column(np.array(["a.wav", "b.wav"])))] == ["a.wav", "b.wav"]


class Frame:
    """As a data frame of pandas: iterating over it gives the names of its columns."""

    def __init__(self, **columns):
        self.cells = columns
        self.columns = list(columns)
        self.shape = (len(next(iter(columns.values()))), len(columns))

    def __iter__(self):
        return iter(self.columns)

    def __getitem__(self, name):
        return self.cells[name]


def test_a_table_of_one_column_is_its_cells_and_of_several_a_column_is_asked_for(tmp_path):
    assert [source.name for source in audio_sources(Frame(path=["a.wav", "b.wav"]))] == ["a.wav", "b.wav"]
    frame = Frame(path=["a.wav"], label=["dog"])
    assert is_table(frame)
    with pytest.raises(AuricleError, match=r"2 columns \(path, label\); give one of them: table\['path'\]"):
        find_audio(frame)


def test_a_column_of_pyarrow_is_a_list_of_its_cells():
    pyarrow = pytest.importorskip("pyarrow", reason="needs the [data] extra")
    table = pyarrow.table({"path": ["a.wav", "b.wav"]})
    for audio in (table, table["path"], list(table["path"])):
        assert [source.name for source in audio_sources(audio)] == ["a.wav", "b.wav"]
    entries = pyarrow.array([{"array": WAVE.tolist(), "sampling_rate": RATE}])
    assert np.allclose(samples(entries, None), WAVE, atol=1e-6)


def test_a_data_frame_of_pandas_is_a_table():
    pandas = pytest.importorskip("pandas", reason="pandas is no dependency")
    frame = pandas.DataFrame({"path": ["a.wav", "b.wav"], "label": ["x", "y"]})
    assert [source.name for source in audio_sources(frame["path"])] == ["a.wav", "b.wav"]
    assert [source.name for source in audio_sources(frame[["path"]])] == ["a.wav", "b.wav"]
    with pytest.raises(AuricleError, match="2 columns"):
        find_audio(frame)
    assert np.allclose(samples(pandas.Series(WAVE)), WAVE, atol=1e-6)


# ---- several
def test_a_list_inside_a_list_is_refused_with_how_to_flatten_it():
    for audio in ([[WAVE, WAVE], [WAVE]], [[WAVE, WAVE, WAVE]], (["a.wav", "b.wav"], ["c.wav"]), [(WAVE, WAVE)]):
        with pytest.raises(AuricleError, match=r"inside a list; give one flat list: \[item for part in parts"):
            find_audio(audio, RATE)
    batch = {"audio": [{"array": WAVE, "sampling_rate": RATE}] * 2}
    assert len(find_audio(batch)) == 2
    with pytest.raises(AuricleError, match="inside a list"):
        find_audio([batch, batch])


def test_numbers_and_empty_cells_are_refused_with_advice():
    with pytest.raises(AuricleError, match=r"np\.asarray\(samples, np\.float32\)"):
        find_audio(WAVE.tolist(), RATE)
    with pytest.raises(AuricleError, match="an empty cell"):
        find_audio(["a.wav", float("nan")])


def test_generators_mappings_and_sets_are_taken_one_by_one():
    waves = (WAVE * level for level in (0.5, 1.0))
    assert [source.content.max() for source in find_audio(waves, RATE)] == pytest.approx([WAVE.max() / 2, WAVE.max()])
    pairs = zip([WAVE, WAVE], [RATE, 8000])
    assert [source.sample_rate for source in find_audio(pairs)] == [RATE, 8000]
    assert [source.name for source in find_audio({"a.wav": 1}.keys())] == ["a.wav"]
    assert len(samples(UserDict(array=WAVE, sampling_rate=RATE), None)) == len(WAVE)
    assert find_audio(name for name in ()) == []


def test_an_error_of_the_callers_generator_is_the_callers():
    def rows():
        yield WAVE
        raise KeyError("my own")

    with pytest.raises(KeyError, match="my own"):
        find_audio(rows(), RATE)


def test_samples_in_memory_are_copied():
    wave = WAVE.copy()
    held = samples_of(wave, "a")
    wave[:] = 0.0
    assert np.array_equal(held, WAVE)


# ---- what raises
class Broken:
    """A torchcodec decoder of a broken file, or a file in a broken archive."""

    def get_all_samples(self):
        raise RuntimeError("could not decode\nlong trace")


class BrokenFile:
    name = "in an archive.wav"

    def read(self):
        import zlib

        raise zlib.error("Error -3 while decompressing data")


def test_a_decoder_or_file_that_raises_costs_no_other_recording():
    sources = list(audio_sources([WAVE, Broken(), BrokenFile(), WAVE], RATE))
    assert [bool(source.error) for source in sources] == [False, True, True, False]
    assert sources[1].error == "audio 1: the decoder failed (could not decode); leave the recording out"
    assert sources[2].error.startswith("in an archive.wav: the open file cannot be read (Error -3")
    with pytest.raises(AudioError, match="Error -3"):
        find_audio(BrokenFile())


@pytest.mark.parametrize("content", ["text", 10**12, [82, 73], None])
def test_bytes_of_an_entry_must_be_bytes(content):
    with pytest.raises(AuricleError, match="expected"):
        find_audio({"bytes": content, "label": 3})


def test_masked_samples_are_refused_and_an_empty_mask_is_none():
    masked = np.ma.array(WAVE, mask=np.arange(WAVE.size) < 3)
    with pytest.raises(AudioError, match=rf"3 of {WAVE.size} samples are masked; .*filled"):
        find_audio(masked, RATE)
    with pytest.raises(AudioError, match="masked"):
        find_audio({"array": masked, "sampling_rate": RATE})
    assert [bool(source.error) for source in audio_sources([masked, WAVE], RATE)] == [True, False]
    assert np.array_equal(find_audio(np.ma.array(WAVE), RATE)[0].content, WAVE)


@pytest.mark.parametrize(
    ("audio", "advice"),
    [
        (np.zeros(9, ">i2"), "samples / 32768"),
        (np.zeros(9, np.uint8), r"\(samples - 128.0\) / 128"),
        (np.zeros(9, [("left", "f4"), ("right", "f4")]), r"audio\['left'\]"),
    ],
)
def test_arrays_that_are_no_samples_are_refused_with_how_to_make_some(audio, advice):
    with pytest.raises(AuricleError, match=advice):
        find_audio(audio, RATE)
