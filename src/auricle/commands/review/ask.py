"""Choose what is reviewed, and write the page that asks."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.commands.review.review import PAGE, QUEUE, ReviewConfig
from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.core.io import check_own, make_folder, write_text
from auricle.index.answers import read_answers
from auricle.reports.clip_pages.review_page import ReviewQuestions, review_page
from auricle.review.detections import read_detections
from auricle.review.queue import ReviewChoice, ReviewItem, choose, write_queue


@dataclass(frozen=True)
class AskedQuestions:
    """A page of questions; prints as text.

    Attributes:
        items: the questions, in the order in which they are asked.
        found: number of spans that they were chosen from.
        page, queue: the files written.
        failed: {recording: why it cannot be read}.
        notes: what should be known about the choice.
    """

    items: tuple[ReviewItem, ...]
    found: int
    page: Path
    queue: Path
    failed: dict[str, str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "items": [asdict(item) for item in self.items],
            "found": self.found,
            "page": str(self.page),
            "queue": str(self.queue),
            "failed": [{"file": file, "error": error} for file, error in self.failed.items()],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        rows = [f"{number_of(len(self.items), 'span')} to review, of {self.found:,} that were found"]
        counts = Counter(item.label for item in self.items).most_common()
        rows += [f"  {label}: {count}" for label, count in counts[:20]]
        rows += [f"  and {len(counts) - 20} more classes"] if len(counts) > 20 else []
        return "\n".join(rows)


def ask(config: ReviewConfig, *, quiet: bool = False) -> AskedQuestions:
    """Choose what is reviewed, and write the page and its queue.

    Args:
        config: the settings.
        quiet: no progress bar.

    Raises:
        AuricleError: for sources that cannot be read or hold nothing, for a folder that holds a page already, and where no
            recording can be read.
    """
    folder = _free_folder(config)
    found = read_detections(config.source, config.spans, config.ask)
    items = found.items
    choice = ReviewChoice(
        config.label, config.min_score, config.max_score, config.sample, config.strata, config.top_k, config.seed
    )
    chosen = choose(items, choice, read_answers(config.exclude))
    questions = ReviewQuestions(
        chosen,
        config.reviewer,
        config.goal.wanted_precision,
        config.bound,
        config.context,
        config.longest,
        f"auricle review answers.csv --target-precision {config.goal.wanted_precision:g} --out {shlex.quote(config.out)}",
    )
    page = review_page(questions, folder, link=config.link, quiet=quiet)
    make_folder(folder, "choose another --out")
    write_text(folder / PAGE, page.html)
    write_queue(folder / QUEUE, page.asked)
    failed = {item.path: error for item, error in page.failed.items()}
    notes = (*found.notes, *_notes(page.asked, config))
    return AskedQuestions(
        page.asked,
        sum(not config.label or item.label in config.label for item in items),
        folder / PAGE,
        folder / QUEUE,
        failed,
        notes,
    )


def _free_folder(config: ReviewConfig) -> Path:
    folder = Path(config.out)
    if folder.exists() and not folder.is_dir():
        raise AuricleError(f"--out {folder} is a file; expected a folder, which is made")
    if (folder / PAGE).exists() and not config.overwrite:
        raise AuricleError(
            f"{folder} holds a page already; choose another --out, or replace it with --overwrite (answers are kept in the "
            "browser, and in the answers.csv that you saved)"
        )
    check_own(folder, (QUEUE,), (PAGE,), "choose another --out, or rename the file")
    return folder


def _notes(items: Sequence[ReviewItem], config: ReviewConfig) -> list[str]:
    notes = []
    if config.top_k is not None:
        notes.append(
            "the spans with the highest scores are no fair sample: precision is that of these spans, and --sample gives that of all"
        )
    without = sum(item.score is None for item in items)
    if without:
        notes.append(f"{without} of {len(items)} spans have no score: they give labels, and no precision by score")
    return notes
