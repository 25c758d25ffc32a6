"""Uploads: decoded in a process with limits, kept whole or not at all, and refused in words."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import read
from auricle.audio.write import encode_audio
from auricle.serve.errors import Refusal
from auricle.serve.uploads.decoding import DecoderProcesses
from auricle.serve.uploads.decoding_work import DecodingLimits
from auricle.serve.uploads.uploads import shown_name
from helpers.serving import client_of
from helpers.sounds import tone

WAVE = tone(1.0)
GOOD = encode_audio(WAVE, 16000, ".wav")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def client(state):
    with client_of(model="logmel-stats", state=str(state), max_upload="2MB", max_seconds=600.0) as client:
        yield client


def send(client, *files):
    return client.post("/api/recordings", files=[("files", file) for file in files])


def kept_files(state):
    return sorted(
        path.relative_to(state) for folder in ("incoming", "recordings") for path in (state / folder).rglob("*")
    )


def refusal(client, content, name="a.wav"):
    """Upload one file that is refused; nothing may stay of it."""
    answer = send(client, (name, content))
    body = answer.json()
    assert body["error"] == body["files"][0]["error"]
    return answer.status_code, body["error"]["message"]


def test_a_recording_is_kept_and_listed_and_can_be_removed(client, state):
    before = kept_files(state)
    answer = send(client, ("owl.wav", GOOD))
    assert answer.status_code == 201
    recording = answer.json()["files"][0]["recording"]
    assert (recording["name"], recording["seconds"], recording["rate"], recording["channels"]) == (
        "owl.wav",
        1.0,
        16000,
        1,
    )
    assert recording["source"] == "upload"
    assert recording["id"] in [item["id"] for item in client.get("/api/recordings?query=OWL").json()["recordings"]]
    assert client.delete(f"/api/recordings/{recording['id']}").status_code == 204
    assert client.get(f"/api/recordings/{recording['id']}").status_code == 404
    assert kept_files(state) == before


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
def test_the_copy_has_the_samples_of_the_file_so_that_labels_are_those_of_the_file(client, state, suffix):
    content = encode_audio(np.stack([WAVE, 0.5 * WAVE[::-1]]), 16000, suffix)
    recording = send(client, (f"a{suffix}", content)).json()["files"][0]["recording"]
    copy = read(state / "recordings" / recording["id"] / "audio.wav").wave
    np.testing.assert_array_equal(copy, read(content).wave)
    assert recording["channels"] == 2


def test_good_files_are_kept_beside_broken_ones(client):
    answer = send(client, ("a.wav", GOOD), ("broken.mp3", b"no sound at all"), ("b.wav", GOOD))
    files = answer.json()["files"]
    assert answer.status_code == 201
    assert [file["name"] for file in files] == ["a.wav", "broken.mp3", "b.wav"]
    assert [file["error"] is None for file in files] == [True, False, True]
    assert "broken.mp3: not audio" in files[1]["error"]["message"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\x00" * 5000, "not audio"),
        (GOOD[:30], "a.wav"),
        (b"#EXTM3U\n/etc/passwd\n", "not audio"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not audio"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not audio"),
    ],
)
def test_what_is_no_recording_is_refused_and_leaves_nothing(client, state, content, words):
    before = kept_files(state)
    status, message = refusal(client, content)
    assert status == 415
    assert words in message
    assert str(state) not in message
    assert kept_files(state) == before


def silent_flac(seconds, *, declared=True):
    """A FLAC of silence: hours in a few kilobytes; ``declared``: with the number of samples in its header."""
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", 8000, 1, "PCM_16", format="FLAC") as flac:
        for _ in range(seconds // 600):
            flac.write(np.zeros(600 * 8000, np.int16))
    content = bytearray(file.getvalue())
    if not declared:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    return bytes(content)


@pytest.mark.parametrize("declared", [True, False])
def test_hours_of_silence_in_a_few_kilobytes_are_refused(client, declared):
    status, message = refusal(client, silent_flac(7200, declared=declared), "silence.flac")
    assert status == 413
    assert "silence.flac: lasts" in message
    assert "10.0 minutes" in message


def test_a_header_that_claims_more_than_there_is_is_refused(client):
    claims = bytearray(GOOD)
    claims[40:44] = (10 * len(GOOD)).to_bytes(4, "little")
    status, message = refusal(client, bytes(claims))
    assert status == 415
    assert message.startswith("a.wav: truncated or damaged")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd.wav", "passwd.wav"),
        ("C:\\Users\\ann\\owl.wav", "owl.wav"),
        ("/", "recording"),
        ("..", "recording"),
        ("", "recording"),
        ("a\x1b[2J\nb.wav", "a\\u001b[2J\\u000ab.wav"),
        ("x" * 500 + ".wav", "x" * 200),
        ("Käuzchen 🦉.wav", "Käuzchen 🦉.wav"),
    ],
)
def test_names_of_uploads_are_shown_and_are_never_paths(name, shown):
    assert shown_name(name) == shown


def test_a_name_with_a_path_is_kept_inside_the_state(client, state):
    answer = send(client, ("../../../outside.wav", GOOD))
    recording = answer.json()["files"][0]["recording"]
    assert recording["name"] == "outside.wav"
    assert (state / "recordings" / recording["id"] / "audio.wav").is_file()


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    answer = client.post("/api/recordings", content=b"", headers={"content-length": "99999999999"})
    assert answer.status_code == 413
    assert "--max-upload" in answer.json()["error"]["message"]


def test_a_body_without_a_length_is_cut_at_the_limit(client, state):
    boundary = b"--x\r\nContent-Disposition: form-data; name=files; filename=a.wav\r\n\r\n"
    before = kept_files(state)

    def more_than_allowed():
        yield boundary
        for _ in range(30):
            yield bytes(100_000)

    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/recordings", content=more_than_allowed(), headers=kind).status_code == 413
    assert kept_files(state) == before


@pytest.mark.parametrize(
    ("kind", "content", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        ("multipart/form-data; boundary=x", b"", 400),
        ("multipart/form-data; boundary=x", b"nothing like it", 400),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\nhalf",
            400,
        ),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
            422,
        ),
        (f"multipart/form-data; boundary={'y' * 500}", b"--", 400),
    ],
)
def test_what_is_no_form_with_files_is_refused(client, state, kind, content, status):
    before = kept_files(state)
    answer = client.post("/api/recordings", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert kept_files(state) == before


def test_more_files_than_a_request_may_hold_are_refused(client):
    answer = send(client, *[("a.wav", b"x")] * 101)
    assert answer.status_code == 413
    assert "100 files" in answer.json()["error"]["message"]


def test_uploads_are_refused_when_they_take_too_much_room(tmp_path):
    with client_of(model="logmel-stats", state=str(tmp_path / "s"), max_stored="40kB") as client:
        assert send(client, ("a.wav", GOOD)).status_code == 201
        assert send(client, ("a.wav", GOOD)).status_code == 201
        answer = send(client, ("a.wav", GOOD))
    assert answer.status_code == 507
    assert "remove some" in answer.json()["error"]["message"]


def test_uploads_are_there_after_a_restart_and_halves_of_them_are_not(tmp_path):
    settings = {"model": "logmel-stats", "state": str(tmp_path / "s")}
    with client_of(**settings) as client:
        first = send(client, ("a.wav", GOOD)).json()["files"][0]["recording"]
        second = send(client, ("b.wav", GOOD)).json()["files"][0]["recording"]
    (tmp_path / "s" / "incoming" / "left.part").write_bytes(b"half")
    (tmp_path / "s" / "recordings" / second["id"] / "recording.json").write_text("{")
    with client_of(**settings) as client:
        assert client.get("/api/recordings").json()["recordings"] == [first]
        assert client.get(f"/api/recordings/{first['id']}/audio").status_code == 200
    assert not list((tmp_path / "s" / "incoming").iterdir())


# ---- the process


def wide_wav(channels):
    """A second of many channels: a block of it takes megabytes."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros((32768, channels), np.float32), 32768, "PCM_16", format="WAV")
    return file.getvalue()


@pytest.mark.skipif(os.name != "posix", reason="limits of processes are those of POSIX")
@pytest.mark.parametrize(
    ("content", "limits"),
    [
        (wide_wav(64), DecodingLimits(1e6, 300.0, 2**20)),
        (silent_flac(6 * 3600, declared=False), DecodingLimits(1e6, 1.0, 2**30)),
    ],
    ids=["memory", "processor time"],
)
def test_a_decoder_that_takes_too_much_is_ended(tmp_path, content, limits):
    source = tmp_path / "a.flac"
    source.write_bytes(content)
    with pytest.raises(Refusal) as refused:
        DecoderProcesses(1, limits).decode(source, tmp_path / "copy.wav", "a.flac")
    assert refused.value.status in (413, 415)
    assert not (tmp_path / "copy.wav").exists()


def test_a_disk_that_is_full_is_named(tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    source = tmp_path / "a.wav"
    source.write_bytes(GOOD)
    target = tmp_path / "copy.wav"
    target.symlink_to("/dev/full")
    with pytest.raises(Refusal) as refused:
        DecoderProcesses(1, DecodingLimits(60, 60, 2**30)).decode(source, target, "a.wav")
    assert refused.value.status == 507
