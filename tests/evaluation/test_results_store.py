"""The results store appends, survives two writers and a kill, and refuses what it cannot read."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.evaluation.compare import compare
from auricle.evaluation.results import Result, ResultsStore, as_csv, as_markdown, as_text
from helpers.patience import PATIENCE


def result(model="a", score=0.5, scores=None, **change):
    scores = scores or {"fold 1 / 0": score, "fold 2 / 0": score}
    values = {"checksum": "c", "task": "tones", "protocol": "logistic", "metric": "accuracy", "std": 0.1}
    return Result(**{**values, "model": model, "score": score, "scores": scores, **change})


@pytest.fixture
def store(tmp_path):
    return ResultsStore(tmp_path / "deep" / "results.sqlite")


def test_appended_rows_are_read_completely_and_in_order(store):
    assert store.select() == []
    ids = store.append([result("a", environment={"torch": "2"}, command="auricle x"), result("b", std=None)])
    assert ids == [1, 2]
    first, second = store.select()
    assert (first.model, first.environment, first.command) == ("a", {"torch": "2"}, "auricle x")
    assert first.scores == {"fold 1 / 0": 0.5, "fold 2 / 0": 0.5}
    assert second.std is None
    assert first.time


def test_filters_look_for_parts_of_names(store):
    store.append([result("vit-a"), result("vit-b", task="Birds"), result("chance", role="baseline")])
    assert [r.model for r in store.select(model="VIT")] == ["vit-a", "vit-b"]
    assert [r.model for r in store.select(task="bird")] == ["vit-b"]
    assert [r.model for r in store.select(baselines=False)] == ["vit-a", "vit-b"]
    assert store.select(model="%") == []


def test_a_store_from_a_newer_version_is_refused_and_untouched(store):
    store.append([result()])
    with sqlite3.connect(store.path) as db:
        db.execute("PRAGMA user_version=99")
    for action in (store.select, store.check, lambda: store.append([result()])):
        with pytest.raises(AuricleError, match="newer version of auricle"):
            action()
    with sqlite3.connect(store.path) as db:
        assert db.execute("SELECT count(*) FROM results").fetchone()[0] == 1


def test_a_file_that_is_no_store_is_named(store):
    store.path.parent.mkdir()
    store.path.write_text("this is not a database, it is a text of some length" * 50)
    with pytest.raises(AuricleError, match=r"results\.sqlite"):
        store.select()
    assert store.path.read_text().startswith("this is not")


def test_a_store_that_another_program_keeps_locked_is_not_called_broken(store, monkeypatch):
    store.append([result()])
    monkeypatch.setattr("auricle.evaluation.results.WAIT_SECONDS", 0.1)
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(AuricleError, match="another program"):
            store.append([result()])


WRITER = """
import sys
from pathlib import Path
from auricle.evaluation.results import Result, ResultsStore
store = ResultsStore(Path(sys.argv[1]))
for i in range(int(sys.argv[3])):
    row = Result(sys.argv[2], "", "t", "p", "accuracy", 0.5, None, {"fold 1 / 0": 0.5})
    store.append([row, row])
    print(i, flush=True)
"""


def writer(store, name, rounds):
    command = [sys.executable, "-c", WRITER, str(store.path), name, str(rounds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_writers_at_once_lose_nothing(store):
    for process in [writer(store, name, 40) for name in "ab"]:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert len(store.select()) == 160


STARTER = """
import sys, time
from pathlib import Path
from auricle.evaluation.results import Result, ResultsStore
row = Result("m", "", "t", "p", "accuracy", 0.5, None, {"fold 1 / 0": 0.5})
print("ready", flush=True)
start = float(sys.stdin.readline())
for i in range(20):
    while time.time() < start + 0.05 * i:
        pass
    ResultsStore(Path(sys.argv[1]).with_name(f"{i}.sqlite")).append([row])
