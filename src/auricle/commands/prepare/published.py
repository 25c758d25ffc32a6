"""``auricle prepare DATASET``: the official folder of a published data set, as a manifest with its splits and folds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import POOL_PAYS_FILES, FileJob, executor_option, shard_option
from auricle.core.options import argument, check_choices, check_ranges, option

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.manifest.summary import ManifestSummary
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.recordings import MeasuredRecording, Recorder, Recording, WaveformFormat

MISSING = "it is listed, but the file is not there"


@dataclass(frozen=True)
class PublishedConfig(FileJob):
    """Which data set to prepare, and how."""

    dataset: str = argument("name of the data set")
    source: str = argument("its folder, laid out as published")
    out: str = option(help="folder to write; an unfinished one is continued")
    cache: bool = option(
        False, "keep every recording as mono samples (WAV) at --sample-rate, so that training decodes nothing"
    )
    sample_rate: int = option(32000, "rate of the kept recordings in hertz: that of the model")
    bits: int = option(32, "bits of a kept sample: 32 (float), or 16 for half the size (rounding error at most 2^-16)")
    resampler: str = option(
        "soxr", "filter that brings recordings to --sample-rate: soxr, or sinc for MAE-AST", choices=("soxr", "sinc")
    )
    hdf5: bool = option(
        False, "AudioSet in folders of mp3: copy them into the HDF5 files that EfficientAT reads, and train from these"
    )
    hdf5_names: str = option(
        "segments",
        "how these files are spelt: as EfficientAT's program has it, or as its read-me",
        choices=("segments", "segmenets"),
        advanced=True,
    )
    workers: int | None = option(None, "processes, or auto: one per core", special={"auto": None})
    executor: str = executor_option(POOL_PAYS_FILES)
    shard: str | None = shard_option("The same command without --shard then writes what concerns all of them")
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("workers",), 0)
        check_ranges(self, ("sample_rate",), 1000, 384000)
        if self.cache and self.hdf5:
            raise AuricleError("--cache and --hdf5 are two ways to keep recordings; choose one")
        if self.bits not in (16, 32):
            raise AuricleError(f"--bits is 16 or 32, not {self.bits}")
        _ = self.corpus  # checks it


@dataclass(frozen=True)
class DatasetsConfig:
    """Which data sets to describe."""

    names: tuple[str, ...] = argument("names of data sets (default: all)", default=(), many=True)


@dataclass(frozen=True)
class PublishedResult:
    """Recordings read now (``done``) and before (``skipped``), clips that are missing or cannot be used and why, seconds of work;
    the data set, what was understood of its folder with notes about it, and damaged files of ``out`` that were written anew."""

    out: Path
    dataset: str
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    source: ManifestSummary | None = None
    restored: tuple[str, ...] = ()


def prepare_published(config: PublishedConfig, *, on_read: Callable[[Manifest], None] | None = None) -> PublishedResult:
    """Write ``manifest.csv``, ``prepare.json``, ``failed.csv`` and, with ``cache``, ``waveforms/*.wav`` into the folder.

    ``on_read`` is called with the manifest of the data set before the work begins. With ``shard`` the recordings of a share are
    read; the same call without it takes what was read, and writes the tables.

    Raises:
        AuricleError: The data set is unknown, its folder is laid out in another way, ``out`` was made with other settings,
            or no recording can be used.
    """
    from auricle.commands.prepare.prepare import claim, write_failed
    from auricle.data.manifest.formats import write_manifest
    from auricle.data.manifest.summary import summarise
    from auricle.data.published.base import read_published
    from auricle.data.published.table import published_dataset
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.recordings import WAVEFORMS, find_measured, recordings_of, waveform_keys, with_measurements

    started, out = time.monotonic(), Path(config.out)
    dataset = published_dataset(config.dataset)
    if config.hdf5 and dataset.pack is None:
        raise AuricleError(f"{dataset.title} is not written as HDF5; --cache keeps its recordings as samples")
    clips = read_published(dataset, config.source)
    manifest = clips.manifest
    share = config.corpus.share
    restored = claim(out, settings_of(config), share)
    if config.cache:
        restored += claim(out / WAVEFORMS, format_settings(config), share, within=out)
    if on_read is not None:
        on_read(manifest)
    recorder = recorder_of(manifest, config)
    recordings = recordings_of(manifest)
    tasks = list(zip(recordings, waveform_keys(recordings)))
    if share is not None:
        tasks = [task for task in tasks if share.holds(task[0].name)]
    before = find_measured(recorder, tasks)
    try:
        results = list(_record(recorder, [task for task in tasks if task[0].name not in before], config))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; finished recordings are kept: run the same command again to go on") from None
    broken = [result for result in results if isinstance(result, ConversionFailure)]
    measured = before | {r.recording: r for r in results if not isinstance(r, ConversionFailure)}
    failed = (*(ConversionFailure(id, path, f"{path}: {MISSING}") for id, path in clips.missing), *broken)
    done, seconds = len(results) - len(broken), time.monotonic() - started
    if share is not None:
        return PublishedResult(
            out, config.dataset, done, len(before), tuple(broken), seconds, manifest.notes, None, restored
        )
    write_failed(out / "failed.csv", failed)
    if not measured:
        raise AuricleError(f"none of {len(recordings):,} recordings can be used; the first: {broken[0].error}")
    usable = with_measurements(manifest, measured, out)
    if config.hdf5 and dataset.pack is not None:
        usable = dataset.pack(usable, out, config.hdf5_names)
    write_manifest(replace(usable, notes=()), out / "manifest.csv")
    seconds = time.monotonic() - started
    return PublishedResult(
        out, config.dataset, done, len(before), failed, seconds, manifest.notes, summarise(usable), restored
    )


def recorder_of(manifest: Manifest, config: PublishedConfig) -> Recorder:
    """Return what reads the recordings of a manifest; it holds no clips, so that it is small to send."""
    from auricle.data.stores.base import open_store
    from auricle.data.stores.journal import Journal
    from auricle.data.stores.recordings import Recorder

    store: Any = open_store(manifest, "audio")
    return Recorder(
        replace(store, manifest=replace(manifest, clips=())),
        manifest.root,
        Path(config.out),
        Journal(Path(config.out), config.corpus.share),
        format_of(config),
    )


def format_of(config: PublishedConfig) -> WaveformFormat | None:
    from auricle.data.stores.recordings import WaveformFormat

    return WaveformFormat(config.sample_rate, config.bits, config.resampler) if config.cache else None  # type: ignore[arg-type]


def settings_of(config: PublishedConfig) -> dict[str, Any]:
    """Return everything that decides which clips are in the manifest."""
    return {"dataset": config.dataset, "source": str(Path(config.source).resolve())}


def format_settings(config: PublishedConfig) -> dict[str, Any]:
    """Return everything that decides the values of the kept waveforms."""
    return {"sample_rate": config.sample_rate, "bits": config.bits, "resampler": config.resampler}


def _record(
    recorder: Recorder, tasks: list[tuple[Recording, str]], config: PublishedConfig
) -> Iterable[MeasuredRecording | ConversionFailure]:
    from auricle.core.console import progress_bar
    from auricle.data.stores.recordings import lost_measurement

    results = config.corpus.map(recorder, tasks, lost_measurement)
    what = "keeping recordings" if config.cache else "reading lengths"
    return progress_bar(results, total=len(tasks), what=what, quiet=config.quiet or not tasks)
