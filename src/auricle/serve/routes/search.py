"""/api/search: where else is this sound? From examples and counter-examples, and from scores of classes."""

from __future__ import annotations

import os

from fastapi import APIRouter

from auricle.index.search.find import IndexSearch, SearchSettings
from auricle.index.search.query import Example, LabelCondition, SearchQuery, SoundExample, SpanExample
from auricle.index.search.results import Match, SearchResults
from auricle.index.search.span_filter import SpanFilter, read_moment
from auricle.serve.errors import Refusal
from auricle.serve.routes.media import check_span
from auricle.serve.routes.shared import TheService
from auricle.serve.schemas import ExampleRequest, FiltersRequest, MatchReply, SearchReply, SearchRequest, TagReply
from auricle.serve.service import Service

router = APIRouter(prefix="/api", tags=["search"])


@router.post("/search", summary="Find similar sounds, or sounds by their scores, in the index")
async def search(service: TheService, request: SearchRequest) -> SearchReply:
    """Return the best spans of the index. Several examples count together; negatives are sounds that are not meant."""
    results = await service.heavy(found, service, request)
    return SearchReply(
        method=results.method,
        searched=results.searched,
        notes=list(results.notes),
        matches=[match_reply(service, match) for match in results.matches],
    )


def found(service: Service, request: SearchRequest) -> SearchResults:
    """Search. Raises AuricleError for what cannot be searched for."""
    session = search_of(service)
    settings = SearchSettings(
        top_k=request.top_k,
        where=filter_of(request.filters),
        min_score=request.min_score,
        overlapping=request.overlapping,
    )
    return session(query_of(service, request), settings)


def search_of(service: Service) -> IndexSearch:
    """Return the search session. Raises Refusal (409) without an index."""
    if service.search is None:
        raise Refusal(
            409, "a search needs an index: 'auricle index' makes one, and 'auricle serve --index INDEX' names it"
        )
    return service.search


def query_of(service: Service, request: SearchRequest) -> SearchQuery:
    """Convert a request to a query. Raises AuricleError or Refusal for one that asks for nothing, or for what is not there."""
    like = tuple(example_of(service, example) for example in request.examples)
    unlike = tuple(example_of(service, example) for example in request.negatives)
    labels: tuple[LabelCondition, ...] = ()
    if request.label:
        assert service.index is not None
        info = service.index.info
        label = info.labels[info.label_number(request.label)]
        labels = (LabelCondition(label, ">=", request.least),)
        labels += (LabelCondition(label, "<=", request.most),) if request.most < 1 else ()
    if not (like or labels):
        raise Refusal(422, "nothing is searched for: give examples, or a label")
    return SearchQuery(like, unlike, labels)


def example_of(service: Service, example: ExampleRequest) -> Example:
    """Convert an example. Raises Refusal for one that names neither a span of the index nor a recording."""
    if example.span is not None:
        return SpanExample(example.span)
    if example.recording is None:
        raise Refusal(422, "an example is a span of the index, or a recording with start and end")
    recording = service.library.get(example.recording)
    if recording.error:
        raise Refusal(415, recording.error)
    path = service.paths_of(recording)[0]
    if example.start is None or example.end is None:
        return SoundExample(path, name=recording.name)
    check_span(recording, example.start, example.end)
    start, end = example.start, min(example.end, recording.seconds or example.end)
    return SoundExample(path, start, end, f"{recording.name}@{start:.12g}-{end:.12g}")


def filter_of(filters: FiltersRequest) -> SpanFilter:
    """Convert the filters. Raises AuricleError for a time that cannot be read."""
    return SpanFilter(
        after=read_moment(filters.after, "after") if filters.after else None,
        before=read_moment(filters.before, "before") if filters.before else None,
        recorders=(filters.recorder,) if filters.recorder else (),
        places=(filters.place,) if filters.place else (),
        paths=(filters.path,) if filters.path else (),
    )


def match_reply(service: Service, match: Match) -> MatchReply:
    """Describe a match."""
    recording = service.library.of_path(match.span.path)
    return MatchReply(
        span=match.span.id,
        recording=recording.id if recording else None,
        name=recording.name if recording else os.path.basename(match.span.path),
        start=match.span.start,
        end=match.span.end,
        similarity=match.similarity,
        score=match.score,
        label=match.label,
        recorder=match.span.recorder,
        place=match.span.place,
        time=match.time.isoformat(timespec="seconds") if match.time else None,
        tags=[TagReply(label=tag.label, score=tag.score) for tag in match.tags],
    )
