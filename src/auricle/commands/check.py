"""``auricle check``: what is wrong with recordings and their labels, as a page, tables and a cleaned manifest.

Every clip is decoded once, in worker processes; pairs that may hold the same sound are decoded again and compared.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import argument, check_ranges, names_of, option, paths_as_text

if TYPE_CHECKING:
    from auricle.data.checks.cleaned import CleanedManifest
    from auricle.data.checks.findings import Finding
    from auricle.data.checks.matches import SharedSound
    from auricle.data.checks.measures import ClipMeasurer, ClipMeasures
    from auricle.data.checks.report import CheckReport
    from auricle.data.checks.shared_sound import Copies
    from auricle.data.manifest.manifest import Manifest

PAGE, FINDINGS, CLIPS, JSON = "report.html", "findings.csv", "clips.csv", "check.json"  # in the output folder

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class CheckConfig:
    """Which recordings and labels are checked, and what is written."""

    source: tuple[str, ...] = argument("audio files, folders or tables", many=True)
    labels: str | None = option(None, "table of labels, folds and groups, joined to the clips by id or file name")
    label_column: str | None = option(None, "column that holds the labels (default: the one named label, labels, …)")
    group_column: str | None = option(None, "column that holds speaker, patient or site")
    classes: str | None = option(None, "file with the class names in order (default: the labels)")
    out: str | None = option(
        None, f"folder for {PAGE}, {FINDINGS} and {CLIPS}; an unfinished check is continued", special={"none": None}
    )
    clean: str | None = option(
        None,
        "manifest to write (CSV, Parquet) without unusable clips and with one of each sound",
        special={"none": None},
    )
    duplicates: bool = option(True, "look for clips with the same sound in another form")
    overwrite: bool = option(False, "replace the manifest of --clean; never the table that is checked")
    workers: int | None = option(None, "processes, or auto: one per core", special={"auto": None})

    def __post_init__(self) -> None:
        one = isinstance(self.source, (str, os.PathLike))
        object.__setattr__(self, "source", (self.source,) if one else tuple(self.source))
        paths_as_text(self)
        check_ranges(self, ("workers",), 1)
        if len(self.source) > 1 and (self.labels or self.label_column or self.group_column):
            raise AuricleError(
                f"--labels, --label-column and --group-column go with one folder or table, not with {len(self.source)}; "
                "check them one by one, or write one table"
            )


def check(
    source: str | Path | Sequence[str | Path] | Manifest,
    *,
    labels: str | Path | None = None,
    out: str | Path | None = None,
    clean: str | Path | None = None,
    quiet: bool = True,
    **settings: Any,
) -> CheckReport:
    """Find what is wrong with recordings and their labels before anything is learnt from them.

    Args:
        source: A folder, a table, a file, a list of them, or a Manifest.
        labels: A table that is joined to the clips by id or file name.
        out: Folder for the page ``report.html`` and the tables ``findings.csv`` and ``clips.csv``; None: nothing is written.
        clean: Manifest to write without the clips that cannot be used and with one clip of each sound; None: none.
        quiet: No progress bar.
        settings: Options of ``auricle check --help`` by name, such as ``workers=2`` or ``duplicates=False``.

    Returns:
        The findings, each with its name, severity, clips and what to do, and counts of classes, rates and lengths.

    Raises:
        AuricleError: The source cannot be read, a setting is unknown, or ``out`` or ``clean`` cannot be written.

    Example:
        report = auricle.check("sounds")
        for finding in report.findings:
            print(finding.severity, finding.name, len(finding.clips))
    """
    from auricle.data.manifest.manifest import Manifest

    manifest = source if isinstance(source, Manifest) else None
    named: Any = () if manifest is not None else source
    config = CheckConfig(named, labels=labels, out=out, clean=clean)  # type: ignore[arg-type]
    for name in settings.keys() - names_of(config):
        raise AuricleError(f"there is no setting '{name}'{nearest(name, tuple(sorted(names_of(config))))}")
    if manifest is not None and (labels is not None or {"label_column", "group_column", "classes"} & settings.keys()):
        raise AuricleError("a Manifest has its labels already: give labels, columns and classes to Manifest.read")
    return check_clips(replace(config, **settings), manifest, quiet=quiet)


def check_clips(config: CheckConfig, manifest: Manifest | None = None, *, quiet: bool = False) -> CheckReport:
    """Check the clips of ``config.source``, or of a manifest in its place, and write what ``config`` asks for.

    Raises:
        AuricleError: As ``check``.
    """
    from auricle.data.checks.clip_faults import is_usable
    from auricle.data.checks.label_faults import class_counts
    from auricle.data.checks.report import CheckReport
    from auricle.data.checks.shared_sound import copies_of
    from auricle.data.manifest.summary import summarise

    manifest = _read(config) if manifest is None else manifest
    _check_target(config, manifest)
    measurer = _measurer(config, manifest)
    with _continued(config):
        measures = _measure(manifest, measurer, config, quiet)
        shared = _compare(manifest, measures, measurer, config, quiet) if config.duplicates else []
    copies = copies_of(measures, shared)
    usable = [clip for clip in measures if is_usable(clip)]
    report = CheckReport(
        summary=str(summarise(manifest)),
        clips=len(manifest),
        usable=len(usable),
        seconds=sum(clip.seconds for clip in usable),
        findings=_findings(manifest, measures, copies),
        classes=class_counts(manifest),
        rates=dict(Counter(clip.rate for clip in usable).most_common()),
        lengths=_lengths(usable),
        failed={clip.id: clip.message for clip in measures if clip.fault},
        notes=manifest.notes_but_leaks(),
    )
    if config.clean is not None:
        report = _write_cleaned(report, config, manifest, measures, copies)
    return report if config.out is None else _write(report, Path(config.out), manifest, measures)


# ---- what is checked, and where results go


def _read(config: CheckConfig) -> Manifest:
    """Read the source. Notes are in the manifest; they are not issued as warnings too."""
    import warnings

    from auricle.data.manifest.formats import read_manifest
    from auricle.data.manifest.labels import read_class_list
    from auricle.data.manifest.manifest import ManifestWarning
    from auricle.inference.coercion import as_manifest, is_archive

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        if len(config.source) == 1 and not is_archive(config.source[0]):
            return read_manifest(
                config.source[0],
                labels=config.labels,
                label_column=config.label_column,
                group_column=config.group_column,
                classes=config.classes,
            )
        manifest = as_manifest(list(config.source))
    return replace(manifest, classes=read_class_list(config.classes)) if config.classes else manifest


def _check_target(config: CheckConfig, manifest: Manifest) -> None:
    """Raise AuricleError, before anything is measured, for clips without sound and for places that cannot be written."""
    from auricle.core.io import check_folder, check_own, make_folder
    from auricle.data.checks.measures import JOURNAL
    from auricle.data.manifest.tables import check_table

    silent = next((clip.id for clip in manifest if clip.path is None and not clip.in_archive), None)
    if silent is not None:
        raise AuricleError(
            f"the manifest has no recording of '{silent}', only a stored spectrogram; check the recordings that it was made of"
        )
    if config.clean is not None:
        target = Path(config.clean)
        check_table(target)
        sources = [Path(name) for name in (*config.source, config.labels) if name]
        tables = [path / "manifest.csv" if path.is_dir() else path for path in sources]
        if any(target.resolve() == table.resolve() for table in tables):
            raise AuricleError(
                f"--clean {target} is the table that is checked; it is never replaced: choose another name"
            )
        if target.exists() and not config.overwrite:
            raise AuricleError(f"--clean {target} exists already; choose another name, or replace it with --overwrite")
        check_folder(target.parent, "choose another --clean")
    if config.out is not None:
        if Path(config.out).exists() and not Path(config.out).is_dir():
            raise AuricleError(f"--out {config.out} is a file; expected a folder, which is made")
        check_own(
            Path(config.out), (PAGE, FINDINGS, CLIPS, JSON), (JOURNAL,), "choose another --out, or rename the file"
        )
        make_folder(Path(config.out), "choose another --out")


def _measurer(config: CheckConfig, manifest: Manifest) -> ClipMeasurer:
    """What measures a clip. It is sent to other processes, so its store does not hold the rows of the manifest."""
    from auricle.data.checks.measures import JOURNAL, ClipMeasurer
    from auricle.data.stores.base import ClipStore, StoredAudio, open_store

    rootless = replace(manifest, clips=(), notes=())
    opened: Any = open_store(manifest, "audio")
    store: ClipStore[StoredAudio] = replace(opened, manifest=rootless)
    return ClipMeasurer(store, manifest.root, None if config.out is None else Path(config.out) / JOURNAL)


@contextmanager
def _continued(config: CheckConfig) -> Iterator[None]:
    """Tell who stops a check what is kept."""
    try:
        yield
    except KeyboardInterrupt:
        kept = "clips that were measured are kept: run the same command again to go on" if config.out else ""
        raise KeyboardInterrupt(f"stopped; {kept or 'with --out, a check can be continued'}") from None


# ---- measuring


def _measure(manifest: Manifest, measurer: ClipMeasurer, config: CheckConfig, quiet: bool) -> list[ClipMeasures]:
    from auricle.data.checks.measures import measured_before

    done = measured_before(measurer, manifest)
    clips = [clip for clip in manifest if clip.id not in done]
    for measures in _in_processes(measurer, clips, config, "check", quiet):
        done[measures.id] = measures
    return [done[id] for id in manifest.ids]


def _compare(
    manifest: Manifest, measures: Sequence[ClipMeasures], measurer: ClipMeasurer, config: CheckConfig, quiet: bool
) -> list[SharedSound]:
    from auricle.data.checks.matches import compare
    from auricle.data.checks.shared_sound import candidate_tasks

    tasks = candidate_tasks(manifest, measures, measurer.store)
    return [shared for shared in _in_processes(compare, tasks, config, "compare", quiet) if shared is not None]


def _in_processes(
    function: Callable[[T], R], items: Sequence[T], config: CheckConfig, what: str, quiet: bool
) -> Iterable[R]:
    from auricle.core.console import progress_bar
    from auricle.core.parallel import num_processes, parallel_map

    results = parallel_map(function, items, num_processes(len(items), config.workers))
    return progress_bar(results, total=len(items), what=what, unit="clip" if what == "check" else "pair", quiet=quiet)


def _findings(manifest: Manifest, measures: Sequence[ClipMeasures], copies: Copies) -> tuple[Finding, ...]:
    from auricle.data.checks.clip_faults import clip_findings, corpus_findings
    from auricle.data.checks.findings import in_order
    from auricle.data.checks.label_faults import label_findings
    from auricle.data.checks.shared_sound import conflict_findings, copy_findings, leak_findings

    return in_order(
        chain(
            clip_findings(measures),
            corpus_findings(measures),
            label_findings(manifest),
            copy_findings(manifest, copies),
            leak_findings(manifest, copies),
            conflict_findings(manifest, copies),
        )
    )


def _lengths(clips: Sequence[ClipMeasures]) -> dict[str, float]:
    if not clips:
        return {}
    seconds = np.array([clip.seconds for clip in clips])
    values = {"shortest": seconds.min(), "median": np.median(seconds), "mean": seconds.mean(), "longest": seconds.max()}
    return {name: float(value) for name, value in values.items()}


# ---- what is written


def _write_cleaned(
    report: CheckReport, config: CheckConfig, manifest: Manifest, measures: Sequence[ClipMeasures], copies: Copies
) -> CheckReport:
    from auricle.data.checks.cleaned import cleaned
    from auricle.data.manifest.formats import write_manifest

    result: CleanedManifest = cleaned(manifest, measures, copies)
    if not len(result.manifest):
        note = f"no clip can be kept, so {config.clean} was not written"
        return replace(report, notes=(*report.notes, note))
    path = write_manifest(result.manifest, str(config.clean))
    left_out = {
        "cannot be used": result.unusable,
        "copies of clips that are kept": result.copies,
        "copies with different labels": result.conflicting,
    }
    return replace(report, cleaned=path, left_out=left_out)


def _write(report: CheckReport, folder: Path, manifest: Manifest, measures: Sequence[ClipMeasures]) -> CheckReport:
    """Write the page, the tables and the JSON."""
    from auricle.core.io import dumps, write_text
    from auricle.reports.check_page import check_page

    report = replace(report, page=folder / PAGE)
    _write_findings(folder / FINDINGS, report.findings, manifest)
    _write_clips(folder / CLIPS, measures)
    write_text(folder / JSON, dumps(report.to_json(), indent=1) + "\n")
    write_text(folder / PAGE, check_page(report, manifest, measures))
    return report


def _write_findings(path: Path, findings: Sequence[Finding], manifest: Manifest) -> None:
    from auricle.data.manifest.tables import text_file

    files = {id: path or f"{store}/{key}" for id, path, store, key in manifest.table.rows("id", "path", "store", "key")}
    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["finding", "severity", "group", "id", "path", "detail", "what_to_do"])
        for finding in findings:
            rows = zip(finding.clips, finding.groups or ("",) * len(finding.clips))
            for clip, group in rows:
                writer.writerow(
                    [finding.name, finding.severity, group, clip.id, files[clip.id], clip.detail, finding.advice]
                )
            if not finding.clips:
                writer.writerow([finding.name, finding.severity, "", "", "", finding.summary, finding.advice])


def _write_clips(path: Path, measures: Sequence[ClipMeasures]) -> None:
    from auricle.data.manifest.tables import text_file

    names = ("id", "fault", "rate", "channels", "samples", "seconds", "format")
    levels = ("peak", "rms", "offset", "clipped", "step", "zero_share")
    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, *levels, "channel_fault", "bandwidth"])
        for clip in measures:
            values = [getattr(clip, name) for name in names]
            numbers = [f"{getattr(clip.levels, name):.6g}" for name in levels]
            writer.writerow([*values, *numbers, clip.levels.channels, "" if clip.bandwidth is None else clip.bandwidth])
