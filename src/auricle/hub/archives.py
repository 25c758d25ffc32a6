"""The weight file out of a downloaded zip archive. Its paths are not trusted: nothing but that file is written."""

from __future__ import annotations

import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from auricle.atomic import replacing
from auricle.errors import AuricleError

SUFFIXES = (".pth", ".pt")
LARGEST = 16 << 30  # bytes; published archives hold about 1.6 GB


def extract_weight(archive: Path, into: Path, *, file: str = "") -> Path:
    """Write the weight file of ``archive`` into the folder ``into`` under its own name.

    ``file`` is the name it must have; "" takes the only ``.pth`` or ``.pt`` file there is.
    Raises AuricleError for a broken archive, none or several weight files, and paths that lead out of the archive.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            member = _weight(opened.infolist(), archive, file)
            target = into / PurePosixPath(member.filename).name
            with replacing(target) as temporary, opened.open(member) as source, open(temporary, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise AuricleError(f"{archive} is not a readable zip archive ({error}); delete it and try again") from None
    return target


def _weight(members: list[zipfile.ZipInfo], archive: Path, file: str) -> zipfile.ZipInfo:
    """The one weight file; every path that is none of a plain file inside is refused."""
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
    if weights[0].file_size > LARGEST:
        raise AuricleError(
            f"{weights[0].filename} in {archive} would unpack to {weights[0].file_size} bytes: it was refused"
        )
    return weights[0]


def _leads_out(member: zipfile.ZipInfo) -> bool:
    """Absolute paths, "..", drive letters and symbolic links."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    return odd or stat.S_ISLNK(member.external_attr >> 16)
