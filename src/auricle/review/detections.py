"""Read detections: results of ``auricle tag``, ``search`` and ``suggest`` in all their formats, queues, and spans of an index.

items, notes = read_detections(["night/"])                          the folder of ``auricle tag --out night``
items, notes = read_detections(["INDEX", "label:Dog bark > 0.5"])   spans of an index
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from auricle.core.console import number_of
from auricle.core.errors import AuricleError, content_fault
from auricle.data.manifest.tables import TABLES, place_of_row, read_table
from auricle.index.answers import is_answers
from auricle.index.database import SoundIndex
from auricle.index.search.query import LABEL, read_labels
from auricle.inference.tag_results import FileTags
from auricle.review.queue import ReviewItem, absolute

EVENTS, WINDOWS = "events", "windows"
KINDS = ("auto", EVENTS, WINDOWS)
TAG_LINES, TAG_SETTINGS = "tags.jsonl", "settings.json"  # in the folder of ``auricle tag --out``
PATHS, LABELS = ("path", "file"), ("label", "suggested_label")  # columns
NO_INDEX = (
    "a query such as 'label:Dog bark > 0.5' needs an index before it: auricle review INDEX 'label:Dog bark > 0.5'"
)


@dataclass
class Detections:
    """Detected spans, and notes about how they were read."""

    items: list[ReviewItem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_detections(sources: Sequence[str | os.PathLike], kind: str = "auto", ask: str | None = None) -> Detections:
    """Read detections.

    Args:
        sources: files (JSON, JSONL or tables), folders of ``auricle tag --out``, and indexes, each perhaps with queries
            behind it.
        kind: of results with events and windows: "events", "windows", or "auto": events where there are some.
        ask: the class to ask about in every span, also in those without a label; None: each span's own. Scores of other classes
            are left out.

    Returns:
        Detections: items without selection (``queue.choose``).

    Raises:
        AuricleError: for a source that holds nothing of this kind, with its name.
    """
    detections, index = Detections(), None
    queries: dict[Path, list[str]] = {}
    for source in (os.fspath(source) for source in sources):
        if source.startswith(LABEL):
            if index is None:
                raise AuricleError(NO_INDEX)
            queries[index].append(source)
            continue
        path = Path(source)
        if path.is_dir() and SoundIndex.is_index(path):
            index = path
            queries.setdefault(path, [])
        else:
            _read(path, kind, ask, detections)
    for path, asked in queries.items():
        detections.items += _of_index(SoundIndex.open(path), asked, kind)
    if ask is not None:
        detections.items = [
            item if item.label == ask else replace(item, label=ask, score=None) for item in detections.items
        ]
    return detections


def _read(path: Path, kind: str, ask: str | None, detections: Detections) -> None:
    if path.is_dir():
        if not (path / TAG_LINES).is_file():
            raise AuricleError(
                f"{path} holds neither an index nor {TAG_LINES}; expected results of 'auricle tag --out', of 'auricle search' "
                "or 'auricle suggest', or an index"
            )
        path = path / TAG_LINES
    if not path.is_file():
        raise AuricleError(
            f"{path} does not exist; expected results of 'auricle tag', 'search' or 'suggest', or an index"
        )
    if path.suffix.lower() == ".json":
        detections.items += _of_json(path, kind, ask)
    elif path.name == TAG_LINES or (path.suffix.lower() == ".jsonl" and _first_has(path, "tags")):
        detections.items += _of_lines(path, kind)
    elif path.suffix.lower() in TABLES:
        detections.items += _of_table(path, ask, detections.notes)
    else:
        raise AuricleError(
            f"{path} is none of {', '.join(TABLES)}; expected results of 'auricle tag', 'search' or 'suggest'"
        )


# ---- results of ``auricle tag``
def _of_lines(path: Path, kind: str) -> Iterator[ReviewItem]:
    """The lines of tags.jsonl; one that was cut short, and those of failed recordings, are left out."""
    model = _model_of(path.parent)
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                result = FileTags.from_json(json.loads(line))
            except Exception:  # any value may have any type
                continue
            yield from _of_result(result, model, kind, path.parent)


def _model_of(folder: Path) -> str:
    """Return "NAME@FINGERPRINT" of the folder of ``auricle tag --out``; "" where it is not known."""
    try:
        settings = json.loads((folder / TAG_SETTINGS).read_text(encoding="utf-8"))
        return model_id(settings["model"], settings["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def model_id(name: str, fingerprint: str) -> str:
    """Return how queues and answers name a model."""
    return f"{name}@{fingerprint}" if fingerprint else name


def _of_result(result: FileTags, model: str, kind: str, folder: Path) -> Iterator[ReviewItem]:
    path = absolute(result.file, folder)
    for head, part in result.by_head().items():
        before = f"{head}: " if head else ""
        if part.events is not None and kind != WINDOWS:
            for event in part.events:
                yield ReviewItem(path, event.start, event.end, before + event.label, _score(event.score), model)
        elif part.windows:
            for window in part.windows:
                for tag in window.tags:
                    yield ReviewItem(path, window.start, window.end, before + tag.label, _score(tag.score), model)
        else:
            for tag in part.tags:
                yield ReviewItem(path, None, None, before + tag.label, _score(tag.score), model)


def _score(value: float) -> float:
    return min(max(float(value), 0.0), 1.0)


# ---- JSON
def _of_json(path: Path, kind: str, ask: str | None) -> Iterator[ReviewItem]:
    """What ``--json`` of tag, search and suggest prints."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and "results" in values:
            for line in values["results"]:
                yield from _of_result(FileTags.from_json(line), str(values.get("model", "")), kind, path.parent)
            return
        rows = next(values[name] for name in ("matches", "suggestions") if name in values)
    except (StopIteration, TypeError, AttributeError):
        raise AuricleError(
            f"{path} holds no results; expected what 'auricle tag --json', 'search --json' or 'suggest --json' prints"
        ) from None
    except AuricleError:
        raise
    except Exception as error:
        raise AuricleError(f"{path} cannot be read ({content_fault(error)})") from None
    model = str(values.get("model", "")) if isinstance(values, dict) else ""
    yield from _of_rows(enumerate(rows), path, model, ask, [])


