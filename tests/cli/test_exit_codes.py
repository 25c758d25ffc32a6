"""0 all done, 1 some items failed, 2 nothing could be done, 130 interrupted; answers on stdout, the rest on stderr."""

from __future__ import annotations

import json
import shlex
import sqlite3
from pathlib import Path

import pytest

from auricle.cli.main import VERBS, entry_of, exit_code, main
from auricle.commands.tag import Tagging
from auricle.inference.tag_results import Failure, FileTags
from helpers.sounds import write_sounds

HOPELESS = {
    "demo": "nowhere --out demo",
    "advise": "nowhere",
    "doctor": "everything",
    "tag": "nowhere --model mn04_as --weights nowhere.pt",
    "embed": "nowhere --model logmel-stats --out e.npy --quiet",
    "index": "nowhere --model logmel-stats --out i",
    "stream": "nowhere.wav --model logmel-stats --quiet",
    "prepare": "nowhere --out p",
    "prepare datasets": "nothing",
    "prepare lms": "nowhere --out p",
    "prepare list": "nowhere --out l.csv",
    "prepare as-list": "nowhere.csv nowhere.csv --out w.csv",
    "prepare speech": "nowhere --out p --features nowhere/model",
    "prepare hear": "nowhere --out t",
    "prepare shards": "nowhere --out t",
    "prepare teacher": "nowhere --out p --model logmel-stats",
    "check": "nowhere",
    "pretrain": "nowhere --out r",
    "finetune": "nowhere --model logmel-stats --out r",
    "export": "--model nobody --out exported",
    "review": "nowhere --out r",
    "search": "nowhere bark.wav",
    "suggest": "nowhere --model logmel-stats --out none",
    "distill": "nowhere --teacher logmel-stats --out r",
    "evaluate": "nowhere --model logmel-stats",
    "results": "--store nowhere.sqlite",
    "report": "nowhere",
    "complexity": "--model nobody",
    "models list": "--family nobody",
    "models recipes": "nobody",
    "models show": "nobody",
    "models get": "nobody",
    "models convert": "nobody --to auricle --out f.safetensors",
    "models merge": "nobody nobody --out both",
    "models push": "nobody hf://anna/frogs --dry-run",
    "models verify": "nobody",
    "serve": "nowhere --model logmel-stats --state s --port auto",
    "original": "nobody train.py",
}


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_OFFLINE", "1")
    return tmp_path


def test_the_table_names_every_verb():
    assert HOPELESS.keys() == VERBS.keys()


