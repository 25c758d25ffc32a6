"""``auricle prepare shards``: recordings and their labels as tar shards in the layout of webdataset, with a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import POOL_PAYS_FILES, FileJob, executor_option, shard_option
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text, size_of

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.data.manifest.summary import ManifestSummary
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.tar.write import ShardTask, WrittenShard


@dataclass(frozen=True)
class ShardsConfig(FileJob):
    """Which recordings become shards, and how."""

    source: str = argument("audio folder, manifest (CSV, TSV, Parquet) or prepared data set")
    out: str = option(help="folder to write; an unfinished one is continued")
    labels: str | None = option(None, "table of labels, folds and groups, joined to the clips by id or file name")
    label_column: str | None = option(None, "column that holds the labels (default: the one named label, labels, …)")
    group_column: str | None = option(None, "column that holds speaker, patient or site")
    classes: str | None = option(None, "file with the class names in order (default: the sorted labels of training)")
    shard_size: str = option("200MB", "bytes after which a shard is closed, with KB, MB or GB")
    encode: str = option(
        "keep",
        "the audio in the shards: keep copies the bytes of the files; flac encodes what is no FLAC file (lossless for integers "
        "of up to 24 bits)",
        choices=("keep", "flac"),
    )
    order: str = option(
        "shuffled",
        "order of the recordings: shuffled, always in the same way, so that every shard holds all classes, or that of the source",
        choices=("shuffled", "source"),
    )
    url: str | None = option(
        None,
        "address where the shards will be, such as s3://bucket/esc50: the manifest then names them there",
        special={"none": None},
    )
    check: bool = option(True, "decode every recording to its end, so that damaged ones are found and left out")
    workers: int | None = option(None, "processes, or auto: one per core", special={"auto": None})
    executor: str = executor_option(POOL_PAYS_FILES)
    shard: str | None = shard_option(
        "The same command without --shard then writes the manifest", "write a share of the shards"
    )
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        check_ranges(self, ("workers",), 0)
        size_of(self.shard_size, "--shard-size")
        _ = self.corpus  # checks it
        if self.url is not None and "://" not in self.url:
            raise AuricleError(f"--url is an address such as s3://bucket/folder, got '{self.url}'")


@dataclass(frozen=True)
class ShardsResult:
    """Recordings written now (``done``) and before (``skipped``), recordings that are damaged and why, seconds of work; number
    and bytes of the shards; what was understood of the source, with notes; and damaged files that were written anew."""

    out: Path
    done: int
    skipped: int
    failed: tuple[ConversionFailure, ...]
    seconds: float
    shards: int = 0
    size: int = 0
    notes: tuple[str, ...] = ()
    source: ManifestSummary | None = None
    restored: tuple[str, ...] = ()


def prepare_shards(config: ShardsConfig, *, on_read: Callable[[Manifest], None] | None = None) -> ShardsResult:
    """Write ``<split>-000000.tar`` and its index, …, ``manifest.csv``, ``prepare.json`` and ``failed.csv``.

    ``on_read`` is called with the manifest of the source before the work begins. With ``shard`` a share of the tar shards is
    written; the same call without it takes them, and writes the tables.

    Raises:
        AuricleError: The source cannot be read, the folder was made with other settings, or no recording can be used.
    """
    from auricle.commands.prepare.prepare import claim, read_source, write_failed
    from auricle.data.manifest.formats import write_manifest
    from auricle.data.manifest.summary import summarise
    from auricle.data.stores.conversion import ConversionFailure
    from auricle.data.stores.tar.write import manifest_of_shards, plan_shards, remove_other_shards

    started, out = time.monotonic(), Path(config.out)
    manifest = read_source(config)
    _check_recordings(manifest)
    share = config.corpus.share
    restored = claim(out, settings_of(config), share)
    if on_read is not None:
        on_read(manifest)
    tasks = plan_shards(
        manifest, _sizes(manifest, config.encode), size_of(config.shard_size), shuffled=config.order == "shuffled"
    )
    if share is not None:
        tasks = [task for task in tasks if share.holds(task.name)]
    try:
        shards = list(_write(tasks, manifest, config))
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; finished shards are kept: run the same command again to go on") from None
    failed = tuple(ConversionFailure(name, name, error) for shard in shards for name, error in shard.failed)
    if share is not None:
        return _result(config, manifest, shards, failed, None, restored, time.monotonic() - started)
    write_failed(out / "failed.csv", failed)
    remove_other_shards(out, shards)
    if not any(shard.members for shard in shards):
        raise AuricleError(f"none of {len(failed):,} recordings can be used; the first: {failed[0].error}")
    place = "" if config.url is None else config.url.rstrip("/") + "/"
    usable = replace(manifest_of_shards(manifest, shards, place), root=out, notes=())
    write_manifest(usable, out / "manifest.csv")
    return _result(config, manifest, shards, failed, summarise(usable), restored, time.monotonic() - started)


def _result(
    config: ShardsConfig,
    manifest: Manifest,
    shards: list[WrittenShard],
    failed: tuple[ConversionFailure, ...],
    source: ManifestSummary | None,
    restored: tuple[str, ...],
    seconds: float,
) -> ShardsResult:
    done = sum(len(shard.members) for shard in shards if not shard.kept)
    skipped = sum(len(shard.members) for shard in shards if shard.kept)
    whole = [shard for shard in shards if shard.members]
    size = sum(shard.size for shard in whole)
    return ShardsResult(
        Path(config.out), done, skipped, failed, seconds, len(whole), size, manifest.notes, source, restored
    )


def settings_of(config: ShardsConfig) -> dict[str, Any]:
    """Return everything that decides the bytes of the shards, but for the labels."""
    return {
        "shards_of": str(Path(config.source).resolve()),
        "shard_size": size_of(config.shard_size),
        "encode": config.encode,
        "order": config.order,
    }


def _check_recordings(manifest: Manifest) -> None:
    """Raise AuricleError for a manifest without clips, or with clips of which only a spectrogram is stored."""
    if not len(manifest):
        raise AuricleError("the source holds no clips; nothing to write")
    silent = next((clip for clip in manifest if clip.path is None and not clip.in_archive), None)
    if silent is not None:
        manifest.audio(silent)


def _sizes(manifest: Manifest, encode: str) -> list[int]:
    """Return about how many bytes every recording will have in a shard; 0 for one that is missing."""
    from auricle.core.io import file_stamp
    from auricle.data.stores.recordings import recordings_of
    from auricle.data.stores.tar.write import estimated_size, stored_size

    sizes = []
    for recording in recordings_of(manifest):
        stamp = file_stamp(recording.file(manifest.root)) if recording.path is not None else None
        size = stored_size(manifest, recording) if recording.path is None else stamp[0] if stamp else 0
        sizes.append(estimated_size(recording, size, encode))
    return sizes


def _write(tasks: list[ShardTask], manifest: Manifest, config: ShardsConfig) -> Iterable[WrittenShard]:
    from auricle.core.console import progress_bar
    from auricle.data.stores.base import open_store
    from auricle.data.stores.tar.write import ShardWriter, lost_shard

    store: Any = open_store(manifest, "audio")
    store = replace(store, manifest=replace(manifest, clips=()))  # without rows it is small to send
    writer = ShardWriter(store, manifest.root, Path(config.out), config.encode, config.check)
    results = config.corpus.map(writer, tasks, lost_shard)
    return progress_bar(results, total=len(tasks), what="shards", unit="shard", quiet=config.quiet)
