"""Events from the scores of frames, for detectors that learnt frames: finer in time than windows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.inference.events import cells

LONGEST_GAP = 2.5  # hops between neighbouring frames, one of which may be lost between two windows; more is not covered


class WindowFrames(NamedTuple):
    """Scores (T, C) of the frames of one window, and their centres (T,) in seconds from its start."""

    scores: np.ndarray
    times: np.ndarray


def join_frames(parts: Sequence[WindowFrames], windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the frames of overlapping windows: each window gives the frames of the part that it decides for.

    Args:
        parts: of n windows.
        windows: (n, 2) start and end of each window in seconds.

    Returns:
        (m, C) scores, and (m, 2) start and end of the part of the recording that each frame decides for.
    """
    rows, times = [], []
    for part, (start, _), (first, last) in zip(parts, windows, cells(windows), strict=True):
        at = part.times + start
        kept = (at >= first) & (at < last)
        rows.append(part.scores[kept])
        times.append(at[kept])
    scores, centres = np.concatenate(rows), np.concatenate(times)
    order = np.argsort(centres, kind="stable")
    return scores[order], frame_spans(centres[order], float(windows[0, 0]), float(windows[-1, 1]))


def frame_spans(centres: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the spans (m, 2) of frames by their centres (m,): halfway to the neighbours, up to the ends of the recording."""
    if len(centres) < 2:
        return np.tile([start, end], (len(centres), 1)).astype(np.float64)
    gaps = np.diff(centres)
    hop = float(np.median(gaps))
    middle = (centres[1:] + centres[:-1]) / 2
    near = gaps <= LONGEST_GAP * hop
    starts = np.concatenate([[start], np.where(near, middle, centres[1:] - hop / 2)])
    ends = np.concatenate([np.where(near, middle, centres[:-1] + hop / 2), [end]])
    return np.stack([starts, ends], axis=1)


def learnt_frames(model: Any) -> bool:
    """Return True for a run folder whose network was trained with ``--level frames``."""
    from auricle.hub.run_folder import RunFolder

    if not isinstance(model, (str, Path)) or not Path(model).is_dir():
        return False
    try:
        data = RunFolder.open(model).read_config().get("data")
    except AuricleError:
        return False
    return isinstance(data, dict) and data.get("level") == "frames"
