"""Find spans of an index: like examples, by scores of labels, or near duplicates of each other; within filters.

index = SoundIndex.open("INDEX")
search = IndexSearch(index)
results = search(read_query(["bark.wav", "label:Dog > 0.3"], [], index.info))
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from auricle.core.console import listed, number_of
from auricle.core.errors import AuricleError, nearest
from auricle.data.stores.embeddings import LostDescriptionError
from auricle.data.stores.shards import DamagedShardError
from auricle.index.database import SoundIndex, Span
from auricle.index.search.duplicates import THRESHOLD, near_duplicates
from auricle.index.search.examples import HALF, OverlappingSpans, embed_example, embedder_of
from auricle.index.search.nearest import NearestSpans
from auricle.index.search.query import Example, LabelCondition, SearchQuery, SoundExample, SpanExample
from auricle.index.search.relevance import (
    AUTO,
    LINEAR,
    METHODS,
    NEAREST,
    Direction,
    background_rows,
    choose_method,
    linear,
    nearest_scores,
    rocchio,
)
from auricle.index.search.results import Match, SearchResults
from auricle.index.search.span_filter import SpanFilter
from auricle.index.search.unit_vectors import UnitVectors
from auricle.inference.tag_results import Tag

if TYPE_CHECKING:
    from auricle.inference.embedder import Embedder

TAGS = 3  # labels of a match that are shown
FEW = 1000  # spans that are taken out of an answer; more are taken out of what is searched
PER_PLACE = 4  # spans that are looked at first for each that is wanted: neighbours overlap
T = TypeVar("T")


@dataclass(frozen=True)
class SearchSettings:
    """How to search.

    Attributes:
        top_k: number of matches; of groups, for duplicates.
        where: the spans that are searched.
        method: "auto", "nearest" (to any example), "rocchio" (to the mean of the examples) or "linear" (a classifier).
        min_score: matches with a lower similarity or score are left out; None: none are.
        approximate: with FAISS, which may miss some.
        overlapping: also spans of which a better one has half; duplicates also within one recording.
        near: similarity from which on two spans are near duplicates.
        label: what the examples are: matches get this label, and their similarity from 0 on as its score; "" for none.
    """

    top_k: int = 20
    where: SpanFilter = field(default_factory=SpanFilter)
    method: str = AUTO
    min_score: float | None = None
    approximate: bool = False
    overlapping: bool = False
    near: float = THRESHOLD
    label: str = ""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise AuricleError(f"method is one of {', '.join(METHODS)}, not '{self.method}'")
        if self.top_k < 1:
            raise AuricleError(f"top_k is a number of at least 1, not {self.top_k}")


class DirectionSearch(Protocol):
    """Finds the spans with the largest products with directions: exactly (``NearestSpans``) or approximately."""

    def search_units(
        self, units: np.ndarray, top_k: int = 10, allowed_ids: Any = None
    ) -> tuple[np.ndarray, np.ndarray]: ...


class IndexSearch:
    """A search session: the vectors and the model are opened when they are first needed. Threads may share it.

    Args:
        index: the index.
        embedder: returns the session that embeds sounds, made with the model of the index (``embedder_of``); None: it is
            loaded as the index names it.

    Example:
        search = IndexSearch(SoundIndex.open("INDEX"))
        for match in search(SearchQuery(like=(SpanExample(12),))):
            print(match.span.path, match.span.start, match.similarity)
    """

    def __init__(self, index: SoundIndex, embedder: Callable[[], Embedder] | None = None):
        self.index = index
        self._make_embedder = embedder or (lambda: embedder_of(index))
        self._embedder: Embedder | None = None
        self._opened: dict[str, tuple[int, Any]] = {}  # with the count of changes of the index at that time
        self._lock = threading.Lock()

    def __call__(self, query: SearchQuery, settings: SearchSettings | None = None) -> SearchResults:
        """Return the spans that a query finds, the best first.

        Raises:
            AuricleError: for an example that cannot be read or is not in the index, an index made with another model, an
                empty index, and a missing extra.
        """
        try:
            return self._found(query, settings or SearchSettings())
        except (DamagedShardError, LostDescriptionError) as error:
            raise AuricleError(
                f"vectors of the index cannot be read ({error}); run 'auricle index' with its recordings again: what is lost is "
                "read anew"
            ) from None

    def _found(self, query: SearchQuery, settings: SearchSettings) -> SearchResults:
        size = self._size()
        if not size:
            raise AuricleError(f"the index {self.index.folder} holds no spans; add recordings with 'auricle index'")
        if query.duplicates:
            return self._duplicates(query, settings)
        notes: list[str] = []
        inside = self.index.span_ids(settings.where) if settings.where or query.labels else None
        searched = size if inside is None else len(inside)
        allowed = inside if inside is None else self._allowed(inside, query.labels, notes)
        if query.like:
            method, matches = self._by_example(query, settings, allowed, notes)
        else:
            method, matches = "", self._by_label(query.labels, settings, allowed)
        notes += self._remarks(settings, matches, searched)
        info = self.index.info
        scored = query.labels and not (query.like and settings.label)
        model = f"{info.model}@{info.fingerprint}" if scored else ""
        return SearchResults(str(query), method, tuple(self._with_tags(matches)), searched, model, tuple(notes))

    # ---- which spans may be found
    def _allowed(self, allowed: np.ndarray, labels: Sequence[LabelCondition], notes: list[str]) -> np.ndarray:
        """Those of the ids of spans that the labels leave, in rising order."""
        for condition in labels:
            bound = condition.score
            if condition.is_lower_bound and 0 < bound < self.index.info.min_score:
                notes.append(
                    f"this index keeps scores of at least {self.index.info.min_score:g}: '{condition}' means that"
                )
            scored = self.index.spans_by_score(condition.label, bound)
            if condition.is_lower_bound:
                ids = [id for id, score in scored if condition.holds(score)]
                allowed = np.intersect1d(allowed, np.array(ids, np.int64))
            else:
                ids = [id for id, score in scored if not condition.holds(score)]
                allowed = np.setdiff1d(allowed, np.array(ids, np.int64))
        return allowed

    def _by_label(
        self, labels: Sequence[LabelCondition], settings: SearchSettings, allowed: np.ndarray | None
    ) -> list[Match]:
        """Matches by the score of the first label that is wanted; without one, in the order of the index."""
        assert allowed is not None
        first = next((condition for condition in labels if condition.is_lower_bound), None)
        if first is None:
            return [Match(span) for span, _ in self._places(_prefixes(allowed, np.zeros(len(allowed))), settings)]
        scored = self.index.spans_by_score(first.label, first.score)
        ids = np.array([id for id, _ in scored], np.int64)
        scores = np.array([score for _, score in scored])
        left = np.isin(ids, allowed)
        found = self._places(_prefixes(ids[left], scores[left]), settings)
        return [Match(span, label=first.label, score=score) for span, score in found]

    # ---- by example
    def _by_example(
        self, query: SearchQuery, settings: SearchSettings, allowed: np.ndarray | None, notes: list[str]
    ) -> tuple[str, list[Match]]:
        exact = self.nearest()
        like, own = self._units(query.like, exact, notes)
        unlike, refused = self._units(query.unlike, exact, notes)
        method = settings.method if settings.method != AUTO else choose_method(len(query.like), len(query.unlike))
        if method == NEAREST and len(like) > len(query.like):
            notes.append(f"the examples have {len(like)} windows; a span counts by the nearest of them")
        excluded = np.union1d(own, refused)
        if len(excluded) > FEW:
            allowed = np.setdiff1d(self.index.span_ids() if allowed is None else allowed, excluded)
        engine: DirectionSearch = self.approximate() if settings.approximate else exact
        if method == NEAREST:
            ranked = partial(_nearest_to_any, engine, exact, like, unlike, allowed)
        else:
            background = exact.units.rows(background_rows(len(exact)))
            direction = linear(like, unlike, background) if method == LINEAR else rocchio(like, unlike)
            ranked = partial(_along, engine, direction, allowed)
        found = self._places(ranked, settings, set(excluded.tolist()))
        matches = [Match(span, score) for span, score in found]
        if settings.label:
            return method, [replace(m, label=settings.label, score=_from_zero(m.similarity)) for m in matches]
        label = next((condition.label for condition in query.labels if condition.is_lower_bound), "")
        if not label:
            return method, matches
        scores = self.index.scores(match.span.id for match in matches)
        return method, [replace(match, label=label, score=scores[match.span.id].get(label)) for match in matches]

    def _places(
        self, ranked: Ranked, settings: SearchSettings, left_out: AbstractSet[int] = frozenset()
    ) -> list[tuple[Span, float]]:
        """The best spans with their scores; of spans that overlap by half and more, the best one."""
        count = PER_PLACE * settings.top_k + min(len(left_out), FEW)
        while True:
            ids, scores = ranked(count)
            pairs = [(id, score) for id, score in zip(ids.tolist(), scores.tolist()) if id not in left_out]
            if settings.min_score is not None:
                pairs = [pair for pair in pairs if pair[1] >= settings.min_score]
            spans = {span.id: span for span in self.index.spans(id for id, _ in pairs)}
            chosen: list[tuple[Span, float]] = []
            taken: dict[str, list[Span]] = defaultdict(list)
            for id, score in pairs:
                span = spans.get(id)  # None: removed meanwhile
                if span is None or (not settings.overlapping and any(_overlap(span, s) for s in taken[span.path])):
                    continue
                taken[span.path].append(span)
                chosen.append((span, score))
                if len(chosen) == settings.top_k:
                    return chosen
            if len(ids) < count:
                return chosen
            count *= 4

    def _units(
        self, examples: Sequence[Example], exact: NearestSpans, notes: list[str]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Unit vectors (n, D + 1) of examples, and the ids of the spans of the index that they are."""
        vectors, own = [np.zeros((0, self.index.info.dim), np.float32)], list[int]()
        numbers = [example.id for example in examples if isinstance(example, SpanExample)]
        if numbers:
            ids, found = self.index.vectors(numbers)
            missing = [f"#{id}" for id in numbers if id not in set(ids.tolist())]
            if missing:
                raise AuricleError(f"the index has no span {listed(missing)}; ids are printed by 'auricle search'")
            vectors.append(found)
            for span in self.index.spans(numbers):
                own += self.index.span_ids(OverlappingSpans(SoundExample(span.path, span.start, span.end))).tolist()
        for example in examples:
            if isinstance(example, SoundExample):
                vectors.append(embed_example(example, self.index.info, self.embedder(), notes))
                own += self.index.span_ids(OverlappingSpans(example)).tolist()
        units = exact.units.of(np.concatenate(vectors)) if len(examples) else np.zeros((0, 1), np.float32)
        return units, np.unique(np.array(own, np.int64))

    # ---- near duplicates
    def _duplicates(self, query: SearchQuery, settings: SearchSettings) -> SearchResults:
        """Groups of spans that are nearly the same, the largest first; of different recordings unless overlaps count too."""
        exact = self.nearest()
        ids, units = exact.ids, exact.units
        if settings.where:
            rows = exact.rows_of(self.index.span_ids(settings.where))
            scales = None if units.scales is None else units.scales[rows]
            ids, units = ids[rows], UnitVectors(units.values[rows], scales, units.centre)
        recordings = None
        if not settings.overlapping:
            path_of = {span.id: span.path for span in self.index.spans()}
            paths = [path_of.get(id, "") for id in ids.tolist()]
            recordings = np.unique(paths, return_inverse=True)[1] if paths else np.zeros(0, np.int64)
        groups = near_duplicates(ids, units, settings.near, recordings=recordings)
        matches: list[Match] = []
        for number, group in enumerate(groups[: settings.top_k], 1):
            similarities = dict(zip(group.ids, group.similarities))
            spans = self.index.spans(group.ids)
            if not settings.overlapping:
                spans = [s for i, s in enumerate(spans) if not any(_overlap(s, other) for other in spans[:i])]
            matches += [Match(span, similarities[span.id], group=number) for span in spans]
        notes = self._remarks(settings, matches, len(ids))
        if len(groups) > settings.top_k:
            notes.append(f"there are {len(groups)} groups; --top-k shows {settings.top_k}, the largest")
        return SearchResults(str(query), "", tuple(self._with_tags(matches)), len(ids), notes=tuple(notes))

    # ---- what is opened once
    def embedder(self) -> Embedder:
        """Return the session that embeds sounds."""
        with self._lock:
            if self._embedder is None:
                self._embedder = self._make_embedder()
            return self._embedder

    def _size(self) -> int:
        """The number of spans, which takes a look at each."""
        return self._present("size", lambda: len(self.index))

    def nearest(self) -> NearestSpans:
        """Return exact search over the present vectors of the index."""
        return self._present("nearest", lambda: NearestSpans.of_index(self.index))

    def approximate(self) -> DirectionSearch:
        """Return approximate search over the present vectors of the index. Raises MissingExtra without FAISS."""
        from auricle.index.search.approximate import ApproximateSpans

        return self._present("approximate", lambda: ApproximateSpans.of_index(self.index))

    def _present(self, name: str, make: Callable[[], T]) -> T:
        """Return what was made of the index, made again when the index has changed."""
        with self._lock:
            changes = self.index.changes()
            if name not in self._opened or self._opened[name][0] != changes:
                self._opened[name] = changes, make()
            made: T = self._opened[name][1]
            return made

    # ---- what is said about matches
    def _with_tags(self, matches: Sequence[Match]) -> list[Match]:
        scores = self.index.scores(match.span.id for match in matches)
        return [
            replace(match, tags=tuple(Tag(*pair) for pair in list(scores[match.span.id].items())[:TAGS]))
            for match in matches
        ]

    def _remarks(self, settings: SearchSettings, matches: Sequence[Match], searched: int) -> list[str]:
        """What should be known about an answer: above all, why it is empty."""
        where, notes = settings.where, list[str]()
        if matches:
            return notes
        if searched or not where:
            return ["no span matches"] if searched else ["no span has such scores"]
        files = self.index.files()
        if (where.after or where.before) and not any(file.began for file in files):
            notes.append(
                "it is not known when any recording began, so --after and --before leave nothing; name the times in a table "
                "(auricle index --recorders)"
            )
        for flag, names, known in (
            ("recorder", where.recorders, {file.recorder for file in files}),
            ("place", where.places, {file.place for file in files}),
        ):
            known = {name for name in known if name}
            if names and not known:
                notes.append(f"the {flag} of no recording is known; name them in a table (auricle index --recorders)")
            elif names and not {name.lower() for name in names} & {name.lower() for name in known}:
                notes.append(f"there is no {flag} '{names[0]}'{nearest(names[0], sorted(known))}")
        return notes or [f"the filters leave none of {number_of(len(self.index), 'span')}"]


