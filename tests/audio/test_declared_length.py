"""Declared against present length, in both directions, for every container: what is there is read, and said."""

from __future__ import annotations

import io
import re
import struct
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import blocks, declared_length, probe, read
from auricle.audio.decode.base import TruncatedAudioError
from auricle.audio.decode.mpeg import parse_mp3_frame
from auricle.core.errors import AudioError
from helpers.containers import (
    RATE,
    chunk,
    encoded,
    fmt,
    mp3,
    patched,
    pcm,
    riff,
    sweep,
    wav,
    wide_wav,
    with_field,
)

SAMPLES = pcm(sweep())
SIZE = len(SAMPLES)
PCM_KINDS = (
    "WAV/PCM_16", "WAV/PCM_U8", "WAV/PCM_24", "WAV/FLOAT", "WAV/ULAW", "WAVEX/PCM_32", "RF64/PCM_16", "W64/PCM_16",
    "W64/FLOAT", "AIFF/PCM_16", "AIFF/PCM_24", "AIFF/FLOAT", "AU/PCM_16", "AU/FLOAT", "CAF/PCM_16", "CAF/FLOAT",
)  # fmt: skip
XING, VBRI = b"Xing", b"VBRI"
ID3V1 = b"TAG" + bytes(125)
PADDING = 0.15  # seconds that MP3 encoders put around the sound


def seconds_of(content: bytes) -> float:
    """The length that ``read`` gives; probing and blocks must agree."""
    wave = read(content).wave
    info = probe(content)
    assert abs(info.num_samples - len(wave)) <= 1152
    assert sum(map(len, blocks(content, seconds=0.7))) == len(wave)
    return len(wave) / info.rate


def notes_of(content: bytes) -> str:
    """The notes about the header; with ``strict`` the file is refused if and only if there are some."""
    notes = [note.message for note in read(content).notes if note.kind == "header"]
    assert [note.message for note in probe(content).notes] == notes
    if notes:
        for reading in (probe, read, lambda content, strict: list(blocks(content, strict=strict))):
            with pytest.raises(AudioError, match="strict"):
                reading(content, strict=True)
    else:
        read(content, strict=True)
    return " ".join(notes)


def without_header(content: bytes) -> bytes:
    """An MP3 without its first frame, the length header."""
    frame = parse_mp3_frame(content[:4])
    assert frame is not None
    return content[frame.size :]


def with_mp3_length(content: bytes, frames: int | None = None, size: int | None = None) -> bytes:
    """An MP3 whose length header declares other numbers of frames and bytes."""
    mark = b"Info" if b"Info" in content[:400] else XING
    content = content if frames is None else with_field(content, mark, 8, struct.pack(">I", frames))
    return content if size is None else with_field(content, mark, 12, struct.pack(">I", size))


# ---- whole, but for a few bytes


@pytest.mark.parametrize("more", [1, 2, 8, 24, 36, 44])
def test_a_wav_that_declares_a_few_bytes_too_many_is_whole(more):
    content = wav(SAMPLES, SIZE + more)
    assert seconds_of(content) == 2.0
    assert not notes_of(content)


@pytest.mark.parametrize("junk", [24, 600, 5000])
def test_a_header_that_counts_itself_among_the_samples_is_no_truncation(junk):
    content = riff(chunk(b"JUNK", bytes(junk)), fmt(), b"data" + struct.pack("<I", SIZE) + SAMPLES)
    for size in (len(content), len(content) - 8):
        assert seconds_of(with_field(content, b"data", 4, struct.pack("<I", size))) == 2.0


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 36, 0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000])
def test_sizes_that_streaming_programs_write_need_no_note(size):
    assert seconds_of(wav(SAMPLES, size)) == 2.0
    assert not notes_of(wav(SAMPLES, size))


TRAILERS = {
    "three bytes": b"\x55" * 3,
    "44 bytes": b"\x55" * 44,
    "a LIST chunk": chunk(b"LIST", b"INFOISFT" + struct.pack("<I", 200) + b"x" * 200),
    "a cut LIST chunk": chunk(b"LIST", b"INFO" + b"x" * 500)[:300],
    "chunks of unknown names": chunk(b"own1", b"x" * 100) + chunk(b"own2", b"x" * 101),
    "an ID3v1 tag": ID3V1,
    "an ID3v2 tag": b"ID3\4\0\0\0\0\7\x7f" + b"x" * 1023,
    "XML": b"<?xml version='1.0'?><x>" + b"words " * 100 + b"</x>",
    "reserved space": bytes(100000),
}


