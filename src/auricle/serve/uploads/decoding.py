"""Decode what was uploaded in a process of its own, with limits on memory, processor time, length and size.

Whatever a file does to a decoder, the server goes on: a process that takes too much is ended, and the upload is refused.
The decoded copy is mono, at the file's own rate: with 16 bits where that holds the samples exactly, else with 32-bit floats,
so that labels are those of the file itself.
"""

from __future__ import annotations

import multiprocessing
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from auricle.serve.errors import Refusal
from auricle.serve.uploads.decoding_work import DecodedCopy, DecodingLimits, decode_in_process

WALL_FACTOR = 4.0  # real seconds per processor second that are allowed, on a busy machine
LEAST_WALL = 60.0


class DecoderProcesses:
    """Starts a process for each upload, a few at once.

    Args:
        at_once: number of processes.
        limits: of each of them.
    """

    def __init__(self, at_once: int, limits: DecodingLimits):
        self.limits, self.at_once = limits, at_once
        self._slots = threading.BoundedSemaphore(at_once)
        method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        self._context: Any = multiprocessing.get_context(method)
        if method == "forkserver":  # a new process then takes milliseconds
            self._context.set_forkserver_preload(["auricle.serve.uploads.decoding_work"])
        self._starting = threading.Lock()
        self._running: set[Any] = set()
        self._stopping = False

    def decode(self, source: Path, target: Path, name: str) -> DecodedCopy:
        """Decode a file into a WAV file; wait for a free process first.

        Args:
            source: the file.
            target: the WAV file that is written.
            name: of the file, for messages.

        Raises:
            Refusal: with the reason: 415 for what is no audio, 413 for what is too long or takes too much, 507 for a full disk.
        """
        with self._slots:
            if self._stopping:
                raise Refusal(503, "the server is being stopped; upload again when it runs")
            return self._decode(source, target, name)

    def stop(self) -> None:
        """End all processes."""
        self._stopping = True
        for process in list(self._running):
            with suppress(OSError, ValueError):
                process.kill()

    def _decode(self, source: Path, target: Path, name: str) -> DecodedCopy:
        receiver, sender = self._context.Pipe(duplex=False)
        work = (sender, str(source), str(target), name, self.limits)
        process = self._context.Process(target=decode_in_process, args=work, daemon=True)
        with self._starting:
            process.start()
        sender.close()
        self._running.add(process)
        try:
            answer = self._answer(receiver, max(LEAST_WALL, WALL_FACTOR * self.limits.cpu))
        finally:
            receiver.close()
            with suppress(OSError, ValueError):
                process.kill()
            process.join(5.0)
            self._running.discard(process)
        if isinstance(answer, DecodedCopy):
            return answer
        target.unlink(missing_ok=True)
        status, message = answer
        raise Refusal(status, message)

    def _answer(self, receiver: Connection, seconds: float) -> Any:
        """What the process sent, or why it sent nothing."""
        try:
            if receiver.poll(seconds):
                return receiver.recv()
            return 413, f"decoding took more than {seconds:.0f} s; upload a shorter recording, or convert it first"
        except (EOFError, OSError):
            if self._stopping:
                return 503, "the server is being stopped; upload again when it runs"
            memory = self.limits.memory / 10**6
            return 413, (
                f"decoding needs more than {self.limits.cpu:.0f} s of processor time or {memory:.0f} MB of memory, or the "
                "decoder failed; convert the recording to WAV or FLAC, or upload a shorter one"
            )
