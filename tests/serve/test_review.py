"""Review of an index through the API: questions, answers that are kept in the index, undo, and the curve."""

from __future__ import annotations

import pytest

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from helpers.serving import client_of, make_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("review")
    world = make_world(folder, count=3, seconds=6.0)
    out = str(folder / "index")
    index_recordings(IndexConfig(world["folders"], out, world["model"][0], window=2.0, min_score=0.0))
    return world | {"index": out}


@pytest.fixture
def client(world, tmp_path):
    index = SoundIndex.open(world["index"])
    while index.undo_answer() is not None:
        pass
    with client_of(**world | {"state": str(tmp_path)}) as client:
        yield client


def questions(client, label="owl"):
    return client.get(f"/api/review?label={label}").json()


def answer(client, item, said, other=""):
    body = {name: item[name] for name in ("recording", "start", "end", "label", "score")}
    return client.post("/api/review/answers", json={"answers": [{**body, "answer": said, "other": other}]})


def test_the_index_is_described_and_its_recordings_are_offered_without_their_folder(world, tmp_path):
    settings = world | {"folders": (), "model": (), "state": str(tmp_path)}
    with client_of(**settings) as client:
        about = client.get("/api/about").json()
        assert about["index"]["files"] == 3
        assert about["index"]["spans"] == len(SoundIndex.open(world["index"]))
        assert about["models"][0]["id"] == "tagger"
        recording = client.get("/api/recordings").json()["recordings"][0]
        assert recording["source"] == "index"
        assert client.get(f"/api/recordings/{recording['id']}/audio").status_code == 200


def test_questions_are_answered_one_by_one_and_not_asked_again(client, world):
    first = questions(client)
    assert (first["answered"], first["total"]) == (0, 15)
    item = first["items"][0]
    assert client.get(f"/api/recordings/{item['recording']}").json()["name"] == item["name"]
    assert answer(client, item, "yes").json() == {"answered": 1}
    second = questions(client)
    assert second["answered"] == 1
    assert item not in second["items"]
    kept = SoundIndex.open(world["index"]).answers()
    assert [(one.label, one.answer, one.score) for one in kept] == [("owl", "yes", item["score"])]
    assert kept[0].model.startswith(world["model"][0])  # from the sample, not from the client


def test_the_last_answer_is_undone(client):
    items = questions(client)["items"]
    answer(client, items[0], "yes")
    answer(client, items[1], "other", "fox")
    undone = client.delete("/api/review/answers/last").json()["undone"]
    assert (undone["answer"], undone["other"], undone["name"]) == ("other", "fox", items[1]["name"])
    assert questions(client)["answered"] == 1
    client.delete("/api/review/answers/last")
    assert client.delete("/api/review/answers/last").json() == {"undone": None}


def test_the_curve_counts_the_answers_and_says_what_is_missing(client):
    empty = client.get("/api/review/curve?label=owl").json()
    assert (empty["points"], empty["threshold"]) == ([], None)
    for number, item in enumerate(questions(client)["items"]):
        answer(client, item, "no" if number % 3 == 0 else "yes")
    curve = client.get("/api/review/curve?label=owl&precision=0.5").json()
    assert curve["yes"] + curve["no"] == 10
    assert len(curve["points"]) == 10
    assert all(point["low"] <= point["precision"] <= point["high"] for point in curve["points"])
    assert "review more" in curve["reason"]


def test_answers_become_labels_to_learn_from(client):
    items = questions(client)["items"]
    answer(client, items[0], "yes")
    answer(client, items[1], "no")
    answer(client, items[2], "other", "fox")
    shown = client.get("/api/labels").json()
    assert shown["classes"] == [{"label": "fox", "yes": 1, "no": 0}, {"label": "owl", "yes": 1, "no": 2}]
    assert all(label["id"] is None for label in shown["labels"])
    assert "fox" in client.get("/api/labels.csv").text


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"label": "cat"}, 422),
        ({"answer": "maybe"}, 422),
        ({"start": 5.0, "end": 1.0}, 422),
        ({"start": 500.0, "end": 502.0}, 422),
        ({"answer": "other", "other": "two\nlines"}, 422),
        ({"recording": "f" * 16}, 404),
        ({"answer": "yes", "other": "fox"}, 422),
    ],
)
def test_answers_to_what_was_not_asked_are_refused(client, change, status):
    item = questions(client)["items"][0]
    body = {name: item[name] for name in ("recording", "start", "end", "label")} | {"answer": "yes"} | change
    right = {name: item[name] for name in ("recording", "start", "end", "label")} | {"answer": "yes"}
    answered = client.post("/api/review/answers", json={"answers": [right, body]})  # none is kept, or all are
    assert answered.status_code == status
    assert answered.json()["error"]["message"]
    assert questions(client)["answered"] == 0


def test_unknown_classes_are_refused_with_similar_ones(client):
    for path in ("/api/review?label=owls", "/api/review/curve?label=owls"):
        answered = client.get(path)
        assert answered.status_code == 422
        assert "owl" in answered.json()["error"]["message"]
