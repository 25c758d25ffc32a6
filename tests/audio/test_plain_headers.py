"""Declared against present length where the header is one short record, and files in place of the samples of a header."""

from __future__ import annotations

import io
import struct
from contextlib import suppress

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import blocks, probe, read
from auricle.audio.decode.base import TruncatedAudioError
from auricle.core.errors import AudioError
from helpers.containers import RATE, encoded, mp3, patched, sweep

DECLARING = ("NIST", "AVR", "MPC2K", "WVE", "HTK", "SDS", "VOC", "MAT4", "MAT5")  # libsndfile writes the length
UNDECLARED = ("IRCAM", "PAF", "PVF")


def kinds(formats) -> list[str]:
    return [f"{format}/{subtype}" for format in formats for subtype in soundfile.available_subtypes(format)]


def stereo(format: str, subtype: str) -> bytes | None:
    """The same in two channels; None where the format has only one."""
    file = io.BytesIO()
    try:
        soundfile.write(file, np.stack([sweep(), -sweep()], 1), RATE, format=format, subtype=subtype)
    except soundfile.LibsndfileError:
        return None
    return file.getvalue()


def header_notes(content: bytes) -> str:
    return " ".join(note.message for note in read(content).notes if note.kind == "header")


@pytest.mark.parametrize("kind", kinds(DECLARING))
def test_a_cut_file_is_refused_and_its_whole_samples_are_given_on_request(kind):
    for content in filter(None, (encoded(*kind.split("/")), stereo(*kind.split("/")))):
        whole = read(content, mono="first", strict=True).wave
        assert len(whole) - 2 * RATE in (0, 1), "libsndfile counts the end of a VOC of telephone codes"
        for percent in (20, 50, 98):
            cut = content[: len(content) * percent // 100 + 1]
            for reading in (read, lambda file: list(blocks(file, seconds=0.5))):
                with pytest.raises(TruncatedAudioError, match="truncated or damaged"):
                    reading(cut)
            part = read(cut, mono="first", allow_truncated=True)
            assert part.truncated
            assert np.array_equal(part.wave, whole[: len(part.wave)]), "nothing is made up"
            assert abs(len(part.wave) / len(whole) - percent / 100) < 0.05


@pytest.mark.parametrize("kind", kinds(UNDECLARED))
def test_a_format_without_a_declared_length_that_ends_inside_a_sample_is_read_with_a_note(kind):
    content = encoded(*kind.split("/"))
    assert header_notes(content) == ""
    bytes_of_a_sample = {"8": 1, "W": 1, "6": 2, "2": 4, "T": 4, "4": 4}[kind[-1]]  # PAF packs ten samples in 32 bytes
    cut = content[:-1]
    assert ("inside a sample" in header_notes(cut)) == (bytes_of_a_sample > 1)
    assert 2 * RATE - 10 <= len(read(cut).wave) < 2 * RATE


@pytest.mark.parametrize(("format", "at", "field"), [
    ("AVR", 26, struct.pack(">I", RATE)), ("MPC2K", 30, struct.pack("<I", RATE)), ("WVE", 18, struct.pack(">I", RATE)),
    ("HTK", 0, struct.pack(">I", RATE)), ("SDS", 10, bytes((0, RATE >> 7 & 0x7F, RATE >> 14))),
    ("XI", 298, struct.pack("<I", RATE)),
])  # fmt: skip
def test_a_header_that_declares_half_of_what_is_there_is_read_to_the_end_with_a_note(format, at, field):
    content = encoded(format, soundfile.default_subtype(format))
    unfinished = patched(content, at, field)
    wave, whole = read(unfinished).wave, read(content).wave
    assert np.array_equal(wave[: len(whole)], whole)
    assert len(wave) - len(whole) < 60  # SDS pads its last block
    assert probe(unfinished).num_samples == len(wave)
    assert "all were read" in header_notes(unfinished)
    with pytest.raises(AudioError, match="strict"):
        read(unfinished, strict=True)


@pytest.mark.parametrize("format", DECLARING)
def test_a_few_bytes_behind_the_samples_are_none(format):
    content = encoded(format, soundfile.default_subtype(format))
    assert np.array_equal(read(content + b"\x11" * 30).wave, read(content).wave)
    assert header_notes(content + b"\x11" * 30) == ""


def test_joined_files_of_these_formats_are_all_read():
    for format in ("NIST", "AVR", "VOC"):
        first, second = encoded(format, soundfile.default_subtype(format)), encoded("WAV", "PCM_16", 1.0, seed=3)
        whole = read(first + second)
        assert len(whole.wave) == 3 * RATE
        assert np.array_equal(whole.wave[2 * RATE :], read(second).wave)
        assert len(read(first + first).wave) == 4 * RATE


@pytest.mark.parametrize("format", [*DECLARING, *UNDECLARED, "XI"])
def test_a_header_cut_or_damaged_at_any_byte_ends_in_words(format):
    content = encoded(format, soundfile.default_subtype(format), seconds=0.1)
    rng = np.random.default_rng(0)
    damaged = [content[:length] for length in (1, 5, 12, 20, 26, 30, 60, 120, 200, 340)]
    for _ in range(10):
        other = bytearray(content)
        for at in rng.integers(4, min(len(content), 350), 3):
            other[at] = rng.integers(256)
        damaged.append(bytes(other))
    for file in damaged:
        with suppress(AudioError):
            read(file)


# ---- a file in place of samples


def with_payload(format: str, payload: bytes, subtype: str = "PCM_16") -> bytes:
    """A file whose header declares 16-bit samples of the payload's size, and the payload in their place."""
    payload += bytes(len(payload) % 2)
    file = io.BytesIO()
    mark = np.arange(1, len(payload) // 2 + 1, dtype=np.int16)
    soundfile.write(file, mark, RATE, format=format, subtype=subtype)
    content = file.getvalue()
    order = ">" if format in ("AIFF", "AU", "CAF") else "<"
    start = content.index(mark.astype(f"{order}i2").tobytes())
    return patched(content, start, payload)


@pytest.mark.parametrize("format", ["WAV", "RF64", "W64", "AIFF", "AU", "CAF"])
@pytest.mark.parametrize("payload", ["MP3", "MP3 behind a tag", "FLAC", "OGG", "WAV"])
def test_a_whole_file_in_place_of_samples_is_decoded_with_a_note(format, payload):
    inside = {
        "MP3": mp3(), "MP3 behind a tag": b"ID3\4\0\0\0\0\1\0" + bytes(128) + mp3(), "FLAC": encoded("FLAC", "PCM_16"),
        "OGG": encoded("OGG", "VORBIS"), "WAV": encoded("WAV", "PCM_16"),
    }[payload]  # fmt: skip
    content = with_payload(format, inside)
    assert np.array_equal(read(content).wave, read(inside).wave)
    assert "that was decoded" in header_notes(content)
    with pytest.raises(AudioError):
        read(content[: len(content) * 2 // 3])


def test_samples_that_hold_the_beginning_of_a_frame_stay_samples():
    wave = (0.5 * sweep()).astype(np.float32)
    file = io.BytesIO()
    soundfile.write(file, wave, RATE, format="WAV", subtype="PCM_16")
    content = bytearray(file.getvalue())
    content[44:48] = mp3()[:4]
    assert len(read(bytes(content)).wave) == 2 * RATE
    assert header_notes(bytes(content)) == ""
