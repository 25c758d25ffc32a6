"""/api/recordings: the recordings of the folders and the uploads, their sound and their pictures."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from auricle.serve.errors import CODES, Refusal
from auricle.serve.library import ServedRecording
from auricle.serve.routes.shared import RecordingPath, TheService
from auricle.serve.schemas import ErrorText, RecordingReply, RecordingsReply, TagReply, UploadedFile, UploadReply
from auricle.serve.service import Service

router = APIRouter(prefix="/api/recordings", tags=["recordings"])
MULTIPART = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["files"],
                    "properties": {"files": {"type": "array", "items": {"type": "string", "format": "binary"}}},
                }
            }
        },
    }
}


@router.get("", summary="List recordings")
def recordings(
    service: TheService,
    query: Annotated[str, Query(max_length=200, description="part of the name")] = "",
    offset: Annotated[int, Query(ge=0, le=10**9)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> RecordingsReply:
    found = service.library.recordings(query)
    shown = [reply_of(service, service.library.described(recording)) for recording in found[offset : offset + limit]]
    return RecordingsReply(total=len(found), recordings=shown)


@router.post("", summary="Upload recordings", status_code=201, openapi_extra=MULTIPART)
async def upload(service: TheService, request: Request, response: Response) -> UploadReply:
    """Decode each file in a process of its own and keep it. Files that cannot be used are refused one by one.

    The status is 201 if at least one was kept, else that of the first refusal.
    """
    outcomes = await service.uploads.receive(request)
    refusals = [outcome for _, outcome in outcomes if isinstance(outcome, Refusal)]
    files = [uploaded(service, name, outcome) for name, outcome in outcomes]
    if len(refusals) < len(outcomes):
        return UploadReply(files=files)
    response.status_code = refusals[0].status
    return UploadReply(files=files, error=files[0].error)


@router.get("/{id}", summary="Describe a recording")
def recording(service: TheService, id: RecordingPath) -> RecordingReply:
    return reply_of(service, service.library.get(id))


@router.delete("/{id}", summary="Remove an upload", status_code=204)
def remove(service: TheService, id: RecordingPath) -> None:
    service.forget(id)


def uploaded(service: Service, name: str, outcome: ServedRecording | Refusal) -> UploadedFile:
    """Describe what became of one file of an upload."""
    if isinstance(outcome, Refusal):
        return UploadedFile(name=name, error=ErrorText(message=str(outcome), code=CODES.get(outcome.status, "error")))
    return UploadedFile(name=name, recording=reply_of(service, outcome))


def reply_of(service: Service, recording: ServedRecording) -> RecordingReply:
    """Describe a recording."""
    tags = shown_tags(service, recording.id)
    return RecordingReply(
        id=recording.id,
        name=recording.name,
        source=recording.source,
        seconds=recording.seconds,
        rate=recording.rate,
        channels=recording.channels,
        added=recording.added,
        notes=list(recording.notes),
        error=recording.error,
        tagged=list(tags),
        tags=tags,
    )


def shown_tags(service: Service, id: str) -> dict[str, list[TagReply]]:
    """Return the likeliest labels of a recording by the id of the model."""
    keys = service.results.keys(id)
    found = {model.id: service.results.summary(id, model.key) for model in service.models.all() if model.key in keys}
    return {model: [TagReply(label=label, score=score) for label, score in tags] for model, tags in found.items()}