def _from_zero(similarity: float | None) -> float:
    return min(max(similarity or 0.0, 0.0), 1.0)


def _overlap(one: Span, other: Span) -> bool:
    """Return True if two spans are of one recording and have at least half of the shorter one in common."""
    if one.path != other.path:
        return False
    common = min(one.end, other.end) - max(one.start, other.start)
    return common >= HALF * min(one.end - one.start, other.end - other.start)


# ---- the best spans, as many as are asked for: ids (n,) and scores (n,); fewer where there are not more
Ranked = Callable[[int], tuple[np.ndarray, np.ndarray]]


def _prefixes(ids: np.ndarray, scores: np.ndarray) -> Ranked:
    return lambda count: (ids[:count], scores[:count])


def _along(
    engine: DirectionSearch, direction: Direction, allowed: np.ndarray | None, count: int
) -> tuple[np.ndarray, np.ndarray]:
    ids, products = (rows[0] for rows in engine.search_units(direction.unit[None], count, allowed))
    return ids[ids >= 0], direction.scores(products[ids >= 0])


def _nearest_to_any(
    engine: DirectionSearch,
    exact: NearestSpans,
    like: np.ndarray,
    unlike: np.ndarray,
    allowed: np.ndarray | None,
    count: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Rank by ``nearest_scores``.

    A score is never above the similarity to the nearest positive. Spans that no list of nearest ones holds are not more
    similar than the last of the lists, so the best are known when enough scores reach that; else the lists grow.
    """
    each = count
    while True:
        ids, similarities = engine.search_units(like, each, allowed)
        found = np.unique(ids[ids >= 0])
        if not len(found):
            return found, np.zeros(0)
        rows = exact.rows_of(found)
        numbers, scores = exact.ids[rows], nearest_scores(exact.units.rows(rows), like, unlike)
        order = np.lexsort((rows, -scores))[:count]
        whole = ids.shape[1] < each or each >= len(exact)  # the lists hold everything
        if whole or (len(order) == count and scores[order[-1]] >= similarities[:, -1].max() - 1e-6):
            return numbers[order], scores[order]
        each *= 4
