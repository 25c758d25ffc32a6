"""Findings about single clips, and about the lengths and rates of all of them, from what was measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from auricle.audio.decode.base import LOUD
from auricle.core.console import audio_length, number_of
from auricle.data.checks.findings import Finding, FoundClip
from auricle.data.checks.measures import ClipMeasures

LEAST_CLIPPED = 0.001  # of the samples: 44 a second at 44.1 kHz, audible as distortion of every loud part
QUIET = 0.001  # peak: -60 dB, 33 steps of 16 bits
OFFSET, OFFSET_OF_RMS = 0.005, 0.1  # of full scale, and of the sound: 1 % of its power
COARSE = 2.0**-8  # step of 9 bits with sign; 8 bits have 2^-7
ENOUGH_SAMPLES = 1000  # with fewer, the smallest step may be large by chance
PADDED = 0.5  # share of digital silence
SHORT = 0.05  # seconds; less than two frames of most front ends
UNEVEN = 10.0  # times the median length


class ClipFault(NamedTuple):
    """A finding about single clips: how bad it is in a clip (0: not at all), and a text on it."""

    badness: Callable[[ClipMeasures], float]
    detail: Callable[[ClipMeasures], str]


def is_silent(clip: ClipMeasures) -> bool:
    """Return True if all samples of a clip are equal."""
    return not clip.fault and clip.levels.rms == 0


def is_usable(clip: ClipMeasures) -> bool:
    """Return True for a clip that can be read and is not silent."""
    return not clip.fault and not is_silent(clip)


def _offset(clip: ClipMeasures) -> float:
    size = abs(clip.levels.offset)
    return size if size >= OFFSET and size >= OFFSET_OF_RMS * clip.levels.rms and clip.levels.peak <= LOUD else 0.0


def _coarse(clip: ClipMeasures) -> float:
    known = clip.samples >= ENOUGH_SAMPLES and clip.levels.peak <= LOUD
    return clip.levels.step if clip.levels.step >= COARSE and known else 0.0


def _lacking(clip: ClipMeasures) -> float:
    return 0.0 if clip.bandwidth is None else 1 - 2 * clip.bandwidth / clip.rate


FAULTS: dict[str, ClipFault] = {
    "clipped": ClipFault(
        lambda c: c.levels.clipped if c.levels.clipped >= LEAST_CLIPPED else 0.0,
        lambda c: f"{100 * c.levels.clipped:.2g} % of the samples are at the limit, the peak is {c.levels.peak:.3g}",
    ),
    "level": ClipFault(lambda c: c.levels.peak if c.levels.peak > LOUD else 0.0, lambda c: f"peak {c.levels.peak:.6g}"),
    "quiet": ClipFault(
        lambda c: 1 - c.levels.peak if c.levels.peak < QUIET else 0.0,
        lambda c: f"the peak is {20 * np.log10(c.levels.peak):.0f} dB below full scale".replace("-", ""),
    ),
    "offset": ClipFault(
        _offset, lambda c: f"the mean is {c.levels.offset:.2g}, the sound around it has an RMS of {c.levels.rms:.2g}"
    ),
    "few-bits": ClipFault(
        _coarse, lambda c: f"steps of {c.levels.step:.2g}, as of {1 - np.log2(c.levels.step):.0f} bits"
    ),
    "band-limited": ClipFault(
        _lacking,
        lambda c: f"nothing above {c.bandwidth:.0f} Hz; the sample rate of {c.rate} Hz allows {c.rate / 2:.0f} Hz",
    ),
    "padded": ClipFault(
        lambda c: c.levels.zero_share if c.levels.zero_share > PADDED else 0.0,
        lambda c: f"{100 * c.levels.zero_share:.0f} % of {audio_length(c.seconds)} are digital silence",
    ),
    "short": ClipFault(
        lambda c: 1 - c.seconds if c.seconds < SHORT else 0.0, lambda c: f"{1000 * c.seconds:.3g} ms long"
    ),
    "header": ClipFault(lambda c: float(bool(c.message)), lambda c: c.message),
    **{
        name: ClipFault(lambda c, fault=fault: float(c.levels.channels == fault), lambda c: f"{c.channels} channels")  # type: ignore[misc]
        for name, fault in (
            ("inverted-channels", "inverted"), ("dead-channel", "dead"), ("identical-channels", "identical"),
        )
    },
}  # fmt: skip


def clip_findings(measures: Sequence[ClipMeasures]) -> Iterator[Finding]:
    """Yield the findings about single clips."""
    for fault in ("unreadable", "empty", "truncated"):
        broken = tuple(FoundClip(clip.id, clip.message) for clip in measures if clip.fault == fault)
        if broken:
            yield Finding(fault, _counted(len(broken), len(measures)), broken)
    silent = tuple(FoundClip(clip.id, _constant(clip)) for clip in measures if is_silent(clip))
    if silent:
        yield Finding("silent", _counted(len(silent), len(measures)), silent)
    usable = [clip for clip in measures if is_usable(clip)]
    for name, kind in FAULTS.items():
        worst = sorted(((kind.badness(clip), clip) for clip in usable), key=lambda pair: -pair[0])
        found = tuple(FoundClip(clip.id, kind.detail(clip)) for badness, clip in worst if badness > 0)
        if found:
            yield Finding(name, _counted(len(found), len(measures)), found)


def _counted(found: int, clips: int) -> str:
    return f"{found:,} of {number_of(clips, 'clip')}"


def _constant(clip: ClipMeasures) -> str:
    return f"all samples are {clip.levels.offset:.4g}"


def corpus_findings(measures: Sequence[ClipMeasures]) -> Iterator[Finding]:
    """Yield the findings about the rates, channels and lengths of all clips."""
    usable = [clip for clip in measures if is_usable(clip)]
    yield from _mixed("mixed-rates", usable, lambda clip: clip.rate, "Hz")
    yield from _mixed("mixed-channels", usable, lambda clip: clip.channels, "channels")
    if not usable:
        return
    lengths = np.array([clip.seconds for clip in usable])
    median = float(np.median(lengths))
    far = [clip for clip in usable if clip.seconds > UNEVEN * median]
    if far:
        far.sort(key=lambda clip: -clip.seconds)
        found = tuple(FoundClip(clip.id, f"{audio_length(clip.seconds)} long") for clip in far)
        yield Finding(
            "uneven-lengths",
            f"{_counted(len(far), len(measures))} are more than {UNEVEN:.0f} times as long as the median of "
            f"{audio_length(median)}",
            found,
        )


def _mixed(
    name: str, clips: Sequence[ClipMeasures], value: Callable[[ClipMeasures], int], unit: str
) -> Iterator[Finding]:
    """A finding where a value is not the same in all clips; its clips are those of all values but the most frequent one."""
    counts = Counter(map(value, clips))
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    summary = ", ".join(f"{number} {unit} in {number_of(count, 'clip')}" for number, count in counts.most_common())
    rare = sorted((clip for clip in clips if value(clip) != usual), key=lambda clip: counts[value(clip)])
    yield Finding(name, summary, tuple(FoundClip(clip.id, f"{value(clip)} {unit}") for clip in rare))
