"""The cache of weights on this machine: downloaded files and their conversions to Auricle's layout.

``weights/published/`` holds files under their published names (those of M2D in their folders, because the folder's name
states settings); users may put files there by hand. ``weights/NAME.safetensors`` is the converted file that
``auricle.load(NAME)`` reads from the second time on. Checksums of both are stored and verified.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, cache_dir, make_folder, sha256_of
from auricle.hub import checksums
from auricle.hub.archive import SUFFIXES, extract_weight
from auricle.hub.download import by_hand, fetch, is_offline

if TYPE_CHECKING:
    from auricle.hub.published.record import Record
    from auricle.models.base import Encoder


def folder() -> Path:
    """Return the folder of the cache: ``weights`` in the cache folder (``AURICLE_CACHE``)."""
    return cache_dir() / "weights"


def converted(record: Record) -> Path:
    """Return the path of the converted file of a published weight; it need not exist."""
    return folder() / f"{record.name}.safetensors"


def published(record: Record) -> Path | None:
    """Return the published weight file on this machine; None if there is none yet."""
    place = folder() / "published" / record.folder
    if record.file:
        return place / record.file if (place / record.file).is_file() else None
    files = sorted(path for path in place.glob("*") if path.suffix in SUFFIXES)
    return files[0] if files else None


def load(record: Record, *, offline: bool | None = None) -> Encoder:
    """Load the encoder of a record from the converted file, else from the published one, which is downloaded if necessary.

    Raises:
        AuricleError: if a file in the cache has changed, or the download fails (the message states where to put the file by hand).
    """
    from auricle.hub.weight_file import read_encoder

    path = converted(record)
    if not path.is_file():
        install(record, obtain(record, offline=offline))
    checksums.check(path)
    return read_encoder(path)


def install(record: Record, file: Path) -> Path:
    """Convert a published file of this record into the cache. Return the path of the converted file."""
    from auricle.hub.published.read import read_published
    from auricle.hub.weight_file import save_encoder

    encoder = read_published(file, record)
    path = converted(record)
    make_folder(path.parent, SET_ANOTHER)
    save_encoder(encoder, path, lineage=lineage(record, file))
    checksums.note(path, str(file.name))
    return path


def lineage(record: Record, file: Path) -> dict[str, Any]:
    """Return the origin of a converted file, for its metadata."""
    return {
        "published": record.name,
        "source": record.urls[0] if record.urls else record.source,
        "file": file.name,
        "sha256": sha256_of(file),
        "papers": list(record.papers),
    }


def obtain(record: Record, *, offline: bool | None = None) -> Path:
    """Return the published weight file; download it unless it is in the cache. Raise AuricleError if that fails."""
    cached = published(record)
    if cached is not None:
        checksums.check(cached, **({} if record.folder else _known(record)))
        return cached
    if not record.urls:
        raise AuricleError(f"'{record.name}' has no published weights")
    place = folder() / "published"
    if not record.folder:
        return fetch(record.urls, place / record.file, **_known(record), offline=offline)
    return _from_archive(record, place, offline)


def _known(record: Record) -> dict[str, Any]:
    """Return the size and checksum of a record, as far as known."""
    return {key: value for key, value in asdict(record).items() if key in ("size", "sha256")}


def _from_archive(record: Record, place: Path, offline: bool | None) -> Path:
    """Download the archive, extract its weight file and delete the archive."""
    target = place / record.folder / (record.file or "the weight file in it")
    archive = place / f"{record.folder}.zip"
    if is_offline(offline) and not archive.is_file():
        raise AuricleError(
            f"'{record.name}' is not on this machine and downloads are switched off; "
            f"{by_hand(record.urls, archive)} (or unpacked: {target})"
        )
    fetch(record.urls, archive, **_known(record), offline=offline)
    file = extract_weight(archive, place / record.folder, file=record.file)
    checksums.note(file, record.urls[0])
    archive.unlink()
    archive.with_name(archive.name + ".json").unlink(missing_ok=True)
    return file
