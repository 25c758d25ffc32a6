"""What the routes share: the service of the application, and parameters."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Depends, Path, Request

from auricle.serve.schemas import ErrorReply
from auricle.serve.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ErrorReply, "description": "The request is refused; the message says why and what to do."},
    "5XX": {"model": ErrorReply, "description": "The server cannot answer now; the message says why."},
}


async def service_of(request: Request) -> Service:
    """Return the service behind a request."""
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(service_of)]
RecordingPath = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="id of a recording")]
JobPath = Annotated[str, Path(pattern=r"^[0-9a-f]{16}$", description="id of a job")]
