"""Large CSV files are read by two processes, with the same result as by one."""

from __future__ import annotations

import csv
import pickle
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core import devices
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import ClipTable
from auricle.data.manifest.tables import clips, read_chunks
from auricle.data.manifest.tables.text import half_chunks, halves_of

HEADER = ("id", "path", "rate", "labels", "split", "group", "weight", "text")


def serial(path: Path) -> ClipTable:
    return clips._read(read_chunks(path), path, {}).clips


def in_halves(path: Path) -> ClipTable | None:
    """Read the halves one after the other; the second one passes through a pickle, as between processes."""
    halves = halves_of(path)
    if halves is None:
        return None
    try:
        first, second = (clips._read(half_chunks(path, half), path, {}).clips for half in halves)
    except csv.Error:
        return None
    return first.followed_by(pickle.loads(pickle.dumps(second)))


def same(one: ClipTable, other: ClipTable) -> bool:
    ids = [clip.id for clip in one]
    found = [one.row_of(id) for id in ids] == [other.row_of(id) for id in ids]
    return one == other and one.columns.keys() == other.columns.keys() and found


def write(path: Path, rows: list[tuple], header: tuple[str, ...] = HEADER) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return path


text = st.text(st.sampled_from("ab,;\"'\n\r []é"), max_size=8)
labels = st.lists(st.sampled_from(["dog", "cat", "Rain, heavy", 'the "best"']), max_size=3)
cells = st.tuples(
    st.sampled_from(["", "16000", "48000"]),
    labels.map(
        lambda names: ",".join(f'"{name}"'.replace('"the "', '"the ""').replace('best""', 'best"""') for name in names)
    )
    | st.sampled_from(["", "dog", "dog,cat", "['dog', 'cat']", "[]", '""']),
    st.sampled_from(["", "train", "test"]),
    st.sampled_from(["", "anna", "ben"]),
    st.sampled_from(["", "1.5", "2"]),
    text,
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(cells, min_size=1, max_size=12), st.booleans(), st.sampled_from(["\n", "\r\n"]))
def test_halves_joined_are_the_whole(rows, shared, end):
    with tempfile.TemporaryDirectory() as folder:
        table = [(f"a{i}.wav" if shared else f"{i}", f"a{i}.wav", *row) for i, row in enumerate(rows)]
        path = write(Path(folder) / "m.csv", [*table, ("",) * 8])
        path.write_bytes(path.read_bytes().replace(b"\n", end.encode()))
        whole, halves = serial(path), in_halves(path)
        assert halves is None or same(halves, whole)


def big(path: Path, rows: int = 300) -> Path:
    table = []
    for i in range(rows):
        rate, labels = 16000 if i < 200 else "", '["dog", "cat"]' if i % 3 else "Rain"
        table.append((f"x{i}.wav", f"x{i}.wav", rate, labels, f"s{i // 100}", f"g{i % 7}", "", f'say "{i}",\nthen {i}'))
    return write(path, table)


@pytest.fixture
def two_processes(monkeypatch) -> list[int]:
    """Every CSV file is large and two processors are free; the list gets an entry for each second process."""
    started: list[int] = []
    start = clips.subprocess.Popen
    monkeypatch.setattr(clips, "LARGE", 0)
    monkeypatch.setattr(clips, "free_cores", lambda: 2.0)
    monkeypatch.setattr(clips.subprocess, "Popen", lambda *args, **kwargs: started.append(1) or start(*args, **kwargs))
    return started


@pytest.mark.slow
def test_two_processes_read_what_one_reads(tmp_path, two_processes):
    path = big(tmp_path / "m.csv")
    both = clips._read_by_two(path, {"label_column": None, "group_column": None})
    assert both is not None
    assert same(both.clips, serial(path))
    assert both.clips.repeated_ids() == {}
    assert two_processes == [1]


@pytest.mark.slow
def test_errors_are_those_of_one_process(tmp_path, two_processes):
    path = big(tmp_path / "m.csv")
    path.write_text(path.read_text().replace("x250.wav,x250.wav,", "x250.wav,x250.wav,many"))
    with pytest.raises(AuricleError, match=r"m\.csv line 503: column 'rate' holds 'many'"):
        clips.read_clips(path)
    assert two_processes == [1]


def test_quotes_that_mislead_the_cut_change_nothing(tmp_path, two_processes):
    rows = [f'x{i}.wav,5" pipe {i},"two\nlines {i}"' for i in range(101)]
    (tmp_path / "m.csv").write_text("path,label,text\n" + "\n".join(rows) + "\n")
    table = clips.read_clips(tmp_path / "m.csv").clips
    assert [clip.transcript for clip in table] == [f"two\nlines {i}" for i in range(101)]


@pytest.mark.parametrize("content", ["path\n", "path,label\ra.wav,b\r", '"pa\nth",label\na.wav,dog\n'])
def test_unusual_files_are_read_in_one_piece(tmp_path, content, two_processes):
    (tmp_path / "m.csv").write_text(content, newline="")
    assert clips._read_by_two(tmp_path / "m.csv", {}) is None


def test_a_process_that_cannot_start_or_dies_is_done_without(tmp_path, monkeypatch, two_processes):
    path = big(tmp_path / "m.csv")
    for executable in ("", "/bin/false", str(tmp_path / "none")):
        monkeypatch.setattr(clips.sys, "executable", executable)
        assert len(clips.read_clips(path).clips) == 300


def test_small_files_and_busy_machines_start_no_process(tmp_path, monkeypatch, two_processes):
    path = big(tmp_path / "m.csv")
    monkeypatch.setattr(clips, "free_cores", lambda: 1.6)
    clips.read_clips(path)
    monkeypatch.setattr(clips, "free_cores", lambda: 2.0)
    monkeypatch.setattr(clips, "LARGE", 1 << 30)
    clips.read_clips(path)
    assert two_processes == []
    assert 0 <= devices.free_cores() <= devices.available_cores()
