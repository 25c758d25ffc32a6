"""Cut clips to one length and fill up short ones. Pure functions of arrays whose last axis is time."""

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
    """How clips are brought to one length, and how a short list is repeated."""

    crop: str = option(
        "random",
        f"where a crop starts; loud: the loudest of {LOUD_OF} random ones, for recordings with much silence",
        choices=CROPS,
    )
    short: str = option(
        "zeros", "padding of clips that are shorter than a crop: zeros, or the clip again", choices=("zeros", "repeat")
    )
    published_crop: bool = option(False, "never draw the last possible start of a crop, as the original M2D program")
    min_ds_size: int = option(0, "smallest number of clips in an epoch; a shorter list is repeated")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("min_ds_size",), 0)


def crop_start(
    source: RandomSource,
    length: int,
    crop_length: int,
    *,
    published: bool = False,
    loudness: Callable[[int], float] | None = None,
) -> int:
    """Draw where a crop starts, uniformly over all possible starts.

    Args:
        source: Random numbers.
        length: Length of the clip.
        crop_length: Length of the crop, in the same unit.
        published: True never draws the last start, ``length - crop_length``, as the original program does
            ([m2d 5.2](docs/specification/m2d.md#s5-2)).
        loudness: Loudness of the crop at a start. With it, the loudest of ``LOUD_OF`` draws is taken.

    Returns:
        The start; 0 for a clip that is not longer than the crop.
    """
    if length <= crop_length:
        return 0
    starts = length - crop_length + (0 if published else 1)
    if loudness is None:
        return int(source.integers(0, starts))
    return max((int(source.integers(0, starts)) for _ in range(LOUD_OF)), key=loudness)


def fit_length(array: np.ndarray, length: int, short: str = "zeros") -> np.ndarray:
    """Cut an array at its end, or fill it up, to a length.

    Zeros in a raw log-mel spectrogram are unit power, not silence; the published programs pad so
    ([m2d 5.2](docs/specification/m2d.md#s5-2)).

    Args:
        array: (..., N).
        length: Length of the result.
        short: What follows a shorter array: ``"zeros"``, or ``"repeat"`` for repetitions of itself.

    Returns:
        (..., length).
    """
    available = array.shape[-1]
    if available >= length:
        return array[..., :length]
    if short == "repeat":
        return np.concatenate([array] * -(-length // available), axis=-1)[..., :length]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, length - available)])


def fade_ends(wave: np.ndarray, fade: int, *, start: bool = True) -> np.ndarray:
    """Fade a waveform (S,) linearly: ``fade`` samples in and out, from and to 0 (all samples, where there are fewer).

    Args:
        wave: The samples; they are not changed.
        fade: Samples of a fade.
        start: False fades out at the end alone.
    """
    size = min(fade, len(wave))
    ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
    out = wave.copy()
    if start:
        out[:size] *= ramp
    out[len(out) - size :] *= ramp[::-1]
    return out


def faded_clip(wave: np.ndarray, length: int, fade: int, short: str = "repeat") -> np.ndarray:
    """Fade the ends of a whole clip (S,), then cut it or fill it up to a length.

    A clip that is repeated fades out once more at the end; a cut end is not faded again
    ([finetuning 9.1](docs/specification/finetuning.md#s9-1)).

    Args:
        wave: The clip.
        length: Samples of the result.
        fade: Samples of a fade.
        short: What follows a shorter clip: ``"zeros"`` or ``"repeat"``.

    Returns:
        (length,).
    """
    whole = fit_length(fade_ends(wave, fade), length, short)
    return fade_ends(whole, fade, start=False) if short == "repeat" and len(wave) <= length else whole


def epoch_length(count: int, min_ds_size: int) -> int:
    """Return the clips of an epoch: a list of ``count`` clips is repeated up to ``min_ds_size``.

    Place i of the epoch is clip ``i % count``. A list that is long enough stays as it is: 3 become 10, 12 stay 12 for a
    ``min_ds_size`` of 10 ([m2d 5.2](docs/specification/m2d.md#s5-2)).
    """
    return max(count, min_ds_size)
