"""The weight file in a downloaded zip archive. The paths and sizes in the archive are not trusted."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path, PurePosixPath

from auricle.core.errors import AuricleError
from auricle.core.io import replacing
from auricle.hub.download import LARGEST
from auricle.hub.pickles import RATIO, ROOM

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
