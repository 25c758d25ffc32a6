"""The cache of weights on this machine: downloaded files, weight files in zip archives (whose paths and sizes are not
trusted), and conversions to Auricle's layout.

``weights/published/`` holds files under their published names (those of M2D in their folders, because the folder's name
states settings); users may put files there by hand. ``weights/NAME.safetensors`` is the converted file that
``auricle.load(NAME)`` reads from the second time on. Checksums of both are stored and verified.
"""

from __future__ import annotations

import shutil
import stat
import zipfile
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, cache_dir, make_folder, replacing, sha256_of
from auricle.hub import checksums
from auricle.hub.download import LARGEST, by_hand, fetch, is_offline
from auricle.hub.pickles import RATIO, ROOM

if TYPE_CHECKING:
    from auricle.hub.published.record import PublishedRecord
    from auricle.models.base import Encoder


SUFFIXES = (".pth", ".pt")


def extract_weight(archive: Path, into: Path, *, file: str = "") -> Path:
    """Extract the weight file of a zip archive.

    Args:
        archive: the zip archive.
        into: folder to write to; the file keeps its name.
        file: name of the weight file; "": the only ``.pth`` or ``.pt`` file.

    Returns:
        The extracted file.

    Raises:
        AuricleError: if the archive is broken, holds none or several weight files, or has paths outside of it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            member = _weight(opened.infolist(), archive, file)
            target = into / PurePosixPath(member.filename).name
            with replacing(target) as temporary, opened.open(member) as source, open(temporary, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except AuricleError:
        raise
    except Exception as error:  # the reader may raise anything on a damaged archive
        raise AuricleError(f"{archive} is not a readable zip archive ({error}); delete it and try again") from None
    return target


def _weight(members: list[zipfile.ZipInfo], archive: Path, file: str) -> zipfile.ZipInfo:
    """Return the only weight file. Raise AuricleError for paths that lead out of the archive."""
    for member in members:
        if _leads_out(member):
            raise AuricleError(f"{archive} holds '{member.filename}', which leads out of the archive: it was refused")
    files = {member.filename: member for member in members if not member.is_dir()}
    weights = [
        m for name, m in files.items() if name.endswith(SUFFIXES) and (not file or PurePosixPath(name).name == file)
    ]
    if len(weights) != 1:
        held = ", ".join(list(files)[:10]) or "nothing"
        raise AuricleError(
            f"{archive} holds {len(weights)} files {file or '*.pth, *.pt'} where one was expected; it holds: {held}"
        )
    size, packed = weights[0].file_size, archive.stat().st_size
    if size > LARGEST or size > ROOM + RATIO * packed:
        raise AuricleError(
            f"{weights[0].filename} in {archive} would unpack to {size:,} bytes from {packed:,}: it was refused; weights "
            "do not compress that much"
        )
    return weights[0]


def _leads_out(member: zipfile.ZipInfo) -> bool:
    """Return True for absolute paths, "..", drive letters and symbolic links."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    return odd or stat.S_ISLNK(member.external_attr >> 16)


def folder() -> Path:
    """Return the folder of the cache: ``weights`` in the cache folder (``AURICLE_CACHE``)."""
    return cache_dir() / "weights"


def converted(record: PublishedRecord) -> Path:
    """Return the path of the converted file of a published weight; it need not exist."""
    return folder() / f"{record.name}.safetensors"


def published(record: PublishedRecord) -> Path | None:
    """Return the published weight file on this machine; None if there is none yet."""
    place = folder() / "published" / record.folder
    if record.file:
        return place / record.file if (place / record.file).is_file() else None
    files = sorted(path for path in place.glob("*") if path.suffix in SUFFIXES)
    return files[0] if files else None


def load(record: PublishedRecord, *, offline: bool | None = None) -> Encoder:
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


def install(record: PublishedRecord, file: Path) -> Path:
    """Convert a published file of this record into the cache. Return the path of the converted file."""
    from auricle.hub.published.read import read_published
    from auricle.hub.weight_file import save_encoder

    encoder = read_published(file, record)
    path = converted(record)
    make_folder(path.parent, SET_ANOTHER)
    save_encoder(encoder, path, lineage=lineage(record, file))
    checksums.note(path, str(file.name))
    return path


def lineage(record: PublishedRecord, file: Path) -> dict[str, Any]:
    """Return the origin of a converted file, for its metadata."""
    return {
        "published": record.name,
        "source": record.urls[0] if record.urls else record.source,
        "file": file.name,
        "sha256": sha256_of(file),
        "papers": list(record.papers),
    }


def obtain(record: PublishedRecord, *, offline: bool | None = None) -> Path:
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


def _known(record: PublishedRecord) -> dict[str, Any]:
    """Return the size and checksum of a record, as far as known."""
    return {key: value for key, value in asdict(record).items() if key in ("size", "sha256")}


def _from_archive(record: PublishedRecord, place: Path, offline: bool | None) -> Path:
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
