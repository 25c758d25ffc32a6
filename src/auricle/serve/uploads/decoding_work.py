"""What the process of ``decoding`` does: limit itself, decode one file, send the answer."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import soundfile

from auricle.audio.decode import AudioNote, blocks, note_texts
from auricle.audio.decode.reader import opened
from auricle.core.console import duration
from auricle.core.errors import AudioError, AuricleError, first_line, is_out_of_memory
from auricle.core.io import NO_ROOM

BLOCK_SECONDS = 30.0
EXACT_FORMATS = ("pcm_16", "pcm_s8", "pcm_u8", "pcm_s16le")  # of one channel: 16 bits hold every sample
LARGEST_WAV = 2**32 - 2**20  # bytes; the sizes in the header of a WAV file have 32 bits
GRACE = 5  # seconds between the signal that ends a process after its processor time and the one that nothing stops


@dataclass(frozen=True)
class DecodingLimits:
    """Most seconds of audio, seconds of processor time, and bytes of memory."""

    seconds: float
    cpu: float
    memory: int


@dataclass(frozen=True)
class DecodedCopy:
    """What was decoded: the rate in hertz, number of channels and length of the file, and notes about it."""

    rate: int
    channels: int
    seconds: float
    notes: tuple[str, ...] = ()


def decode_in_process(sender: Connection, source: str, target: str, name: str, limits: DecodingLimits) -> None:
    """Decode ``source`` into the WAV file ``target``, and send a DecodedCopy, or (status, message)."""
    _limit(limits)
    try:
        answer: object = decode(Path(source), Path(target), name, limits)
    except AuricleError as error:
        status = 413 if isinstance(error, TooLong) else 415
        answer = status, str(error).replace(source, name)
    except Exception as error:
        answer = _failure(error, name, limits)
    with suppress(OSError):
        sender.send(answer)
    sender.close()


class TooLong(AuricleError):
    """The recording is longer than it may be."""


def decode(source: Path, target: Path, name: str, limits: DecodingLimits) -> DecodedCopy:
    """Write a mono copy of a recording at its own rate.

    Raises:
        TooLong: it is longer than ``limits.seconds``, or its copy is larger than a WAV file may be.
        AudioError: it cannot be decoded.
    """
    with opened(source) as (decoder, _):
        rate, channels, form = decoder.rate, decoder.channels, decoder.format
        declared = decoder.num_samples / rate if decoder.exact else 0.0
    if declared > limits.seconds:
        raise TooLong(_too_long(name, duration(declared), limits))
    exact = channels == 1 and form.rpartition("/")[2] in EXACT_FORMATS
    most = min(int(limits.seconds * rate), LARGEST_WAV // (2 if exact else 4))
    notes: list[AudioNote] = []
    samples = 0
    with soundfile.SoundFile(target, "w", rate, 1, "PCM_16" if exact else "FLOAT", format="WAV") as file:
        for block in blocks(source, seconds=BLOCK_SECONDS, notes=notes):
            samples += len(block)
            if samples > most:
                raise TooLong(_too_long(name, f"more than {duration(most / rate)}", limits))
            file.write(np.round(block * 32768.0).astype(np.int16) if exact else block)
    if not samples:
        raise AudioError(f"{name}: holds no samples")
    texts = tuple(text.replace(str(source), name) for text in note_texts(notes))
    return DecodedCopy(rate, channels, samples / rate, texts)


def _too_long(name: str, found: str, limits: DecodingLimits) -> str:
    return (
        f"{name}: lasts {found}, expected at most {duration(limits.seconds)} (--max-seconds) and 4 GB when decoded; cut it, "
        "or name its folder on the command line: recordings there may have any length"
    )


def _failure(error: Exception, name: str, limits: DecodingLimits) -> tuple[int, str]:
    if (isinstance(error, OSError) and error.errno in NO_ROOM) or "System error" in str(error):
        return 507, f"{name}: the disk of the server is full; remove uploads, or make room there"
    if is_out_of_memory(error):
        return 413, f"{name}: decoding needs more than {limits.memory // 10**6} MB of memory; convert it to WAV or FLAC"
    return 415, f"{name}: cannot be decoded ({type(error).__name__}: {first_line(error)}); convert it to WAV or FLAC"


def _limit(limits: DecodingLimits) -> None:
    """Limit memory and processor time of this process; where the system has no such limits the server's clock remains."""
    with suppress(ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this process
    if sys.platform == "win32":
        return
    import resource

    cpu = max(1, int(limits.cpu))
    wanted = {
        resource.RLIMIT_CPU: (cpu, cpu + GRACE),
        resource.RLIMIT_AS: (_address_space() + limits.memory,) * 2,
        resource.RLIMIT_FSIZE: (2**32, 2**32),
        resource.RLIMIT_CORE: (0, 0),
    }
    for kind, (soft, hard) in wanted.items():
        with suppress(ValueError, OSError):
            _, most = resource.getrlimit(kind)
            hard = hard if most == resource.RLIM_INFINITY else min(hard, most)
            resource.setrlimit(kind, (min(soft, hard), hard))


def _address_space() -> int:
    """Bytes of address space that this process has already; 0 where that is unknown, so that the limit is larger than none."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return 0
