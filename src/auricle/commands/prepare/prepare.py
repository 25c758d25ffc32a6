"""``auricle prepare``: audio to a folder of log-mel files, manifest and statistics. Broken files do not stop the others."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import POOL_PAYS_FILES, CorpusShard, FileJob, executor_option, shard_option
from auricle.core.io import make_folder
from auricle.core.options import argument, check_ranges, option, paths_as_text
from auricle.data.stores.npy import HALF
from auricle.models.m2d.config import FRONT_ENDS

if TYPE_CHECKING:
    from auricle.commands.prepare.shards import ShardsConfig
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.manifest.summary import ManifestSummary
    from auricle.data.stores.conversion import ConversionFailure, ConversionTask, ConvertedClip


@dataclass(frozen=True)
class PrepareConfig(FileJob):
    """What to prepare, and how."""

    source: str = argument("audio folder, manifest (CSV, TSV, Parquet) or one audio file")
    out: str = option(help="folder to write; an unfinished one is continued")
    labels: str | None = option(None, "table of labels, folds and groups, joined to the clips by id or file name")
    label_column: str | None = option(None, "column that holds the labels (default: the one named label, labels, …)")
    group_column: str | None = option(None, "column that holds speaker, patient or site")
    classes: str | None = option(None, "file with the class names in order (default: the sorted labels of training)")
    sample_rate: int = option(16000, "rate of the log-mel front end in hertz: 16000 or 32000")
    min_seconds: float = option(0.0, "zero-pad shorter sound to this many seconds (the original M2D program: 6.1)")
    float16: bool = option(False, HALF)
    workers: int | None = option(None, "processes, or auto: one per core", special={"auto": None}, old={0: None})
    executor: str = executor_option(POOL_PAYS_FILES)
    shard: str | None = shard_option("The same command without --shard then writes what concerns all of them")
    strict: bool = option(
        False, "refuse files whose header does not declare the length of what is there (a recorder that stopped)"
    )
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        paths_as_text(self)
        if self.sample_rate not in FRONT_ENDS:
            raise AuricleError(
                f"the sample rate must be {' or '.join(map(str, FRONT_ENDS))} Hz, not {self.sample_rate}"
            )
        check_ranges(self, ("min_seconds", "workers"), 0)
        _ = self.corpus  # checks it


@dataclass(frozen=True)
class PrepareResult:
    """Clips finished now (``done``) and before (``skipped``), clips that failed and why, seconds of work; what was understood
    of the source, with notes about it; damaged files of the folder that were written anew (``restored``); and what is unusual
    about the files (``file_notes``)."""

    out: Path
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    source: ManifestSummary | None = None
    restored: tuple[str, ...] = ()
    file_notes: tuple[str, ...] = ()


def read_source(config: PrepareConfig | ShardsConfig) -> Manifest:
    """Read the clips and labels of a source. Raises AuricleError for one that is not there, or cannot be read."""
    from auricle.data.manifest.formats import read_manifest

    _check_source(config.source)
    return read_manifest(
        config.source,
        labels=config.labels,
        label_column=config.label_column,
        group_column=config.group_column,
        classes=config.classes,
    )


def _check_source(source: str) -> None:
    """Raise AuricleError for a name that is neither a published data set nor a file or folder here, such as esc5."""
    from auricle.data.published.table import DATASETS

    if os.path.lexists(source) or Path(source).name != source:
        return
    here = [entry.name for entry in os.scandir(".") if not entry.name.startswith(".")]
    near = get_close_matches(source, [*DATASETS, *here], n=1)
    raise AuricleError(
        f"'{source}' is no published data set and no folder, table or recording here"
        + (f"; did you mean {near[0]}?" if near else "")
        + " A folder holds recordings, with labels in folders named by class or in a table (--labels TABLE); 'auricle prepare "
        "datasets' lists the data sets"
    )


def prepare(config: PrepareConfig, *, on_read: Callable[[Manifest], None] | None = None) -> PrepareResult:
    """Write ``lms/*.npy``, ``manifest.csv``, ``statistics.json``, ``prepare.json`` and ``failed.csv`` into the folder.

    ``on_read`` is called with the manifest of the source before the work begins. With ``shard`` only the spectrograms of a share
    are written; the same call without it takes them, and writes the tables.

    Raises:
        AuricleError: The source cannot be read, the folder was made with other settings, or no clip could be prepared.
    """
    from auricle.data.manifest.summary import summarise
    from auricle.data.stores.conversion import find_finished, tasks_of

    started, out = time.monotonic(), Path(config.out)
    manifest = read_source(config)
    tasks, share = tasks_of(manifest), config.corpus.share
    if share is not None:
        tasks = [task for task, clip in zip(tasks, manifest) if share.holds(clip.path or "")]
    restored = claim(out, settings_of(config), share)
    if on_read is not None:
        on_read(manifest)
    before = find_finished(out, tasks, dtype_of(config))
    try:
        results = [*before.values(), *_convert([task for task in tasks if task.id not in before], config)]
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; finished clips are kept: run the same command again to go on") from None
    failed = failures_of(manifest, results)
    if share is None:
        _finish(out, manifest, results, failed, FRONT_ENDS[config.sample_rate])
    done = len(results) - len(before) - len(failed)
    seconds, source = time.monotonic() - started, summarise(manifest)
    notes = _file_notes(results)
    return PrepareResult(out, done, len(before), failed, seconds, manifest.notes, source, restored, notes)


def claim(
    out: Path, settings: dict[str, Any], share: CorpusShard | None, within: Path | None = None
) -> tuple[str, ...]:
    """Claim the folder of a preparation as ``claim_folder`` does; several runs of shares may begin at once.

    Args:
        out, settings: as of ``claim_folder``.
        share: None: the run is the only one, and takes no lock.
        within: the folder with the journal, if ``out`` is in it.
    """
    from auricle.core.locks import locked
    from auricle.data.stores.journal import JOURNAL
    from auricle.data.stores.npy import claim_folder

    folder = out.absolute()
    if share is not None:
        make_folder(folder.parent, "choose another --out")
    with nullcontext() if share is None else locked(folder.with_name(f".{folder.name}.lock")):
        return claim_folder(out, settings, (within or out) / JOURNAL)


def failures_of(
    manifest: Manifest, results: Iterable[ConvertedClip | ConversionFailure]
) -> tuple[ConversionFailure, ...]:
    """Return the failures among the results, in the order of the clips."""
    from auricle.data.stores.conversion import ConversionFailure

    failures = {result.id: result for result in results if isinstance(result, ConversionFailure)}
    return tuple(failures[id] for id in manifest.ids if id in failures)


def _file_notes(results: list[ConvertedClip | ConversionFailure]) -> tuple[str, ...]:
    """What is unusual about the files that were converted, and about all of them together."""
    from auricle.audio.decode import note_texts
    from auricle.data.stores.conversion import ConvertedClip

    clips = [result for result in results if isinstance(result, ConvertedClip)]
    notes = note_texts(note for clip in clips for note in clip.notes)
    flat = clips and max(clip.m2 for clip in clips) == 0 and len({clip.mean for clip in clips}) == 1
    alike = ("every spectrogram holds one and the same value: there is nothing to learn or to normalise",)
    return (*notes, *alike) if flat else notes


def settings_of(config: PrepareConfig) -> dict[str, Any]:
    """Return everything that decides the values in the store."""
    source, front_end = str(Path(config.source).resolve()), FRONT_ENDS[config.sample_rate]
    values = {"front_end": front_end, "min_seconds": config.min_seconds, "source": source, "dtype": dtype_of(config)}
    return values | ({"strict": True} if config.strict else {})


def dtype_of(config: PrepareConfig) -> str:
    return "float16" if config.float16 else "float32"


def _convert(tasks: list[ConversionTask], config: PrepareConfig) -> Iterable[ConvertedClip | ConversionFailure]:
    from auricle.core.console import progress_bar
    from auricle.data.stores.conversion import Converter, LogMelConverter, by_recording, lost_clips
    from auricle.data.stores.journal import Journal

    out, corpus = Path(config.out), config.corpus
    log_mel_of = LogMelConverter(FRONT_ENDS[config.sample_rate], config.min_seconds, strict=config.strict)
    converter = Converter(out, log_mel_of, dtype_of(config), Journal(out, corpus.share))
    recordings = corpus.map(converter.convert_recording, by_recording(tasks), lost_clips)
    results = chain.from_iterable(recordings)
    return progress_bar(results, total=len(tasks), what="prepare", quiet=config.quiet or not tasks)


def _finish(
    out: Path,
    manifest: Manifest,
    results: list[ConvertedClip | ConversionFailure],
    failed: tuple[ConversionFailure, ...],
    front_end: str,
) -> None:
    """Write the files about the whole corpus."""
    from auricle.data.stores.conversion import ConvertedClip

    done = {result.id: result for result in results if isinstance(result, ConvertedClip)}
    write_failed(out / "failed.csv", failed)
    if not done:
        raise AuricleError(f"none of {len(failed)} clips could be prepared; the first: {failed[0].error}")
    _write_statistics(out / "statistics.json", list(done.values()), front_end)
    _write_manifest(out, manifest, done)


def write_failed(path: Path, failed: tuple[ConversionFailure, ...]) -> None:
    """Write id, path and reason of every clip that could not be prepared."""
    from auricle.data.manifest.tables import text_file

    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "path", "error"])
        writer.writerows([item.id, item.path, item.error] for item in failed)


def _write_statistics(path: Path, done: list[ConvertedClip], front_end: str) -> None:
    """Write the exact mean and standard deviation over every value of the corpus."""
    from auricle.core.io import write_text
    from auricle.data.loading.statistics import Moments

    total = reduce(Moments.__add__, (item.moments for item in sorted(done, key=lambda item: item.id)))
    values = {"front_end": front_end, **total.statistics()._asdict(), "values": total.count, "clips": len(done)}
    write_text(path, json.dumps(values, indent=1) + "\n")


def _write_manifest(out: Path, manifest: Manifest, done: dict[str, ConvertedClip]) -> None:
    from auricle.data.manifest.formats import write_manifest
    from auricle.data.stores.conversion import FOLDER

    store = str(out.resolve() / FOLDER)
    clips = tuple(
        replace(clip, store=store, key=item.key, rate=item.rate, num_samples=item.num_samples)
        for clip in manifest
        if (item := done.get(clip.id)) is not None
    )
    write_manifest(replace(manifest, clips=clips), out / "manifest.csv")
