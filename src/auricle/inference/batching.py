"""From a manifest's clips to batches of audio: decoded in threads, ordered by length, cut or padded as asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from auricle.audio.decode import probe, read
from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.inference.embed_config import EmbedSettings

BATCH_SECONDS = 320.0  # most audio in one batch, padding included, so that long clips do not exhaust memory


@dataclass(frozen=True)
class Heard:
    """One decoded clip, mono float32 (S,) at the encoder's rate, or the words why not.

    With neither, it is a long recording that was left to be read piece by piece.
    """

    clip: Clip
    wave: np.ndarray | None
    failure: str = ""


def heard_batches(
    manifest: Manifest,
    rate: int,
    settings: EmbedSettings,
    resampler: Resampler = "soxr",
    *,
    leave_long: bool = False,
    in_order: bool = False,
) -> Iterator[list[Heard]]:
    """Batches of clips of similar length; two batches are decoded ahead while the caller works. ``rate`` in hertz and
    ``resampler`` are the encoder's. ``leave_long``: whole files above BATCH_SECONDS come last, and not decoded.
    ``in_order``: in the manifest's order, and clips cut to one length always ``batch_size`` together."""
    with ThreadPoolExecutor(settings.workers) as pool:
        sized, broken = _sized(manifest, settings, pool)
        sized = sized if in_order else sorted(sized, key=lambda pair: pair[0])
        most = math.inf if in_order and settings.seconds else BATCH_SECONDS
        if broken:
            yield broken
        left = [clip for seconds, clip in sized if leave_long and _is_long(seconds, clip, settings)]
        sized = [(seconds, clip) for seconds, clip in sized if clip not in left]
        waiting: deque[list[Future[Heard]]] = deque()
        for batch in _batches(sized, settings.batch_size, most):
            waiting.append([pool.submit(_hear, manifest, clip, rate, settings, resampler) for clip in batch])
            if len(waiting) > 2:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
        yield from ([Heard(clip, None)] for clip in left)


def _is_long(seconds: float, clip: Clip, settings: EmbedSettings) -> bool:
    return seconds > BATCH_SECONDS and not settings.seconds and clip.start is None and clip.end is None


def _sized(
    manifest: Manifest, settings: EmbedSettings, pool: ThreadPoolExecutor
) -> tuple[list[tuple[float, Clip]], list[Heard]]:
    """(seconds, clip) in the manifest's order; with a fixed length no file is opened for it."""
    if settings.seconds and settings.crop == "start":
        return [(settings.seconds, clip) for clip in manifest], []
    sized, broken = [], []
    for clip, seconds in zip(manifest, pool.map(lambda clip: seconds_of(manifest, clip), manifest)):
        if isinstance(seconds, str):
            broken.append(Heard(clip, None, seconds))
        else:
            sized.append(
                (seconds, replace(clip, end=(clip.start or 0.0) + seconds) if settings.crop == "random" else clip)
            )
    return sized, broken


def seconds_of(manifest: Manifest, clip: Clip) -> float | str:
    """Length of a clip, from the manifest or the file's header; words if the file cannot be read."""
    try:
        if clip.seconds is not None:
            return clip.seconds
        return probe(manifest.audio(clip)).seconds - (clip.start or 0.0)
    except AuricleError as error:
        return str(error)


def _batches(sized: list[tuple[float, Clip]], batch_size: int, most: float) -> Iterator[list[Clip]]:
    """At most ``batch_size`` clips, and ``most`` seconds with padding."""
    batch: list[Clip] = []
    longest = 0.0
    for seconds, clip in sized:
        if batch and (len(batch) == batch_size or (len(batch) + 1) * max(longest, seconds) > most):
            yield batch
            batch, longest = [], 0.0
        batch.append(clip)
        longest = max(longest, seconds)
    if batch:
        yield batch


def _hear(manifest: Manifest, clip: Clip, rate: int, settings: EmbedSettings, resampler: Resampler) -> Heard:
    try:
        return Heard(clip, read_clip(manifest.audio(clip), clip, rate, settings, resampler))
    except AuricleError as error:
        return Heard(clip, None, str(error))


def read_clip(path: Path, clip: Clip, rate: int, settings: EmbedSettings, resampler: Resampler = "soxr") -> np.ndarray:
    """The clip's samples (S,) at ``rate`` hertz, mono by the mean of the channels, cut or zero-padded to ``seconds``.

    Raises AudioError for a file that cannot be read.
    """
    if not settings.seconds:
        return read(path, start=clip.start or 0.0, end=clip.end, rate=rate, mono="mean", resampler=resampler).wave
    start, samples = _crop_start(clip, settings), round(settings.seconds * rate)
    limit = start + settings.seconds + (2 / rate if settings.crop == "random" else 0.0)  # its start may be rounded up
    end = limit if clip.end is None else min(limit, clip.end)
    wave = read(path, start=start, end=end, rate=rate, mono="mean", resampler=resampler).wave
    return np.pad(wave[:samples], (0, max(0, samples - len(wave))))


def _crop_start(clip: Clip, settings: EmbedSettings) -> float:
    """Seconds into the recording; a random window starts uniformly, keyed by the clip's id."""
    start = clip.start or 0.0
    spare = (clip.seconds or 0.0) - settings.seconds
    if settings.crop == "start" or spare <= 0:
        return start
    return start + spare * float(RandomKey(settings.crop_seed).of(f"crop/{clip.id}").random())


def padded(waves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Waves (S_i,) -> (B, S) zero-padded at the end, and lengths (B,)."""
    lengths = np.array([len(wave) for wave in waves])
    batch = np.zeros((len(waves), lengths.max()), np.float32)
    for row, wave in zip(batch, waves):
        row[: len(wave)] = wave
    return batch, lengths
