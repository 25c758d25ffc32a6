"""Samples that a pipe brings: raw PCM, or WAV whose header need not say how long it is."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from auricle.audio.live.base import LiveChunk
from auricle.core.errors import AudioError

READ_BYTES = 1 << 16
KINDS = {  # name on the command line -> type of NumPy, largest value
    "s16le": ("<i2", 2.0**15),
    "s24le": ("", 2.0**23),
    "s32le": ("<i4", 2.0**31),
    "f32le": ("<f4", 1.0),
    "u8": ("u1", 2.0**7),
}
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # codes of WAV
WAV_KINDS = {(PCM, 8): "u8", (PCM, 16): "s16le", (PCM, 24): "s24le", (PCM, 32): "s32le", (FLOAT, 32): "f32le"}
LONGEST_HEADER = 1 << 20  # bytes of chunks before the samples


class Pipe(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


def pcm_chunks(pipe: Pipe, kind: str, rate: int, channels: int) -> Iterator[LiveChunk]:
    """Yield what a pipe brings, as it comes; WAV is recognised by its header, which then says kind, rate and channels.

    Args:
        pipe: unbuffered; ``read`` returns what is there.
        kind: a key of ``KINDS``, of samples without a header.
        rate: hertz; channels: their number, of samples without a header.

    Raises:
        AudioError: for WAV of another kind, and for a pipe that brings nothing.
    """
    held = _exactly(pipe, 4)
    if held == b"RIFF":
        kind, rate, channels = _wav_header(pipe)
        held = b""
    elif not held:
        raise AudioError("standard input: nothing came; expected raw samples or WAV")
    size = (3 if kind == "s24le" else np.dtype(KINDS[kind][0]).itemsize) * channels
    while True:
        whole = len(held) // size * size
        if whole:
            samples = _samples(held[:whole], kind).reshape(-1, channels)
            yield LiveChunk(samples.mean(1, dtype=np.float32), rate)
        more = pipe.read(READ_BYTES)
        if not more:
            return
        held = held[whole:] + more


def _samples(data: bytes, kind: str) -> np.ndarray:
    """Bytes -> float32 in [-1, 1]."""
    name, largest = KINDS[kind]
    if kind == "s24le":
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return (padded.view("<i4")[:, 0] / np.float32(2.0**31)).astype(np.float32)
    values = np.frombuffer(data, name).astype(np.float32)
    return (values - 128.0) / np.float32(largest) if kind == "u8" else values / np.float32(largest)


def _wav_header(pipe: Pipe) -> tuple[str, int, int]:
    """Read up to the samples; return kind, rate and channels. Lengths are not looked at: programs write 0 or 2^32 - 1."""
    if _exactly(pipe, 8)[4:] != b"WAVE":
        raise AudioError("standard input: begins as RIFF but is not WAV")
    form = b""
    while True:
        head = _exactly(pipe, 8)
        if len(head) < 8:
            raise AudioError("standard input: the WAV header ends before its samples")
        name, size = struct.unpack("<4sI", head)
        if name == b"data":
            break
        if size > LONGEST_HEADER:
            raise AudioError(f"standard input: a damaged WAV header (a part of {size} bytes)")
        content = _exactly(pipe, size + size % 2)
        if name == b"fmt ":
            form = content
    if len(form) < 16:
        raise AudioError("standard input: the WAV header does not say what its samples are")
    code, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if code == EXTENSIBLE and len(form) >= 26:
        code = struct.unpack("<H", form[24:26])[0]
    kind = WAV_KINDS.get((code, bits))
    if kind is None or not (channels and rate):
        raise AudioError(
            f"standard input: WAV with code {code}, {bits} bits, {channels} channels at {rate} Hz cannot be read from a pipe; "
            "expected PCM of 8, 16, 24 or 32 bits or 32-bit floats"
        )
    return kind, rate, channels


def _exactly(pipe: Pipe, size: int) -> bytes:
    """Read ``size`` bytes, fewer at the end of the pipe."""
    out = io.BytesIO()
    while out.tell() < size and (more := pipe.read(size - out.tell())):
        out.write(more)
    return out.getvalue()
