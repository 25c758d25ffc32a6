"""The sound of a recording, its waveform and its spectrogram; folders and what lies outside them."""

from __future__ import annotations

import io
import os
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image

from auricle.serve.library import ServedRecording
from auricle.serve.pictures import PEAK_SAMPLES, Pictures, fine_bands, mel_filters
from helpers.serving import client_of, ids_of
from helpers.sounds import tone, write_sound


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("media")
    write_sound(root / "night" / "a.wav", tone(3.0))
    soundfile.write(root / "night" / "b.aiff", tone(1.0), 16000)
    (root / "night" / "c.wav").write_bytes(b"RIFF no sound")
    write_sound(root / "secret" / "s.wav", tone(0.5))
    (root / "night" / "link.wav").symlink_to(root / "secret" / "s.wav")
    (root / "night" / "folder").symlink_to(root / "secret", target_is_directory=True)
    return root


@pytest.fixture(scope="module")
def client(folder):
    with client_of(folders=str(folder / "night"), model="logmel-stats", state=str(folder / "state")) as client:
        yield client


def by_name(client):
    return {item["name"]: item for item in client.get("/api/recordings").json()["recordings"]}


def test_recordings_of_the_folders_are_listed_and_links_that_lead_out_are_not(client):
    found = by_name(client)
    assert sorted(found) == ["a.wav", "b.aiff", "c.wav"]
    assert (found["a.wav"]["seconds"], found["a.wav"]["rate"]) == (3.0, 16000)
    assert found["c.wav"]["error"].startswith("c.wav: ")


def test_a_file_whose_name_is_no_utf8_is_shown_and_labelled_by_a_model_but_not_in_a_table(tmp_path):
    plain = write_sound(tmp_path / "night" / "a.wav", tone(1.0))
    names = (b"b\xff.wav", b"c\nd.wav")
    try:
        for name in names:
            shutil.copy(plain, os.path.join(os.fsencode(plain.parent), name))
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with client_of(folders=str(plain.parent), model="logmel-stats", state=str(tmp_path / "state")) as client:
        found = by_name(client)
        assert sorted(found) == ["a.wav", "b\\udcff.wav", "c\\u000ad.wav"]
        for item in found.values():
            for part in ("audio", "waveform", "spectrogram.png"):
                assert client.get(f"/api/recordings/{item['id']}/{part}").status_code == 200
        label = {"recording": found["b\\udcff.wav"]["id"], "start": 0, "end": 1, "label": "owl"}
        answer = client.post("/api/labels", json={"labels": [label]})
        assert (answer.status_code, "rename" in answer.json()["error"]["message"]) == (422, True)


def test_lists_are_cut_into_pages(client):
    page = client.get("/api/recordings?offset=1&limit=1").json()
    assert (page["total"], [item["name"] for item in page["recordings"]]) == (3, ["b.aiff"])


def test_a_file_that_becomes_a_link_to_the_outside_is_not_served(folder, tmp_path):
    write_sound(tmp_path / "in" / "x.wav", tone(0.5))
    with client_of(folders=str(tmp_path / "in"), model="logmel-stats", state=str(tmp_path / "state")) as client:
        id = ids_of(client)[0]
        (tmp_path / "in" / "x.wav").unlink()
        (tmp_path / "in" / "x.wav").symlink_to(folder / "secret" / "s.wav")
        assert client.get(f"/api/recordings/{id}/audio").status_code == 404


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/app.py", "../app.py", "page/../../app.py", "%00"]
)
def test_no_path_leads_out_of_the_page(client, path):
    for prefix in ("/", "/api/recordings/", "/api/runs/"):
        assert client.get(f"{prefix}{path}").status_code in (404, 422, 405)


def test_what_browsers_play_is_the_file_itself_and_anything_else_a_copy(client, folder):
    found = by_name(client)
    answer = client.get(f"/api/recordings/{found['a.wav']['id']}/audio")
    assert answer.headers["content-type"] == "audio/wav"
    assert answer.content == (folder / "night" / "a.wav").read_bytes()
    copy = client.get(f"/api/recordings/{found['b.aiff']['id']}/audio")
    wave, rate = soundfile.read(io.BytesIO(copy.content))
    assert (rate, len(wave)) == (16000, 16000)
    assert client.get(f"/api/recordings/{found['c.wav']['id']}/audio").status_code == 415


def test_a_range_of_the_sound_is_answered(client, folder):
    id = by_name(client)["a.wav"]["id"]
    answer = client.get(f"/api/recordings/{id}/audio", headers={"range": "bytes=44-143"})
    assert answer.status_code == 206
    assert answer.content == (folder / "night" / "a.wav").read_bytes()[44:144]
    assert client.get(f"/api/recordings/{id}/audio", headers={"range": "bytes=9999999-"}).status_code == 416


