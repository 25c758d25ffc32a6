"""``auricle results``: every score ever measured here, filtered and compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.options import option

if TYPE_CHECKING:
    from auricle.evaluation.compare import Comparison
    from auricle.evaluation.results import Result


@dataclass(frozen=True)
class ResultsConfig:
    """Which rows of which store."""

    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)")
    model: str = option("", "only models whose name contains this text")
    task: str = option("", "only tasks whose name contains this text")
    protocol: str = option("", "only protocols whose name contains this text")
    baselines: bool = option(True, "show the baselines too")
    last: int | None = option(None, "only the last so many rows; none: all", words={"none": None}, old={0: None})

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
    filters = {"model": config.model, "task": config.task, "protocol": config.protocol}
    return ResultsStore(path).select(**filters, baselines=config.baselines)[-(config.last or 0) :]


def compare_results(config: ResultsConfig, a: str, b: str) -> list[Comparison]:
    """Compare two models (names or row ids) over the rows that match."""
    from auricle.evaluation.compare import compare

    return compare(results(config), a, b)


def store_path(store: str | None) -> Path:
    """Return the named file, or results.sqlite in the cache folder."""
    from auricle.core.io import cache_dir

    return Path(store).expanduser() if store else cache_dir() / "results.sqlite"
