"""``auricle report``: write the report of a run again, or one page that compares several runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auricle.core.options import argument, option


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
