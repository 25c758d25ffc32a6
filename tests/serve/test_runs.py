"""Run folders below --runs, and their reports."""

from __future__ import annotations

import pytest

from helpers.detector_runs import make_detector
from helpers.serving import client_of


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    run = make_detector(root / "runs" / "night", sounds=False)
    run.joinpath("report.html").write_text("<html><script>alert(1)</script></html>")
    outside = make_detector(root / "outside", sounds=False)
    (root / "runs" / "link").symlink_to(outside, target_is_directory=True)
    (root / "runs" / "damaged").mkdir()
    (root / "runs" / "damaged" / "config.yaml").write_text("{")
    with client_of(model="logmel-stats", runs=str(root / "runs"), state=str(root / "state")) as client:
        yield client


def test_runs_are_listed_with_their_scores_and_links_that_lead_out_are_not(client):
    found = {run["name"]: run for run in client.get("/api/runs").json()["runs"]}
    assert found.keys() == {"night/run", "damaged"}
    assert found["night/run"]["kind"] == "supervised"
    assert found["night/run"]["report"]
    assert not found["damaged"]["report"]
    assert client.get("/api/about").json()["runs"] == 2


def test_a_report_is_shown_apart_from_the_page(client):
    found = {run["name"]: run["id"] for run in client.get("/api/runs").json()["runs"]}
    answer = client.get(f"/api/runs/{found['night/run']}/report")
    assert answer.headers["content-type"].startswith("text/html")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "connect-src" not in policy
    missing = client.get(f"/api/runs/{found['damaged']}/report")
    assert missing.status_code == 404
    assert "auricle report" in missing.json()["error"]["message"]
    assert client.get(f"/api/runs/{'0' * 16}/report").status_code == 404