def _first_has(path: Path, name: str) -> bool:
    """Return True if the first line of a file is a JSON object with that name in it."""
    with path.open(encoding="utf-8", errors="replace") as file:
        try:
            return name in json.loads(file.readline())
        except (ValueError, TypeError, RecursionError):
            return False


# ---- tables
def _of_table(path: Path, ask: str | None, notes: list[str]) -> Iterator[ReviewItem]:
    rows = ({name.strip().lower(): cell for name, cell in row.items()} for row in read_table(path))
    first = next(rows, None)
    if first is None:
        return
    _check_columns(first, path)
    if "reason" in first:
        notes.append(
            f"{path.name}: suggestions are clips of which the model is unsure; rates of them are not those of all recordings"
        )
    yield from _of_rows(enumerate(chain([first], rows)), path, "", ask, notes)


def _of_rows(
    rows: Iterable[tuple[int, Any]], path: Path, model: str, ask: str | None, notes: list[str]
) -> Iterator[ReviewItem]:
    """Yield the items of numbered rows. Raises AuricleError where no row has a label and none is asked about."""
    count = without = 0
    for number, row in rows:
        item = _of_row(row, path, number, model, ask)
        count, without = count + 1, without + (item is None)
        if item is not None:
            yield item
    if without and without == count:
        raise AuricleError(f"{path}: its spans have no label; say what to ask about, such as --ask 'Dog bark'")
    if without:
        notes.append(f"{path.name}: {number_of(without, 'span')} without a label left out; --ask CLASS asks about them")


