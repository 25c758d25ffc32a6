"""Sound in: every format, span and mono policy, and one clear error for each kind of file that cannot be used."""

from __future__ import annotations

import builtins
import io
import os
import struct
import sys

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.audio.decode import AUDIO_SUFFIXES, blocks, probe, read, reader
from auricle.audio.decode.base import TruncatedAudioError
from auricle.audio.decode.mpeg import parse_mp3_frame
from auricle.audio.resample import resample
from auricle.audio.write import MEDIA_FORMATS, SOUND_FILE_FORMATS, encode_audio
from auricle.core.errors import AudioError, AuricleError, MissingExtra

RATE = 48000
MEDIA = tuple(MEDIA_FORMATS)
EVERY = (*SOUND_FILE_FORMATS, *MEDIA)
AAC = (".m4a", ".mp4")  # an AAC decoder fills bands with random noise, another after each seek
BARE_AAC_DELAY = 1024  # samples that the encoder puts first; bare aac has no place to say so


def chirp(seconds: float = 1.5, channels: int = 1, rate: int = RATE) -> np.ndarray:
    """(channels, S) float32: a rising tone, the channels at falling levels."""
    t = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * (200 + 600 * t) * t)
    return np.stack([0.5 / (1 + c) * tone for c in range(channels)]).astype(np.float32)


