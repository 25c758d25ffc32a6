"""``auricle search``: the spans of an index that are like examples, or have scores; as text, tables, label tracks and a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.console import listed, short_names
from auricle.core.errors import AuricleError, nearest
from auricle.core.io import dumps, make_folder, short_name, write_text
from auricle.core.options import (
    argument,
    check_choices,
    check_ranges,
    names_of,
    option,
    option_arguments,
    paths_as_text,
)
from auricle.index.search.duplicates import THRESHOLD
from auricle.index.search.relevance import AUTO, METHODS
from auricle.index.search.results import SearchResults
from auricle.index.search.span_filter import SpanFilter, read_moment
from auricle.inference.events import SUFFIXES, WRITERS

if TYPE_CHECKING:
    from auricle.index.database import SoundIndex
    from auricle.index.search.find import SearchSettings
    from auricle.index.search.query import SearchQuery
    from auricle.models.base import Encoder

FORMATS = ("table", "json", "csv", *WRITERS)


@dataclass(frozen=True)
class SearchConfig:
    """Where is searched, for what, among which spans, and what is written."""

    index: str = argument("the index: a folder of 'auricle index'")
    query: tuple[str, ...] = argument(
        "a sound file, FILE@START-END (seconds), '#SPAN', 'label:NAME > SCORE', or duplicates", many=True
    )
    unlike: tuple[str, ...] = option((), "sounds and spans that are not meant")
    top_k: int = option(20, "number of spans to find; of groups, for duplicates")
    after: str | None = option(
        None,
        "only from this date (2024-06-01), time (2024-06-01T05:30) or time of day (22:00) on",
        special={"none": None},
    )
    before: str | None = option(None, "only before this date, time or time of day", special={"none": None})
    recorder: tuple[str, ...] = option((), "only of these recorders; * and ? are wildcards")
    place: tuple[str, ...] = option((), "only of these places; * and ? are wildcards")
    path: tuple[str, ...] = option((), "only of recordings with such a path, or end of a path: 'pond/*.wav'")
    min_score: float | None = option(
        None,
        "leave out spans with a lower similarity, or score of a label; none: leave out none",
        special={"none": None},
    )
    method: str = option(
        AUTO, "compare with the nearest example, the mean of the examples, or a classifier", choices=METHODS
    )
    near: float = option(THRESHOLD, "similarity (0 to 1) from which on spans are duplicates")
    approximate: bool = option(False, "faster in millions of spans, and may miss some; needs the [search] extra")
    overlapping: bool = option(
        False, "find also spans that overlap a better one by half, and duplicates within a recording", advanced=True
    )
    label: str = option("", "what the examples are: a name for what is found, so that auricle review can ask about it")
    format: str = option("table", "form of the answer", choices=FORMATS)
    out: str | None = option(
        None, "file for the answer; of label tracks a folder; none: print it", special={"none": None}
    )
    page: str | None = option(None, "page with players and spectrograms to write (.html)", special={"none": None})
    link: bool = option(False, "the page plays the recordings where they are, in place of holding the sound")
    overwrite: bool = option(False, "replace what --out and --page name")
    model: str = option("", "where the model of the index is now, if not where the index says", advanced=True)
    weights: str | None = option(None, "local weight file of a published name", advanced=True)
    device: str = option("auto", "cpu, cuda, cuda:1, or auto: the first GPU if there is one", advanced=True)
    workers: int = option(2, "threads that decode the examples", advanced=True)

    def __post_init__(self) -> None:
        for name in ("query", "unlike", "recorder", "place", "path"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
            object.__setattr__(self, name, value)
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("top_k", "workers"), 1)
        check_ranges(self, ("min_score",), -1, 1)
        check_ranges(self, ("near",), 0, 1)
        if self.page is not None and Path(self.page).suffix.lower() not in (".html", ".htm"):
            raise AuricleError(f"--page {self.page}: expected a name that ends in .html")


@dataclass(frozen=True)
class SearchOutcome:
    """What a search found, its answer as text where no file was asked for, and what was written (None: nothing)."""

    results: SearchResults
    text: str = ""
    out: Path | None = None
    page: Path | None = None


def search(
    index: str | Path,
    query: str | Path | Sequence[str | Path],
    *,
    model: str | Path | Encoder = "",
    unlike: str | Path | Sequence[str | Path] = (),
    top_k: int = 20,
    page: str | Path | None = None,
    **settings: Any,
) -> SearchResults:
    """Find spans of an index.

    Args:
        index: a folder of ``auricle index``.
        query: a sound file, "FILE@START-END" (seconds), "#SPAN", "label:NAME > SCORE", or "duplicates"; or a list. Several
            examples count together; labels choose among what is like them.
        model: the model of the index, where it cannot be loaded by the name that the index has.
        unlike: sounds and spans that are not meant.
        top_k: number of spans; of groups, for duplicates.
        page: an HTML file with players and spectrograms to write.
        settings: options of ``auricle search --help all`` by name, such as ``after="22:00"`` or ``place="pond"``.

    Returns:
        SearchResults: the matches, the best first, with span, similarity, score and labels; prints as a table.

    Raises:
        AuricleError: for a folder that is no index, an example that cannot be read, an unknown label or setting.

    Example:
        for match in auricle.search("INDEX", "a.wav", top_k=5):
            print(match.span.path, match.span.start, match.similarity)
    """
    from auricle.models.base import Encoder

    named = "" if isinstance(model, Encoder) else str(model)
    config = SearchConfig(str(index), query, unlike=unlike, top_k=top_k, page=page, model=named)  # type: ignore[arg-type]
    for name in settings.keys() - names_of(config):
        raise AuricleError(f"there is no setting '{name}'{nearest(name, tuple(sorted(names_of(config))))}")
    config = replace(config, **settings)
    return search_index(config, model if isinstance(model, Encoder) else None).results


def search_index(config: SearchConfig, encoder: Encoder | None = None) -> SearchOutcome:
    """Search, and write what was asked for.

    Args:
        config: the settings.
        encoder: in place of ``config.model``.

    Raises:
        AuricleError: as ``search``.
    """
    from auricle.index.database import SoundIndex
    from auricle.index.search.examples import embedder_of
    from auricle.index.search.find import IndexSearch
    from auricle.index.search.query import read_query

    index = SoundIndex.open(config.index)
    query = read_query(config.query, config.unlike, index.info)
    settings = _settings(config)
    _check_targets(config, query)
    search = IndexSearch(
        index,
        lambda: embedder_of(
            index, encoder or config.model, config.weights or "", device=config.device, workers=config.workers
        ),
    )
    results = search(query, settings)
    nyquist = index.info.sample_rate / 2
    text = answer_text(config.format, results, nyquist) if config.out is None else ""
    if config.page is not None:
        results = _write_page(config, index, query, results)
    if config.out is not None:
        _write_answer(config, Path(config.out), results, nyquist)
    paths = (None if name is None else Path(name) for name in (config.out, config.page))
    return SearchOutcome(results, text, *paths)


def _settings(config: SearchConfig) -> SearchSettings:
    from auricle.index.search.find import SearchSettings

    where = SpanFilter(
        after=None if config.after is None else read_moment(config.after, "--after"),
        before=None if config.before is None else read_moment(config.before, "--before"),
        recorders=config.recorder,
        places=config.place,
        paths=config.path,
    )
    named = {item.name for item in fields(SearchSettings)} - {"where"}
    return SearchSettings(where=where, **{name: getattr(config, name) for name in named})


def _check_targets(config: SearchConfig, query: SearchQuery) -> None:
    """Make the folders that are written into.

    Raises:
        AuricleError: for a file that exists, the same file twice, an example and a file of the index, before anything is computed.
    """
    from auricle.index.search.query import SoundExample

    index = Path(config.index).resolve()
    if config.out is not None and config.page is not None and Path(config.out).resolve() == Path(config.page).resolve():
        raise AuricleError(f"--out and --page both name {config.out}; give the page another name")
    examples = {Path(one.path).resolve() for one in (*query.like, *query.unlike) if isinstance(one, SoundExample)}
    for flag, name in (("--out", config.out), ("--page", config.page)):
        if name is not None and Path(name).resolve() in examples:
            raise AuricleError(f"{flag} {name} is an example, which is never replaced; choose another {flag}")
        if name is not None and index in (Path(name).resolve(), *Path(name).resolve().parents):
            raise AuricleError(f"{flag} {name} lies in the folder of the index; choose another {flag}")
    for flag, name in (("--out", config.out), ("--page", config.page)):
        if name is None:
            continue
        path, is_track = Path(name), flag == "--out" and config.format in WRITERS
        if is_track and path.exists() and not path.is_dir():
            raise AuricleError(f"--out {name} is a file; label tracks need a folder, which is made")
        if not is_track and path.is_dir():
            raise AuricleError(f"{flag} {name} is a folder; name a file")
        if not is_track and path.exists() and not config.overwrite:
            raise AuricleError(f"{flag} {name} exists; choose another name, or replace it with --overwrite")
        make_folder(path if is_track else path.parent, f"choose another {flag}")


def _write_answer(config: SearchConfig, out: Path, results: SearchResults, nyquist: float) -> None:
    if config.format not in WRITERS:
        write_text(out, answer_text(config.format, results, nyquist))
        return
    tracks = results.tracks()
    for name, events in zip(short_names(list(tracks)), tracks.values()):
        target = out / Path(name).parent / short_name(Path(name).name, SUFFIXES[config.format])
        write_text(target, WRITERS[config.format](events, nyquist))


def answer_text(form: str, results: SearchResults, nyquist: float) -> str:
    """Return what is found in one of ``FORMATS``, ending with a line break.

    Args:
        form: "table", "json", "csv" or a label track.
        results: what was found.
        nyquist: half the sample rate in hertz, for the height of selections.

    Raises:
        AuricleError: for a label track of several recordings, which is several files.
    """
    if form == "json":
        return dumps(results.to_json(), indent=1) + "\n"
    if form == "csv":
        return results.csv()
    if form == "table":
        return f"{results}\n"
    tracks = results.tracks()
    if len(tracks) > 1:
        raise AuricleError(
            f"the spans are in {len(tracks)} recordings ({listed([Path(path).name for path in tracks])}), and a label track "
            "belongs to one: write them into a folder with --out FOLDER"
        )
    return "".join(WRITERS[form](events, nyquist) for events in tracks.values())


def _write_page(config: SearchConfig, index: SoundIndex, query: SearchQuery, results: SearchResults) -> SearchResults:
    """Write the page; return the results with a note about each recording that cannot be read."""
    from auricle.frontends.base import front_end
    from auricle.index.search.query import SoundExample, SpanExample
    from auricle.reports.clip_pages.search_page import NextSearch, PageExample, search_page

    assert config.page is not None
    examples: list[PageExample] = []
    for example in query.like:
        if isinstance(example, SoundExample) and Path(example.path).is_file():
            examples.append(PageExample(Path(example.path).name, example.path, example.start, example.end))
        elif isinstance(example, SpanExample):
            for span in index.spans([example.id]):
                examples.append(PageExample(f"#{span.id} {Path(span.path).name}", span.path, span.start, span.end))
    base = SearchConfig(config.index, config.query)
    options = option_arguments(replace(config, unlike=(), out=None, format="table", overwrite=True), base)
    then = NextSearch(config.index, config.query, config.unlike, options)
    folder, front = Path(config.page).absolute().parent, front_end(index.info.front_end)
    page, failed = search_page(results, examples, then, folder, link=config.link, front=front)
    write_text(Path(config.page), page)
    return replace(results, notes=(*results.notes, *failed))
