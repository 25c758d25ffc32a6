"""Long recordings as many clips: every window of a recording is a clip with a start and an end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.inference.batching import seconds_of

ROUNDING = 1e-9  # seconds: 9 * 0.6 is a little more than 5.4


def cut_into_windows(manifest: Manifest, window: float, hop: float = 0.0) -> Manifest:
    """Every clip in windows of ``window`` seconds every ``hop`` seconds (0: half a window), under ids as
    ``a.wav@2.5-7.5``.

    The last window is moved back so that it ends where the clip ends; a shorter clip stays whole, and so does a file
    that cannot be opened: who reads it says why. Raises AuricleError for a window or hop of no length.
    """
    hop = hop or window / 2
    if not (0 < window < float("inf") and 0 < hop < float("inf")):
        raise AuricleError(f"--window and --hop are seconds above 0, got {window} and {hop}")
    return replace(manifest, clips=tuple(part for clip in manifest for part in _parts(manifest, clip, window, hop)))


def _parts(manifest: Manifest, clip: Clip, window: float, hop: float) -> Iterator[Clip]:
    seconds = seconds_of(manifest, clip)
    if isinstance(seconds, str):
        yield clip
        return
    first = clip.start or 0.0
    for start, end in window_spans(seconds, window, hop):
        start, end = first + start, first + end
        yield replace(clip, id=f"{clip.id}@{start:.12g}-{end:.12g}", start=start, end=end)


def window_spans(seconds: float, window: float, hop: float) -> Iterator[tuple[float, float]]:
    """(start, end) of the windows that cover ``seconds``, as ``inference.windows`` cuts them."""
    count = 0
    while count * hop + window <= seconds + ROUNDING:
        yield count * hop, min(seconds, count * hop + window)
        count += 1
    heard = (count - 1) * hop + window if count else 0.0
    if seconds > max(heard, count * hop) + ROUNDING:
        yield max(0.0, seconds - window), seconds