@pytest.mark.parametrize(("verb", "line"), HOPELESS.items())
def test_the_exit_code_is_2_and_stdout_empty_when_nothing_can_be_done(verb, line, capsys):
    assert main([*verb.split(), *line.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith("auricle: ")


@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupted_verb_ends_with_130(verb, monkeypatch, capsys):
    def interrupted(values):
        raise KeyboardInterrupt("stopped; run the same command again to go on")

    monkeypatch.setattr(entry_of(verb), "run", interrupted)
    assert main([*verb.split(), *HOPELESS[verb].split()][: None if verb != "doctor" else 1]) == 130
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "run the same command again" in shown.err


@pytest.mark.parametrize(
    "line",
    [
        "advise --clips 600 --hours 3 --gpus 1 --gpu-memory 24 --measure no",
        "results",
        "models list",
        "models show mn10_as",
        "complexity --model logmel-stats --no-measure",
    ],
)
def test_answers_go_to_stdout_also_as_json(line, capsys):
    assert main(line.split()) == 0
    shown = capsys.readouterr()
    assert shown.out
    assert shown.err == ""
    assert main([*line.split(), "--json"]) == 0
    json.loads(capsys.readouterr().out)


def test_progress_goes_to_stderr_and_a_broken_file_gives_exit_code_1(here, capsys):
    write_sounds(here / "sounds", 2, seconds=0.5)
    assert main(["prepare", "sounds", "--out", "all", "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["done"] == 2
    assert "prepare" in shown.err
    (here / "sounds" / "broken.wav").write_bytes(b"no sound")
    assert main(["prepare", "sounds", "--out", "some", "--quiet"]) == 1
    shown = capsys.readouterr()
    assert "2 clips prepared" in shown.out
    assert "failed: " in shown.err
    assert main(["embed", "sounds", "--model", "logmel-stats", "--out", "e.npy", "--quiet"]) == 1
    assert "failed: " in capsys.readouterr().err


@pytest.mark.parametrize(("names", "code"), [(["good"], 0), (["good", "bad"], 1), (["bad"], 2), (["bad", "bad"], 2)])
def test_the_exit_code_of_tag_counts_the_tagged_recordings(names, code, monkeypatch, capsys):
    outcomes = {"good": FileTags("good.wav", 1.0, ()), "bad": Failure("bad.wav", "bad.wav: no such file")}
    tagging = Tagging("loudest-band", len(names), iter([outcomes[name] for name in names]))
    monkeypatch.setattr("auricle.cli.tag.tag", lambda config: tagging)
    assert main(["tag", "sounds", "--model", "loudest-band", "--quiet", "--csv"]) == code
    assert capsys.readouterr().err.count("failed: ") == names.count("bad")


def test_the_exit_code_depends_on_the_number_of_failed_items():
    assert [exit_code(3, 0), exit_code(0, 0), exit_code(2, 1), exit_code(0, 1)] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            OSError(28, "No space left on device", "/disk/a.npy"),
            "/disk/a.npy: No space left on device; make room there",
        ),
        (PermissionError(13, "Permission denied", "/closed/x"), "/closed/x: Permission denied"),
        (OSError(24, "Too many open files"), "Too many open files; close other programs"),
        (MemoryError(), "memory ran out; take shorter recordings"),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory"),
            "memory ran out (",
        ),
        (RuntimeError("[enforce fail at inline_container.cc:1] . PytorchStreamWriter failed writing"), "probably full"),
        (
            UnicodeEncodeError("utf-8", "caf\udce9", 3, 4, "surrogates not allowed"),
            "the name 'caf\\udce9' is not UTF-8",
        ),
        (sqlite3.OperationalError("database is locked"), "database is locked"),
        (KeyError("a fault of the program"), None),
        (RuntimeError("another fault"), None),
    ],
)
@pytest.mark.parametrize("verb", ["tag", "prepare", "evaluate"])
def test_a_failure_of_the_machine_is_one_line_and_a_fault_keeps_its_traceback(error, text, verb, monkeypatch, capsys):
    def fails(values):
        raise error

    monkeypatch.setattr(entry_of(verb), "run", fails)
    line = [verb, *HOPELESS[verb].split()]
    if text is None:
        with pytest.raises(type(error)):
            main(line)
        return
    assert main(line) == 2
    shown = capsys.readouterr()
    assert text in shown.err
    assert len(shown.err.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_an_error_of_writing_that_names_no_file_is_shown_with_the_file_that_was_open(monkeypatch, capsys):
    def fails(values):
        with open("/dev/full", "w", encoding="utf-8") as file:
            file.write("x")
            file.flush()

    monkeypatch.setattr(entry_of("tag"), "run", fails)
    assert main(["tag", *HOPELESS["tag"].split()]) == 2
    assert "cannot read or write /dev/full: No space left" in capsys.readouterr().err


def test_without_a_verb_or_an_action_help_is_printed_and_the_code_is_2(capsys):
    for line in ([], ["models"], ["prepare"]):
        assert main(line) == 2
        shown = capsys.readouterr()
        assert ("usage: auricle" in shown.out) == (line != ["prepare"])


EMPTY = {
    'tag "" --model logmel-stats': "needs FILES",
    'embed a.wav "" --model logmel-stats --out e.npy': "empty text; name the current folder as '.'",
    'embed "" --model logmel-stats --out e.npy': "needs SOURCE",
    'embed a.wav --model logmel-stats --out ""': "needs --out",
    'prepare "" --out p': "needs SOURCE",
    'prepare . --out ""': "needs --out",
    'prepare lms . --out ""': "needs --out",
    'pretrain ""': "empty text",
    'finetune "" --model logmel-stats': "empty text",
    'evaluate "" --model logmel-stats': "name the labelled audio",
}


@pytest.mark.parametrize(("line", "words"), EMPTY.items())
def test_an_empty_argument_is_not_the_current_folder(here, line, words, capsys):
    """A shell variable that is not set."""
    write_sounds(here, 1)
    before = sorted(here.iterdir())
    assert main(shlex.split(line)) == 2
    assert words in capsys.readouterr().err
    assert sorted(here.iterdir()) == before
