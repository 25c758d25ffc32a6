"""Search of an index through the API: by example, with counter-examples, by score, within filters."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.audio.write import encode_audio
from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from helpers.serving import client_of, make_tagger
from helpers.sounds import tone, write_sound

PITCHES = {"low": 200.0, "middle": 1000.0, "high": 4000.0}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """An index of nine recordings, three of each pitch, by log-mel statistics: what sounds alike is alike."""
    folder = tmp_path_factory.mktemp("search")
    for name, hertz in PITCHES.items():
        for number in range(3):
            path = folder / "night" / name / f"{name}_2024060{number + 1}_053000.wav"
            write_sound(path, tone(4.0, hertz=hertz, seed=number))
    make_tagger(folder / "tagger.safetensors")
    out = str(folder / "index")
    index_recordings(IndexConfig(str(folder / "night"), out, "logmel-stats", window=2.0, hop=2.0))
    with client_of(
        folders=str(folder / "night"), model="logmel-stats", index=out, state=str(folder / "state")
    ) as client:
        yield client


def recording(client, name):
    return client.get(f"/api/recordings?query={name}").json()["recordings"][0]["id"]


def search(client, **body):
    answer = client.post("/api/search", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def names(found):
    return [match["name"].rpartition("/")[2].partition("_")[0] for match in found["matches"]]


def test_what_sounds_alike_is_found_and_the_example_itself_is_not(client):
    example = {"recording": recording(client, "low_20240601"), "start": 0.0, "end": 2.0}
    found = search(client, examples=[example], top_k=5)
    assert names(found) == ["low"] * 5
    assert example["recording"] not in [match["recording"] for match in found["matches"] if match["start"] == 0.0]
    best = found["matches"][0]
    assert best["similarity"] > 0.9
    assert client.get(f"/api/recordings/{best['recording']}").json()["name"] == best["name"]
    assert best["time"].startswith("2024-06-0")


def test_notes_about_an_example_say_its_name_and_not_where_it_is(client):
    silent = encode_audio(np.zeros(64000, np.float32), 16000, ".wav")
    sent = client.post("/api/recordings", files=[("files", ("quiet.wav", silent))]).json()["files"][0]["recording"]
    notes = search(client, examples=[{"recording": sent["id"], "start": 0.0, "end": 2.0}])["notes"]
    assert any(note.startswith("quiet.wav@0-2: digital silence") for note in notes)
    assert not any("/" in note for note in notes)


def test_a_span_of_the_index_is_an_example_and_counter_examples_change_the_order(client):
    low, high = recording(client, "low_20240601"), recording(client, "high_20240601")
    span = search(client, examples=[{"recording": low}])["matches"][0]["span"]
    found = search(client, examples=[{"span": span}], negatives=[{"recording": high}], top_k=18)
    assert names(found)[:4] == ["low"] * 4
    assert names(found)[-1] == "high"


def test_filters_leave_the_spans_that_they_hold_for(client):
    low = recording(client, "low_20240601")
    found = search(client, examples=[{"recording": low}], filters={"after": "2024-06-02", "path": "high/*"})
    assert set(names(found)) == {"high"}
    assert all(match["time"] >= "2024-06-02" for match in found["matches"])
    none = search(client, examples=[{"recording": low}], filters={"recorder": "nobody"})
    assert none["matches"] == []
    assert none["notes"]


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "nothing is searched for"),
        ({"label": "owl"}, 422, "no labels"),
        ({"examples": [{}]}, 422, "an example is"),
        ({"examples": [{"span": 10**9}]}, 422, "no span"),
        ({"examples": [{"recording": "f" * 16}]}, 404, "no recording"),
        ({"examples": [{"span": 1}], "filters": {"after": "yesterday"}}, 422, "yesterday"),
        ({"examples": [{"span": 1}], "top_k": 0}, 422, "top_k"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_in_words(client, body, status, words):
    answer = client.post("/api/search", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_without_an_index_the_answer_says_how_to_make_one(tmp_path):
    with client_of(model="logmel-stats", state=str(tmp_path)) as client:
        answer = client.post("/api/search", json={"label": "owl"})
    assert answer.status_code == 409
    assert "auricle index" in answer.json()["error"]["message"]


def test_scores_of_a_class_are_searched_in_an_index_of_a_tagger(tmp_path):
    write_sound(tmp_path / "night" / "a.wav", tone(6.0))
    model, out = str(make_tagger(tmp_path / "tagger.safetensors")), str(tmp_path / "index")
    index_recordings(IndexConfig(str(tmp_path / "night"), out, model, window=2.0))
    with client_of(index=out, state=str(tmp_path / "state")) as client:
        found = search(client, label="owl", least=0.05, overlapping=True)
        scores = [match["score"] for match in found["matches"]]
        assert len(scores) == 5
        assert scores == sorted(scores, reverse=True)
        between = search(client, label="owl", least=scores[2], most=scores[1], overlapping=True)
        assert [match["score"] for match in between["matches"]] == scores[1:3]