def test_a_waveform_holds_the_extremes_of_equal_parts(client):
    id = by_name(client)["a.wav"]["id"]
    answer = client.get(f"/api/recordings/{id}/waveform?start=1&end=2&columns=10").json()
    parts = np.round(tone(3.0) * 32768)[16000:32000].reshape(10, -1) / 32768
    np.testing.assert_allclose(answer["min"], parts.min(1), atol=1e-4)
    np.testing.assert_allclose(answer["max"], parts.max(1), atol=1e-4)
    assert (answer["start"], answer["end"]) == (1.0, 2.0)


def test_a_spectrogram_is_a_picture_of_the_size_that_was_asked_for(client):
    id = by_name(client)["a.wav"]["id"]
    pictures = {}
    for theme in ("light", "dark"):
        answer = client.get(f"/api/recordings/{id}/spectrogram.png?width=300&height=64&theme={theme}")
        assert answer.headers["content-type"] == "image/png"
        picture = Image.open(io.BytesIO(answer.content)).convert("L")
        assert picture.size == (300, 64)
        pictures[theme] = np.asarray(picture, float)
    assert pictures["light"].mean() > pictures["dark"].mean()
    loudest = pictures["dark"].mean(1).argmax()  # 440 Hz of 0 to 8000 on the mel scale, upwards
    share = np.log10(1 + 440 / 700) / np.log10(1 + 8000 / 700)
    assert loudest == pytest.approx((1 - share) * 64, abs=2)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("start=2&end=1", "start < end"),
        ("start=3", "start < end"),
        ("start=nan", "start"),
        ("end=inf", "end"),
        ("columns=0&width=0", "greater than or equal to 1"),
        ("columns=1000000&width=1000000", "less than or equal"),
    ],
)
def test_parts_that_cannot_be_drawn_are_refused(client, query, words):
    id = by_name(client)["a.wav"]["id"]
    for picture in ("waveform", "spectrogram.png"):
        answer = client.get(f"/api/recordings/{id}/{picture}?{query}")
        assert answer.status_code == 422
        assert words in answer.json()["error"]["message"]


# ---- pictures of long recordings


def test_an_overview_is_made_once_and_anew_for_a_changed_file(tmp_path):
    pictures = Pictures(tmp_path / "pictures")
    wave = np.concatenate([np.zeros(40000, np.float32), tone(2.5)])
    path = write_sound(tmp_path / "a.wav", wave)
    recording = ServedRecording("0" * 16, "a.wav", path, "folder", rate=16000)
    low, high = pictures.waveform(recording, 0.0, None, 20)
    assert (low[:9] == 0).all()
    assert high[-1] == pytest.approx(wave[-4000:].max(), abs=1e-3)
    first = list((tmp_path / "pictures").iterdir())
    pictures.waveform(recording, 0.0, None, 20)
    assert list((tmp_path / "pictures").iterdir()) == first
    write_sound(path, tone(6.0))
    pictures.waveform(recording, 0.0, None, 20)
    changed = list((tmp_path / "pictures").iterdir())
    assert len(changed) == 1
    assert changed != first


def test_the_overview_of_a_long_recording_agrees_with_its_samples(tmp_path, monkeypatch):
    monkeypatch.setattr("auricle.serve.pictures.FINE_SECONDS", 1.0)
    rng = np.random.default_rng(0)
    wave = (0.03 * rng.standard_normal(16000 * 20)).astype(np.float32)
    wave[16000 * 10 : 16000 * 11] *= 5
    path = write_sound(tmp_path / "a.wav", wave)
    recording = ServedRecording("0" * 16, "a.wav", path, "folder", rate=16000)
    pictures = Pictures(tmp_path / "pictures")
    low, _ = pictures.waveform(recording, 0.0, None, 10)
    edges = np.linspace(0, len(wave) / PEAK_SAMPLES, 10, endpoint=False).astype(int) * PEAK_SAMPLES
    np.testing.assert_allclose(low, np.minimum.reduceat(np.round(wave * 32768) / 32768, edges), atol=1e-4)
    picture = Image.open(io.BytesIO(pictures.spectrogram(recording, 0.0, None, 200, 32, True))).convert("L")
    columns = np.asarray(picture, float).mean(0)
    assert columns[100:109].min() > columns[:98].max()


@pytest.mark.parametrize("rate", [8000, 44100, 192000])
def test_every_band_of_a_spectrogram_takes_something_from_the_spectrum(rate):
    filters = mel_filters(rate, 1024, 256)
    np.testing.assert_allclose(filters.sum(1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("samples", [1, 2, 100, 5000])
def test_a_part_of_a_few_samples_has_a_spectrogram(samples):
    bands = fine_bands(tone(1.0)[:samples], 16000, 50, 16)
    assert bands.shape == (16, min(50, samples))
    assert np.isfinite(bands).all()
