"""Files are written whole or not at all; JSON is strict; checksums and stamps find changed files."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from auricle.core.errors import AudioError, AuricleError, content_fault
from auricle.core.io import (
    cache_dir,
    check_unchanged,
    dumps,
    file_stamp,
    is_full_disk,
    make_folder,
    replacing,
    sha256_of,
    short_name,
    write_text,
    writing,
)


def test_a_file_is_replaced_on_success(tmp_path):
    write_text(tmp_path / "new" / "a.txt", "one")
    write_text(tmp_path / "new" / "a.txt", "zwei ü")
    assert (tmp_path / "new" / "a.txt").read_text(encoding="utf-8") == "zwei ü"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_a_failed_write_leaves_only_the_old_file(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    writing = replacing(tmp_path / "a.txt")
    writing.__enter__().write_text("half")
    assert not writing.__exit__(RuntimeError, RuntimeError("midway"), None)
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(AuricleError, match=r"a\.txt: No space left"), replacing(tmp_path / "a.txt"):
        raise OSError(28, "No space left on device")


def test_a_folder_that_cannot_be_created_is_an_error_with_advice(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(AuricleError, match="cannot make the folder .*; use another disk"):
        make_folder(tmp_path / "file" / "folder", "use another disk")


def test_json_has_null_for_numbers_that_are_not_finite():
    value = {"a": float("nan"), "b": (1.5, float("inf")), "c": [{"d": -float("inf")}]}
    assert json.loads(dumps(value)) == {"a": None, "b": [1.5, None], "c": [{"d": None}]}


def test_the_checksum_is_that_of_the_content(tmp_path):
    (tmp_path / "a").write_bytes(b"audio")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"audio").hexdigest()


def test_a_stamp_changes_with_size_or_time_and_is_none_without_a_file(tmp_path):
    path = tmp_path / "a"
    assert file_stamp(path) is None
    path.write_bytes(b"one")
    before = file_stamp(path)
    assert before == [3, path.stat().st_mtime_ns]
    os.utime(path, ns=(1, 1))
    assert file_stamp(path) == [3, 1]


def test_the_cache_folder_follows_the_users_setting(monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", "/somewhere")
    assert cache_dir() == Path("/somewhere")
    monkeypatch.delenv("AURICLE_CACHE")
    assert cache_dir().name == "auricle"


# ---- whatever a library raises for a full disk
@pytest.fixture
def small_files():
    """No file may grow above 4 kB, as on a full disk; Python ignores the signal that this sends."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _npy(path):
    with open(path, "wb") as file:
        np.save(file, np.ones(9999))


def _npz(path):
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.npy", "w") as file:
        for _ in range(99):
            file.write(np.ones(999).data)


def _safetensors(path):
    save_file({"a": np.ones(9999)}, path)


def _torch(path):
    torch.save(torch.ones(9999), path)


def _parquet(path):
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.table({"a": np.random.default_rng(0).random(9999)}), path)


def _sqlite(path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE t (a)")
        db.executemany("INSERT INTO t VALUES (?)", [("x" * 100,)] * 999)


def _figure(path):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    figure.subplots().imshow(np.random.default_rng(0).random((99, 99)))
    figure.savefig(path, format="png")


@pytest.mark.parametrize("write", [_npy, _npz, _safetensors, _torch, _parquet, _sqlite, _figure])
def test_a_full_disk_is_one_line_whatever_library_writes(write, tmp_path, small_files):
    (tmp_path / "out").write_text("old")
    with pytest.raises(AuricleError) as raised, replacing(tmp_path / "out") as temporary:
        write(temporary)
    message = str(raised.value)
    assert message.startswith(f"cannot write {tmp_path / 'out'}: ")
    assert "make room" in message
    assert message.endswith("the file before it is untouched")
    assert "\n" not in message
    assert (tmp_path / "out").read_text() == "old"
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize(("number", "full"), [(errno.ENOSPC, True), (errno.EACCES, False)])
def test_a_full_disk_is_known_behind_other_errors(number, full, tmp_path):
    with pytest.raises(AuricleError) as raised, writing(tmp_path / "a.txt"):
        raise OSError(number, "no")
    assert is_full_disk(raised.value) == full


def test_an_error_about_something_else_keeps_its_traceback(tmp_path):
    with pytest.raises(KeyError), replacing(tmp_path / "a.txt"):
        raise KeyError("a fault of the program")


def test_a_name_that_holds_a_nul_is_refused_in_words(tmp_path):
    for path in (tmp_path / "a\0b", tmp_path / "a\0b" / "c"):
        with pytest.raises(AuricleError, match="null|NUL"):
            write_text(path, "text")
    assert file_stamp(tmp_path / "a\0b") is None


@pytest.mark.parametrize("name", ["x" * 255, "x" * 251 + ".npy", "音" * 85, "ü" * 127 + "."])
def test_files_with_the_longest_names_are_replaced_too(tmp_path, name):
    write_text(tmp_path / name, "one")
    write_text(tmp_path / name, "two")
    assert os.listdir(tmp_path) == [name]


def test_short_names_fit_and_differ():
    assert short_name("a.wav", ".txt") == "a.wav.txt"
    names = [short_name(letter * length, ".txt") for letter in ("x", "音") for length in (251, 252, 300)]
    assert len(set(names)) == 6
    assert max(len(os.fsencode(name)) for name in names) <= 255
    assert all(name.endswith(".txt") for name in names)


def test_a_recording_that_is_not_the_one_of_the_stamp_is_an_error(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"one")
    before = file_stamp(path)
    check_unchanged(path, before)
    path.write_bytes(b"longer")
    with pytest.raises(AudioError, match=r"a\.wav: was changed while it was read"):
        check_unchanged(path, before)
    path.unlink()
    with pytest.raises(AudioError, match="was changed"):
        check_unchanged(path, before)


def test_a_path_that_goes_up_from_a_missing_folder_is_refused_and_makes_nothing(tmp_path):
    (tmp_path / "in").mkdir()
    for path in (tmp_path / "missing/x/../../in", tmp_path / "missing/../in/out.json"):
        with pytest.raises(AuricleError, match=r"goes up with '\.\.' from .*missing.* does not exist; write .*in"):
            make_folder(path)
    with pytest.raises(AuricleError, match="does not exist"), replacing(tmp_path / "missing/../in/out.json"):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["in"]
    make_folder(tmp_path / "in/../other")
    assert (tmp_path / "other").is_dir()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (lambda: json.loads("null")["format"], "a value of another kind than expected"),
        (lambda: {}["format"], "'format' is missing"),
        (lambda: int("x"), "a value of another kind than expected"),
        (lambda: json.loads('{"a": '), "no JSON from line 1, column 7 on"),
        (lambda: b"\xff".decode(), "the text is not UTF-8"),
    ],
)
def test_what_is_wrong_with_a_side_file_is_said_in_words(error, text):
    with pytest.raises(Exception) as raised:
        error()
    assert content_fault(raised.value) == text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in the file system are Unix's")
def test_pipe_or_device_is_not_replaced_by_a_file(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for special in (pipe, Path("/dev/null")):
        with pytest.raises(AuricleError, match="is a device or a pipe"):
            write_text(special, "text")
        assert not special.is_file()
