"""``auricle results``: every score measured here, filtered and compared; ``auricle report``: the page of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

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


STORED = {"linear": "logistic", "fewshot": "-shot"}  # names of auricle evaluate that the rows do not contain


@dataclass(frozen=True)
class ResultsConfig:
    """Which rows of which store."""

    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)")
    model: str = option("", "only models whose name contains this text")
    task: str = option("", "only tasks whose name contains this text")
    protocol: str = option("", "only protocols whose name contains this text, or linear, knn, fewshot")
    baselines: bool = option(True, "show the baselines too")
    last: int | None = option(None, "only the last so many rows; none: all", special={"none": None}, old={0: None})

    def __post_init__(self) -> None:
        if self.last == 0:  # the first edition's value for "all"
            object.__setattr__(self, "last", None)
        if self.last is not None and self.last < 1:
            raise AuricleError(f"--last must be at least 1, or none for all rows; got {self.last}")


def results(config: ResultsConfig) -> list[Result]:
    """Return the rows that match, oldest first. Raises AuricleError for a named store that is not there."""
    from auricle.evaluation.results import ResultsStore

    path = store_path(config.store)
    if config.store and not path.exists():
        raise AuricleError(f"there is no results store {path}")
    protocol = STORED.get(config.protocol, config.protocol)
    filters = {"model": config.model, "task": config.task, "protocol": protocol}
    return ResultsStore(path).select(**filters, baselines=config.baselines)[-(config.last or 0) :]


def compare_results(config: ResultsConfig, a: str, b: str) -> list[Comparison]:
    """Compare two models (names or row ids) over the rows that match."""
    from auricle.evaluation.compare import compare

    return compare(results(config), a, b)


def store_path(store: str | None) -> Path:
    """Return the named file, or results.sqlite in the cache folder."""
    from auricle.core.io import cache_dir

    return Path(store).expanduser() if store else cache_dir() / "results.sqlite"
