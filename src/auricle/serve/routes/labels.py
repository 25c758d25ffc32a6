"""/api/labels: what people drew and answered; /api/train makes a head of it."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi import Path as PathParameter

from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.tables import read_table
from auricle.index.answers import Answer
from auricle.serve.errors import Refusal
from auricle.serve.labels import DrawnLabel
from auricle.serve.routes.jobs import job_reply
from auricle.serve.routes.media import check_span
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import (
    ClassCount,
    JobReply,
    LabelReply,
    LabelsReply,
    LabelsRequest,
    TrainRequest,
)
from auricle.serve.service import Service

router = APIRouter(prefix="/api", tags=["labels of people, and training"])


@router.get("/labels", summary="Labels that were drawn, and answers of the review")
def labels(
    service: TheService,
    recording: Annotated[str | None, Query(max_length=40, description="id of a recording; default: all")] = None,
) -> LabelsReply:
    drawn = [drawn_reply(label) for label in service.labels.all(recording)]
    answered = list(answered_labels(service, service.answers(), recording))
    counts = Counter((reply.label, reply.known) for reply in (*drawn, *answered))
    names = sorted({label for label, _ in counts})
    classes = [ClassCount(label=name, yes=counts[name, True], no=counts[name, False]) for name in names]
    return LabelsReply(labels=[*drawn, *answered], classes=classes)


@router.post("/labels", summary="Label parts of recordings", status_code=201)
def add_labels(service: TheService, request: LabelsRequest) -> LabelsReply:
    new = []
    for item in request.labels:
        recording = service.library.get(item.recording)
        check_span(recording, item.start, item.end)
        end = min(item.end, recording.seconds or item.end)
        new.append(
            DrawnLabel(0, recording.id, str(recording.path), recording.name, item.start, end, item.label.strip())
        )
    kept = service.labels.add(new)
    return LabelsReply(labels=[drawn_reply(label) for label in kept], classes=[])


@router.delete("/labels/{id}", summary="Remove a label that was drawn", status_code=204)
def remove_label(service: TheService, id: Annotated[int, PathParameter(ge=1, le=2**53)]) -> None:
    service.labels.remove(id)


@router.get(
    "/labels.csv",
    summary="The table that auricle finetune reads",
    response_class=Response,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def table(service: TheService) -> Response:
    text = io.StringIO()
    with tempfile.TemporaryDirectory(dir=service.state) as folder:
        rows = [dict(row) for row in read_table(write_manifest(service.clips(), Path(folder) / "labels.csv"))]
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        for row in rows:  # the paths are relative to that folder
            writer.writerow(row | {"path": os.path.normpath(os.path.join(folder, row["path"]))})
    headers = {"content-disposition": "attachment; filename=labels.csv"}
    return Response(text.getvalue(), media_type="text/csv", headers=headers)


@router.post("/train", summary="Train a head on the labels: a job", status_code=202)
def train(service: TheService, request: TrainRequest) -> JobReply:
    """Return the job at once. Its result names the model, which is then among those of GET /api/about."""
    base = service.models.get(request.base)
    if any(model.id == request.name and not model.trained for model in service.models.all()):
        raise Refusal(409, f"{request.name} is the name of a model of this server; choose another one")
    service.clips()  # refuses what cannot be learnt from
    return job_reply(service.jobs.submit("train", {"name": request.name, "base": base.id}))


def drawn_reply(label: DrawnLabel) -> LabelReply:
    """Describe a label that was drawn."""
    return LabelReply(
        id=label.id,
        recording=label.recording,
        name=label.name,
        start=label.start,
        end=label.end,
        label=label.label,
        known=True,
    )


def answered_labels(service: Service, answers: list[Answer], recording: str | None) -> Iterator[LabelReply]:
    """Yield what answers say about classes: the one that was asked about, and the one that was named instead."""
    for answer in answers:
        found = service.library.of_path(answer.path)
        if answer.holds is None or (recording is not None and (found is None or found.id != recording)):
            continue
        says = [(answer.label, answer.holds), *([(answer.other, True)] if answer.other else [])]
        for label, known in says:
            yield LabelReply(
                id=None,
                recording=found.id if found else None,
                name=found.name if found else Path(answer.path).name,
                start=answer.start,
                end=answer.end,
                label=label,
                known=known,
            )
