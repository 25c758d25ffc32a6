"""The files of onnxruntime-web that a page needs: from the user's cache, from npm's registry once, or from a folder that is given.

The smallest set that runs a graph is taken: one script and WebAssembly for one thread, without WebGPU. Their version and
checksums are pinned; with 14 MB they are no part of this package.
"""

from __future__ import annotations

import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import make_folder, path_of, replacing, sha256_of, writable_cache
from auricle.hub.download import fetch

VERSION = "1.30.0"
ARCHIVE = f"onnxruntime-web-{VERSION}.tgz"
URL = f"https://registry.npmjs.org/onnxruntime-web/-/{ARCHIVE}"
ARCHIVE_BYTES = 33106585
ARCHIVE_SHA256 = "d2228df7e4616bc3348bf504ee888f3bec43789a273f0a63f3e68d203ce3bf71"
SHA256 = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
WITHIN = (".", "dist", "package/dist", "node_modules/onnxruntime-web/dist")  # where a given folder may hold them


@dataclass(frozen=True)
class RuntimeFiles:
    """Where the files are, by their names in the npm package, and which version they are."""

    files: dict[str, Path]
    version: str


def runtime_files(given: str | None = None) -> RuntimeFiles:
    """Find the files of onnxruntime-web.

    Args:
        given: a folder that holds them (or the npm package with them), or the package's archive; None: the cache, which a
            download fills once.

    Raises:
        AuricleError: they are not there, damaged, or cannot be downloaded; the message says what to do.
    """
    folder = writable_cache()[0] / f"onnxruntime-web-{VERSION}"
    if given is not None:
        path = path_of(given)
        if path.is_dir():
            return _in_folder(path)
        if not path.is_file():
            raise AuricleError(f"--runtime-files: {path} does not exist; give a folder with {' and '.join(SHA256)}")
        _unpack(path, folder)
    elif not all(_intact(folder / name) for name in SHA256):
        archive = folder / ARCHIVE
        try:
            fetch([URL], archive, size=ARCHIVE_BYTES, sha256=ARCHIVE_SHA256)
        except AuricleError as error:
            raise AuricleError(f"{error}; or give the folder of the npm package with --runtime-files FOLDER") from None
        _unpack(archive, folder)
        archive.unlink()
    return RuntimeFiles({name: folder / name for name in SHA256}, VERSION)


def _intact(file: Path) -> bool:
    return file.is_file() and sha256_of(file) == SHA256[file.name]


def _in_folder(folder: Path) -> RuntimeFiles:
    """The files in a folder, of whatever version."""
    for place in (folder / within for within in WITHIN):
        files = {name: place / name for name in SHA256}
        if all(file.is_file() for file in files.values()):
            pinned = all(map(_intact, files.values()))
            return RuntimeFiles(files, VERSION if pinned else f"not {VERSION}, as given")
    raise AuricleError(
        f"--runtime-files: {folder} does not hold {' and '.join(SHA256)} of onnxruntime-web; "
        f"'npm pack onnxruntime-web@{VERSION}' makes an archive that holds them"
    )


def _unpack(archive: Path, folder: Path) -> None:
    """Take the files out of the archive of the npm package."""
    make_folder(folder)
    left = set(SHA256)
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = PurePosixPath(member.name).name
                if name not in left or not member.isfile() or (source := members.extractfile(member)) is None:
                    continue
                with replacing(folder / name) as temporary, source, open(temporary, "wb") as file:
                    shutil.copyfileobj(source, file)
                left.discard(name)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise AuricleError(
            f"{archive} cannot be read as the archive of an npm package: {first_line(error).rstrip(':')}"
        ) from None
    wrong = sorted(left | {name for name in SHA256 if not _intact(folder / name)})
    if wrong:
        raise AuricleError(
            f"{archive} does not hold {wrong[0]} of onnxruntime-web {VERSION}; 'npm pack onnxruntime-web@{VERSION}' makes the "
            "archive"
        )
