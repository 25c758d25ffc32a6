"""Uploads: from the body of a request to files on the disk, in bounded memory; then decoded, and kept.

An upload that is complete is a folder in the library. One that is not, because the client left, the server was stopped or
the file is none, leaves nothing.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from auricle.core.console import printable
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder, writing
from auricle.serve.errors import Refusal
from auricle.serve.library import UPLOAD, Library, ServedRecording
from auricle.serve.uploads.decoding import DecoderProcesses

MOST_FILES = 100  # of one request
LONGEST_NAME = 200  # characters that are shown of a file's name
DISK_RESERVE = 200 * 10**6  # bytes that stay free on the disk
UNNAMED = "recording"
FIELD = "files"


@dataclass
class ReceivedFile:
    """A file of a request, as it is written: its name for people, and where its bytes are."""

    name: str
    path: Path
    size: int = 0


class Uploads:
    """Receives, decodes and keeps uploads.

    Args:
        library: where they are kept.
        incoming: folder for what is being received; it is emptied.
        decoders: decode it.
        most_stored: bytes that all decoded copies together may take.
    """

    def __init__(self, library: Library, incoming: Path, decoders: DecoderProcesses, most_stored: int):
        self.library, self.incoming, self.decoders, self.most_stored = library, incoming, decoders, most_stored
        self._limiter: CapacityLimiter | None = (
            None  # threads that wait for decoders, apart from those of other requests
        )
        shutil.rmtree(incoming, ignore_errors=True)
        make_folder(incoming)

    async def receive(self, request: Request) -> list[tuple[str, ServedRecording | Refusal]]:
        """Take the files of a request.

        Returns:
            For each file, in their order, its name and the recording that it became, or why it was refused.

        Raises:
            Refusal: for the whole request: it is no multipart form, or there is no room.
        """
        kind, options = parse_options_header(request.headers.get("content-type"))
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise Refusal(415, f"expected multipart/form-data with files in its field '{FIELD}'")
        self._check_room(request.headers.get("content-length"))
        form = FormFiles(options[b"boundary"], self.incoming)
        try:
            await form.read(self._body(request))
            if not form.files:
                raise Refusal(422, f"the request holds no file; send at least one in the field '{FIELD}'")
            outcomes = await asyncio.gather(*(self._kept(file) for file in form.files))
            return [(file.name, outcome) for file, outcome in zip(form.files, outcomes)]
        finally:
            form.close()
            for file in form.files:
                file.path.unlink(missing_ok=True)

    def _check_room(self, declared: str | None) -> None:
        """Refuse a request before its body is read, where that is known to be in vain."""
        size = int(declared) if declared and declared.isdigit() else 0
        if shutil.disk_usage(self.incoming).free < size + DISK_RESERVE:
            raise Refusal(507, "the disk of the server is full; remove uploads, or make room there")
        if self.library.stored_bytes() > self.most_stored:
            raise Refusal(507, f"uploads take more than {self.most_stored / 1e9:g} GB already; remove some")

    async def _body(self, request: Request) -> AsyncIterator[bytes]:
        """The blocks of a body. Raises Refusal where the client left."""
        try:
            async for block in request.stream():
                yield block
        except ClientDisconnect:
            raise Refusal(400, "the client left in the middle of the request") from None

    async def _kept(self, file: ReceivedFile) -> ServedRecording | Refusal:
        if self._limiter is None:  # it belongs to the event loop
            self._limiter = CapacityLimiter(self.decoders.at_once)
        return await to_thread.run_sync(self._keep, file, limiter=self._limiter)

    def _keep(self, file: ReceivedFile) -> ServedRecording | Refusal:
        """Decode a file and keep it."""
        copy = file.path.with_suffix(".wav")
        try:
            if file.size == 0:
                raise Refusal(415, f"{file.name}: the file is empty (0 bytes)")
            decoded = self.decoders.decode(file.path, copy, file.name)
            recording = ServedRecording(
                id=secrets.token_hex(8),
                name=file.name,
                path=copy,
                source=UPLOAD,
                seconds=decoded.seconds,
                rate=decoded.rate,
                channels=decoded.channels,
                added=time.time(),
                notes=decoded.notes,
            )
            return self.library.add_upload(recording, copy)
        except Refusal as refusal:
            return refusal
        except AuricleError as error:  # about writing
            return Refusal(507, str(error))
        finally:
            copy.unlink(missing_ok=True)
            file.path.unlink(missing_ok=True)


def shown_name(text: str) -> str:
    """Return the name of an uploaded file as it is shown: the last part of a path, without control characters.

    It is never used as a path.
    """
    name = PurePosixPath(PureWindowsPath(text).as_posix()).name.strip()
    shown = printable(name)[:LONGEST_NAME]
    return shown if shown.strip(". ") else UNNAMED


class FormFiles:
    """Writes the files of a multipart form to a folder while its body comes.

    Args:
        boundary: of the form.
        folder: for the files, whose names there are drawn.

    Attributes:
        files: those that have begun.
    """

    def __init__(self, boundary: bytes, folder: Path):
        self.folder = folder
        self.files: list[ReceivedFile] = []
        self._open: BinaryIO | None = None
        self._header, self._value = b"", b""
        self._headers: dict[bytes, bytes] = {}
        self._complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._on_header_field,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers_finished,
                    "on_part_data": self._on_part_data,
                    "on_part_end": self.close,
                    "on_end": self._on_end,
                },
            )
        except FormParserError as error:
            raise Refusal(400, f"the form cannot be read: {error}") from None

    async def read(self, body: AsyncIterator[bytes]) -> None:
        """Write the files of a body.

        Raises:
            Refusal: the body is no whole form, or the disk is full.
        """
        async for block in body:
            try:
                with writing(self.folder):
                    await run_in_threadpool(self._parser.write, block)
            except FormParserError as error:
                raise Refusal(400, f"the form cannot be read: {error}") from None
            except Refusal:
                raise
            except AuricleError as error:
                raise Refusal(507, str(error)) from None
        if not self._complete:
            raise Refusal(400, "the form ends in the middle; send it again")

    def close(self) -> None:
        """Close the file that is being written."""
        if self._open is not None:
            with suppress(OSError):
                self._open.close()
            self._open = None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"filename" not in options:
            return  # another field of the form
        if len(self.files) == MOST_FILES:
            raise Refusal(413, f"a request holds at most {MOST_FILES} files; send the others in another one")
        name = shown_name(options[b"filename"].decode("utf-8", "replace"))
        file = ReceivedFile(name, self.folder / f"{secrets.token_hex(12)}.part")
        self._open = open(file.path, "xb")  # noqa: SIM115
        self.files.append(file)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._open.write(memoryview(data)[start:end])
            self.files[-1].size += end - start

    def _on_end(self) -> None:
        self._complete = True
