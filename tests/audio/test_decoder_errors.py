"""Whatever a decoder raises becomes one AudioError with the file's name; headers cannot promise what a file cannot hold."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import numpy as np
import pytest

from auricle.audio.decode import blocks, probe, read, reader
from auricle.audio.sources import AudioSource, waveform_source
from auricle.core.errors import AudioError, AuricleError
from auricle.inference.pipeline import load_audio
from helpers.containers import RATE, chunk, encoded, fmt, pcm, riff, sweep, wav

SAMPLES = pcm(sweep(1.0))
READERS = {"probe": probe, "read": read, "blocks": lambda file: list(blocks(file))}


def complaint(content: bytes) -> str:
    """The message with which every way to read refuses a file."""
    messages = []
    for reading in READERS.values():
        with pytest.raises(AudioError) as caught:
            reading(content)
        messages.append(str(caught.value))
    assert all(message.startswith("<audio in memory>") and "\n" not in message for message in messages)
    return messages[0]


OWN = struct.pack("<HHI", 22, 16, 0) + bytes(range(16))
UNKNOWN = {
    "an unknown format tag": fmt(0x1234),
    "half-precision floats": fmt(3, bits=16),
    "no bits per sample": fmt(1, bits=0),
    "floats of 24 bits": fmt(3, bits=24),
    "an extensible format of the recorder's own": fmt(0xFFFE, more=OWN),
    "no channels": fmt(channels=0),
    "65535 channels": fmt(channels=65535),
    "a cut format chunk": b"fmt \x04\0\0\0\1\0\1\0",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_sample_formats_that_no_decoder_knows_are_refused_in_words(name):
    pytest.importorskip("av", reason="needs the [media] extra")
    assert "Error" not in complaint(wav(SAMPLES, header=UNKNOWN[name]))


@pytest.mark.parametrize(
    "tag", [0x2, 0x11, 0x31, 0x50, 0x55, 0x69, 0xFF, 0x160, 0x161, 0x2000, 0x2001, 0x7001, 0xA106, 0xF1AC]
)
@pytest.mark.parametrize("bits", [0, 4, 16])
def test_noise_in_any_codec_is_decoded_or_refused(tag, bits):
    content = wav(np.random.default_rng(tag).bytes(20000), header=fmt(tag, bits=bits))
    for reading in READERS.values():
        with suppress(AudioError):
            reading(content)


@pytest.mark.parametrize(
    "error", [RuntimeError("x"), KeyError(3), AttributeError("no attribute"), MemoryError(), OSError(5, "I/O")]
)
@pytest.mark.parametrize("where", ["__init__", "blocks", "num_samples"])
def test_whatever_a_decoder_raises_is_one_audio_error(monkeypatch, tmp_path, error, where):
    def fail(*args):
        raise error

    path = tmp_path / "good.wav"
    path.write_bytes(wav(SAMPLES))
    monkeypatch.setattr(reader.SoundFileDecoder, where, property(fail) if where == "num_samples" else fail)
    with pytest.raises(AudioError, match=r"good\.wav: ") as caught:
        probe(path) if where == "num_samples" else read(path)
    assert ("memory" in str(caught.value)) == isinstance(error, MemoryError)


def test_a_file_object_that_fails_is_named():
    class Broken(io.BytesIO):
        name = "broken.flac"

        def read(self, size: int = -1) -> bytes:
            if self.tell() > 5000:
                raise ConnectionError("gone")
            return super().read(size)

    with pytest.raises(AudioError, match=r"broken\.flac: .*gone"):
        read(Broken(encoded("FLAC", "PCM_16", 5.0)))


def test_nothing_is_printed_about_a_file_that_makes_the_decoder_seek_outside_it(capfd):
    w64 = encoded("W64", "PCM_16", 1.0)
    at = w64.index(b"fmt \xf3") + 16
    for size in (1 << 63, (1 << 64) - 1, 8):
        content = w64[:at] + struct.pack("<Q", size) + w64[at + 8 :]
        with pytest.raises(AudioError):
            read(content)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("rate", [1, 2, 99, 4_000_001, 2**31 - 1])
def test_sample_rates_that_no_recorder_has_are_refused(rate):
    assert f"declares a sample rate of {rate} Hz" in complaint(wav(SAMPLES, header=fmt(rate=rate)))


@pytest.mark.parametrize("rate", [100, 1000, 384_000, 1_000_000])
def test_the_rates_of_seismometers_and_hydrophones_are_read(rate):
    assert read(wav(SAMPLES, header=fmt(rate=rate))).rate == rate


def test_a_small_file_at_a_low_rate_stays_small():
    """Resampled block by block: at most a 160th of the samples are held before."""
    content = wav(SAMPLES, header=fmt(rate=100))
    sizes = [len(block) for block in blocks(content, seconds=10.0, rate=16000)]
    assert sum(sizes) == 160 * RATE
    assert max(sizes) == 160_000


def test_a_file_with_many_channels_is_read_in_small_blocks(monkeypatch):
    rows = np.random.default_rng(0).integers(-99, 99, (300, 1024)).astype("<i2")
    found = read(wav(rows.tobytes(), header=fmt(channels=1024)), mono="keep")
    assert np.array_equal(np.round(found.wave.T * 32768), rows)


def test_audio_without_sound_chunks_is_refused():
    assert "not audio" in complaint(riff(fmt()))
    assert "not audio" in complaint(riff(chunk(b"LIST", bytes(100))))


def test_a_truncated_file_that_promises_a_thousand_times_more_gives_no_length():
    """So that nobody cuts it into windows that are not there."""
    content = wav(SAMPLES[:3200], 1 << 29)
    assert "3200 of 536870912 declared bytes are there" in complaint(content)


@pytest.mark.parametrize("rate", [1, 16, 44, 10_000_000])
def test_arrays_of_absurd_rates_are_refused(rate):
    with pytest.raises(AuricleError, match="expected 100 to 4000000, in hertz"):
        waveform_source(sweep(), rate, "audio")


def test_a_recording_that_does_not_fit_into_memory_is_one_failed_clip(monkeypatch):
    def fail(self, *args):
        raise MemoryError

    monkeypatch.setattr(AudioSource, "read", fail)
    loaded = load_audio(AudioSource("long.wav", b""), RATE, "soxr", float("inf"))
    assert loaded.error.startswith("long.wav: needs more memory")
