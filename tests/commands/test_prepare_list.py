"""Lists of training data: `prepare list`, and `prepare as-list` with the weights of [m2d 8.4](docs/specification/m2d.md#s8-4)."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from auricle.cli.main import main
from auricle.data.manifest.formats import read_manifest

SPEECH, DOG, MUSIC = "/m/09x0r", "/m/0bt9lr", "/m/04rlf"


@pytest.fixture
def data(tmp_path) -> Path:
    """A data root with four log-mel files in two folders, one name with a comma."""
    root = tmp_path / "data"
    for name in (
        "as_lms/eval/--AAAAAAAAA_30.npy",
        "as_lms/bal/bbbbbbbbbbb_0.npy",
        "as_lms/bal/a, b.npy",
        "other/c.npy",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_names_files_relative_to_the_data_root_in_sorted_order(data, capsys):
    assert main(["prepare", "list", str(data / "as_lms"), "--out", str(data / "files.csv")]) == 0
    assert "3 files" in capsys.readouterr().out
    assert [row["file_name"] for row in rows(data / "files.csv")] == [
        "as_lms/bal/a, b.npy",
        "as_lms/bal/bbbbbbbbbbb_0.npy",
        "as_lms/eval/--AAAAAAAAA_30.npy",
    ]
    manifest = read_manifest(data / "files.csv")
    assert manifest.spectrogram(manifest.clips[0]).is_file()


def test_another_root_and_suffix_can_be_named(data, tmp_path):
    (data / "hybrid").mkdir()
    (data / "hybrid/x.npz").touch()
    out = tmp_path / "lists/speech.csv"
    assert (
        main(["prepare", "list", str(data), "--out", str(out), "--root", str(data), "--suffix", "npz", "--json"]) == 0
    )
    assert [row["file_name"] for row in rows(out)] == ["hybrid/x.npz"]


def test_a_list_is_not_replaced_silently(data, capsys):
    words = ["prepare", "list", str(data / "as_lms"), "--out", str(data / "files.csv")]
    assert main(words) == main(words) == 0
    (data / "as_lms/new.npy").touch()
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0
    assert len(rows(data / "files.csv")) == 4


def test_folders_that_cannot_be_listed_are_refused_with_a_message(data, tmp_path, capsys):
    (data / "empty").mkdir()
    assert main(["prepare", "list", str(data / "as_lsm"), "--out", str(data / "files.csv")]) == 2
    assert main(["prepare", "list", str(data / "empty"), "--out", str(data / "files.csv")]) == 2
    assert main(["prepare", "list", str(data), "--out", str(tmp_path / "lists/files.csv")]) == 2
    said = capsys.readouterr().err
    assert "did you mean as_lms" in said
    assert "no .npy files" in said
    assert "--root" in said


@pytest.fixture
def segments(tmp_path) -> list[str]:
    """Two segment lists as published: comments, a blank after each comma, the classes quoted."""
    header = "# Segments csv created\n# num_ytids=2\n# YTID, start_seconds, end_seconds, positive_labels\n"
    (tmp_path / "eval_segments.csv").write_text(header + f'--AAAAAAAAA, 30.000, 40.000, "{SPEECH},{DOG}"\n')
    (tmp_path / "balanced.csv").write_text(header + f'bbbbbbbbbbb, 0.000, 10.000, "{SPEECH}"\n')
    (tmp_path / "more.csv").write_text(header + f'ccccccccccc, 0.000, 10.000, "{MUSIC}"\n')
    return [str(tmp_path / name) for name in ("eval_segments.csv", "balanced.csv", "more.csv")]


def test_clips_get_their_official_labels_and_the_published_weights(tmp_path, segments):
    names = ["x/bbbbbbbbbbb_0.npy", "x/--AAAAAAAAA_30.npy", "y/bbbbbbbbbbb_0.npy"]
    (tmp_path / "files.csv").write_text("file_name\n" + "\n".join(names) + "\n")
    out = tmp_path / "weighted.csv"
    assert main(["prepare", "as-list", str(tmp_path / "files.csv"), *segments, "--out", str(out)]) == 0
    found = rows(out)
    assert [row["file_name"] for row in found] == names, "not sorted: the labels are parallel"
    assert found[1]["label"] == f"{SPEECH},{DOG}"
    speech, dog = 1000 / 103, 1000 / 101
    assert float(found[0]["weight"]) == pytest.approx(speech ** (1 / 1.5))
    assert float(found[1]["weight"]) == pytest.approx((speech + dog) ** (1 / 1.5))
    clip = read_manifest(out)["x/--AAAAAAAAA_30.npy"]
    assert clip.labels == (SPEECH, DOG)
    assert clip.weight == float(found[1]["weight"])


def test_files_without_a_segment_are_left_out_and_counted(tmp_path, segments, capsys):
    (tmp_path / "files.csv").write_text("file_name\nbbbbbbbbbbb.npy\nzzzzzzzzzzz.npy\n")
    words = ["prepare", "as-list", str(tmp_path / "files.csv"), *segments, "--out", str(tmp_path / "out.csv"), "--json"]
    assert main(words) == 1
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert (answer["rows"], answer["classes"], answer["unknown"]) == (1, 1, ["zzzzzzzzzzz.npy"])
    assert "zzzzzzzzzzz.npy" in shown.err


def test_wrong_lists_are_refused_with_exit_2(tmp_path, segments, capsys):
    (tmp_path / "files.csv").write_text("file_name\nzzzzzzzzzzz.npy\n")
    (tmp_path / "names.csv").write_text("name\nx\n")
    out = ["--out", str(tmp_path / "out.csv")]
    assert main(["prepare", "as-list", str(tmp_path / "files.csv"), *segments, *out]) == 2
    assert main(["prepare", "as-list", str(tmp_path / "names.csv"), *segments, *out]) == 2
    assert main(["prepare", "as-list", str(tmp_path / "files.csv"), str(tmp_path / "names.csv"), *out]) == 2
    assert main(["prepare", "as-list", str(tmp_path / "files.csv"), str(tmp_path / "none.csv"), *out]) == 2
    said = capsys.readouterr().err
    for words in (
        "hold none of the 1 files",
        "no column 'file_name'",
        "line 1 is no segment",
        "cannot read the segment",
    ):
        assert words in said
    assert not (tmp_path / "out.csv").exists()
