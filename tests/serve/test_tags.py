"""Labels of recordings through the API: those of ``auricle tag``, in jobs, with downloads in every format."""

from __future__ import annotations

import json

import pytest

import auricle
from auricle.cli.main import main
from auricle.inference.tag_formats import FORMATS
from helpers.serving import CLASSES, client_of, finished, ids_of, make_tagger, make_world
from helpers.sounds import tone, write_sound

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("tags"))


@pytest.fixture(scope="module")
def client(world):
    with client_of(**world) as client:
        job = client.post("/api/tag", json={"recordings": ids_of(client)}).json()
        assert finished(client, job)["state"] == "done"
        yield client


def test_the_api_describes_what_the_server_offers(client):
    about = client.get("/api/about").json()
    assert about["models"][0]["id"] == "tagger"
    assert about["models"][0]["classes"] == {"main": list(CLASSES)}
    assert about["index"] is None
    assert (about["window"], about["hop"]) == (2.0, 1.0)
    assert about["formats"].keys() == FORMATS.keys()


def test_labels_are_those_of_auricle_tag(client, world):
    for recording in client.get("/api/recordings").json()["recordings"]:
        expected = auricle.tag(f"{world['folders'][0]}/{recording['name']}", world["model"][0], window=2.0).results[0]
        result = client.get(f"/api/recordings/{recording['id']}/results").json()
        plain = expected.to_json(time_line=True)
        assert result["tags"] == plain["tags"]
        assert result["events"] == plain["events"]
        assert result["windows"] == [[window["start"], window["end"]] for window in plain["windows"]]
        for lane in result["lanes"]:
            scores = [
                {tag["label"]: tag["score"] for tag in window["tags"]}[lane["label"]] for window in plain["windows"]
            ]
            assert lane["scores"] == pytest.approx(scores, abs=1e-4)
            assert lane["threshold"] == 0.3


