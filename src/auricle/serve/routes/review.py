"""/api/review: detections of the index one by one, the answers of people, and how precise each score is."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from auricle.review.precision import few_note
from auricle.review.queue import ReviewItem
from auricle.review.session import ReviewSession
from auricle.serve.errors import Refusal
from auricle.serve.routes.media import check_span
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import (
    AnswerReply,
    AnswersReply,
    AnswersRequest,
    CurvePointReply,
    CurveReply,
    NewAnswer,
    ReviewItemReply,
    ReviewReply,
    UndoReply,
)
from auricle.serve.service import Service

router = APIRouter(prefix="/api/review", tags=["review"])
LabelQuery = Annotated[str, Query(min_length=1, max_length=200, description="a class of the index")]
Source = Annotated[Literal["windows", "events"], Query(description="windows by score, or events")]


@router.get("", summary="The next questions about a class")
def questions(
    service: TheService,
    label: LabelQuery,
    source: Source = "windows",
    count: Annotated[int, Query(ge=1, le=100)] = 10,
) -> ReviewReply:
    """Return questions of a sample that is drawn once, over all scores; what was answered is left out."""
    session = session_of(service)
    label = canonical(service, label)
    items = session.next_items(label, count, source=source)
    answered, total = session.progress(label, source)
    return ReviewReply(items=[item_reply(service, item) for item in items], answered=answered, total=total)


@router.post("/answers", summary="Answer questions", status_code=201)
def answer(service: TheService, request: AnswersRequest) -> AnswersReply:
    """Keep answers; when this returns, they are on disk. Where one of them cannot be kept, none is."""
    session = session_of(service)
    session.record_all(
        [(item_of(service, session, given), given.answer, given.other.strip()) for given in request.answers]
    )
    return AnswersReply(answered=len(request.answers))


@router.delete("/answers/last", summary="Undo the last answer")
def undo(service: TheService) -> UndoReply:
    last = session_of(service).undo()
    if last is None:
        return UndoReply(undone=None)
    found = service.library.of_path(last.path)
    name = found.name if found else os.path.basename(last.path)
    return UndoReply(
        undone=AnswerReply(
            name=name, start=last.start, end=last.end, label=last.label, answer=last.answer, other=last.other
        )
    )


@router.get("/curve", summary="How precise a class is at each score")
def curve(
    service: TheService,
    label: LabelQuery,
    precision: Annotated[float, Query(gt=0, lt=1, allow_inf_nan=False, description="that is wanted")] = 0.9,
) -> CurveReply:
    session = session_of(service)
    label = canonical(service, label)
    found = session.curve(label, precision)
    if found is None:
        return CurveReply(
            label=label, yes=0, no=0, unsure=0, points=[], threshold=None, reason="nothing is answered yet"
        )
    chosen = found.chosen if found.chosen and found.chosen.reached else None
    points = [
        CurvePointReply(score=score, precision=share, low=low, high=high, kept=kept)
        for score, share, low, high, kept in found.rows()
        if all(math.isfinite(value) for value in (score, share, low, high, kept))
    ]
    unreached = "" if chosen else "no score reaches this precision"
    return CurveReply(
        label=label,
        yes=found.right,
        no=found.wrong,
        unsure=found.unsure,
        points=points,
        threshold=chosen.threshold if chosen else None,
        reason=few_note([found]) or unreached,
    )


def session_of(service: Service) -> ReviewSession:
    """Return the review. Raises Refusal (409) without an index."""
    if service.review is None:
        raise Refusal(
            409, "a review needs an index: 'auricle index' makes one, and 'auricle serve --index INDEX' names it"
        )
    return service.review


def canonical(service: Service, label: str) -> str:
    """Return the label as the index writes it. Raises AuricleError for one that it does not have."""
    assert service.index is not None
    info = service.index.info
    return info.labels[info.label_number(label)]


def item_reply(service: Service, item: ReviewItem) -> ReviewItemReply:
    """Describe a question."""
    found = service.library.of_path(item.path)
    return ReviewItemReply(
        recording=found.id if found else None,
        name=found.name if found else os.path.basename(item.path),
        start=item.start or 0.0,
        end=item.end or 0.0,
        label=item.label,
        score=item.score,
    )


def item_of(service: Service, session: ReviewSession, given: NewAnswer) -> ReviewItem:
    """Return the question that was answered: the one of the sample, with its probability, else one with what the client knows."""
    recording = service.library.get(given.recording)
    check_span(recording, given.start, given.end)
    label = canonical(service, given.label)
    asked = ReviewItem(service.paths_of(recording)[0], given.start, given.end, label, given.score)
    for path in service.paths_of(recording):
        drawn = session.drawn(replace(asked, path=path).question)
        if drawn is not None:
            return drawn
    return asked
