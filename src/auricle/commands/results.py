"""``auricle results``: every score measured here, filtered and compared; ``auricle report``: the page of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.keep_scores import store_path, writable_store
from auricle.core.errors import AuricleError
from auricle.core.options import argument, option

if TYPE_CHECKING:
    from auricle.evaluation.compare import Comparison
    from auricle.evaluation.results import Result


# ---- auricle report


@dataclass(frozen=True)
class ReportConfig:
    """Which runs, and where the page goes."""

    runs: tuple[str, ...] = argument("run folder; more than one: compared with the first", many=True)
    out: str | None = option(None, "file to write (default: report.html in the first run)")
    reference: tuple[str, ...] = option((), "an original's log.txt, drawn as a dashed reference curve")


@dataclass(frozen=True)
class ReportResult:
    """The page and its size in bytes."""

    report: Path
    size: int


def report(config: ReportConfig) -> ReportResult:
    """Write the page. Raises AuricleError for a folder that is no run, or a reference that is not an original's log."""
    from auricle.reports.page import build_report

    first, *others = (Path(run) for run in config.runs)
    references = [Path(file) for file in config.reference]
    page = build_report(first, others, references=references, out=Path(config.out) if config.out else None)
    return ReportResult(page, page.stat().st_size)


# ---- auricle results

STORED = {"linear": "logistic", "fewshot": "-shot"}  # names of auricle evaluate that the rows do not contain
LISTED = 8


@dataclass(frozen=True)
class ResultsConfig:
    """Which rows of which store."""

    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)")
    model: str = option("", "only models whose name or path contains this text")
    task: str = option("", "only tasks whose name contains this text, or whose fingerprint starts with it")
    protocol: str = option("", "only protocols whose name contains this text, or linear, knn, fewshot")
    baselines: bool = option(True, "show the baselines too")
    candidates: bool = option(False, "show the heads too that auricle finetune tried and did not keep")
    last: int | None = option(None, "only the last so many rows; none: all", special={"none": None}, old={0: None})

    def __post_init__(self) -> None:
        if self.last == 0:  # the first edition's value for "all"
            object.__setattr__(self, "last", None)
        if self.last is not None and self.last < 1:
            raise AuricleError(f"--last must be at least 1, or none for all rows; got {self.last}")

    @property
    def filters(self) -> str:
        """The filters as they are typed: "--task birds --no-baselines"; "" for none."""
        typed = [f"--{name} {value}" for name in ("model", "task", "protocol") if (value := getattr(self, name))]
        return " ".join(typed + ([] if self.baselines else ["--no-baselines"]))


@dataclass(frozen=True)
class ResultsFound:
    """The rows that match, oldest first, and rows that could not be read, in words."""

    rows: tuple[Result, ...]
    problems: tuple[str, ...]


def results(config: ResultsConfig) -> ResultsFound:
    """Return the rows that match. Raises AuricleError for a named store that is not there, or cannot be read."""
    from auricle.evaluation.results import ResultsStore

    path = store_path(config.store)
    if config.store and not path.exists():
        raise AuricleError(f"there is no results store {path}")
    store = ResultsStore(path)
    protocol = STORED.get(config.protocol, config.protocol)
    filters = {"model": config.model, "task": config.task, "protocol": protocol}
    rows = store.select(**filters, baselines=config.baselines, candidates=config.candidates)[-(config.last or 0) :]
    return ResultsFound(tuple(rows), tuple(store.notes))


def nothing_found(config: ResultsConfig) -> str:
    """Return why there are no rows: none at all, or none that match, and which models, tasks and protocols there are."""
    path = store_path(config.store)
    rows = results(ResultsConfig(store=config.store)).rows
    if not rows:
        return f"no results yet in {path}: 'auricle evaluate' adds them"
    present = "; ".join(_names_in(rows, name) for name in ("task", "model", "protocol"))
    return f"nothing matches {config.filters}: none of the {len(rows)} results in {path}. There are {present}"


def _names_in(rows: Sequence[Result], name: str) -> str:
    """ "tasks esc10, digits"."""
    names = list(dict.fromkeys(getattr(row, name) for row in rows if name != "model" or row.role == "model"))
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"the {name}{'s' * (len(names) != 1)} {', '.join(names[-LISTED:]) or '–'}{more}"


def compare_results(config: ResultsConfig, a: str, b: str) -> tuple[list[Comparison], list[str]]:
    """Compare two models (names, paths or row ids) over the rows that match.

    Returns:
        The comparisons, and why others of one name cannot be made.

    Raises:
        AuricleError: Nothing can be compared.
    """
    from auricle.evaluation.compare import compare, compare_all
    from auricle.evaluation.results import saved_evaluation

    rows = results(config).rows
    if not rows:
        raise AuricleError(nothing_found(config))
    path = store_path(config.store)
    comparisons, refused = compare_all(rows, a, b, lambda row: saved_evaluation(path, row.work))
    return comparisons or compare(rows, a, b), refused


def add_results(files: Sequence[str], store: str | None) -> tuple[int, list[str]]:
    """Add saved evaluations (``auricle evaluate --out``) to the store.

    Returns:
        The number of evaluations, and what could not be read, in words.

    Raises:
        AuricleError: The store cannot be written.
    """
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.results import record

    target, note = writable_store(store)
    evaluations, problems = [], [note] if note else []
    for file in files:
        try:
            evaluations.append(Evaluation.load(Path(file)))
        except AuricleError as error:
            problems.append(str(error))
    for evaluation in evaluations:
        record(evaluation, target)
    return len(evaluations), problems