def test_the_list_of_recordings_shows_the_likeliest_labels(client):
    for recording in client.get("/api/recordings").json()["recordings"]:
        result = client.get(f"/api/recordings/{recording['id']}/results").json()
        assert recording["tagged"] == ["tagger"]
        assert recording["tags"]["tagger"] == result["tags"][:5]


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_downloaded_under_the_name_of_the_recording(client, format):
    answer = client.get(f"/api/recordings/{ids_of(client)[0]}/download?format={format}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f"attachment; filename*=utf-8''clip000{FORMATS[format].suffix}"
    assert any(label in answer.text for label in CLASSES)


@pytest.mark.parametrize(("format", "flag"), [("csv", "--csv"), ("csv-events", "--csv-events")])
def test_tables_are_those_of_the_command_line(client, world, format, flag, capsys):
    words = ["tag", *world["folders"], "--model", *world["model"], "--window", "2", flag, "--quiet"]
    assert main(words) == 0
    printed = capsys.readouterr().out.replace(f"{world['folders'][0]}/", "")
    tables = [client.get(f"/api/recordings/{id}/download?format={format}").text for id in ids_of(client)]
    header = tables[0].splitlines()[0]
    assert printed == "\n".join([header, *(line for table in tables for line in table.splitlines()[1:])]) + "\n"


def test_events_of_a_job_give_each_recording_and_the_end(client):
    ids = ids_of(client)
    job = client.post("/api/tag", json={"recordings": ids, "window": 1.0}).json()
    text = client.get(f"/api/jobs/{job['id']}/events").text
    events = [block.split("\n", 1) for block in text.strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert kinds.count("partial") == 2
    assert [item["recording"] for kind, item in zip(kinds, data) if kind == "partial"] == ids
    assert (kinds[-1], data[-1]["state"], data[-1]["progress"]) == ("end", "done", 1.0)
    assert client.get(f"/api/recordings/{ids[0]}/results").json()["window"] == 1.0
    assert client.post("/api/tag", json={"recordings": ids}).status_code == 202  # the windows of the other tests
    assert finished(client, client.get("/api/jobs").json()["jobs"][0])["state"] == "done"


def test_a_broken_recording_costs_the_others_nothing(tmp_path):
    world = make_world(tmp_path, count=1)
    (tmp_path / "night" / "broken.wav").write_bytes(b"RIFF nothing")
    with client_of(**world) as client:
        job = finished(client, client.post("/api/tag", json={"recordings": ids_of(client)}).json())
        assert job["state"] == "done"
        errors = {item["error"] is None for item in job["result"]["recordings"]}
        assert errors == {True, False}
        broken = next(item for item in client.get("/api/recordings").json()["recordings"] if item["error"])
        alone = finished(client, client.post("/api/tag", json={"recordings": [broken["id"]]}).json())
        assert alone["state"] == "failed"
        assert alone["error"].startswith("broken.wav: ")


def test_two_models_are_compared_label_by_label(tmp_path):
    world = make_world(tmp_path, count=1)
    second = make_tagger(tmp_path / "other.safetensors", ("owl", "dog"))
    with client_of(**world | {"model": (*world["model"], str(second))}) as client:
        body = {"recording": ids_of(client)[0], "models": ["tagger", "other"]}
        job = finished(client, client.post("/api/compare", json=body).json())
    rows = {row["label"]: row["scores"] for row in job["result"]["labels"]}
    assert rows.keys() == {*CLASSES, "dog"}
    assert rows["dog"][0] is None
    assert None not in rows["owl"]


def test_a_changed_recording_is_read_again_and_an_unchanged_one_is_not(tmp_path):
    world = make_world(tmp_path, count=1)
    with client_of(**world) as client:
        id = ids_of(client)[0]

        def labelled():
            assert finished(client, client.post("/api/tag", json={"recordings": [id]}).json())["state"] == "done"
            return client.get(f"/api/recordings/{id}/results").json()

        first = labelled()
        file = next((tmp_path / "state" / "results" / id).iterdir())
        stamp = file.stat().st_mtime_ns
        assert labelled() == first
        assert file.stat().st_mtime_ns == stamp
        write_sound(tmp_path / "night" / "clip000.wav", tone(6.0))
        assert labelled()["seconds"] == 6.0


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("tag", {"recordings": []}, 422, "recordings"),
        ("tag", {"recordings": ["f" * 16]}, 404, "no recording"),
        ("tag", {"recordings": ["../../etc"]}, 422, "pattern"),
        ("tag", {"recordings": ["ID"], "model": "tager"}, 404, "did you mean tagger"),
        ("tag", {"recordings": ["ID"], "window": 1e9}, 422, "window"),
        ("tag", {"recordings": ["ID"], "colour": "red"}, 422, "colour"),
        ("compare", {"recording": "ID", "models": ["tagger"]}, 422, "models"),
    ],
)
def test_requests_that_cannot_be_done_are_refused_in_words(client, path, body, status, words):
    text = json.dumps(body).replace('"ID"', json.dumps(ids_of(client)[0]))
    answer = client.post(f"/api/{path}", content=text, headers=JSON)
    assert answer.status_code == status
    assert words in answer.json()["error"]["message"]


def test_a_model_without_classes_and_a_recording_without_results_are_told_apart(world, tmp_path):
    settings = world | {"model": ("logmel-stats", *world["model"]), "state": str(tmp_path / "state")}
    with client_of(**settings) as client:
        id = ids_of(client)[0]
        assert client.post("/api/tag", json={"recordings": [id]}).status_code == 409
        missing = client.get(f"/api/recordings/{id}/results?model=tagger")
        assert missing.status_code == 404
        assert "POST /api/tag" in missing.json()["error"]["message"]
        assert client.get(f"/api/recordings/{id}/download?format=mp3&model=tagger").status_code == 422


def test_bodies_that_are_no_json_are_refused(client):
    for content in (b"", b"{", b"[1]", b'"text"', b"\xff\xfe", b'{"recordings": ' + b"[" * 5000):
        answer = client.post("/api/tag", content=content, headers=JSON)
        assert answer.status_code in (400, 422), content[:20]
        assert answer.json()["error"]["message"]
    assert client.post("/api/tag", content=bytes(5 * 2**20), headers=JSON).status_code == 413
    other = client.post(
        "/api/tag", content=b"recordings=a", headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert other.status_code == 415
    assert "application/json" in other.json()["error"]["message"]