def wav(samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", **options) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate, subtype=subtype, format=options.pop("format", "WAV"), **options)
    return file.getvalue()


def file_of(suffix: str, wave: np.ndarray, rate: int = RATE) -> bytes:
    if suffix in MEDIA:
        pytest.importorskip("av", reason="needs the [media] extra")
    return encode_audio(wave, rate, suffix)


@pytest.fixture
def put(tmp_path):
    """Writes bytes to a file of that name and gives its path."""

    def write(name: str, content: bytes):
        path = tmp_path / name
        path.write_bytes(content)
        return path

    return write


def without_pyav(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.split(".")[0] == "av":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "av", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)


# ---- formats


@pytest.mark.parametrize("suffix", EVERY)
def test_every_format_decodes_from_path_bytes_and_file(put, suffix):
    wave = chirp()
    content = file_of(suffix, wave)
    path = put("sound" + suffix, content)
    found = read(path)
    assert found.rate == RATE
    late = BARE_AAC_DELAY if suffix == ".aac" else 0
    n = min(wave.shape[1], len(found.wave) - late)
    assert np.corrcoef(found.wave[late : late + n], wave[0, :n])[0, 1] > 0.99
    assert abs(len(found.wave) - late - wave.shape[1]) <= (2048 if suffix == ".aac" else 0)
    assert np.array_equal(read(content).wave, found.wave)
    with open(path, "rb") as file:
        assert np.array_equal(read(file).wave, found.wave)


@pytest.mark.parametrize("suffix", EVERY)
def test_probe_returns_the_facts_of_the_decoded_file(put, suffix):
    path = put("sound" + suffix, file_of(suffix, chirp(channels=2)))
    info, whole = probe(path), read(path, mono="keep")
    assert (info.rate, info.channels) == (RATE, 2) == (whole.rate, len(whole.wave))
    assert abs(info.num_samples - whole.wave.shape[1]) <= (RATE // 100 if suffix == ".webm" else 0)
    assert info.seconds == pytest.approx(info.num_samples / RATE)
    assert info.format


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_every_sample_width_is_scaled_to_one(subtype):
    wave = chirp()
    error = np.abs(read(wav(wave, subtype=subtype)).wave - wave[0]).max()
    assert error < {"PCM_U8": 1 / 100, "ULAW": 1 / 40, "PCM_16": 1 / 30000}.get(subtype, 1e-6)


@pytest.mark.parametrize("format", ["RF64", "W64", "WAVEX", "AU", "CAF"])
def test_big_and_old_containers_decode(format):
    assert np.abs(read(wav(chirp(), format=format)).wave - chirp()[0]).max() < 1e-4


def test_a_format_that_cannot_be_sought_in_is_read_from_its_beginning(tmp_path):
    content = wav(chirp(1.0), subtype="GSM610")
    whole = read(content).wave
    assert np.corrcoef(whole[: RATE // 2], chirp(1.0)[0][: RATE // 2])[0, 1] > 0.8
    (tmp_path / "g.wav").write_bytes(content if isinstance(content, bytes) else content.getvalue())
    assert np.array_equal(read(tmp_path / "g.wav").wave, whole)
    assert np.array_equal(read(tmp_path / "g.wav", start=0.25, end=0.5).wave, whole[RATE // 4 : RATE // 2])


@settings(max_examples=25, deadline=None)
@given(rate=st.integers(4000, 192000), channels=st.integers(1, 8), samples=st.integers(1, 3000))
def test_any_rate_channel_count_and_length(rate, channels, samples):
    wave = chirp(1.0, channels, rate)[:, :samples]
    found = read(wav(wave, rate, "FLOAT"), mono="keep")
    assert found.rate == rate
    assert np.array_equal(found.wave, wave)


def test_a_file_that_cannot_be_sought_is_read_from_memory():
    class Pipe(io.RawIOBase):
        def __init__(self, content):
            self.rest = io.BytesIO(content)

        def readable(self):
            return True

        def readinto(self, buffer):
            return self.rest.readinto(buffer)

    assert np.array_equal(read(Pipe(wav(chirp()))).wave, read(wav(chirp())).wave)


def test_names_that_are_not_text_are_read(tmp_path):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.wav")
    try:
        with open(path, "wb") as file:
            file.write(wav(chirp()))
    except OSError:
        pytest.skip("this file system takes text names only")
    assert len(read(path).wave) == chirp().shape[1]


@pytest.mark.parametrize("suffix", list(SOUND_FILE_FORMATS))
def test_long_files_decode_as_in_one_piece(suffix):
    """Files of many blocks; soundfile's own seek after every block would silence parts of an MP3."""
    content = encode_audio(chirp(4.0, 2), RATE, suffix)
    want = soundfile.read(io.BytesIO(content), dtype="float32")[0].T
    assert np.abs(read(content, mono="keep").wave - want).max() < 1e-6


# ---- mono policy


def test_mono_policies():
    wave = chirp(channels=3)
    content = wav(wave, subtype="FLOAT")
    assert np.allclose(read(content, mono="mean").wave, wave.mean(0), atol=1e-6)
    assert np.array_equal(read(content, mono="first").wave, wave[0])
    assert np.array_equal(read(content, mono=2).wave, wave[2])
    assert np.array_equal(read(content, mono="keep").wave, wave)
    with pytest.raises(AuricleError, match="channel from 0 to 2, not 3"):
        read(content, mono=3)
    with pytest.raises(AuricleError, match="'mean'"):
        read(content, mono="left")


# ---- rate


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100])
def test_resampling_keeps_the_tone_and_the_duration(rate):
    tone = 0.5 * np.sin(2 * np.pi * 440 / RATE * np.arange(RATE)).astype(np.float32)
    found = read(wav(tone[None], subtype="FLOAT"), rate=rate)
    want = 0.5 * np.sin(2 * np.pi * 440 / rate * np.arange(rate))
    assert len(found.wave) == rate
    assert np.abs(found.wave - want)[rate // 10 : -rate // 10].max() < 1e-4


def test_reading_at_a_rate_equals_resampling_the_whole():
    wave = chirp(channels=2)
    whole = resample(wave, RATE, 16000)
    assert np.array_equal(read(wav(wave, subtype="FLOAT"), rate=16000, mono="keep").wave, whole)


def test_an_impossible_rate_is_refused():
    for rate in (0, -16000, 16000.5):
        with pytest.raises(AuricleError, match="positive whole number"):
            read(wav(chirp()), rate=rate)


# ---- spans and blocks


@pytest.mark.parametrize("suffix", [*SOUND_FILE_FORMATS, ".m4a", ".mp4", ".aac"])
@pytest.mark.parametrize("rate", [None, 16000, 44100])
def test_spans_equal_slices_of_the_whole(put, suffix, rate):
    path = put("sound" + suffix, file_of(suffix, chirp(4.0, 2)))
    whole = read(path, rate=rate)
    for start, end in ((0.0, 0.1), (0.5, 1.75), (1.2345, 2.3456), (3.0, None), (3.9, 3.99)):
        first, last = round(start * whole.rate), None if end is None else round(end * whole.rate)
        got = read(path, start=start, end=end, rate=rate)
        assert got.start == pytest.approx(start, abs=1 / whole.rate)
        assert got.wave.shape == whole.wave[first:last].shape
        assert np.abs(got.wave - whole.wave[first:last]).max() < (5e-3 if suffix in AAC else 1e-4)


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_spans_of_matroska_start_within_half_a_millisecond(put, suffix):
    path = put("sound" + suffix, file_of(suffix, chirp(4.0)))
    whole, got = read(path).wave, read(path, start=2.0, end=3.0).wave
    shifts = range(-RATE // 1500, RATE // 1500 + 1)
    errors = [np.abs(whole[2 * RATE + k : 3 * RATE + k] - got).max() for k in shifts]
    assert len(got) == RATE
    assert min(errors) < 5e-3
    assert abs(shifts[int(np.argmin(errors))]) <= 0.0005 * RATE + 1


def test_spans_of_a_quiet_mp3_are_not_silent(put):
    """Frames of a low bit rate borrow bits from many frames before them; a plain seek decodes them to silence."""
    t = np.arange(20 * 44100) / 44100
    loud = 0.2 * np.random.default_rng(0).standard_normal(len(t)) * (t % 5 > 2.5)
    wave = (0.4 * np.sin(2 * np.pi * (300 + 20 * t) * t) * (t % 5 < 2.5) + loud).astype(np.float32)
    path = put("quiet.mp3", encode_audio(wave, 44100, ".mp3"))
    whole = read(path).wave
    for start in np.arange(0.3, 19, 0.7):
        first = round(start * 44100)
        assert np.abs(read(path, start=start, end=start + 0.1).wave - whole[first : first + 4410]).max() < 1e-4


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_any_span_at_any_rate_equals_the_slice(data):
    native, rate = (data.draw(st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100])) for _ in range(2))
    content = wav(chirp(2.0, 1, native), native, "FLOAT")
    whole = read(content, rate=rate).wave
    start = data.draw(st.floats(0, 1.9))
    end = data.draw(st.floats(start + 0.01, 2.5))
    got = read(content, start=start, end=end, rate=rate).wave
    assert np.abs(got - whole[round(start * rate) : round(end * rate)]).max() < 1e-5


@pytest.mark.parametrize("suffix", EVERY)
@pytest.mark.parametrize("rate", [None, 16000])
def test_joined_blocks_equal_the_whole_file(put, suffix, rate):
    path = put("sound" + suffix, file_of(suffix, chirp(3.1, 2)))
    whole = read(path, rate=rate).wave
    parts = list(blocks(path, seconds=0.7, rate=rate))
    assert np.array_equal(np.concatenate(parts), whole)
    assert {len(part) for part in parts[:-1]} == {round(0.7 * (rate or RATE))}
    kept = np.concatenate(list(blocks(path, seconds=0.7, rate=rate, mono="keep")), axis=1)
    assert np.array_equal(kept, read(path, rate=rate, mono="keep").wave)


def test_a_span_after_the_end_is_refused_and_an_end_after_it_is_clipped(put):
    path = put("short.wav", wav(chirp(1.0)))
    assert len(read(path, start=0.9, end=5.0).wave) == RATE // 10
    with pytest.raises(AudioError, match=r"short\.wav: the span starts at 2\.000 s, but the file ends at 1\.000 s"):
        read(path, start=2.0)
    for start, end in ((-1.0, None), (0.5, 0.5), (0.7, 0.2), (float("nan"), None)):
        with pytest.raises(AuricleError, match="0 <= start < end"):
            read(path, start=start, end=end)


def test_a_span_of_a_long_file_reads_only_around_it(put, monkeypatch):
    path = put("long.wav", wav(np.zeros((1, 60 * 16000), np.float32), 16000))
    seen = []
    real = reader.SoundFileDecoder.blocks

    def spy(self, start, stop):
        seen.append((start, stop))
        return real(self, start, stop)

    monkeypatch.setattr(reader.SoundFileDecoder, "blocks", spy)
    read(path, start=30.0, end=31.0, rate=8000)
    assert seen[0][0] > 29.5 * 16000
    assert seen[0][1] < 31.5 * 16000


# ---- files that cannot be used


def complaint(path) -> str:
    """The one message of probing or reading; reading must fail."""
    with pytest.raises(AudioError) as caught:
        read(path)
    assert path.name in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", sorted(AUDIO_SUFFIXES))
def test_empty_and_non_audio_files_are_named(put, suffix):
    assert "empty (0 bytes)" in complaint(put("nothing" + suffix, b""))
    text = complaint(put("text" + suffix, b"this is no sound\n" * 200))
    assert "not audio" in text or "[media]" in text


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a", ".xyz"])
def test_random_bytes_are_no_audio(put, suffix):
    complaint(put("noise" + suffix, np.random.default_rng(3).bytes(20000)))


def test_missing_files_and_folders_are_named(tmp_path):
    assert "no such file" in complaint(tmp_path / "gone.wav")
    assert "a folder" in complaint(tmp_path)
    with pytest.raises(AudioError, match="no such file"):
        probe(tmp_path / "gone.wav")


def test_a_file_that_vanishes_while_it_is_opened_is_named(put, monkeypatch):
    path = put("vanishing.wav", wav(chirp()))
    opening = reader.SoundFileDecoder

    def vanish(*args, **kwargs):
        path.unlink(missing_ok=True)
        return opening(*args, **kwargs)

    monkeypatch.setattr(reader, "SoundFileDecoder", vanish)
    assert "no such file" in complaint(path)


def test_zero_samples_are_refused(put):
    path = put("hollow.wav", wav(np.zeros((1, 0), np.float32)))
    assert "holds no samples" in complaint(path)
    with pytest.raises(AudioError, match="holds no samples"):
        probe(path)
    with pytest.raises(AudioError, match="holds no samples"):
        list(blocks(path))


def test_a_file_too_short_for_the_requested_rate_is_refused(put):
    path = put("instant.wav", wav(np.ones((1, 1), np.float32), 44100))
    with pytest.raises(AudioError, match="no samples at the rate asked for"):
        read(path, rate=8000)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_non_finite_samples_are_refused_with_their_place(put, bad):
    wave = chirp(1.0)
    wave[0, RATE // 2] = bad
    path = put("broken.wav", wav(wave, subtype="FLOAT"))
    assert "NaN or infinite samples, the first at 0.500 s" in complaint(path)
    with pytest.raises(AudioError, match=r"0\.500 s"):
        list(blocks(path, seconds=0.2, rate=16000))
    assert not np.isfinite(read(path, check=False).wave).all()


@pytest.mark.parametrize(
    "suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".aiff", ".mkv", ".webm", "rf64", "w64", "au", "caf"]
)
def test_truncated_files_are_refused_and_read_on_request(put, suffix):
    wave = (0.2 * np.random.default_rng(1).standard_normal((2, 4 * RATE))).clip(-1, 1).astype(np.float32)
    content = file_of(suffix, wave) if suffix.startswith(".") else wav(wave, format=suffix.upper())
    path = put("cut" + (suffix if suffix.startswith(".") else "." + suffix), content[: len(content) * 6 // 10])
    assert "truncated" in complaint(path)
    with pytest.raises(AudioError, match="truncated"):
        list(blocks(path, seconds=1.0))
    if suffix != "caf":  # libsndfile cannot open a cut CAF at all
        found = read(path, allow_truncated=True)
        assert found.truncated
        assert 0.2 * wave.shape[1] < len(found.wave) < 0.7 * wave.shape[1]


def test_a_cut_m4a_is_refused(put):
    content = file_of(".m4a", chirp(4.0))
    assert "not audio" in complaint(put("cut.m4a", content[: len(content) // 2]))


def test_a_span_before_the_truncation_is_complete(put):
    content = wav(chirp(4.0), subtype="FLOAT")
    path = put("cut.wav", content[: len(content) // 2])
    found = read(path, start=0.5, end=1.0, rate=16000)
    assert not found.truncated
    assert found.declared_samples == 4 * RATE == probe(path).num_samples


def test_what_is_good_of_a_damaged_flac_is_read_to_the_damage(put):
    content = encode_audio(0.3 * np.random.default_rng(0).standard_normal((1, RATE)), RATE, ".flac")
    found = read(put("cut.flac", content[: len(content) // 2]), allow_truncated=True)
    assert found.truncated
    assert 0.3 * RATE < len(found.wave) < 0.6 * RATE  # shorter than a block


def test_damage_inside_a_flac_is_refused(put):
    content = bytearray(encode_audio(0.3 * np.random.default_rng(0).standard_normal((1, 4 * RATE)), RATE, ".flac"))
    content[len(content) // 2 : len(content) // 2 + 300] = bytes(300)
    assert "damaged" in complaint(put("hurt.flac", bytes(content)))


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x7FFFFFFF, 0x80000000])
def test_sizes_that_streaming_programs_write_are_no_truncation(put, size):
    content = bytearray(wav(chirp(1.0)))
    at = content.index(b"data") + 4
    content = bytes(content[:at]) + struct.pack("<I", size) + bytes(content[at + 4 :])
    assert len(read(put("streamed.wav", content)).wave) == RATE


def test_a_flac_of_undeclared_length_is_read_to_its_end():
    content = bytearray(encode_audio(chirp(3.3), RATE, ".flac"))
    content[21] &= 0xF0  # the 36 bits of STREAMINFO's total samples
    content[22:26] = bytes(4)
    assert probe(bytes(content)).num_samples == round(3.3 * RATE)
    assert np.abs(read(bytes(content)).wave - chirp(3.3)[0]).max() < 1e-4


def mp3_without_header(mode: str) -> bytes:
    t = np.arange(8 * 44100) / 44100
    wave = 0.3 * np.random.default_rng(0).standard_normal(len(t)) * (t > 4) + 0.1 * np.sin(2000 * t)
    file = io.BytesIO()
    soundfile.write(file, wave, 44100, format="MP3", bitrate_mode=mode, compression_level=0.5)
    content = file.getvalue()
    return content[parse_mp3_frame(content[:4]).size :]


def test_an_mp3_of_constant_rate_needs_no_length_header():
    content = mp3_without_header("CONSTANT")
    assert probe(content).num_samples == pytest.approx(8 * 44100, abs=3 * 1152)
    assert len(read(content).wave) == pytest.approx(8 * 44100, abs=3 * 1152)


def test_an_mp3_of_variable_rate_without_length_header_is_complete_or_refused(put, monkeypatch):
    path = put("variable.mp3", mp3_without_header("VARIABLE"))
    without_pyav(monkeypatch)
    with pytest.raises(MissingExtra, match=r"variable\.mp3.*auricle\[media\]"):
        read(path)
    monkeypatch.undo()
    pytest.importorskip("av", reason="needs the [media] extra")
    assert len(read(path).wave) == pytest.approx(8 * 44100, abs=3 * 1152)


def test_without_pyav_the_install_line_is_given_and_core_formats_still_work(put, monkeypatch):
    movie = put("film.mp4", file_of(".mp4", chirp()))
    without_pyav(monkeypatch)
    with pytest.raises(MissingExtra, match=r"film\.mp4.*pip install 'auricle\[media\]'") as caught:
        read(movie)
    assert isinstance(caught.value, AudioError)  # over a folder it is one file among others
    assert len(read(put("fine.wav", wav(chirp()))).wave)
    assert "not audio" in complaint(put("text.wav", b"words " * 100))


def test_a_playlist_is_refused(put):
    pytest.importorskip("av", reason="needs the [media] extra")
    sound = put("secret.aac", file_of(".aac", chirp()))
    lines = f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1.5,\n{sound}\n#EXT-X-ENDLIST\n"
    assert "not audio" in complaint(put("list.m3u8", lines.encode()))
    assert "not audio" in complaint(put("list.m4a", lines.encode()))


def test_truncation_has_its_own_type(put):
    content = wav(chirp())
    with pytest.raises(TruncatedAudioError, match=r"0\.7\d+ s of the 1\.500 s"):
        read(put("half.wav", content[: len(content) // 2]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_refused_instead_of_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    assert "not a file" in complaint(tmp_path / "pipe.wav")


# ---- resampling


def test_resample_works_on_the_last_axis():
    wave = chirp(0.5, 4).reshape(2, 2, -1)
    out = resample(wave, RATE, 16000)
    assert out.shape == (2, 2, 8000)
    assert np.array_equal(out[1, 0], resample(wave[1, 0], RATE, 16000))
    assert resample(wave, RATE, RATE) is wave


# ---- real recordings


def test_real_recordings_decode(shared):
    paths = [
        *sorted((shared / "data" / "audio").glob("*.wav")),
        *sorted((shared / "data" / "esc10").rglob("*.*g"))[:20],
    ]
    for path in paths:
        found, info = read(path, rate=16000), probe(path)
        assert len(found.wave) == pytest.approx(info.seconds * 16000, abs=1)
        assert np.abs(found.wave).max() > 0
