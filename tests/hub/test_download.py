"""Downloads against a local server that stalls, cuts and lies; archives whose paths are not trusted."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import zipfile
from pathlib import Path

import pytest

from auricle.core.errors import AuricleError
from auricle.hub.download import fetch, is_offline
from auricle.hub.weight_cache import extract_weight
from helpers.weight_server import CONTENT, DEMONS, HALF, RANGES, Mirror, mirror

SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("AURICLE_OFFLINE", raising=False)
    with mirror() as running:
        yield running


def brought(server: Mirror, target: Path, *kinds: str, **options) -> bytes:
    options = {"timeout": 60, "quiet": True, **options}  # seconds: a busy machine may be slow to answer
    return fetch([server.url(kind) for kind in kinds], target, **options).read_bytes()


def refused(server: Mirror, target: Path, *kinds: str, **options) -> str:
    with pytest.raises(AuricleError) as error:
        brought(server, target, *kinds, **options)
    assert not target.exists()
    return str(error.value)


def test_a_file_arrives_once_and_its_checksum_is_kept(server, tmp_path):
    target = tmp_path / "deep" / "file.pt"
    assert brought(server, target, "good") == CONTENT
    kept = json.loads((target.parent / "file.pt.json").read_text())
    assert (kept["sha256"], kept["size"], kept["source"]) == (SHA, len(CONTENT), server.url("good"))
    assert brought(server, target, "good") == CONTENT
    assert server.count("good") == 1
    assert not list(target.parent.glob("*.part*"))


@pytest.mark.parametrize("content", [CONTENT[:HALF], bytes(len(CONTENT))])
def test_a_kept_file_that_changed_is_refused(server, tmp_path, content):
    target = tmp_path / "file.pt"
    brought(server, target, "good")
    target.write_bytes(content)
    with pytest.raises(AuricleError, match="delete it and its"):
        brought(server, target, "good")


def test_a_cut_download_continues_where_it_ended(server, tmp_path):
    assert brought(server, tmp_path / "file.pt", "cut") == CONTENT
    assert server.requests == [("cut", ""), ("cut", f"bytes={HALF}-")]


def test_a_server_without_ranges_is_read_from_the_start(server, tmp_path):
    assert brought(server, tmp_path / "file.pt", "ignores-range") == CONTENT
    assert server.count("ignores-range") == 2


def test_an_answer_with_another_range_is_not_appended(server, tmp_path):
    assert "another range" in refused(server, tmp_path / "file.pt", "wrong-range")


def test_cut_downloads_are_repeated_while_each_adds_bytes(server, tmp_path):
    assert brought(server, tmp_path / "file.pt", "cut-often") == CONTENT
    assert server.count("cut-often") == 5


@pytest.mark.parametrize("kind", ["stalls", "trickles"])
def test_a_stalling_mirror_is_left_for_the_next(server, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("auricle.hub.download.ATTEMPTS", 2)
    assert brought(server, tmp_path / "file.pt", kind, "good", sha256=SHA, timeout=2) == CONTENT
    assert (server.count(kind), server.requests[-1][0]) == (3, "good")
    assert int(server.requests[-1][1].removeprefix("bytes=").rstrip("-")) >= HALF  # nothing is fetched twice
    assert "stalled" in refused(server, tmp_path / "other.pt", kind, timeout=2)


@pytest.mark.parametrize("kind", ["endless", "endless-without-length"])
def test_an_answer_without_end_is_stopped_at_the_known_size(server, tmp_path, kind, monkeypatch):
    target = tmp_path / "file.pt"
    said = refused(server, target, kind, size=len(CONTENT))
    assert f"sends more than the {len(CONTENT)} bytes expected" in said
    assert "are stored" not in said
    monkeypatch.setattr("auricle.hub.download.LARGEST", 1 << 20)
    assert f"sends more than the {1 << 20} bytes expected" in refused(server, target, kind)
    assert brought(server, target, kind, "good", size=len(CONTENT)) == CONTENT


@pytest.mark.parametrize("kind", [kind for kind in DEMONS if kind.startswith("trickling")])
def test_a_server_that_sends_a_byte_now_and_then_is_left_in_time(server, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("auricle.hub.download.ATTEMPTS", 1)
    started = time.monotonic()
    assert "stalled" in refused(server, tmp_path / "file.pt", kind, timeout=1)
    assert time.monotonic() - started < 60  # a byte every 20 ms would take hours


@pytest.mark.parametrize("kind", [kind for kind, (_, piece, _) in DEMONS.items() if not piece])
def test_an_answer_that_nobody_understands_is_refused_in_words(server, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("auricle.hub.download.ATTEMPTS", 1)
    assert f"{server.url(kind)}: " in refused(server, tmp_path / "file.pt", kind, size=len(CONTENT))


@pytest.mark.parametrize("kind", RANGES)
def test_a_range_that_cannot_be_is_refused(server, tmp_path, kind, monkeypatch):
    monkeypatch.setattr("auricle.hub.download.ATTEMPTS", 1)
    target = tmp_path / "file.pt"
    target.with_name("file.pt.part").write_bytes(CONTENT[:HALF])
    assert f"{server.url(kind)}: " in refused(server, target, kind, sha256=SHA)


def test_a_damaged_note_beside_a_file_is_written_again(server, tmp_path):
    target = tmp_path / "file.pt"
    note = target.with_name("file.pt.json")
    for damage in ("[]", "null", "{", '{"size": "many"}', '{"size": 3}', "[" * 100_000):
        target.write_bytes(CONTENT)
        note.write_text(damage)
        assert brought(server, target, "good") == CONTENT
        assert json.loads(note.read_text())["sha256"] == SHA
    other = tmp_path / "other.pt"
    other.with_name("other.pt.part.json").write_text('["url"]')
    other.with_name("other.pt.part").write_bytes(CONTENT[:HALF])
    assert brought(server, other, "good", sha256=SHA) == CONTENT


def test_every_mirror_is_named_when_none_delivers(server, tmp_path):
    target = tmp_path / "file.pt"
    said = refused(server, target, "missing", "html", "html-unsaid", "empty")
    assert "HTTP 404" in said
    assert said.count("web page") == 2
    assert "expected at least one" in said
    assert f"put it at {target}" in said


def test_a_refused_connection_is_an_error_with_a_message(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with pytest.raises(AuricleError, match="cannot be reached"):
        fetch(["http://127.0.0.1:9/file.pt"], tmp_path / "file.pt", quiet=True)


def test_a_wrong_length_and_wrong_bytes_are_found_and_the_next_mirror_is_tried(server, tmp_path):
    target = tmp_path / "file.pt"
    assert "offers" in refused(server, target, "short", size=len(CONTENT))
    assert "delivers another file" in refused(server, target, "wrong", sha256=SHA)
    assert brought(server, target, "short", "wrong", "good", size=len(CONTENT), sha256=SHA) == CONTENT


def test_the_part_of_another_address_is_dropped_and_a_whole_part_is_taken(server, tmp_path):
    target = tmp_path / "file.pt"
    target.with_name("file.pt.part").write_bytes(bytes(HALF))
    assert brought(server, target, "good") == CONTENT
    other = tmp_path / "other.pt"
    other.with_name("other.pt.part").write_bytes(CONTENT)
    assert brought(server, other, "good", sha256=SHA) == CONTENT
    assert server.requests[-1] == ("good", f"bytes={len(CONTENT)}-")


def test_two_at_once_download_once(server, tmp_path):
    target = tmp_path / "file.pt"
    threads = [threading.Thread(target=brought, args=(server, target, "good")) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() == CONTENT
    assert server.count("good") == 1


def test_offline_no_request_is_made_and_a_local_file_is_used(server, tmp_path, monkeypatch):
    target = tmp_path / "file.pt"
    assert "by hand" in refused(server, target, "good", offline=True)
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    assert is_offline()
    assert not is_offline(False)
    assert "switched off" in refused(server, target, "good")
    target.write_bytes(CONTENT)
    assert brought(server, target, "good") == CONTENT
    assert server.requests == []
    target.write_bytes(CONTENT[:-1])
    with pytest.raises(AuricleError, match="truncated"):
        brought(server, target, "good")


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members.items():
            opened.writestr(name, content)
    return path


def test_only_the_weight_file_leaves_an_archive(tmp_path):
    packed = archive(tmp_path / "a.zip", **{"m2d-x/checkpoint-300.pth": CONTENT, "m2d-x/log.txt": b"log"})
    file = extract_weight(packed, tmp_path / "out")
    assert file.read_bytes() == CONTENT
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["checkpoint-300.pth"]


@pytest.mark.parametrize("name", ["../evil.pth", "/evil.pth", "a/../../evil.pth", "C:\\evil.pth", "..\\evil.pth"])
def test_paths_that_lead_out_of_an_archive_are_refused(tmp_path, name):
    packed = archive(tmp_path / "a.zip", **{"m2d/checkpoint.pth": b"1", name: b"2"})
    with pytest.raises(AuricleError, match="leads out"):
        extract_weight(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_link_in_an_archive_is_refused(tmp_path):
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as opened:
        link = zipfile.ZipInfo("m2d/checkpoint.pth")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
    with pytest.raises(AuricleError, match="leads out"):
        extract_weight(packed, tmp_path / "out")


def test_archives_without_or_with_several_weights_and_broken_ones_are_refused(tmp_path):
    two = archive(tmp_path / "two.zip", **{"m/a.pth": b"1", "m/b.pth": b"2"})
    with pytest.raises(AuricleError, match="holds 2 files"):
        extract_weight(two, tmp_path / "out")
    assert extract_weight(two, tmp_path / "out", file="b.pth").read_bytes() == b"2"
    with pytest.raises(AuricleError, match="it holds: nothing"):
        extract_weight(archive(tmp_path / "none.zip"), tmp_path / "out")
    good = archive(tmp_path / "good.zip", **{"m/a.pth": CONTENT})
    content = bytearray(good.read_bytes())
    (tmp_path / "short.zip").write_bytes(content[: len(content) // 2])
    content[200:260] = bytes(60)
    (tmp_path / "flipped.zip").write_bytes(content)
    for name in ("short.zip", "flipped.zip"):
        with pytest.raises(AuricleError, match="not a readable zip"):
            extract_weight(tmp_path / name, tmp_path / "out")


def test_an_archive_that_unpacks_to_far_more_than_itself_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.hub.weight_cache.ROOM", 1000)
    packed = archive(tmp_path / "bomb.zip", **{"m/a.pth": bytes(1 << 20)})
    with pytest.raises(AuricleError, match="would unpack to"):
        extract_weight(packed, tmp_path / "out")
    assert not (tmp_path / "out").exists()
