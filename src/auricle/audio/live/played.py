"""A recording that is played as if it were live."""

from __future__ import annotations

import time
from collections.abc import Iterator

from auricle.audio.live.base import LiveChunk
from auricle.audio.resample import Resampler
from auricle.audio.sources import AudioSource

CHUNK_SECONDS = 0.1


def played_chunks(source: AudioSource, rate: int, resampler: Resampler, speed: float | None) -> Iterator[LiveChunk]:
    """Yield a recording in chunks, each when its last sample would have been heard.

    Args:
        rate, resampler: what it is decoded to.
        speed: 2: twice as fast as it was recorded; None: as fast as it is taken.
    """
    began, sent, size = time.monotonic(), 0, round(CHUNK_SECONDS * rate)
    for block in source.blocks(rate, resampler):
        for start in range(0, len(block), size):
            part = block[start : start + size]
            sent += len(part)
            if speed is not None:
                time.sleep(max(0.0, began + sent / rate / speed - time.monotonic()))
            yield LiveChunk(part, rate)
