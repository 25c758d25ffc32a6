"""/api/jobs: what runs, its progress as a stream of events, and how to cancel it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse

from auricle.core.io import dumps
from auricle.serve.jobs.jobs import ENDED, Job
from auricle.serve.routes.shared import JobPath, TheService
from auricle.serve.schemas import JobReply, JobsReply
from auricle.serve.service import Service

router = APIRouter(prefix="/api/jobs", tags=["jobs"])
LOOK_SECONDS = 0.1  # between two looks at a job
ALIVE_SECONDS = 15.0  # after which an empty comment shows that the connection lives


@router.get("", summary="List jobs, the latest first")
async def jobs(service: TheService) -> JobsReply:
    return JobsReply(jobs=[job_reply(job) for job in service.jobs.jobs()])


@router.get("/{id}", summary="State, progress and result of a job")
async def job(service: TheService, id: JobPath) -> JobReply:
    return job_reply(service.jobs.get(id))


@router.delete("/{id}", summary="Cancel a job")
def cancel(service: TheService, id: JobPath) -> JobReply:
    return job_reply(service.jobs.cancel(id))


@router.get(
    "/{id}/events",
    summary="Progress of a job as server-sent events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}},
)
async def events(service: TheService, id: JobPath, request: Request) -> StreamingResponse:
    """Send ``progress`` (the job) at every change, ``partial`` with each result before the end, and ``end`` (the job)."""
    job = service.jobs.get(id)
    stream = watch(service, job)
    return StreamingResponse(stream, media_type="text/event-stream", headers={"cache-control": "no-store"})


async def watch(service: Service, job: Job) -> AsyncIterator[str]:
    """Yield the events of a job until it ends, or the server does."""
    seen, sent, silent = -1, 0, 0.0
    while True:
        version = service.jobs.version(job.id)
        if version != seen:
            seen, silent = version, 0.0
            for partial in job.partial[sent:]:
                yield event("partial", partial)
                sent += 1
            reply = job_reply(job).model_dump()
            if job.state in ENDED:
                yield event("end", reply)
                return
            yield event("progress", {**reply, "partial": []})
        if service.closing:
            return
        await asyncio.sleep(LOOK_SECONDS)
        silent += LOOK_SECONDS
        if silent >= ALIVE_SECONDS:
            silent = 0.0
            yield ": waiting\n\n"


def event(kind: str, data: object) -> str:
    """Return a server-sent event."""
    return f"event: {kind}\ndata: {dumps(data)}\n\n"


def job_reply(job: Job) -> JobReply:
    """Describe a job."""
    values = asdict(job)
    return JobReply(**{name: values[name] for name in JobReply.model_fields})
