"""/api/runs: run folders and their reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from auricle.serve.errors import Refusal
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import RunReply, RunsReply
from auricle.serve.security import REPORT_POLICY

router = APIRouter(prefix="/api/runs", tags=["runs"])


@router.get("", summary="List run folders, the latest first")
def runs(service: TheService) -> RunsReply:
    found = [
        RunReply(
            id=run.id,
            name=run.name,
            kind=run.kind,
            model=run.model,
            modified=run.modified,
            scores=run.scores,
            report=run.report.is_file(),
        )
        for run in service.runs()
    ]
    return RunsReply(runs=found)


@router.get(
    "/{id}/report",
    summary="The report of a run: one HTML page",
    response_class=FileResponse,
    responses={200: {"content": {"text/html": {"schema": {"type": "string"}}}}},
)
def report(service: TheService, id: Annotated[str, Path(pattern=r"^[0-9a-f]{16}$")]) -> FileResponse:
    """Return the page. It runs apart from this site: its scripts can neither read the API nor ask another server."""
    run = service.run(id)
    if not run.report.is_file():
        raise Refusal(404, f"{run.name} has no report yet; 'auricle report {run.path}' writes one")
    headers = {"content-security-policy": REPORT_POLICY, "cache-control": "no-cache"}
    return FileResponse(run.report, media_type="text/html", headers=headers)
