"""The recordings that the page offers: those below the folders that were named, uploads, and those of the index.

A recording is named by an id, never by a path that a client sends. The id of a file is a checksum of its path. A file
belongs to a folder if its real path lies below the real path of the folder: a link that leads out is not offered.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from auricle.audio.decode import AUDIO_SUFFIXES, probe
from auricle.audio.sources import files_below
from auricle.core.console import printable
from auricle.core.errors import AuricleError
from auricle.core.io import file_stamp, make_folder, remove_leftovers, replacing_folder, write_text
from auricle.serve.errors import Refusal

DESCRIPTION, SOUND = "recording.json", "audio.wav"  # in the folder of an upload
RESCAN_SECONDS = 5.0  # after which the folders are listed again; later where listing them takes long
RESCAN_FACTOR = 20.0
FOLDER, UPLOAD, INDEX = "folder", "upload", "index"


@dataclass(frozen=True)
class ServedRecording:
    """A recording that the page offers.

    Attributes:
        id: 16 hexadecimal digits.
        name: what people see: the path below its folder, or the name of the upload. It is UTF-8 without control characters,
            which names of files need not be.
        path: the file that is read; of an upload its decoded copy.
        source: folder, upload or index.
        seconds, rate, channels: None until the header was read; of an upload those of the file that was sent.
        added: when it was uploaded, in seconds since 1970.
        notes: what is unusual about it.
        error: why it cannot be read.
    """

    id: str
    name: str
    path: Path
    source: str
    seconds: float | None = None
    rate: int | None = None
    channels: int | None = None
    added: float | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None


def id_of(path: Path) -> str:
    """Return the id of a file: a checksum of its path."""
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:16]


class Library:
    """The recordings of a server. Threads may share it.

    Args:
        folders: folders and files that were named.
        uploads: the folder in which uploads are kept, one folder each.
        indexed: gives the paths of the index.

    Raises:
        AuricleError: a folder that was named does not exist.
    """

    def __init__(self, folders: Iterable[str], uploads: Path, indexed: Callable[[], Iterable[str]] = tuple):
        self.folders = [existing(name) for name in folders]
        self.uploads_folder, self.indexed = uploads, indexed
        make_folder(uploads)
        remove_leftovers(uploads.absolute())
        self._lock = threading.Lock()
        self._uploads = {recording.id: recording for recording in self._kept_uploads()}
        self._files: dict[str, ServedRecording] = {}
        self._scanned = -float("inf")
        self._listing = 0.0  # seconds that it took
        self._headers: dict[tuple[str, str], ServedRecording] = {}  # by id and stamp

    def recordings(self, query: str = "") -> list[ServedRecording]:
        """Return all recordings whose names hold a text (in any case): uploads, the latest first, then files by name."""
        self._scan()
        with self._lock:
            uploads = sorted(self._uploads.values(), key=lambda recording: -(recording.added or 0))
            found = [*uploads, *self._files.values()]
        wanted = query.casefold()
        return [recording for recording in found if wanted in recording.name.casefold()]

    def get(self, id: str) -> ServedRecording:
        """Return a recording with what its header declares. Raises Refusal (404) for an unknown id."""
        recording = self._uploads.get(id) or self._files.get(id)
        if recording is None:
            self._scan(now=True)
            recording = self._files.get(id)
        if recording is None:
            raise Refusal(404, f"there is no recording {id}; GET /api/recordings lists them")
        if recording.source == FOLDER and not self._is_inside(recording.path):  # replaced by a link since it was listed
            raise Refusal(404, f"{recording.name} is no longer below the folders of this server")
        return self.described(recording)

    def of_path(self, path: str | Path) -> ServedRecording | None:
        """Return the recording with that path; None if it is not offered."""
        real = Path(os.path.realpath(path))
        for id in (id_of(real), real.parent.name):
            found = self._uploads.get(id) or self._files.get(id)
            if found is not None and found.path == real:
                return found
        self._scan()
        return self._files.get(id_of(real))

    def described(self, recording: ServedRecording) -> ServedRecording:
        """Return a recording with length, rate and channels, or with the reason why its header cannot be read."""
        if recording.source == UPLOAD:
            return recording
        key = recording.id, str(file_stamp(recording.path))
        if key not in self._headers:
            try:
                info = probe(recording.path)
                known = replace(recording, seconds=info.seconds, rate=info.rate, channels=info.channels)
            except AuricleError as error:
                known = replace(recording, error=str(error).replace(str(recording.path), recording.name))
            with self._lock:
                if len(self._headers) > 100_000:
                    self._headers.clear()
                self._headers[key] = known
        return self._headers.get(key, recording)

    # ---- uploads
    def add_upload(self, recording: ServedRecording, decoded: Path) -> ServedRecording:
        """Keep an upload: its folder appears whole, or not at all.

        Args:
            recording: describes it; its path is set here.
            decoded: the decoded copy, which is moved.
        """
        folder = self.uploads_folder / recording.id
        kept = replace(recording, path=Path(os.path.realpath(self.uploads_folder)) / recording.id / SOUND)
        values = asdict(kept)
        del values["path"]
        with replacing_folder(folder) as temporary:
            write_text(temporary / DESCRIPTION, json.dumps(values))
            os.replace(decoded, temporary / SOUND)
        with self._lock:
            self._uploads[kept.id] = kept
        return kept

    def remove_upload(self, id: str) -> None:
        """Remove an upload. Raises Refusal for any other recording."""
        with self._lock:
            recording = self._uploads.pop(id, None)
        if recording is None:
            self.get(id)
            raise Refusal(409, "only uploads can be removed; this recording is a file of yours")
        shutil.rmtree(self.uploads_folder / id, ignore_errors=True)

    def stored_bytes(self) -> int:
        """Return what all uploads take on the disk."""
        total = 0
        for recording in list(self._uploads.values()):
            with suppress(OSError):
                total += recording.path.stat().st_size
        return total

    def _kept_uploads(self) -> Iterator[ServedRecording]:
        known = {f.name for f in fields(ServedRecording)}
        root = Path(os.path.realpath(self.uploads_folder))
        for file in self.uploads_folder.glob(f"*/{DESCRIPTION}"):
            sound = root / file.parent.name / SOUND
            try:
                values = json.loads(file.read_text(encoding="utf-8"))
                values = {name: value for name, value in values.items() if name in known}
                recording = ServedRecording(**values | {"path": sound, "notes": tuple(values.get("notes", ()))})
            except (OSError, ValueError, TypeError, AttributeError):
                continue
            if recording.id == file.parent.name and sound.is_file():
                yield recording

    # ---- files
    def _scan(self, now: bool = False) -> None:
        """List the folders again, at most every RESCAN_SECONDS; ``now``: at most as often as the listing allows."""
        with self._lock:
            began = time.monotonic()
            age, least = began - self._scanned, RESCAN_FACTOR * self._listing
            if age < (max(0.5, least) if now else max(RESCAN_SECONDS, least)):
                return
            self._scanned = began
        found = {recording.id: recording for recording in (*self._indexed_files(), *self._named_files())}
        with self._lock:
            self._listing = time.monotonic() - began
            self._files = dict(sorted(found.items(), key=lambda item: item[1].name))

    def _named_files(self) -> Iterator[ServedRecording]:
        for root in self.folders:
            if root.is_file():
                yield ServedRecording(id_of(root), printable(root.name), root, FOLDER)
                continue
            shown = f"{root.name}/" if len(self.folders) > 1 else ""
            for name in files_below(root, AUDIO_SUFFIXES):
                path = Path(os.path.realpath(root / name))
                if path.is_file() and self._is_inside(path):
                    yield ServedRecording(id_of(path), printable(shown + name), path, FOLDER)

    def _indexed_files(self) -> Iterator[ServedRecording]:
        for name in self.indexed():
            path = Path(os.path.realpath(name))
            if path.suffix.lower() in AUDIO_SUFFIXES:
                yield ServedRecording(id_of(path), printable(os.path.basename(name)), path, INDEX)

    def _is_inside(self, path: Path) -> bool:
        real = Path(os.path.realpath(path))
        return any(real == root or root in real.parents for root in self.folders)


def existing(name: str) -> Path:
    """Return the real path of a folder or file that was named. Raises AuricleError where nothing is there."""
    path = Path(os.path.realpath(name))
    if not path.exists():
        raise AuricleError(f"{name}: no such file or folder; name folders of recordings, or leave them out")
    return path
