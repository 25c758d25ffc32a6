"""Sound from an address on the network, by PyAV ([media] extra): web radio, RTSP cameras, HLS.

It connects again when it breaks, and says how long it was away.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from auricle.audio.live.base import LiveChunk
from auricle.core.errors import AudioError, AuricleError, MissingExtra

TIMEOUT_SECONDS = 10.0  # to connect, and without a packet
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0  # seconds from one attempt to the next, which doubles


def network_chunks(
    address: str,
    *,
    attempts: int | None = None,
    timeout: float = TIMEOUT_SECONDS,
    first_wait: float = FIRST_WAIT,
    on_trouble: Callable[[str], None] = lambda text: None,
) -> Iterator[LiveChunk]:
    """Yield the sound of a network stream. What was missed while it was away is in ``Chunk.lost``.

    Args:
        address: what FFmpeg opens: http://, https://, rtsp://, tcp://, udp://, srt://, ….
        attempts: to connect again, in a row; None: for ever. A stream that ends is connected again too.
        timeout: seconds.
        first_wait: seconds before the second attempt.
        on_trouble: called with what has happened.

    Raises:
        AuricleError: without PyAV, for a stream that cannot be opened at all, and after the last attempt.
    """
    av = _pyav()
    failures, heard, lost_at, wait = 0, False, 0.0, first_wait
    while True:
        reason = "it ended"
        try:
            for samples, rate in _decoded(av, address, timeout):
                lost = time.monotonic() - lost_at if lost_at else 0.0
                yield LiveChunk(samples, rate, max(0.0, lost - len(samples) / rate), reconnected=lost_at > 0)
                failures, heard, lost_at, wait = 0, True, 0.0, first_wait
        except (av.error.FFmpegError, AudioError, ValueError) as error:
            reason = _reason(error, timeout)
            if not heard:
                raise AuricleError(
                    f"{address} cannot be opened: {reason}; check the address and that it is up"
                ) from None
        lost_at = lost_at or time.monotonic()
        if attempts is not None and failures >= attempts:
            raise AuricleError(f"{address} is gone ({reason}); {attempts} attempts to connect again failed")
        failures += 1
        on_trouble(f"{address}: {reason}; connecting again in {wait:g} s")
        time.sleep(wait)
        wait = min(2 * wait, LONGEST_WAIT)


def _reason(error: Exception, timeout: float) -> str:
    """What FFmpeg means: it calls a stall an exit that was asked for, and an end without notice an input error."""
    if type(error).__name__ == "ExitError" or isinstance(error, TimeoutError):
        return f"nothing came for {timeout:g} s"
    if isinstance(error, OSError) and error.errno == errno.EIO:
        return "the connection broke off"
    return getattr(error, "strerror", None) or str(error)


def _decoded(av: Any, address: str, timeout: float) -> Iterator[tuple[np.ndarray, int]]:
    """(n,) mono float32 and the rate, frame by frame."""
    with av.open(address, timeout=timeout) as container:
        if not container.streams.audio:
            raise AudioError("it holds no audio")
        mono = av.AudioResampler(format="flt", layout="mono")
        for frame in container.decode(container.streams.audio[0]):
            for part in mono.resample(frame):
                yield part.to_ndarray()[0].astype(np.float32), part.sample_rate


def _pyav() -> Any:
    try:
        import av
        import av.error
    except ImportError:
        raise MissingExtra("sound from the network", "media") from None
    return av
