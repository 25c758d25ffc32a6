"""Jobs: in order, a few at once, with progress; cancelled, refused when too many wait, and there after a restart."""

from __future__ import annotations

import errno
import json
import threading
import time

import pytest

from auricle.core.errors import AuricleError
from auricle.serve.errors import Refusal
from auricle.serve.jobs.jobs import JobQueue
from helpers.patience import PATIENCE
from helpers.serving import client_of, ids_of, make_world


class Gates:
    """Work that waits until the test lets it go on."""

    def __init__(self):
        self.begun: list[int] = []
        self.go = threading.Event()

    def __call__(self, handle):
        self.begun.append(handle.settings["number"])
        while not self.go.wait(0.01):
            handle.progress(0.5, "half")
        handle.add({"number": handle.settings["number"]})
        return {"number": handle.settings["number"]}


def fails(handle):
    raise AuricleError("the recording is empty")


def breaks(handle):
    raise ZeroDivisionError


@pytest.fixture
def gates():
    return Gates()


@pytest.fixture
def queue(tmp_path, gates):
    queue = JobQueue(tmp_path, {"wait": gates, "fail": fails, "break": breaks}, workers=1, most_waiting=3)
    queue.start()
    yield queue
    gates.go.set()
    queue.stop()


def wait_for(condition):
    until = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.005)


def test_jobs_run_in_order_with_progress_and_partial_results(queue, gates):
    jobs = [queue.submit("wait", {"number": number}) for number in range(3)]
    wait_for(lambda: jobs[0].message == "half")
    assert (jobs[0].state, jobs[0].progress, jobs[1].state) == ("running", 0.5, "queued")
    gates.go.set()
    wait_for(lambda: all(job.state == "done" for job in jobs))
    assert gates.begun == [0, 1, 2]
    assert (jobs[2].result, jobs[2].partial, jobs[2].progress) == ({"number": 2}, [{"number": 2}], 1.0)


def test_what_a_job_could_not_do_is_told_and_a_fault_keeps_its_traceback(queue, capsys):
    job, fault = queue.submit("fail", {}), queue.submit("break", {})
    wait_for(lambda: fault.state == "failed")
    assert (job.state, job.error) == ("failed", "the recording is empty")
    assert "standard error" in fault.error
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_waiting_and_running_jobs_are_cancelled(queue, gates):
    running, waiting = (queue.submit("wait", {"number": number}) for number in range(2))
    wait_for(lambda: gates.begun)
    assert queue.cancel(waiting.id).state == "cancelled"
    queue.cancel(running.id)
    wait_for(lambda: running.state == "cancelled")
    assert gates.begun == [0]
    assert queue.cancel(running.id).state == "cancelled"


def test_a_job_too_many_is_refused_and_says_when_to_ask_again(queue, gates):
    running = queue.submit("wait", {"number": 0})
    wait_for(lambda: running.state == "running")
    for number in range(3):
        queue.submit("wait", {"number": number})
    with pytest.raises(Refusal, match="3 jobs wait already") as refused:
        queue.submit("wait", {"number": 9})
    assert refused.value.status == 429
    assert "retry-after" in refused.value.headers


def test_a_stopped_queue_leaves_its_jobs_to_the_next(tmp_path, gates):
    first = JobQueue(tmp_path, {"wait": gates}, workers=1, most_waiting=3)
    first.start()
    jobs = [first.submit("wait", {"number": number}) for number in range(2)]
    wait_for(lambda: jobs[0].message == "half")
    first.stop()
    with pytest.raises(Refusal, match="being stopped"):
        first.submit("wait", {"number": 2})
    gates.go.set()
    second = JobQueue(tmp_path, {"wait": gates}, workers=1, most_waiting=3)
    assert [second.get(job.id).state for job in jobs] == ["queued", "queued"]
    second.start()
    wait_for(lambda: all(second.get(job.id).state == "done" for job in jobs))
    second.stop()
    third = JobQueue(tmp_path, {"wait": gates}, workers=1, most_waiting=3)
    assert [third.get(job.id).result for job in jobs] == [{"number": 0}, {"number": 1}]


def test_damaged_and_foreign_files_are_no_jobs(tmp_path, gates):
    (tmp_path / "half.json").write_text('{"id": "half", "ki')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "other.json").write_text(json.dumps({"id": "other", "kind": "gone", "settings": {}}))
    (tmp_path / "name.json").write_text(json.dumps({"id": "another", "kind": "wait", "settings": {}}))
    assert JobQueue(tmp_path, {"wait": gates}, workers=1, most_waiting=1).jobs() == []


def test_old_jobs_are_forgotten(tmp_path, queue, monkeypatch):
    monkeypatch.setattr("auricle.serve.jobs.jobs.MOST_KEPT", 3)
    jobs = []
    for _ in range(6):
        jobs.append(queue.submit("fail", {}))
        wait_for(lambda: jobs[-1].state == "failed")
    wait_for(lambda: len(queue.jobs()) == 3)
    wait_for(lambda: len(list(tmp_path.glob("*.json"))) == 3)
    with pytest.raises(Refusal, match="no job"):
        queue.get(jobs[0].id)


def test_a_job_without_room_on_the_disk_is_refused(tmp_path, gates, monkeypatch):
    queue = JobQueue(tmp_path, {"wait": gates}, workers=1, most_waiting=1)
    monkeypatch.setattr("auricle.serve.jobs.jobs.write_text", full_disk)
    with pytest.raises(AuricleError, match="cannot write"):
        queue.submit("wait", {"number": 0})
    assert queue.jobs() == []


def full_disk(path, *values, **named):
    raise AuricleError(f"cannot write {path}") from OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_told_as_such_by_every_route_and_pictures_do_not_need_it(tmp_path, monkeypatch):
    with client_of(**make_world(tmp_path)) as client:
        id = ids_of(client)[0]
        monkeypatch.setattr("auricle.serve.jobs.jobs.write_text", full_disk)
        answer = client.post("/api/tag", json={"recordings": [id]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (507, "disk_full")
        monkeypatch.setattr("auricle.serve.pictures.replacing", full_disk)
        assert client.get(f"/api/recordings/{id}/spectrogram.png").status_code == 200
