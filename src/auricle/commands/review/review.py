"""``auricle review``: detections or search results are answered by a person; the answers give precision, labels and thresholds.

Three things to do, by what is given:

- detections, search results or an index: a page of questions (``ask.py``);
- tables of answers: precision by score, thresholds, labels, agreement (``answers.py``);
- the run folder of a detector with ``--refit``: new thresholds from the scores that it keeps.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text
from auricle.metrics.threshold_goal import ThresholdGoal

if TYPE_CHECKING:
    from auricle.commands.review.answers import ReviewedAnswers
    from auricle.commands.review.ask import AskedQuestions
    from auricle.inference.decisions.calibration import Decisions

KINDS = ("auto", "events", "windows")  # ``review.detections.KINDS``, which needs more imports than --help has time for
BOUNDS = ("estimate", "cautious", "sure")  # ``review.precision.BOUNDS``
FORMATS = ("auto", "yes", "no")
PAGE, QUEUE = "review.html", "queue.csv"  # of questions, in the output folder


@dataclass(frozen=True)
class ReviewConfig:
    """What is reviewed and how it is asked, or which answers are read and what they are for."""

    source: tuple[str, ...] = argument(
        "detections (the folder or files of auricle tag, search or suggest), an index with or without a query such as 'label:Dog "
        "bark > 0.5', or tables of answers",
        many=True,
    )
    out: str = option("review", "folder for the page and the tables")
    label: tuple[str, ...] = option((), "ask about these classes and no others")
    ask: str | None = option(
        None, "ask about this class in every span, whatever was found in it", special={"none": None}
    )
    sample: int | None = option(
        100, "number of spans to draw, about equally many from each class and range of scores", special={"all": None}
    )
    strata: int = option(5, "number of equally wide ranges of scores; 1: every span has the same chance", advanced=True)
    top_k: int | None = option(
        None, "in place of a sample, this many spans with the highest scores", special={"none": None}
    )
    min_score: float = option(0.0, "ask about spans from this score on")
    max_score: float = option(1.0, "ask about spans up to this score", advanced=True)
    spans: str = option(
        "auto",
        "of results with events and windows, which to ask about; auto: events where there are some",
        choices=KINDS,
    )
    exclude: tuple[str, ...] = option((), "tables of answers; their questions are not asked again")
    reviewer: str = option("", "name of the reviewer, kept with the answers")
    context: float = option(1.0, "seconds that are heard before and after a span", advanced=True)
    longest: float = option(15.0, "seconds of a span that are heard at most", advanced=True)
    link: bool = option(False, "the page plays the recordings where they are, in place of holding the sound")
    overwrite: bool = option(False, "replace the page in --out")
    bound: str = option(
        "cautious",
        "what must reach the wanted precision: estimate: the share itself; cautious: half a standard deviation below it; sure: the "
        "lower end of its 95 % interval",
        choices=BOUNDS,
    )
    exclusive: str = option(
        "auto",
        "whether the classes exclude each other, for the table of labels; auto: as those of --update, else they do not",
        choices=FORMATS,
        advanced=True,
    )
    update: str | None = option(
        None, "run folder of a detector that gets the new thresholds of the reviewed classes", special={"none": None}
    )
    refit: bool = option(
        False,
        "source is the run folder of a detector: choose its thresholds again from the held-out scores that it keeps",
    )
    goal: ThresholdGoal = option(factory=ThresholdGoal, group="what thresholds are chosen for")
    seed: int = option(0, "seed of the sample", advanced=True)

    def __post_init__(self) -> None:
        for name in ("source", "label", "exclude"):
            value = getattr(self, name)
            value = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
            object.__setattr__(self, name, value)
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("sample", "top_k", "strata"), 1)
        check_ranges(self, ("min_score", "max_score"), 0, 1)
        check_ranges(self, ("context",), 0, 600)
        check_ranges(self, ("longest",), 0.1, 600)
        if not self.refit and self.goal.threshold_for in ("f1", "false-alarms"):
            raise AuricleError(
                f"--threshold-for {self.goal.threshold_for} needs clips that nobody detected, which a review does not have: give "
                "--target-precision, or --refit with the run folder of a detector"
            )
        if self.min_score > self.max_score:
            raise AuricleError(f"--min-score {self.min_score:g} is above --max-score {self.max_score:g}")
        if self.refit and self.update:
            raise AuricleError("--refit chooses thresholds from kept scores, --update from answers: give one of them")
        if self.refit and len(self.source) != 1:
            raise AuricleError(f"--refit needs the run folder of one detector, not {len(self.source)} sources")


def review(config: ReviewConfig, *, quiet: bool = False) -> AskedQuestions | ReviewedAnswers | Decisions:
    """Write the page of questions, read answers, or choose thresholds again, by what ``config.source`` names.

    Args:
        config: the settings.
        quiet: no progress bar.

    Returns:
        AskedQuestions for detections, ReviewedAnswers for tables of answers, Decisions with ``refit``.

    Raises:
        AuricleError: for sources that cannot be read or hold nothing, and settings that do not go together.
    """
    if config.refit:
        from auricle.review.thresholds import refit_thresholds

        return refit_thresholds(config.source[0], config.goal)
    if all(map(holds_answers, config.source)):
        from auricle.commands.review.answers import read_review

        return read_review(config)
    if config.update:
        raise AuricleError("--update needs answers: auricle review answers.csv --update DETECTOR")
    from auricle.commands.review.ask import ask

    return ask(config, quiet=quiet)


def holds_answers(source: str) -> bool:
    """Return True if a source is a table of answers. Raises AuricleError for a table that cannot be read."""
    from auricle.data.manifest.tables import TABLES, read_table
    from auricle.index.answers import is_answers

    path = Path(source)
    if path.suffix.lower() not in TABLES or path.suffix.lower() == ".json" or not path.is_file():
        return False
    first: dict[str, Any] | None = next((dict(row) for row in read_table(path)), None)
    return first is not None and is_answers(first)
