"""``auricle search``: what is printed and written in each form, and what is refused before anything is computed."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

import auricle
from auricle.cli.main import run
from auricle.commands.search import SearchConfig, search_index
from auricle.core.errors import AuricleError
from auricle.data.manifest.label_tracks import read_track
from auricle.index.search.results import SEARCH_COLUMNS
from auricle.review.detections import read_detections
from helpers.tone_index import RECORDINGS, ToneIndex, make_tone_index


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ToneIndex:
    return make_tone_index(tmp_path_factory.mktemp("tones"))


def searched(made: ToneIndex, *query: str, **settings):
    return search_index(SearchConfig(str(made.index.folder), query, **settings), made.encoder)


def test_results_print_as_a_table_with_the_time_of_day(made, capsys):
    assert run(["search", str(made.index.folder), "label:low > 0.9", "--place", "pond", "--top-k", "1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 of 10 spans with low > 0.9\n")
    assert "20240601_220000.WAV 0-1 s  2024-06-01 22:00:00  pond  low 1.00" in out


def test_json_holds_everything(made, capsys):
    assert run(["search", str(made.index.folder), "#1", "--top-k", "2", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["query"], values["method"], values["searched"]) == ("like #1", "nearest", len(made.index))
    first = values["matches"][0]
    assert {"span", "path", "start", "end", "similarity", "recorder", "place", "time", "tags"} <= first.keys()
    assert Path(first["path"]).is_absolute()


def test_table_of_a_label_is_a_queue_of_review(made, tmp_path):
    out = tmp_path / "found.csv"
    outcome = searched(made, "label:high > 0.9", format="csv", out=out)
    rows = list(csv.DictReader(out.open(encoding="utf-8")))
    assert tuple(rows[0]) == SEARCH_COLUMNS
    assert {row["suggested_label"] for row in rows} == {"high"}
    items = read_detections([out]).items
    assert [(item.path, item.start, item.label) for item in items] == [
        (match.span.path, match.span.start, "high") for match in outcome.results
    ]
    assert items[0].model == f"{made.index.info.model}@{made.index.info.fingerprint}"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_named_examples_are_a_queue_of_review_too(made, tmp_path, form):
    out = tmp_path / f"found.{form}"
    searched(made, str(made.examples / "low.wav"), label="hum", format=form, out=out, top_k=3)
    items = read_detections([out]).items
    assert [item.label for item in items] == ["hum"] * 3
    assert all(item.score > 0.9 for item in items)


def test_label_tracks_are_written_one_per_recording(made, tmp_path):
    searched(made, "label:high > 0.9", format="raven", out=tmp_path / "tracks")
    tracks = sorted(path.relative_to(tmp_path / "tracks").as_posix() for path in (tmp_path / "tracks").rglob("*.txt"))
    assert tracks == sorted(f"{name}.selections.txt" for name in RECORDINGS)
    assert read_track(tmp_path / "tracks" / tracks[0])


def test_label_track_of_one_recording_is_printed_and_of_several_refused(made):
    one = searched(made, "label:high > 0.9", format="audacity", path="20240601_220000.WAV")
    assert one.text.splitlines()[0].split("\t")[2].startswith("high 1.00")
    with pytest.raises(AuricleError, match=r"3 recordings .* --out FOLDER"):
        searched(made, "label:high > 0.9", format="audacity")


def test_existing_files_are_kept_unless_replaced(made, tmp_path):
    out = tmp_path / "found.csv"
    out.write_text("mine")
    with pytest.raises(AuricleError, match=r"found.csv exists; .* --overwrite"):
        searched(made, "#1", format="csv", out=out)
    assert out.read_text() == "mine"
    searched(made, "#1", format="csv", out=out, overwrite=True)
    assert out.read_text().startswith("path,start,end")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"page": "found.txt"}, "ends in .html"),
        ({"top_k": 0}, "--top-k"),
        ({"method": "best"}, "--method is one of auto, nearest, rocchio, linear"),
        ({"after": "dawn"}, "--after 'dawn' is no time"),
        ({"format": "xml"}, "--format is one of"),
    ],
)
def test_impossible_settings_are_refused(made, settings, message):
    with pytest.raises(AuricleError, match=message):
        searched(made, "#1", **settings)


def test_neither_an_example_nor_the_index_nor_the_other_answer_is_replaced(made, tmp_path):
    example, page = str(made.examples / "low.wav"), str(tmp_path / "low.html")
    with pytest.raises(AuricleError, match="is an example, which is never replaced"):
        searched(made, example, out=example, overwrite=True)
    with pytest.raises(AuricleError, match="lies in the folder of the index"):
        searched(made, "#1", out=str(made.index.folder / "index.sqlite"), overwrite=True)
    with pytest.raises(AuricleError, match="--out and --page both name"):
        searched(made, "#1", out=page, page=page)
    assert not Path(page).exists()


def test_folder_without_an_index_is_refused_with_the_command_that_makes_one(tmp_path, capsys):
    assert run(["search", str(tmp_path), "label:Dog"]) == 2
    assert "auricle index RECORDINGS --model NAME" in capsys.readouterr().err


def test_search_from_python_takes_an_encoder_and_the_options_of_the_command(made):
    results = auricle.search(made.index.folder, made.examples / "low.wav", model=made.encoder, top_k=2, place="hill")
    assert results.matches[0].tags[0].label == "low"
    assert {match.span.place for match in results} == {"hill"}
    with pytest.raises(AuricleError, match=r"no setting 'plce'.*place"):
        auricle.search(made.index.folder, "#1", plce="hill")


def test_approximate_search_of_few_spans_answers_the_same(made):
    pytest.importorskip("faiss", reason="approximate search needs the [search] extra")
    assert searched(made, "#1", approximate=True).results.matches == searched(made, "#1").results.matches
