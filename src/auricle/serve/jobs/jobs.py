"""Jobs: work that takes longer than a request. A few run at once, the others wait; each has progress and can be cancelled.

Every change of state is written to ``FOLDER/ID.json`` before it is told. A server that ends, in whatever way, leaves its
waiting and running jobs there; the next one with the same folder runs them again.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from auricle.core.devices import recheck
from auricle.core.errors import AuricleError, is_out_of_memory
from auricle.core.io import dumps, failure_of_machine, make_folder, write_text
from auricle.serve.errors import Refusal

QUEUED, RUNNING, DONE, FAILED, CANCELLED = "queued", "running", "done", "failed", "cancelled"
ENDED = (DONE, FAILED, CANCELLED)
MOST_KEPT = 200  # jobs that have ended; older ones are forgotten
RETRY_SECONDS = 5  # after which a client may ask again when the queue is full
STOP_SECONDS = 10.0  # that running jobs get to stop at the end of the server


class JobCancelled(Exception):
    """The job was cancelled, or the server ends: raised inside the work at the next report of progress."""


@dataclass
class Job:
    """One piece of work, as it is kept and shown.

    Attributes:
        kind: a key of the queue's ``work``.
        settings: what the work needs, as JSON values.
        state: queued, running, done, failed or cancelled.
        progress: share that is done, 0 to 1.
        message: what is going on.
        result: what a finished job gave; ``error``: why it failed.
        created, started, ended: seconds since 1970.
        partial: results that came before the end, such as a recording that is finished.
    """

    id: str
    kind: str
    settings: dict[str, Any]
    state: str = QUEUED
    progress: float = 0.0
    message: str = ""
    result: Any = None
    error: str | None = None
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    partial: list[dict[str, Any]] = field(default_factory=list)
    cancelling: bool = field(default=False, compare=False)


class JobHandle:
    """What the work of a job sees: it reports progress, and learns that it must stop."""

    def __init__(self, queue: JobQueue, job: Job):
        self._queue, self._job = queue, job
        self.id, self.settings = job.id, job.settings

    def progress(self, share: float, message: str = "") -> None:
        """Report that a share (0 to 1) is done. Raises JobCancelled where the job must stop.

        Like a progress bar, it lets the number of threads follow the load of the machine.
        """
        self.check()
        recheck()
        self._job.progress = min(max(share, self._job.progress), 1.0)
        self._job.message = message or self._job.message
        self._queue.changed(self._job)

    def add(self, partial: dict[str, Any]) -> None:
        """Give a result before the end, as JSON values."""
        self._job.partial.append(partial)
        self._queue.changed(self._job)

    def check(self) -> None:
        """Raise JobCancelled where the job must stop."""
        if self._job.cancelling or self._queue.stopping:
            raise JobCancelled

    @property
    def must_stop(self) -> bool:
        return self._job.cancelling or self._queue.stopping


Work = Callable[[JobHandle], Any]


class JobQueue:
    """Threads that run jobs, in the order in which they came.

    Args:
        folder: where jobs are kept.
        work: what to call for each kind of job; its return value, JSON values, is the result.
        workers: jobs that run at once.
        most_waiting: a further job is refused.
    """

    def __init__(self, folder: Path, work: Mapping[str, Work], workers: int, most_waiting: int):
        self.folder, self.work, self.most_waiting = folder, work, most_waiting
        self.stopping = False
        self._jobs: dict[str, Job] = {}
        self._versions: dict[str, int] = {}  # number of changes
        self._waiting: deque[Job] = deque()
        self._condition = threading.Condition()
        make_folder(folder)
        self._read()
        self._threads = [
            threading.Thread(target=self._run, name=f"auricle-job-{number}", daemon=True) for number in range(workers)
        ]

    def start(self) -> None:
        """Begin to run jobs."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the running jobs; they and the waiting ones stay in the folder, for the next start."""
        self.stopping = True
        with self._condition:
            self._condition.notify_all()
        until = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def submit(self, kind: str, settings: dict[str, Any]) -> Job:
        """Append a job, and write it down.

        Raises:
            Refusal: too many wait already, or the server ends.
        """
        with self._condition:
            if self.stopping:
                raise Refusal(503, "the server is being stopped; ask again when it runs")
            if len(self._waiting) >= self.most_waiting:
                raise Refusal(
                    429,
                    f"{len(self._waiting)} jobs wait already; ask again when some of them have ended, or cancel one",
                    {"retry-after": str(RETRY_SECONDS)},
                )
            job = Job(secrets.token_hex(8), kind, settings)
            self._write(job)
            self._add(job)
            self._waiting.append(job)
            self._condition.notify()
        return job

    def jobs(self) -> list[Job]:
        """Return all jobs that are kept, the latest first."""
        # without the lock, under which files are written: sorted() copies first
        return sorted(self._jobs.values(), key=lambda job: -job.created)

    def get(self, id: str) -> Job:
        """Return a job. Raises Refusal (404) for an unknown one."""
        job = self._jobs.get(id)
        if job is None:
            raise Refusal(404, f"there is no job {id}; GET /api/jobs lists them")
        return job

    def version(self, id: str) -> int:
        """Return how often a job has changed since the server began."""
        return self._versions.get(id, 0)

    def cancel(self, id: str) -> Job:
        """Cancel a job that waits or runs; one that runs stops at its next report. An ended job stays as it is."""
        with self._condition:
            job = self.get(id)
            if job.state == QUEUED:
                with suppress(ValueError):
                    self._waiting.remove(job)
                self._end(job, CANCELLED)
            elif job.state == RUNNING:
                job.cancelling = True
        return job

    def changed(self, job: Job) -> None:
        """Note that something about a job has changed, for those who watch it."""
        self._versions[job.id] = self._versions.get(job.id, 0) + 1

    # ---- running
    def _run(self) -> None:
        while True:
            with self._condition:
                while not self._waiting and not self.stopping:
                    self._condition.wait()
                if self.stopping:
                    return
                job = self._waiting.popleft()
                job.state, job.started = RUNNING, time.time()
                self._write_quietly(job)
                self.changed(job)
            self._do(job)

    def _do(self, job: Job) -> None:
        state, error, result = DONE, None, None
        try:
            result = self.work[job.kind](JobHandle(self, job))
        except JobCancelled:
            if self.stopping and not job.cancelling:
                return  # the file says that it was running: the next server runs it again
            state = CANCELLED
        except AuricleError as refusal:
            state, error = FAILED, str(refusal)
        except Exception as fault:
            state, error = FAILED, failure_of_machine(fault)
            if error is None:
                traceback.print_exception(fault)
                error = "the job met a fault of the program; standard error of 'auricle serve' shows it"
            elif is_out_of_memory(fault):
                error = "memory ran out; take shorter recordings, or start the server with a smaller --batch-size"
        with self._condition:
            job.result, job.error = result, error
            self._end(job, state)

    def _end(self, job: Job, state: str) -> None:
        job.state, job.ended = state, time.time()
        job.progress = 1.0 if state == DONE else job.progress
        self._write_quietly(job)
        self.changed(job)
        ended = sorted((job for job in self._jobs.values() if job.state in ENDED), key=lambda job: job.ended or 0.0)
        for old in ended[: max(0, len(ended) - MOST_KEPT)]:
            del self._jobs[old.id]
            self._versions.pop(old.id, None)
            with suppress(OSError):
                self._file(old).unlink(missing_ok=True)

    # ---- files
    def _file(self, job: Job) -> Path:
        return self.folder / f"{job.id}.json"

    def _write(self, job: Job) -> None:
        values = asdict(job)
        del values["cancelling"]
        write_text(self._file(job), dumps(values))

    def _write_quietly(self, job: Job) -> None:
        """Write a change down; on a full disk the job goes on, and is run again after the next start."""
        with suppress(AuricleError):
            self._write(job)

    def _add(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._versions[job.id] = 1

    def _read(self) -> None:
        """Read the jobs of the server before this one; those that had not ended wait again. Damaged files are left out."""
        known = {f.name for f in fields(Job)}
        for file in self.folder.glob("*.json"):
            try:
                values = json.loads(file.read_text(encoding="utf-8"))
                job = Job(**{name: value for name, value in values.items() if name in known})
            except (OSError, ValueError, TypeError, AttributeError):
                continue
            if job.id == file.stem and job.kind in self.work:
                if job.state not in ENDED:
                    job.state, job.progress, job.partial, job.message = QUEUED, 0.0, [], "begins again"
                self._add(job)
        self._waiting.extend(sorted((j for j in self._jobs.values() if j.state == QUEUED), key=lambda job: job.created))