"""


def test_two_programs_may_start_a_store_at_the_same_instant(store):
    """Twenty new stores, each begun by both processes at once."""
    command = [sys.executable, "-c", STARTER, str(store.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    start = f"{time.time() + 0.1}\n"
    for process in processes:
        process.stdin.write(start)
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    assert [len(ResultsStore(store.path.with_name(f"{i}.sqlite")).select()) for i in range(20)] == [2] * 20


def test_a_killed_writer_leaves_complete_transactions(store):
    process = writer(store, "a", 10**6)
    while int(process.stdout.readline() or 0) < 20:
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=PATIENCE)
    count = len(store.select())
    assert count >= 40
    assert count % 2 == 0
    store.append([result("after")])
    assert store.select()[-1].model == "after"


def test_exports_hold_every_row(store):
    store.append([result("a"), result("b", std=None)])
    rows = store.select()
    table = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert [row["model"] for row in table] == ["a", "b"]
    assert json.loads(table[0]["scores"]) == rows[0].scores
    assert as_markdown(rows).count("\n") == 3
    assert len(as_text(rows).splitlines()) == 3


OLD_SCHEMA = """
CREATE TABLE results (
  id INTEGER PRIMARY KEY, time TEXT NOT NULL, model TEXT NOT NULL, checksum TEXT NOT NULL, task TEXT NOT NULL,
  protocol TEXT NOT NULL, metric TEXT NOT NULL, score REAL NOT NULL, deviation REAL, scores TEXT NOT NULL,
  classes INTEGER, clips INTEGER, seconds REAL, role TEXT NOT NULL, environment TEXT NOT NULL, command TEXT NOT NULL
)"""
OLD_ROW = (None, "2026", "a", "c", "tones", "logistic", "d-prime", 2.0, 0.5, "{}", 3, 9, 1.0, "model", "{}", "")


def test_a_store_of_the_first_edition_is_read_extended_and_still_open_to_its_programs(store):
    store.path.parent.mkdir()
    with sqlite3.connect(store.path) as db:
        db.execute(OLD_SCHEMA)
        db.execute(f"INSERT INTO results VALUES ({', '.join('?' * len(OLD_ROW))})", OLD_ROW)
        db.execute("PRAGMA user_version=1")
    (old,) = store.select()
    assert (old.metric, old.std, old.test_ratio) == ("d_prime", 0.5, None)
    store.append([result("b", test_ratio=0.25)])
    assert [r.test_ratio for r in store.select()] == [None, 0.25]
    with sqlite3.connect(store.path) as db:  # as the first edition reads and writes
        assert db.execute("SELECT model, deviation FROM results ORDER BY id").fetchall() == [("a", 0.5), ("b", 0.1)]
        assert db.execute("PRAGMA user_version").fetchone()[0] == 1
        columns = ", ".join(name for name in old.__dataclass_fields__ if name not in ("std", "test_ratio", "id"))
        db.execute(f"INSERT INTO results (deviation, {columns}) SELECT deviation, {columns} FROM results WHERE id = 1")
    assert len(store.select()) == 3


def test_the_command_prints_every_format(store, capsys):
    assert main(["results", "--store", str(store.path)]) == 2
    store.append([result("a"), result("b", 0.6)])
    capsys.readouterr()
    assert main(["results", "--store", str(store.path), "--task", "birds"]) == 0
    assert "matches" in capsys.readouterr().out
    store.append([result("c", protocol="2-shot")])
    for name, models in (("linear", "ab"), ("fewshot", "c")):  # the names that auricle evaluate takes
        assert main(["results", "--store", str(store.path), "--protocol", name, "--json"]) == 0
        assert "".join(row["model"] for row in json.loads(capsys.readouterr().out)) == models
    for style, expected in (("text", "model"), ("csv", "model,"), ("markdown", "| id |"), ("json", '"model"')):
        assert main(["results", "--store", str(store.path), "--format", style]) == 0
        assert expected in capsys.readouterr().out
    assert main(["results", "--store", str(store.path), "--compare", "a", "b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["difference"] == pytest.approx(0.1)


def test_a_filter_that_matches_nothing_says_so_and_what_there_is(store, capsys):
    store.append([result("vit-a", task="esc10"), result("chance", task="esc10", role="baseline")])
    where = ["--store", str(store.path)]
    assert main(["results", *where, "--task", "birds", "--protocol", "knn"]) == 0
    said = capsys.readouterr().out
    for words in ("nothing matches --task birds --protocol knn", "2 results", "task esc10", "vit-a", "logistic"):
        assert words in said
    assert main(["results", *where, "--task", "birds", "--format", "csv"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("model,")
    assert "nothing matches" in said.err
    assert main(["results", *where, "--task", "birds", "--compare", "vit-a", "chance"]) == 2
    assert "nothing matches --task birds" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a|b", "two\nlines", "a\r\nb|c", "<b>bold</b>", "`x` *y* [z]", "\x1b[31mred"])
def test_names_break_no_table(store, name):
    store.append([result(name, task=name), result("plain")])
    rows = store.select()
    table = as_markdown(rows).split("\n")
    assert len(table) == 4
    assert all(len(re.findall(r"(?<!\\)\|", line)) == 11 for line in table)
    assert not re.search(r"(?<!\\)[<`*]", table[2])
    text = as_text(rows).splitlines()
    assert len(text) == 3
    assert "\x1b" not in text[1] + table[2]
    assert next(csv.DictReader(io.StringIO(as_csv(rows))))["model"] == name


def test_rows_that_share_a_name_are_told_apart(store):
    store.append([result("runs/first", place="/a/runs/first"), result("runs/first", place="/b/runs/first")])
    store.append([result("c", clips=40), result("c", task="other")])
    text = as_text(store.select()).splitlines()
    assert "/a/runs/first" in text[1]
    assert "/b/runs/first" in text[2]
    assert text[3].split("  ")[2] != text[1].split("  ")[2]
    assert "[" not in text[4].partition("other")[2]
    assert [r.place for r in store.select(model="/b/runs")] == ["/b/runs/first"]
    third = store.select()[2]
    assert store.select(task=third.fingerprint[:6]) == [third]


def test_what_was_measured_twice_is_in_the_store_once(store):
    first = result("a", place="/x")
    assert store.append([first, result("b")], once=True) == [1, 2]
    assert store.append([first, result("b")], once=True) == [1, 2]
    assert store.append([result("a", 0.5 + 1e-9, place="/x")], once=True) == [1]
    assert store.append([result("a", checksum="d", place="/x")], once=True) == [3]  # trained further
    assert store.append([first], once=True) == [4]  # and back again: the latest measurement counts
    for change in ({"place": "/y"}, {"protocol": "knn"}, {"metric": "mAP"}, {"clips": 7}, {"role": "baseline"}):
        assert store.append([result("a", **{"place": "/x", **change})], once=True)[0] > 4
    assert len(store.append([first])) == 1
    assert len(store.select()) == 10


def spoil(path, kind):
    """Damage a store in one of several ways."""
    content = bytearray(path.read_bytes())
    if kind == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "page overwritten":
        content[4096:8192] = b"\xff" * 4096
        path.write_bytes(content)
    elif kind == "header":
        content[16:40] = b"\x00" * 24
        path.write_bytes(content)
    elif kind == "another program's":
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE bookmarks (url TEXT)")
    elif kind == "another table of that name":
        path.unlink()
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE results (answer TEXT)")
    elif kind == "folder":
        path.unlink()
        path.mkdir()


DAMAGE = ("cut", "page overwritten", "header", "another program's", "another table of that name", "folder")


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_store_is_named_in_words_before_any_work(store, kind, capsys):
    store.append([result(f"model {i}", command="x" * 500) for i in range(60)])
    spoil(store.path, kind)
    with pytest.raises(AuricleError, match=r"results\.sqlite.*(move it away|name another file)"):
        store.check()
    with pytest.raises(AuricleError, match=r"results\.sqlite"):
        store.append([result()])
    assert main(["results", "--store", str(store.path)]) == 2
    assert "results.sqlite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("column", "value"),
    [("scores", "{"), ("scores", "[1]"), ("environment", b"\xff\xfe"), ("score", "high"), ("model", b"\x07")],
)  # fmt: skip
def test_a_damaged_row_is_named_and_costs_no_other(store, column, value, capsys):
    store.append([result("a"), result("b"), result("c")])
    with sqlite3.connect(store.path) as db:
        db.execute(f"UPDATE results SET {column} = ? WHERE id = 2", [value])
    assert [r.model for r in store.select()] == ["a", "c"]
    assert "row 2" in store.notes[0]
    assert main(["results", "--store", str(store.path)]) == 1
    said = capsys.readouterr()
    assert "row 2" in said.err
    assert len(said.out.splitlines()) == 3
    store.append([result("d")])


def test_letters_that_are_not_utf8_stop_nothing(store):
    store.append([result("a"), result("b")])
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE results SET model = CAST(x'ff61' AS TEXT) WHERE id = 1")
    assert [r.model for r in store.select()] == ["\ufffda", "b"]


def test_an_empty_file_is_an_empty_store(store):
    store.path.parent.mkdir()
    store.path.touch()
    assert store.select() == []
    store.check()
    assert store.append([result()]) == [1]


def test_rows_of_earlier_versions_get_a_fingerprint(store):
    store.path.parent.mkdir()
    rows = [
        (*OLD_ROW[:9], '{"fold 1 / 0": 0.5, "fold 2 / 0": 0.6}', *OLD_ROW[10:11], n, *OLD_ROW[12:]) for n in (9, 40)
    ]
    with sqlite3.connect(store.path) as db:
        db.execute(OLD_SCHEMA)
        for i, row in enumerate(rows):
            db.execute(f"INSERT INTO results VALUES ({', '.join('?' * len(row))})", (None, "2026", "ab"[i], *row[3:]))
        db.execute("PRAGMA user_version=1")
    before = [r.fingerprint for r in store.select()]
    assert len(set(before)) == 2
    assert store.select()[1].identity.tested == 40
    store.append([result("c", task="tones", metric="d_prime", clips=9, classes=3)])
    with sqlite3.connect(store.path) as db:
        assert [f for (f,) in db.execute("SELECT fingerprint FROM results ORDER BY id")][:2] == before
    with pytest.raises(AuricleError, match="9 tested clips against 40"):
        compare(store.select(), "a", "b")
    (found,) = compare(store.select(), "a", "c")
    assert "an earlier version" in found.note
    assert found.pairs == 2


def test_runs_with_one_relative_name_are_several_runs(store, tmp_path, monkeypatch, capsys):
    for folder in ("a", "b"):
        (tmp_path / folder / "runs/first").mkdir(parents=True)
    places = [str(tmp_path / folder / "runs/first") for folder in "ab"]
    store.append([result("runs/first", score, place=place) for score, place in zip((0.1, 0.9), places, strict=True)])
    store.append([result("runs/first (max)", 0.7, place=places[0]), result("logmel-stats", 0.5)])
    rows = store.select()
    with pytest.raises(AuricleError, match=r"name of several runs: .*/a/runs/first \(#1\), .*/b/runs/first \(#2\)"):
        compare(rows, "runs/first", "logmel-stats")
    for name, expected in ((places[1], 0.9), ("1", 0.1), ("runs/first (max)", 0.7)):
        assert compare(rows, name, "logmel-stats")[0].a.score == expected
    monkeypatch.chdir(tmp_path / "b")
    for name in ("runs/first", "./runs/first/", "../b/runs/first"):
        assert compare(rows, name, "logmel-stats")[0].a.score == 0.9
    assert main(["results", "--store", str(store.path), "--compare", "runs/first", "../a/runs/first"]) == 0
    assert "B is worse" in capsys.readouterr().out
