"""``auricle tag``: forms of the answer, one process in a folder, recordings that change, and disks that are full."""

from __future__ import annotations

import csv
import io
import json
import os
import resource
import subprocess

import pytest

from auricle.audio.sources import AudioSource
from auricle.cli.main import main
from auricle.commands.tag import TagConfig, TagFolder, tag
from auricle.core.errors import AuricleError
from auricle.core.locks import held
from auricle.inference.config import TagSettings
from auricle.inference.tag_results import Failure, FileTags, Tag
from auricle.reports.tag_picture import time_marks
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound
from helpers.tagging import save_random_tagger

RATE = 32000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tagger of three classes with random weights."""
    return save_random_tagger(tmp_path_factory.mktemp("model"))


@pytest.fixture
def night(tmp_path, monkeypatch):
    """Two recordings of three seconds."""
    monkeypatch.chdir(tmp_path)
    for hour in (22, 23):
        write_sound(tmp_path / "night" / f"S_20240501_{hour}3000.wav", tone(3.0, RATE, 100.0 * hour), RATE)
    return tmp_path / "night"


def printed(capsys, *words) -> str:
    assert main(["tag", *map(str, words), "--quiet"]) == 0
    return capsys.readouterr().out


# ---- forms
def test_text_has_no_windows_unless_they_are_asked_for(night, model, capsys):
    base = (night, "--model", model, "--window", 1, "--top-k", 2, "--threshold", 0.01)
    plain, full = printed(capsys, *base), printed(capsys, *base, "--time-line")
    assert plain.count("Events") == 2
    assert "Time line" not in plain
    lines = full.split("Time line\n")[1].split("\n\n")[0].splitlines()
    assert len(lines) == 5
    assert all(line.count("; ") == 1 for line in lines), "two labels each"
    for text in (plain, full):
        first = text.splitlines()
        assert first[0].endswith("S_20240501_223000.wav (3.00 s, from 2024-05-01 22:30:00)")
        assert first[3] == "Events"


def test_ctrl_c_while_an_answer_is_printed_says_how_to_go_on_too(night, model, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("auricle.cli.tag.TextPrinter.add", interrupted)
    assert main(["tag", str(night), "--model", model, "--out", "out", "--quiet"]) == 130
    assert "finished recordings are in out: run the same command again to continue" in capsys.readouterr().err
    assert len((night.parent / "out" / "tags.jsonl").read_text().splitlines()) == 1


def test_events_are_rows_with_the_time_of_day(night, model, capsys):
    out = printed(capsys, night, "--model", model, "--window", 1, "--threshold", 0.01, "--csv-events", "--only", "bird")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["label"] for row in rows} == {"Bird"}
    assert [row["clock"] for row in rows] == ["2024-05-01T22:30:00", "2024-05-01T23:30:00"]
    assert [(row["start"], row["end"]) for row in rows] == [("0.000", "3.000")] * 2
    assert main(["tag", str(night), "--model", model, "--csv-events"]) == 2
    assert "needs --window" in capsys.readouterr().err


def test_summaries_replace_the_texts(night, model, capsys):
    out = printed(
        capsys, night, "--model", model, "--window", 1, "--threshold", 0.01, "--summary", "hour", "file", "hour"
    )
    hours, files = out.strip().split("\n\n")
    assert [line[:16] for line in hours.splitlines()[1:]] == ["2024-05-01 22:00", "2024-05-01 23:00"]
    assert [line.split("  ")[0] for line in files.splitlines()[1:]] == sorted(map(str, night.iterdir()))
    assert main(["tag", str(night), "--model", model, "--summary", "day"]) == 2
    assert "'day'" in capsys.readouterr().err


def test_csv_holds_no_control_characters(tmp_path, model, capsys):
    file = write_sound(tmp_path / "a\x1b[31mb.wav", tone(0.5, RATE), RATE)
    for form in ([], ["--csv"], ["--window", "1", "--csv-events"], ["--json"], ["--summary", "file"]):
        out = printed(capsys, file, "--model", model, *form)
        assert "\x1b" not in out
        assert "\\u001b[31m" in out or form[:1] == ["--window"]
    assert json.loads(printed(capsys, file, "--model", model, "--json"))["results"][0]["file"] == str(file)


def test_weights_are_in_the_short_help(capsys):
    for verb in ("tag", "embed"):
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert "--weights" in capsys.readouterr().out


# ---- a folder of answers
def test_a_second_command_in_the_folder_is_told_who_holds_it(night, model, tmp_path, capsys):
    with held(tmp_path / "out" / "lock", "it", "wait"):
        assert main(["tag", str(night), "--model", model, "--out", "out", "--quiet"]) == 2
    error = capsys.readouterr().err
    assert f"--out out is in use by process {os.getpid()}" in error
    assert "choose another --out" in error
    assert not (tmp_path / "out" / "tags.jsonl").exists()


def test_two_commands_at_once_write_every_recording_once(tmp_path, model, programs):
    for number in range(30):
        write_sound(tmp_path / "in" / f"{number:02d}.wav", tone(0.2, RATE, 100.0 + number), RATE)
    words = [programs / "auricle", "tag", "in", "--model", model, "--out", "out", "--quiet"]
    both = [subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate(timeout=PATIENCE)[1].decode() for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes in ([0, 0], [0, 2]), errors
    assert codes == [0, 0] or any("in use by process" in error for error in errors)
    names = [json.loads(line)["file"] for line in (tmp_path / "out" / "tags.jsonl").read_text().splitlines()]
    assert sorted(names) == sorted({f"in/{number:02d}.wav" for number in range(30)})
    assert sorted(os.listdir(tmp_path / "out")) == ["settings.json", "tags.jsonl"]


def test_folders_of_earlier_versions_are_continued(night, model, tmp_path, capsys):
    line = (night, "--model", model, "--out", "out")
    printed(capsys, *line)
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())
    del settings["only"], settings["min_score"]
    (tmp_path / "out" / "settings.json").write_text(json.dumps(settings))
    before = (tmp_path / "out" / "tags.jsonl").stat().st_mtime_ns
    printed(capsys, *line)
    assert (tmp_path / "out" / "tags.jsonl").stat().st_mtime_ns == before
    assert main(["tag", *map(str, line), "--only", "bird", "--quiet"]) == 2
    assert "another only" in capsys.readouterr().err


def test_damaged_lines_are_done_again(night, model, tmp_path, capsys):
    line = (night, "--model", model, "--out", "out")
    first = printed(capsys, *line)
    lines = (tmp_path / "out" / "tags.jsonl").read_text().splitlines()
    damaged = json.loads(lines[0]) | {"tags": [{"label": "Bird"}]}
    text = [
        json.dumps(damaged),
        "[1, 2]",
        '{"tags": 1, "stamp": 2}',
        "nonsense",
        '{"file": null, "stamp": 1}',
        lines[1],
    ]
    (tmp_path / "out" / "tags.jsonl").write_text("\n".join(text))
    assert sorted(printed(capsys, *line).split("\n\n")) == sorted(first.split("\n\n"))
    (tmp_path / "out" / "settings.json").write_text("{")
    assert main(["tag", *map(str, line), "--quiet"]) == 2
    assert "settings.json is damaged" in capsys.readouterr().err


# ---- recordings that change
@pytest.mark.parametrize("window", [None, 1.0])
def test_a_recording_that_is_replaced_while_it_is_read_is_done_again(window, night, model, tmp_path, monkeypatch):
    name = sorted(map(str, night.iterdir()))[0]
    config = TagConfig(files=(str(night),), model=model, out="out", settings=TagSettings(window=window))
    read, new = AudioSource.blocks, tone(2.0, RATE, 5000.0)

    def replaced(source, *rest):
        yield from read(source, *rest)
        if source.name == name:
            write_sound(tmp_path / "new.wav", new, RATE).replace(name)

    monkeypatch.setattr(AudioSource, "blocks", replaced)
    first = list(tag(config).outcomes)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    assert [type(outcome) for outcome in first] == [Failure, FileTags]
    assert "changed while it was read" in first[0].error
    again = {outcome.file: outcome for outcome in tag(config).outcomes}
    assert again[name].seconds == 2.0
    assert again[name] == next(tag(TagConfig(files=(name,), model=model, settings=config.settings)).outcomes)


def test_the_stamp_is_that_of_the_file_which_was_read(tmp_path):
    file = write_sound(tmp_path / "a.wav")
    folder, source = TagFolder(tmp_path / "out", {}), AudioSource("a.wav", file)
    folder.add(source, FileTags("a.wav", 1.0, (Tag("x", 0.5),)), [1, 2])
    assert folder.finished([source]) == {}


# ---- full disks
@pytest.fixture
def small_files():
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, before[1]))
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before)
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_what_is_finished_is_kept(night, model, tmp_path, capsys, small_files):
    line = ["tag", str(night), "--model", model, "--top-k", "3", "--out", "out", "--csv", "--quiet"]
    for name in "abcdef":
        (night / f"{name}.wav").write_bytes(next(night.iterdir()).read_bytes()[:700])  # broken: a line each as well
    assert main(line) == 2
    error = [text for text in capsys.readouterr().err.splitlines() if not text.startswith("failed: ")]
    assert len(error) == 1
    assert "tags.jsonl: File too large; make room" in error[0]
    assert "the same command continues" in error[0]
    small_files()
    assert main(line) == 1
    names = [json.loads(text)["file"] for text in (tmp_path / "out" / "tags.jsonl").read_text().splitlines()]
    assert sorted(names) == sorted(map(str, night.iterdir()))


def test_a_full_standard_output_ends_the_command(night, model, programs):
    words = [programs / "auricle", "tag", str(night), "--model", model, "--csv", "--quiet"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "auricle: the answer cannot be written to standard output: No space left on device; make room, or write it elsewhere"
    ]


# ---- pictures
@pytest.mark.parametrize(("seconds", "step"), [(12.0, 2), (60.0, 10), (600.0, 120), (3600.0, 600), (86400.0, 10800)])
def test_the_time_axis_has_a_few_round_marks(seconds, step):
    marks = time_marks(seconds)
    assert marks[1] == step
    assert 4 <= len(marks) <= 10


def test_a_picture_has_axes_in_kilohertz_and_minutes(night, model, tmp_path, monkeypatch, capsys):
    figures = pytest.importorskip("matplotlib.figure")
    drawn = []
    monkeypatch.setattr(figures.Figure, "savefig", lambda figure, file, **_: (drawn.append(figure), file.touch()))
    file = write_sound(tmp_path / "x\x1b.wav", tone(75.0, RATE, 4000.0), RATE)
    printed(capsys, file, "--model", model, "--picture", "p.png")
    above, below = drawn[0].axes
    assert above.get_ylabel() == "kHz"
    assert [text.get_text() for text in above.get_yticklabels()] == ["0.25", "0.5", "1", "2", "4", "8"]
    assert below.get_xlabel() == "minutes : seconds"
    assert [text.get_text() for text in below.get_xticklabels()][:3] == ["0:00", "0:10", "0:20"]
    assert "\x1b" not in above.get_title(loc="left")
    image = above.get_images()[0].get_array()
    loudest = int(image.mean(1).argmax()) + 0.5
    assert loudest == pytest.approx(above.get_yticks()[4], abs=1.5), "a tone of 4 kHz lies at the mark of 4 kHz"


@pytest.mark.parametrize("name", ["a\0b.wav", "x" * 300 + ".wav", "dir/" * 2000 + "a.wav"], ids=["nul", "long", "deep"])
def test_a_name_that_no_file_can_have_is_a_failure(name, model):
    outcomes = list(tag(TagConfig(files=(name,), model=model)).outcomes)
    assert [type(outcome) for outcome in outcomes] == [Failure]
    assert outcomes[0].error.startswith(name[:100])  # the middle of a long message is left out


def test_nothing_to_tag_is_an_error_with_exit_code_2(tmp_path, model, capsys):
    (tmp_path / "empty").mkdir()
    for place in (tmp_path / "empty", tmp_path / "nowhere"):
        assert main(["tag", str(place), "--model", model, "--quiet"]) == 2
        assert place.name in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    with pytest.raises(AuricleError, match="is a file"):
        tag(TagConfig(files=("a.wav",), model=model, out=str(tmp_path / "file")))
