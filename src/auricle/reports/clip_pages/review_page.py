"""A page that asks a person whether detections are right: one HTML file with sounds and pictures that loads nothing else.

The answers stay in the browser (localStorage) until they are saved as ``answers.csv``, the table that ``auricle review`` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from auricle.core.console import number_of, progress_bar, short_names
from auricle.core.errors import AuricleError, first_line
from auricle.inference.decisions.thresholds import FEW_POSITIVES
from auricle.reports.clip_pages.clip_page import ClipMedia, check_size, clip_document, clip_media
from auricle.reports.drawing.html import text
from auricle.review.precision import BOUNDS, CAUTIOUS, LEAST_ANSWERS
from auricle.review.queue import ReviewItem


@dataclass(frozen=True)
class ReviewQuestions:
    """What a page asks.

    Attributes:
        items: the questions in their order.
        reviewer: name that the page starts with.
        wanted: precision that the page looks for a threshold for.
        bound: what must reach it (``precision.BOUNDS``).
        context: seconds that are heard before and after a span.
        longest: seconds of a span from its start that are heard.
        command: what to do with the answers.
    """

    items: Sequence[ReviewItem]
    reviewer: str = ""
    wanted: float = 0.9
    bound: str = CAUTIOUS
    context: float = 1.0
    longest: float = 15.0
    command: str = "auricle review answers.csv"


@dataclass(frozen=True)
class ReviewPage:
    """A page, and the items that are not on it: {item: why its recording cannot be read}."""

    html: str
    asked: tuple[ReviewItem, ...]
    failed: dict[ReviewItem, str]


def review_page(questions: ReviewQuestions, folder: Path, *, link: bool = False, quiet: bool = True) -> ReviewPage:
    """Return the page.

    Args:
        questions: what is asked.
        folder: where the page will stand.
        link: sounds are links to the recordings, relative to ``folder``, in place of data.
        quiet: no progress bar.

    Raises:
        AuricleError: none of the recordings can be read, or the page would be too large for a browser.
    """
    asked, media, windows = list[ReviewItem](), list[ClipMedia](), list[tuple[float, float | None]]()
    failed: dict[ReviewItem, str] = {}
    for item in progress_bar(questions.items, what="read", unit="clip", quiet=quiet):
        window = _heard(item, questions)
        try:
            media.append(clip_media(item.path, *window, folder, link=link))
        except AuricleError as error:
            failed[item] = first_line(error)
            continue
        asked.append(item)
        windows.append(window)
    if not asked:
        reason = next(iter(failed.values()), "nothing to review")
        raise AuricleError(f"none of the recordings can be read: {reason}")
    check_size(media, "use --link, a smaller --sample, or a shorter --longest")
    names = short_names([item.path for item in asked])
    clips = [_clip(item, name, window, its, questions) for item, name, window, its in zip(asked, names, windows, media)]
    what = json.dumps([(item.path, item.start, item.end, item.label, item.probability) for item in asked])
    labels = sorted({item.label for item in asked})
    store = {
        "key": hashlib.sha256(what.encode()).hexdigest()[:16],
        "reviewer": questions.reviewer,
        "wanted": questions.wanted,
        "caution": BOUNDS[questions.bound],
        "least": [LEAST_ANSWERS, FEW_POSITIVES],
        "names": labels,
        "command": questions.command,
        "link": link,
        "clips": clips,
    }
    models = sorted({item.model.partition("@")[0] for item in asked} - {""})
    kicker = text(" · ".join([*(Path(model).name for model in models), "Auricle"]))
    title = f"{number_of(len(asked), 'clip')} to review" + (f": {labels[0]}" if len(labels) == 1 else "")
    html = clip_document(title, "review_page", {"kicker": kicker}, store, link=link)
    return ReviewPage(html, tuple(asked), failed)


def _heard(item: ReviewItem, questions: ReviewQuestions) -> tuple[float, float | None]:
    """Return the seconds of a recording that are heard: the span, or its beginning, with its surroundings."""
    if item.start is None or item.end is None:
        return 0.0, questions.longest
    end = min(item.end, item.start + questions.longest)
    return max(0.0, item.start - questions.context), end + questions.context


def _clip(
    item: ReviewItem, name: str, window: tuple[float, float | None], its: ClipMedia, questions: ReviewQuestions
) -> dict[str, object]:
    notes, mark = [], None
    if item.start is not None and item.end is not None:
        first, end = item.start - window[0], min(item.end - window[0], its.seconds)
        mark = [first / its.seconds, end / its.seconds]
        if item.end - item.start > questions.longest:
            notes.append(f"The first {questions.longest:g} of {item.end - item.start:.0f} s.")
    elif its.seconds >= questions.longest:
        notes.append(f"The first {questions.longest:g} s of the recording.")
    if item.probability is not None:
        notes.append(f"Drawn at random, 1 in {1 / item.probability:.3g} with such a score.")
    return {
        "path": item.path,
        "name": name,
        "start": item.start,
        "end": item.end,
        "from": window[0],
        "seconds": its.seconds,
        "mark": mark,
        "label": item.label,
        "score": item.score,
        "model": item.model,
        "probability": item.probability,
        "note": "".join(f"{note} " for note in notes),
        "sound": its.sound,
        "picture": its.picture,
    }