@pytest.mark.parametrize("trailer", TRAILERS)
def test_what_follows_the_samples_of_a_wav_is_not_taken_for_samples(trailer):
    content = wav(SAMPLES) + TRAILERS[trailer]
    assert seconds_of(content) == 2.0
    assert not notes_of(content)


@pytest.mark.parametrize("kind", [*PCM_KINDS, "WAV/IMA_ADPCM", "FLAC/PCM_16", "OGG/VORBIS", "MP3/MPEG_LAYER_III"])
@pytest.mark.parametrize("junk", [b"\x55" * 3, b"\x99" * 44, bytes(3000)])
def test_a_few_bytes_or_zeros_behind_the_end_change_nothing(kind, junk):
    content = encoded(*kind.split("/"))
    assert np.array_equal(read(content + junk).wave, read(content).wave)
    assert not notes_of(content + junk)


# ---- more declared than present


@pytest.mark.parametrize(
    "kind", [*PCM_KINDS, "WAV/IMA_ADPCM", "FLAC/PCM_16", "OGG/VORBIS", "NIST/PCM_16", "SVX/PCM_16"]
)
@pytest.mark.parametrize("percent", [10, 50, 99])
def test_a_cut_file_is_refused(kind, percent):
    content = encoded(*kind.split("/"))
    with pytest.raises(AudioError):
        read(content[: len(content) * percent // 100])


@pytest.mark.parametrize("id", [b"RF64", b"BW64"])
def test_half_a_wav_with_wide_sizes_is_refused_and_a_whole_one_read(id):
    content = wide_wav(SAMPLES, SIZE, id)
    assert seconds_of(content) == 2.0
    with pytest.raises(AudioError, match="truncated"):
        read(content[: len(content) // 2])


@pytest.mark.parametrize("rate", [44100, 16000, 8000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("percent", [10, 50, 97])
def test_a_cut_mp3_with_a_length_header_is_refused(rate, mode, percent):
    content = mp3(rate=rate, mode=mode)
    assert seconds_of(content) == pytest.approx(4.0, abs=0.01)
    with pytest.raises(TruncatedAudioError, match="frames are there"):
        read(content[: len(content) * percent // 100])


def vbri_mp3(frames: int | None = None) -> bytes:
    """An MP3 with the length header of Fraunhofer's encoder."""
    rest = without_header(mp3())
    frame = parse_mp3_frame(rest[:4])
    assert frame is not None
    count, at = 0, 0
    while (found := parse_mp3_frame(rest[at : at + 4])) is not None:
        count, at = count + 1, at + found.size
    numbers = struct.pack(
        ">HHHIIHHHH", 1, 0, 75, frame.size + len(rest), count if frames is None else frames, 0, 1, 2, 1
    )
    return (rest[:4] + bytes(32) + VBRI + numbers).ljust(frame.size, b"\0") + rest


def test_a_cut_mp3_with_fraunhofers_header_is_refused():
    content = vbri_mp3()
    assert seconds_of(content) == pytest.approx(4.0, abs=PADDING)
    with pytest.raises(TruncatedAudioError):
        read(content[: len(content) // 2])


def test_the_good_part_of_a_cut_mp3_is_given_on_request():
    content = mp3()
    found = read(content[: len(content) // 2], allow_truncated=True)
    assert found.truncated
    assert len(found.wave) / RATE == pytest.approx(2.0, abs=PADDING)
    assert len(read(content[: len(content) // 2], start=0.5, end=1.0).wave) == RATE // 2


def test_a_header_that_promises_more_than_any_file_of_its_size_holds_is_refused_before_it_is_believed():
    content = with_mp3_length(mp3(), frames=2**32 - 1)
    flac = encoded("FLAC", "PCM_16")
    endless = patched(flac, 21, bytes([flac[21] | 0x0F]) + b"\xff" * 4)
    w64 = encoded("W64", "PCM_16")
    for promise in (content, endless, with_field(w64, b"data\xf3", 16, struct.pack("<Q", 1 << 61))):
        with pytest.raises(AudioError, match="truncated"):
            probe(promise)


# ---- tags and chunks before the samples

ID3 = b"ID3\3\0\0\0\0\0\x0a" + b"x" * 10


@pytest.mark.parametrize("kind", ["WAV/PCM_16", "AIFF/PCM_16", "AU/PCM_16"])
def test_a_tag_before_the_samples_costs_none_and_hides_no_truncation(kind):
    content = encoded(*kind.split("/"))
    assert np.array_equal(read(ID3 + content).wave, read(content).wave)
    with pytest.raises(TruncatedAudioError, match="of the 2.000 s it declares"):
        read(ID3 + content[: SIZE // 2])


@pytest.mark.parametrize("size", [b"\x7f\x7f\x7f\x7f", b"\0\0\0\0"], ids=["beyond the end", "0"])
def test_an_mp3_whose_tag_declares_a_wrong_size_is_read_with_a_note(size):
    content = mp3()
    wrong = ID3[:6] + size + b"TIT2 a title " + content
    assert np.array_equal(read(wrong).wave, read(content).wave)
    assert "tag declares a wrong size" in notes_of(wrong)
    with pytest.raises(AudioError):
        read(ID3[:6] + size + np.random.default_rng(0).bytes(100_000))


def test_a_footer_of_a_tag_is_counted():
    assert not notes_of(b"ID3\4\0\x10\0\0\0\0" + b"3DI\4\0\x10\0\0\0\0" + mp3())


@pytest.mark.parametrize("behind", ["padded", "not padded"])
def test_an_odd_chunk_before_the_samples_of_a_wav_may_lack_its_padding(behind):
    odd = chunk(b"LIST", b"INFOxyz")
    content = riff(fmt(), odd if behind == "padded" else odd[:-1], chunk(b"data", SAMPLES))
    assert np.array_equal(read(content).wave, read(wav(SAMPLES)).wave)
    assert not notes_of(content)


def test_an_aiff_without_its_description_is_refused_in_words():
    aiff = encoded("AIFF", "PCM_16")
    at = aiff.index(b"COMM")
    with pytest.raises(AudioError, match="not audio that can be decoded"):
        read(with_field(aiff[:at] + aiff[at + 26 :], b"SSND", 4, bytes(4)))


# ---- more present than declared


@pytest.mark.parametrize("outer", [0, 8, 36, 4088, 36 + SIZE, 0xFFFFFFFF])
def test_a_wav_that_a_recorder_never_finished_is_read_with_a_note(outer):
    content = patched(wav(SAMPLES, 0), 4, struct.pack("<I", outer))
    assert seconds_of(content) == 2.0
    assert f"declares 0 bytes of samples, but {SIZE} follow" in notes_of(content)


def unfinished() -> dict[str, bytes]:
    """Files of other containers whose header says too little."""
    w64, aiff, au, caf = (encoded(format, "PCM_16") for format in ("W64", "AIFF", "AU", "CAF"))
    aiff = with_field(aiff, b"COMM", 10, bytes(4))
    return {
        "WAV that says half": wav(SAMPLES, SIZE // 2),
        "RF64": wide_wav(SAMPLES, 0),
        "BW64 that says half": wide_wav(SAMPLES, SIZE // 2, b"BW64"),
        "W64, 24 bytes": with_field(w64, b"data\xf3", 16, struct.pack("<Q", 24)),
        "W64, 0 bytes": with_field(w64, b"data\xf3", 16, bytes(8)),
        "AIFF": with_field(aiff, b"SSND", 4, bytes(4)),
        "AU": patched(au, 8, bytes(4)),
        "CAF": with_field(caf, b"data", 4, bytes(8)),
    }


@pytest.mark.parametrize("name", unfinished())
def test_unfinished_headers_of_every_container_are_read_with_a_note(name):
    content = unfinished()[name]
    assert np.abs(read(content).wave - sweep()).max() < 1e-3
    assert seconds_of(content) == 2.0
    assert "all were read" in notes_of(content)
    part = read(content, start=0.5, end=1.25).wave
    assert np.array_equal(part, read(content).wave[RATE // 2 : RATE * 5 // 4])


def test_a_file_that_ends_behind_its_header_holds_no_samples():
    for content in (wav(b""), riff(fmt(), chunk(b"data", b""), chunk(b"LIST", b"INFO" + bytes(300)))):
        with pytest.raises(AudioError, match="holds no samples"):
            read(content)


def test_an_aiff_needs_only_one_of_its_two_sizes():
    aiff = encoded("AIFF", "PCM_16")
    for content in (with_field(aiff, b"COMM", 10, bytes(4)), with_field(aiff, b"SSND", 4, bytes(4))):
        assert seconds_of(content) == 2.0


class LargeFile(io.RawIOBase):
    """A WAV of more than 4 GiB: silence but for its last second, and 32 bits for its size."""

    def __init__(self, samples: int, end: np.ndarray, behind: bytes = b""):
        super().__init__()
        size = 2 * samples
        self.head = b"RIFF" + struct.pack("<I", (size + 36) & 0xFFFFFFFF) + b"WAVE" + fmt()
        self.head += b"data" + struct.pack("<I", size & 0xFFFFFFFF)
        self.tail = pcm(end) + behind
        self.size, self.at = len(self.head) + size + len(behind), 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def tell(self) -> int:
        return self.at

    def readinto(self, buffer) -> int:
        count = max(0, min(len(buffer), self.size - self.at))
        content = bytearray(b"\1" * count)
        for part, first in ((self.head, 0), (self.tail, self.size - len(self.tail))):
            begin, end = max(first, self.at), min(first + len(part), self.at + count)
            if begin < end:
                content[begin - self.at : end - self.at] = part[begin - first : end - first]
        buffer[:count] = content
        self.at += count
        return count


@pytest.mark.parametrize("behind", [b"", chunk(b"LIST", b"INFO" + b"x" * 200)])
def test_a_wav_beyond_4_gib_with_its_size_modulo_2_to_the_32_is_read_to_its_end(behind):
    samples = (1 << 31) + 50 * RATE
    info = probe(LargeFile(samples, sweep(1.0), behind))
    assert info.num_samples == samples
    assert "modulo 4 GiB" in info.notes[0].message
    found = read(LargeFile(samples, sweep(1.0), behind), start=samples / RATE - 1)
    assert np.abs(found.wave - sweep(1.0)).max() < 1e-3


def test_a_flac_that_declares_less_than_there_is_is_read_to_its_end():
    content = encoded("FLAC", "PCM_16", 3.0)
    half = patched(content, 21, bytes([content[21] & 0xF0]) + struct.pack(">I", 3 * RATE // 2))
    assert np.array_equal(read(half).wave, read(content).wave)
    assert f"declares {3 * RATE // 2} samples, but there are {3 * RATE}" in notes_of(half)


@pytest.mark.parametrize("rate", [44100, 16000, 8000])
@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_a_length_header_of_an_mp3_that_says_too_little_is_not_believed(rate, mode):
    content = mp3(rate=rate, mode=mode)
    mark = b"Info" if mode == "CONSTANT" else XING
    frames = int.from_bytes(content[content.index(mark) + 8 :][:4], "big")
    for changed in (with_mp3_length(content, 0), with_mp3_length(content, 0, 0), with_mp3_length(content, frames // 2)):
        assert seconds_of(changed) == pytest.approx(4.0, abs=0.01)
        assert "frames" in notes_of(changed)
    assert seconds_of(with_field(content, mark, 4, bytes(4))) == pytest.approx(4.0, abs=PADDING)
    assert seconds_of(with_mp3_length(content, size=17)) == pytest.approx(4.0, abs=0.01)


def test_fraunhofers_header_of_0_frames_is_not_believed():
    assert seconds_of(vbri_mp3(frames=0)) == pytest.approx(4.0, abs=PADDING)


# ---- several files in one


@pytest.mark.parametrize("kind", ["WAV/PCM_16", "AIFF/PCM_16", "AU/PCM_16", "FLAC/PCM_16", "OGG/VORBIS", "OGG/OPUS"])
@pytest.mark.parametrize("lengths", [(2.0, 1.0), (1.0, 2.0), (1.5, 1.5), (1.0, 0.5, 2.0)])
def test_files_that_were_joined_are_all_read(kind, lengths):
    rate = 48000 if kind == "OGG/OPUS" else RATE
    parts = [encoded(*kind.split("/"), seconds, rate, seed) for seed, seconds in enumerate(lengths)]
    whole = np.concatenate([read(part).wave for part in parts])
    found = read(b"".join(parts)).wave
    assert np.array_equal(found, whole)
    assert seconds_of(b"".join(parts)) == pytest.approx(sum(lengths), abs=0.01)
    start, end = lengths[0] - 0.25, lengths[0] + 0.25  # across the seam
    part = read(b"".join(parts), start=start, end=end).wave
    assert np.abs(part - whole[round(start * rate) : round(end * rate)]).max() < 1e-4


def test_the_same_file_twice_is_read_twice():
    for content in (encoded("OGG", "VORBIS"), encoded("FLAC", "PCM_16"), wav(SAMPLES)):
        assert seconds_of(content + content) == 4.0


def test_large_flac_files_of_one_length_that_were_joined_are_found():
    """Without reading all bytes: the numbers of their frames begin again."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2, 16 * RATE)).astype(np.float32)
    files = []
    for wave in noise:
        file = io.BytesIO()
        soundfile.write(file, wave, RATE, format="FLAC")
        files.append(file.getvalue())
    assert probe(b"".join(files)).num_samples == 32 * RATE


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
@pytest.mark.parametrize("second_header", [True, False])
@pytest.mark.parametrize("between", [b"", ID3V1, ID3V1 + b"ID3\4\0\0\0\0\7\x7f" + b"x" * 1023])
def test_mp3_files_that_were_joined_are_all_read(mode, second_header, between):
    first, second = mp3(3.0, mode=mode), mp3(2.0, seed=1, mode=mode)
    content = first + between + (second if second_header else without_header(second))
    assert seconds_of(content) == pytest.approx(5.0, abs=0.01 if second_header else 2 * PADDING)
    assert np.abs(read(content).wave[: 2 * RATE] - read(first).wave[: 2 * RATE]).max() < 1e-4


def test_joined_flac_files_of_different_sample_widths_are_all_read():
    first, second = encoded("FLAC", "PCM_16", 1.0), encoded("FLAC", "PCM_24", 2.0, seed=1)
    assert seconds_of(first + second) == 3.0
    assert seconds_of(second + first) == 3.0


def test_a_joined_mp3_whose_second_file_is_cut_is_refused():
    second = mp3(2.0, seed=1)
    with pytest.raises(TruncatedAudioError):
        read(mp3() + second[: len(second) // 2])


@pytest.mark.parametrize("first", ["FLAC", "MP3", "OGG"])
@pytest.mark.parametrize(("second", "count"), [("WAV", 16000), ("WAV", 400), ("OGG", 9000), ("CAF", 9000)])
def test_a_file_of_another_container_behind_the_end_is_read_too(first, second, count):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 16000)
    contents = [io.BytesIO(), io.BytesIO()]
    for content, format, samples in zip(contents, (first, second), (16000, count)):
        soundfile.write(content, noise[:samples], 16000, format=format)
    alone = [len(read(content.getvalue()).wave) for content in contents]
    assert len(read(b"".join(content.getvalue() for content in contents)).wave) == sum(alone)


def test_the_header_of_a_wav_in_the_metadata_of_a_cut_flac_is_no_file():
    content = io.BytesIO()
    soundfile.write(content, np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000, format="FLAC")
    flac = content.getvalue()
    kept = b"riffRIFF\0\0\0\0WAVEfmt " + bytes(12)
    block = b"\2" + len(kept).to_bytes(3, "big") + kept  # "flac --keep-foreign-metadata"
    whole = flac[:4] + b"\0" + flac[5:42] + block + flac[42:] if flac[4] == 0 else flac[:42] + block + flac[42:]
    assert len(read(whole).wave) == 16000
    with pytest.raises(TruncatedAudioError):
        read(whole[: len(whole) // 2])


def test_joined_files_of_different_rates_are_refused_in_words():
    for content in (
        encoded("OGG", "VORBIS") + encoded("OGG", "VORBIS", rate=22050),
        mp3() + mp3(rate=22050),
        wav(SAMPLES) + encoded("WAV", "PCM_16", rate=22050),
    ):
        with pytest.raises(AudioError, match=r"2 recordings one after the other, of 16000 Hz .* and of 22050 Hz"):
            read(content)


def test_a_chain_whose_last_link_is_cut_is_refused():
    first, second = encoded("OGG", "VORBIS"), encoded("OGG", "VORBIS", seed=1)
    for part in (2, 20, 200):
        with pytest.raises(AudioError, match="truncated"):
            read(first + second[: len(second) - len(second) // part])


# ---- nothing declared


def test_an_ogg_that_ends_between_two_pages_is_read_with_a_note():
    content = encoded("OGG", "VORBIS", 6.0)
    pages = [match.start() for match in re.finditer(b"OggS\0", content)]
    cut = content[: pages[-1]]
    assert 1 < seconds_of(cut) < 6
    assert "no end-of-stream page" in notes_of(cut)


def test_an_mp3_without_a_length_header_that_ends_inside_a_frame_is_read_with_a_note():
    content = without_header(mp3(rate=44100))
    assert not notes_of(content)
    assert seconds_of(content[: len(content) // 2 + 5]) == pytest.approx(2.0, abs=PADDING)
    assert "ends inside a frame" in notes_of(content[: len(content) // 2 + 5])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050])
def test_an_mp3_of_the_lowest_bit_rate_is_whole(rate):
    content = encoded("MP3", "MPEG_LAYER_III", 3.0, rate, bitrate_mode="CONSTANT", compression_level=0.99)
    assert seconds_of(content) == pytest.approx(3.0, abs=0.2)
    for junk in (ID3V1, bytes(3000), b"\x55" * 30):
        assert seconds_of(content + junk) == pytest.approx(3.0, abs=0.2)


# ---- MP3 inside a WAV


def mp3_wav(frames: bytes, declared: int | None = None) -> bytes:
    more = struct.pack("<HHIHHH", 12, 1, 2, 417, 1, 0x571)
    header = chunk(b"fmt ", struct.pack("<HHIIHH", 0x55, 1, 44100, 16000, 1, 0) + more)
    return wav(frames, declared, header)


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_mp3_in_wav_is_read(mode):
    content = mp3(rate=44100, mode=mode)
    assert seconds_of(mp3_wav(content)) == pytest.approx(4.0, abs=0.01)
    if mode == "VARIABLE":
        pytest.importorskip("av", reason="needs the [media] extra")
    bare = without_header(content)
    assert seconds_of(mp3_wav(bare)) == pytest.approx(4.0, abs=PADDING)
    assert seconds_of(mp3_wav(bare, 0)) == pytest.approx(4.0, abs=PADDING)
    assert "declares 0 bytes" in notes_of(mp3_wav(bare, 0))
    with pytest.raises(TruncatedAudioError, match="bytes are there"):
        read(mp3_wav(bare)[: len(bare) // 2])


# ---- the frames of bare streams, and PyAV's containers


@pytest.fixture
def media(tmp_path):
    pytest.importorskip("av", reason="needs the [media] extra")
    import av

    from auricle.audio.write import _frames

    def encode(container: str, codec: str, seconds: float = 3.0, rate: int = 44100, **options: str) -> bytes:
        path = str(tmp_path / f"made.{container}")
        with av.open(path, "w", format=container, options=options) as out:
            try:
                stream = out.add_stream(codec, rate=rate, layout="mono")
                frames = _frames(av, stream.codec_context, sweep(seconds, rate)[None], rate, "mono")
            except av.error.FFmpegError:
                pytest.skip(f"this FFmpeg cannot encode {codec}")
            for frame in [*frames, None]:
                out.mux(stream.encode(frame))
        return (tmp_path / f"made.{container}").read_bytes()

    return encode


@pytest.mark.parametrize(("container", "codec"), [("adts", "aac"), ("ac3", "ac3"), ("eac3", "eac3"), ("mpegts", "aac")])
def test_a_bare_stream_with_something_behind_it_is_whole_and_a_cut_one_is_noted(media, container, codec):
    content = media(container, codec)
    whole = read(content).wave
    for junk in (b"\x55" * 3, b"\x55" * 44, bytes(5000), ID3V1):
        assert np.array_equal(read(content + junk).wave, whole)
    assert not notes_of(content)
    cut = content[: len(content) // 2 // 188 * 188 + 50]
    assert len(read(cut).wave) < 0.6 * len(whole)
    assert "ends inside a frame" in notes_of(cut)


@pytest.mark.parametrize(
    ("container", "codec"), [("matroska", "flac"), ("matroska", "aac"), ("wv", "wavpack"), ("tta", "tta")]
)
@pytest.mark.parametrize("percent", [10, 50, 97])
def test_cut_files_of_other_containers_are_refused(media, container, codec, percent):
    content = media(container, codec)
    assert seconds_of(content) == pytest.approx(3.0, abs=0.03)
    with pytest.raises(AudioError):
        read(content[: len(content) * percent // 100])


def test_junk_behind_a_wavpack_file_changes_nothing(media):
    content = media("wv", "wavpack")
    for junk in (b"\x55" * 3, b"\x55" * 44, bytes(5000)):
        assert np.array_equal(read(content + junk).wave, read(content).wave)


@pytest.mark.parametrize("percent", [50, 90, 97])
def test_a_cut_m4a_whose_index_is_in_front_is_refused(media, percent):
    content = media("ipod", "aac", movflags="faststart")
    assert seconds_of(content) == pytest.approx(3.0, abs=0.001)
    with pytest.raises(AudioError, match="truncated"):
        read(content[: len(content) * percent // 100])


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_an_m4a_that_declares_a_shorter_length_is_read_to_its_end(media, share):
    content = media("ipod", "aac")
    at = content.index(b"mdhd") + 20
    declared = int.from_bytes(content[at : at + 4], "big")
    changed = patched(content, at, struct.pack(">I", round(share * declared)))
    assert seconds_of(changed) == pytest.approx(3.0, abs=0.03)
    assert "all were read" in notes_of(changed)


@pytest.mark.parametrize(("container", "codec"), [("ipod", "aac"), ("matroska", "aac"), ("mov", "pcm_s16le")])
def test_joined_files_of_other_containers_are_all_read(media, container, codec):
    first, second = media(container, codec, 1.0), media(container, codec, 2.0)
    assert seconds_of(first + second) == pytest.approx(3.0, abs=0.06)
    assert np.array_equal(read(first + second).wave, np.concatenate([read(first).wave, read(second).wave]))


def test_flac_in_ogg_that_is_cut_is_refused(media):
    content = media("ogg", "flac")
    assert seconds_of(content) == 3.0
    pages = [match.start() for match in re.finditer(b"OggS\0", content)]
    for first, second in pairwise(pages[-3:]):
        with pytest.raises(AudioError):
            read(content[: (first + second) // 2])


# ---- sizes that would lead a walk astray


@pytest.mark.parametrize("size", [(1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 62, 1])
def test_chunks_of_impossible_sizes_end_in_words(size):
    w64 = encoded("W64", "PCM_16")
    for content in (
        b"caff\0\1\0\0junk" + struct.pack(">Q", size) + bytes(100),
        with_field(w64, b"fmt \xf3", 16, struct.pack("<Q", size)),
    ):
        with pytest.raises(AudioError):
            read(content)


def test_a_file_of_many_empty_chunks_is_not_walked_for_ever():
    with pytest.raises(AudioError):
        read(riff(fmt(), bytes(8) * 30_000))


def test_a_part_of_a_file_is_read_as_a_file_of_its_own(tmp_path):
    from auricle.audio.decode.joined import SplicedFile

    path = tmp_path / "x"
    path.write_bytes(b"0123456789")
    for source in (path, io.BytesIO(b"0123456789")):
        file = SplicedFile(source, 2, 8, head=b"ab")
        assert file.read() == b"ab234567"
        assert file.seek(-3, 2) == 5
        assert file.read(10) == b"567"
        assert file.seek(-100) == 0
        file.close()


def test_a_layout_is_one_part_for_ordinary_files():
    for kind in (*PCM_KINDS, "FLAC/PCM_16", "OGG/VORBIS", "OGG/OPUS", "MP3/MPEG_LAYER_III"):
        content = encoded(*kind.split("/"), rate=48000)
        layout = declared_length.layout_of(io.BytesIO(content))
        assert layout == declared_length.Layout((declared_length.FilePart(0, len(content)),)), kind
