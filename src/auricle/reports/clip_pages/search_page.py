"""A page of what a search found: one HTML file with sounds and pictures, whose marks make the next search."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.console import number_of, short_names
from auricle.core.errors import AudioError
from auricle.index.database import Span
from auricle.index.search.relevance import LINEAR, NEAREST, ROCCHIO
from auricle.index.search.results import Match, SearchResults
from auricle.reports.clip_pages.clip_page import ClipMedia, check_size, clip_document, clip_media
from auricle.reports.drawing.html import text

if TYPE_CHECKING:
    from auricle.frontends.base import FrontEnd

HOW = {
    NEAREST: "by their similarity to the nearest example",
    ROCCHIO: "by their similarity to the mean of the examples",
    LINEAR: "by a classifier that learnt from the examples",
}
MEASURES = {LINEAR: "probability"}
LONGEST_EXAMPLE = 30.0  # seconds of an example that the page plays


@dataclass(frozen=True)
class PageExample:
    """A sound that was asked for, as the user wrote it, and where it is: seconds, None for its beginning and its end."""

    name: str
    path: str
    start: float | None = None
    end: float | None = None


@dataclass(frozen=True)
class NextSearch:
    """What the page makes the next command of.

    Attributes:
        index: the folder, as the user wrote it.
        like, unlike: the queries, as the user wrote them.
        options: of the command line.
    """

    index: str
    like: Sequence[str] = ()
    unlike: Sequence[str] = ()
    options: Sequence[str] = ()


def search_page(
    results: SearchResults,
    examples: Sequence[PageExample],
    then: NextSearch,
    folder: Path,
    *,
    link: bool = False,
    front: FrontEnd | None = None,
) -> tuple[str, list[str]]:
    """Return the document, and the reasons why recordings could not be read; those are left out.

    Args:
        results: what was found.
        examples: the sounds that were asked for; they come first.
        then: what the next command is made of.
        folder: where the page will stand.
        link: sounds are links to the recordings, relative to ``folder``, in place of data.
        front: draws the pictures: that of the index's model.

    Raises:
        AuricleError: the page would be too large for a browser.
    """
    clips: list[dict[str, object]] = []
    media: list[ClipMedia] = []
    failed: list[str] = []
    names = short_names([match.span.path for match in results])
    shown = [_example(example) for example in examples]
    measure = MEASURES.get(results.method, "similarity")
    shown += [_match(match, number, name, measure) for number, (match, name) in enumerate(zip(results, names), 1)]
    for values in shown:
        start, end = values["start"], values["end"]
        assert start is None or isinstance(start, float)
        assert end is None or isinstance(end, float)
        last = LONGEST_EXAMPLE + (start or 0.0) if values["example"] else None
        end = end if last is None else min(last, end or last)
        try:
            its = clip_media(str(values["path"]), start, end, folder, link=link, front=front)
        except AudioError as error:
            failed.append(str(error))
            continue
        media.append(its)
        clips.append({**values, "seconds": its.seconds, "sound": its.sound, "picture": its.picture})
    check_size(media, "use --link or a smaller --top-k")
    title = f"{number_of(len(results), 'span')} {results.query}"
    spans = json.dumps([clip["span"] for clip in clips])
    store = {
        "key": hashlib.sha256(f"{then.index} {results.query} {spans}".encode()).hexdigest()[:16],
        "link": link,
        "command": shlex.join(["auricle", "search", then.index]),
        "like": list(map(shlex.quote, then.like)),
        "unlike": list(map(shlex.quote, then.unlike)),
        "options": list(map(shlex.quote, then.options)),
        "clips": clips,
    }
    items = "".join(f"<li>{text(note)}</li>" for note in (*results.notes, *failed))
    notes = f'<ul class="warnings">{items}</ul>' if items else ""
    how = f", {HOW[results.method]}" if results.method else ""
    summary = f"of {number_of(results.searched, 'span')} that were searched{how}."
    facts = {"index": text(then.index), "summary": text(summary[0].upper() + summary[1:]), "notes": notes}
    return clip_document(title, "search_page", facts, store, link=link), failed


def _example(example: PageExample) -> dict[str, object]:
    return {
        "example": True,
        "title": "Example:",
        "name": example.name,
        "path": example.path,
        "start": example.start,
        "end": example.end,
        "span": None,
        "value": None,
        "measure": "",
        "facts": [],
    }


def _match(match: Match, number: int, name: str, measure: str) -> dict[str, object]:
    span, by_label = match.span, match.similarity is None
    facts = [match.tag_text(), _where(span, match)]
    return {
        "example": False,
        "title": f"{number}." if match.group is None else f"{number}. Group {match.group}:",
        "name": name,
        "path": span.path,
        "start": span.start,
        "end": span.end,
        "span": span.id,
        "value": match.score if by_label else match.similarity,
        "measure": match.label if by_label else measure,
        "facts": [fact for fact in facts if fact],
    }


def _where(span: Span, match: Match) -> str:
    time = "" if match.time is None else f"{match.time:%Y-%m-%d %H:%M:%S}"
    places = dict.fromkeys(part for part in (span.place, span.recorder) if part)
    return " · ".join(part for part in (f"#{span.id}", time, *places) if part)