def _check_columns(row: Mapping[str, Any], path: Path) -> None:
    if is_answers(row):
        raise AuricleError(
            f"{path} holds answers, the other files do not; give tables of answers alone, or detections alone"
        )
    for names, what in ((PATHS, "recording"), (LABELS, "label")):
        if not set(names) & row.keys():
            raise AuricleError(
                f"{path} has no column for the {what} ({' or '.join(names)}); expected a table of 'auricle tag --csv', "
                "'search --out' or 'suggest'"
            )


def _of_row(row: Any, path: Path, number: int, model: str, ask: str | None) -> ReviewItem | None:
    """Return the item of a row of any of the tables; ``ask`` stands for a label that it lacks. None without either."""
    if not isinstance(row, Mapping):
        raise AuricleError(f"{path.name} entry {number + 1} is no mapping; expected path, start, end and label")
    label = _text(row, LABELS) or ask
    if not label:
        return None
    try:
        start, end, score, probability = (_number(row, name) for name in ("start", "end", "score", "probability"))
        if "reason" in row:  # a table of suggestions: most of them are not drawn
            probability = None
        recording = absolute(_text(row, PATHS), path.parent) if _text(row, PATHS) else ""
        return ReviewItem(recording, start, end, label, score, _text(row, ("model",)) or model, probability)
    except AuricleError as error:
        where = place_of_row(path, number) if path.suffix.lower() != ".json" else f"{path.name} entry {number + 1}"
        raise AuricleError(f"{where}: {error}") from None


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((str(row[name]).strip() for name in names if row.get(name) is not None), "")


def _number(row: Mapping[str, Any], name: str) -> float | None:
    cell = row.get(name)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        return float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        raise AuricleError(f"'{cell}' in the column {name} is no number") from None


# ---- an index
def _of_index(index: SoundIndex, queries: Sequence[str], kind: str) -> Iterator[ReviewItem]:
    if queries:
        for query in queries:
            yield from _of_query(index, query)
    elif kind == WINDOWS:
        for label in index.info.labels:
            yield from scored_spans(index, label, index.info.min_score)
    else:
        yield from indexed_events(index)


def _of_query(index: SoundIndex, query: str) -> Iterator[ReviewItem]:
    """The spans for which all conditions of a query hold; the class of the first one is asked about."""
    first, *others = read_labels(query.removeprefix(LABEL), index.info)
    least = first.score if first.is_lower_bound else index.info.min_score
    found = [(id, score) for id, score in index.spans_by_score(first.label, least) if first.holds(score)]
    if others:
        scores = index.scores([id for id, _ in found])
        found = [(id, score) for id, score in found if all(c.holds(scores[id].get(c.label, 0.0)) for c in others)]
    yield from _items(index, first.label, found)


def scored_spans(index: SoundIndex, label: str, least: float, most: float = 1.0) -> Iterator[ReviewItem]:
    """Yield the spans of an index whose score of a class lies from ``least`` to ``most``, the highest first."""
    label = index.info.labels[index.info.label_number(label)]
    yield from _items(index, label, index.spans_by_score(label, least, most))


def _items(index: SoundIndex, label: str, found: Sequence[tuple[int, float]]) -> Iterator[ReviewItem]:
    spans = {span.id: span for span in index.spans([id for id, _ in found])}
    model = model_id(index.info.model, index.info.fingerprint)
    for id, score in found:
        span = spans.get(id)
        if span is not None:  # not removed meanwhile
            yield ReviewItem(span.path, span.start, span.end, label, _score(score), model)


def indexed_events(index: SoundIndex, label: str | None = None) -> Iterator[ReviewItem]:
    """Yield the events of an index, of one class or of all."""
    wanted = None if label is None else index.info.labels[index.info.label_number(label)]
    model = model_id(index.info.model, index.info.fingerprint)
    for event in index.events():
        if wanted in (None, event.label):
            yield ReviewItem(event.path, event.start, event.end, event.label, _score(event.score), model)
