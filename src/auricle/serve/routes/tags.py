"""Labels of recordings: /api/tag and /api/compare make jobs, results and downloads belong to a recording."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Response

from auricle.inference.tag_formats import FORMATS
from auricle.serve.errors import Refusal
from auricle.serve.jobs.results import TaggedRecording
from auricle.serve.routes.jobs import job_reply
from auricle.serve.routes.shared import RecordingPath, TheService
from auricle.serve.schemas import (
    CompareRequest,
    EventReply,
    JobReply,
    LaneReply,
    ResultsReply,
    TagReply,
    TagRequest,
)
from auricle.serve.service import Service

router = APIRouter(prefix="/api", tags=["labels of models"])
ModelQuery = Annotated[str | None, Query(max_length=200, description="id of a model; default: the first")]


@router.post("/tag", summary="Label recordings: a job", status_code=202)
def tag(service: TheService, request: TagRequest) -> JobReply:
    """Return the job at once; its events give each recording as soon as it is labelled."""
    settings = request.model_dump()
    settings["recordings"] = list(dict.fromkeys(request.recordings))
    settings["model"] = checked(service, request.model, request.window, request.hop)
    for id in settings["recordings"]:
        service.library.get(id)
    return job_reply(service.jobs.submit("tag", settings))


@router.post("/compare", summary="Label one recording with two models: a job", status_code=202)
def compare(service: TheService, request: CompareRequest) -> JobReply:
    """Return the job at once; its result holds the scores of both models, label by label."""
    settings = request.model_dump()
    settings["models"] = [checked(service, model, request.window, request.hop) for model in request.models]
    service.library.get(request.recording)
    return job_reply(service.jobs.submit("compare", settings))


@router.get("/recordings/{id}/results", summary="What a model found in a recording")
def results(
    service: TheService,
    id: RecordingPath,
    model: ModelQuery = None,
    top_k: Annotated[int, Query(ge=1, le=50, description="number of labels")] = 10,
) -> ResultsReply:
    return results_reply(result_of(service, id, model), top_k)


@router.get(
    "/recordings/{id}/download",
    summary="What a model found in a recording, as a file",
    response_class=Response,
    responses={200: {"content": {form.media_type: {} for form in FORMATS.values()}}},
)
def download(
    service: TheService,
    id: RecordingPath,
    format: Annotated[str, Query(max_length=40, description=", ".join(FORMATS))] = "json",
    model: ModelQuery = None,
) -> Response:
    form = FORMATS.get(format)
    if form is None:
        raise Refusal(422, f"there is no format '{format}'; choose one of {', '.join(FORMATS)}")
    result = result_of(service, id, model)
    name = quote(service.library.get(id).name.rpartition("/")[2].rpartition(".")[0] + form.suffix, safe="")
    headers = {"content-disposition": f"attachment; filename*=utf-8''{name}"}
    return Response(form.write(result.tags, result.nyquist), media_type=form.media_type, headers=headers)


def checked(service: Service, model: str | None, window: float | None, hop: float | None) -> str:
    """Return the id of a model that can tag in such windows. Raises Refusal or AuricleError for any other."""
    service.models.tagger(model, window=window, hop=hop, top_k=1)
    return service.models.get(model).id


def result_of(service: Service, id: str, model: str | None) -> TaggedRecording:
    """Return a result. Raises Refusal (404) where there is none yet."""
    recording, named = service.library.get(id), service.models.get(model)
    result = service.results.get(id, named.key)
    if result is None:
        raise Refusal(404, f"{recording.name} has not been labelled by {named.id} yet; POST /api/tag does it")
    return result


def results_reply(result: TaggedRecording, top_k: int) -> ResultsReply:
    """Describe a result; labels of several heads have the name of their head before them."""
    tags = result.tags
    joined = tags.with_heads_joined()
    detected = [
        TagReply(label=f"{head}: {tag.label}" if head else tag.label, score=tag.score)
        for head, part in tags.by_head().items()
        for tag in part.detected or ()
    ]
    has_thresholds = any(part.detected is not None for part in tags.by_head().values())
    return ResultsReply(
        recording=result.recording,
        model=result.model,
        window=result.window,
        hop=result.hop,
        seconds=tags.seconds,
        tags=[TagReply(label=tag.label, score=tag.score) for tag in joined.tags[:top_k]],
        detected=sorted(detected, key=lambda tag: -tag.score) if has_thresholds else None,
        events=[EventReply(**vars(event)) for event in joined.events or ()],
        windows=[(window.start, window.end) for window in tags.windows],
        lanes=[LaneReply(**vars(lane) | {"scores": list(lane.scores)}) for lane in result.lanes],
        notes=list(tags.notes),
    )
