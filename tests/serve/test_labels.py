"""Labels that people draw, the table to learn from, and a head that is trained on it."""

from __future__ import annotations

import csv
import io

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.index.answers import Answer
from auricle.serve.jobs.training import reason_in
from auricle.serve.labels import DrawnLabel, clips_to_learn
from helpers.serving import client_of, finished, ids_of, make_world
from helpers.sounds import tone, write_sound


@pytest.fixture
def client(tmp_path):
    with client_of(**make_world(tmp_path)) as client:
        yield client


def draw(client, *labels):
    body = {
        "labels": [{"recording": id, "start": start, "end": end, "label": label} for id, start, end, label in labels]
    }
    return client.post("/api/labels", json=body)


def test_labels_are_kept_counted_and_removed(client):
    first, second = ids_of(client)
    assert draw(client, (first, 0, 1, "owl"), (first, 1, 2, " frog "), (second, 0, 99, "owl")).status_code == 201
    assert draw(client, (first, 0, 1, "owl")).status_code == 201  # once more: it is the same label
    answer = client.get("/api/labels").json()
    assert [(item["label"], item["start"], item["end"]) for item in answer["labels"]] == [
        ("owl", 0, 1),
        ("frog", 1, 2),
        ("owl", 0, 4),  # a part ends with its recording
    ]
    assert answer["classes"] == [{"label": "frog", "yes": 1, "no": 0}, {"label": "owl", "yes": 2, "no": 0}]
    assert len(client.get(f"/api/labels?recording={second}").json()["labels"]) == 1
    assert client.delete(f"/api/labels/{answer['labels'][0]['id']}").status_code == 204
    assert client.delete(f"/api/labels/{answer['labels'][0]['id']}").status_code == 404
    assert len(client.get("/api/labels").json()["labels"]) == 2


@pytest.mark.parametrize("label", [" ", "two\nlines", "tab\tled", "nothing\0"])
def test_a_label_is_one_line_of_text(client, label):
    assert draw(client, (ids_of(client)[0], 0, 1, label)).status_code == 422
    assert draw(client, (ids_of(client)[0], 0, 1, 'Käuzchen 犬 "x", y')).status_code == 201


def test_the_table_is_one_that_finetune_reads(client, tmp_path):
    first, second = ids_of(client)
    draw(client, (first, 0, 1, "owl"), (second, 1, 2, "frog"))
    answer = client.get("/api/labels.csv")
    assert [row["labels"] for row in csv.DictReader(io.StringIO(answer.text))] == ["owl", "frog"]
    (tmp_path / "labels.csv").write_text(answer.text)
    manifest = read_manifest(tmp_path / "labels.csv")
    assert [manifest.audio(clip).name for clip in manifest] == ["clip000.wav", "clip001.wav"]


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (("f" * 16, 0, 1, "owl"), "no recording"),
        (("ID", 1, 1, "owl"), "start < end"),
        (("ID", 50, 51, "owl"), "start < end"),
        (("ID", 0, 1, "  "), "label"),
        (("ID", 0, 1, "x" * 300), "label"),
    ],
)
def test_labels_that_cannot_be_are_refused(client, label, words):
    answer = draw(client, (label[0].replace("ID", ids_of(client)[0]), *label[1:]))
    assert answer.status_code in (404, 422)
    assert words in answer.json()["error"]["message"]


def test_training_without_labels_and_under_a_taken_name_is_refused(client):
    assert "no labels yet" in client.post("/api/train", json={"name": "mine"}).json()["error"]["message"]
    assert client.post("/api/train", json={"name": "tagger"}).status_code == 409
    for name in ("../mine", ".hidden", "", "a/b", "x" * 61):
        assert client.post("/api/train", json={"name": name}).status_code == 422


@pytest.mark.slow
def test_a_head_is_trained_offered_and_there_after_a_restart(tmp_path):
    world = make_world(tmp_path, seconds=8.0) | {"model": ("logmel-stats",)}
    write_sound(tmp_path / "night" / "clip001.wav", tone(8.0, hertz=3000.0))
    with client_of(**world) as client:
        first, second = ids_of(client)
        draw(client, *[(first, i, i + 1, "low") for i in range(6)], *[(second, i, i + 1, "high") for i in range(6)])
        job = finished(client, client.post("/api/train", json={"name": "mine"}).json())
        assert job["state"] == "done", job["error"]
        assert job["result"]["model"] == "mine"
        assert job["result"]["scores"]
        run = client.get("/api/runs").json()["runs"][0]
        assert (run["name"], run["report"]) == ("mine", True)
        report = client.get(f"/api/runs/{run['id']}/report")
        assert report.headers["content-security-policy"].startswith("sandbox")
        assert "</html>" in report.text
    with client_of(**world) as client:
        mine = next(model for model in client.get("/api/about").json()["models"] if model["id"] == "mine")
        assert (mine["trained"], sorted(mine["classes"]["main"])) == (True, ["high", "low"])
        body = {"recordings": ids_of(client), "model": "mine"}
        assert finished(client, client.post("/api/tag", json=body).json())["state"] == "done"
        shown = client.get("/api/recordings").json()["recordings"]
    assert [item["tags"]["mine"][0]["label"] for item in shown] == ["low", "high"]


def test_one_class_alone_cannot_be_learnt_and_the_message_says_what_is_missing(client):
    draw(client, (ids_of(client)[0], 0, 1, "owl"), (ids_of(client)[1], 0, 1, "owl"))
    answer = client.post("/api/train", json={"name": "mine"})
    assert answer.status_code == 422
    assert "label parts with something else too" in answer.json()["error"]["message"]


def test_a_failed_training_is_told_in_the_words_of_the_command():
    assert reason_in("2 clips\nauricle: clips of owl: 1, expected 2\n") == "clips of owl: 1, expected 2"
    assert "memory" in reason_in("")


# ---- what is known of a part


def drawn(*spans, path="/night/a.wav"):
    return [DrawnLabel(i, "a" * 16, path, "a.wav", *span) for i, span in enumerate(spans)]


def rows(manifest):
    return {
        (clip.start, clip.end): (set(clip.labels), None if clip.known is None else set(clip.known)) for clip in manifest
    }


def test_a_part_has_the_labels_that_cover_half_of_it_and_nothing_is_known_of_those_that_cover_less():
    found = rows(clips_to_learn(drawn((0, 10, "rain"), (2, 4, "frog"), (9, 12, "owl")), []))
    assert found[2, 4] == ({"rain", "frog"}, None)
    assert found[0, 10] == ({"rain"}, {"rain"})  # frog and owl sound in it for a while
    assert found[9, 12] == ({"owl"}, {"owl", "frog"})


def test_answers_add_what_they_say_and_labels_that_were_drawn_win():
    answers = [
        Answer("/night/a.wav", 0.0, 2.0, "owl", "no"),
        Answer("/night/a.wav", 2.0, 4.0, "owl", "yes"),
        Answer("/night/b.wav", 0.0, 2.0, "owl", "other", "fox"),
        Answer("/night/b.wav", 4.0, 6.0, "owl", "unsure"),
    ]
    manifest = clips_to_learn(drawn((2, 4, "frog")), answers)
    assert len(manifest) == 3
    assert rows(manifest)[2, 4] == ({"frog"}, None)
    assert rows(manifest)[0, 2][0] in ({"fox"}, set())


def test_answers_that_say_nothing_give_nothing_to_learn_from():
    with pytest.raises(AuricleError, match="no answer gives a label"):
        clips_to_learn([], [Answer("/a.wav", 0.0, 2.0, "owl", "unsure")])
