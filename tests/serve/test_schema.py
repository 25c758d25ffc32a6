"""The description of the API, and what requests drawn from it do to a server: never a fault of the program."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from helpers.patience import PATIENCE
from helpers.serving import CLASSES, RunningServer, client_of, finished, ids_of, make_world

EXAMPLES = os.environ.get("AURICLE_SCHEMATHESIS", "")  # requests per operation; then the phase "coverage" runs too
FEW_EXAMPLES = "3"
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
HOOKS = Path(__file__).with_name("schemathesis_hooks.py")


def test_every_operation_is_described_with_its_errors(tmp_path):
    with client_of(model="logmel-stats", state=str(tmp_path)) as client:
        schema = client.get("/api/openapi.json").json()
    operations = [(path, method, item) for path, methods in schema["paths"].items() for method, item in methods.items()]
    assert len(operations) >= 25
    for path, method, item in operations:
        assert path.startswith("/api/"), path
        assert item["summary"], (path, method)
        for status in ("4XX", "5XX"):
            reference = item["responses"][status]["content"]["application/json"]["schema"]["$ref"]
            assert reference.endswith("/ErrorReply")
        assert "422" not in item["responses"], "errors have one form"


def test_the_pages_of_fastapi_that_load_scripts_from_elsewhere_are_off(tmp_path):
    with client_of(model="logmel-stats", state=str(tmp_path)) as client:
        assert [client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")] == [404, 404, 404]


@pytest.mark.slow
def test_requests_drawn_from_the_description_meet_no_fault(tmp_path, programs):
    """More of them: AURICLE_SCHEMATHESIS=50 python -m pytest tests/serve/test_schema.py"""
    pytest.importorskip("schemathesis", reason="schemathesis is not installed: pip install schemathesis==4.32.5")
    settings = make_world(tmp_path)
    index = str(tmp_path / "index")
    index_recordings(IndexConfig(settings["folders"], index, settings["model"][0], window=2.0, min_score=0.0))
    words = [*settings["folders"], "--model", *settings["model"], "--state", settings["state"], "--index", index]
    with RunningServer([*words, "--queue", "1000"], tmp_path / "log.txt", python=programs / "python") as server:
        ids = ids_of(server.client)
        job = finished(server.client, server.client.post("/api/tag", json={"recordings": ids}).json())
        known = {"recording": ids, "recordings": [ids], "job": [job["id"]], "label": CLASSES, "model": ["tagger"]}
        known |= {"run": ["0" * 16], "models": [["tagger", "tagger"]], "span": [1, 2]}
        phases = "coverage,fuzzing" if EXAMPLES else "fuzzing"
        line = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{server.address}/api/openapi.json",
            "--checks",
            CHECKS,
        ]
        line += ["--max-examples", EXAMPLES or FEW_EXAMPLES, "--phases", phases, "--exclude-path", "/api/train"]
        line += ["--seed", "1", "--no-color", "--generation-database", "none", "--suppress-health-check", "all"]
        environment = os.environ | {"SCHEMATHESIS_HOOKS": str(HOOKS), "AURICLE_KNOWN": json.dumps(known)}
        answer = subprocess.run(
            line, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=3 * PATIENCE
        )
        assert answer.returncode == 0, answer.stdout[-5000:] + answer.stderr[-1000:]
        assert server.process.poll() is None
    assert "Traceback" not in (tmp_path / "log.txt").read_text()
