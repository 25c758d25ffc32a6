"""Cutting clips to one length, and filling up what is too short. Pure functions of arrays whose last axis is time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from auricle.core.options import check_choices, check_ranges, option
from auricle.core.randomness import RandomSource

CROPS = ("random", "loud", "start")
LOUD_OF = 4  # starts that are drawn for a loud crop


@dataclass(frozen=True)
class CropConfig:
    """How clips are brought to one length, and how a short list is stretched."""

    crop: str = option(
        "random",
        f"where a crop starts; loud: the loudest of {LOUD_OF} random ones, for recordings with much silence",
        choices=CROPS,
    )
    short: str = option("zeros", "what fills up a clip that is too short", choices=("zeros", "repeat"))
    published_crop: bool = option(False, "never draw the last possible start of a crop, as the original M2D program")
    min_ds_size: int = option(0, "repeat a shorter list up to this many clips an epoch (0: never)")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("min_ds_size",), 0)


def crop_start(
    source: RandomSource,
    length: int,
    width: int,
    *,
    published: bool = False,
    loudness: Callable[[int], float] | None = None,
) -> int:
    """Where a crop of ``width`` out of ``length`` starts: uniform over all starts, 0 when nothing is to be cut.

    ``published`` never draws the last start, ``length - width``, as the original program (specification m2d 5.2). With
    ``loudness`` (of the crop at a start) the loudest of ``LOUD_OF`` draws is taken.
    """
    if length <= width:
        return 0
    starts = length - width + (0 if published else 1)
    if loudness is None:
        return int(source.integers(0, starts))
    return max((int(source.integers(0, starts)) for _ in range(LOUD_OF)), key=loudness)


def fit(array: np.ndarray, width: int, short: str = "zeros") -> np.ndarray:
    """(..., N) -> (..., width): cut at the end, or filled up with zeros or with repetitions of the clip.

    Zeros in a raw log-mel are unit power, not silence; the published programs pad so (specification m2d 5.2).
    """
    length = array.shape[-1]
    if length >= width:
        return array[..., :width]
    if short == "repeat":
        return np.concatenate([array] * -(-width // length), axis=-1)[..., :width]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - length)])


def inflated(count: int, min_ds_size: int) -> int:
    """Length of a list of ``count`` clips repeated up to ``min_ds_size``; item i is clip i % count.

    A list that is long enough stays as it is: 3 become 10, 12 stay 12 for 10 (specification m2d 5.2).
    """
    return max(count, min_ds_size)
