"""Find clips that hold the same sound: candidates by equal sub-fingerprints, then the waveforms themselves.

A candidate is a pair of clips with equal sub-fingerprints at one and the same shift. In clips of a few seconds, sub-fingerprints
that differ in an uncertain bit count as equal (Haitsma and Kalker, section 5.2). A candidate is a match if the waveforms correlate
at that shift, in the telephone band and in its upper part alone: two takes of a word by one speaker can be alike in the lowest
harmonics. Gain, polarity, codec, sample rate and a shift leave the correlation high. A change of speed or pitch is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.audio.decode import File, read
from auricle.core.errors import AuricleError
from auricle.data.checks.fingerprints import HOP, RATE, Fingerprint

LARGEST_BUCKET = 32  # clips with one sub-fingerprint: a more frequent one says nothing
LONGEST_BUCKET = 4 * LARGEST_BUCKET  # frames with one sub-fingerprint
FEW_FRAMES = 512  # six seconds: in a shorter clip uncertain bits are turned too
LEAST_VOTES = 3  # equal sub-fingerprints at one shift
SHIFT_STEP = 4  # frames (46 ms): the width of a bin of shifts
COMPARED_RATE = 8000  # hertz
COMPARED_SECONDS = 20.0  # around the equal frames
LEAST_SECONDS = 0.1  # of common sound that can be compared
SEARCHED_SECONDS = 0.15  # of shift, around that of the fingerprints
FINE = 4  # shifts tried per sample: at 3400 Hz a quarter of a sample at 8 kHz is 0.1 of a period
BAND = (300.0, 3400.0)  # hertz; hum and offset of a recorder are alike in all its recordings
UPPER_BAND = (1000.0, 3400.0)
# When this was chosen, two takes of a digit reached 0.86 in the whole band and 0.71 in its upper part at once, in 2,400 clips
# (ESC-10 and 2,000 spoken digits). `python -m benchmarks.check --copies` counts the copies in other forms that are found.
LEAST_CORRELATION, LEAST_UPPER = 0.85, 0.75


@dataclass(frozen=True)
class Candidate:
    """Two clips with equal sub-fingerprints.

    Attributes:
        first, second: their numbers.
        shift: frame of ``first`` at which ``second`` begins.
        at: frame of ``first`` in the middle of the equal ones.
        votes: number of equal sub-fingerprints.
    """

    first: int
    second: int
    shift: int
    at: int
    votes: int


@dataclass(frozen=True)
class Excerpt:
    """A clip to compare: its file, and where it begins and ends in it, in seconds."""

    file: File
    start: float
    end: float


@dataclass(frozen=True)
class SharedSound:
    """Two clips that hold the same sound.

    Attributes:
        first, second: their numbers.
        shift: second of ``first`` at which ``second`` begins.
        seconds: length of what both hold.
        share: the same, as a share of the shorter clip.
        correlation: of the waveforms, from 0 to 1.
    """

    first: int
    second: int
    shift: float
    seconds: float
    share: float
    correlation: float


def candidates(prints: Sequence[Fingerprint]) -> list[Candidate]:
    """Return the pairs of clips with enough equal sub-fingerprints at one shift, each pair with its best shift."""
    tables = [_rows(number, prints[number]) for number in range(len(prints)) if len(prints[number])]
    if not tables:
        return []
    keys, frames, clips = (np.concatenate(column) for column in zip(*tables))
    order = np.argsort(keys, kind="stable")  # rows of one key stay in the order of the clips
    keys, frames, clips = keys[order], frames[order], clips[order]
    rare = _are_rare(keys, clips)
    pairs, shifts, places = _equal_keys(keys[rare], frames[rare], clips[rare], len(prints))
    return list(_voted(pairs, shifts, places, len(prints)))


def _rows(number: int, print: Fingerprint) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keys, frames and the number of a clip; in a short clip also the keys with one uncertain bit turned."""
    keys, frames = [print.keys], print.frames.astype(np.int64)
    if len(print) <= FEW_FRAMES:
        keys += [print.keys ^ (np.uint32(1) << (31 - bits.astype(np.uint32))) for bits in print.weak.T]
    joined = np.concatenate(keys)
    return joined, np.tile(frames, len(keys)), np.full(len(joined), number, np.int64)


def _are_rare(keys: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """(M,) True for sorted keys that stand in two clips to ``LARGEST_BUCKET`` clips."""
    new = np.concatenate([[True], keys[1:] != keys[:-1]])
    starts = np.flatnonzero(new)
    another = new | np.concatenate([[True], clips[1:] != clips[:-1]])
    distinct = np.add.reduceat(another.astype(np.int64), starts)
    sizes = np.diff(np.append(starts, len(keys)))
    return np.repeat((distinct > 1) & (distinct <= LARGEST_BUCKET) & (sizes <= LONGEST_BUCKET), sizes)


def _equal_keys(
    keys: np.ndarray, frames: np.ndarray, clips: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of rows with one key and two clips: number of the pair of clips, shift, and frame of the first."""
    pairs, shifts, places = ([np.zeros(0, np.int64)] for _ in range(3))
    for distance in range(1, LONGEST_BUCKET):
        equal = keys[distance:] == keys[:-distance]
        if not equal.any():
            break
        rows = np.flatnonzero(equal & (clips[distance:] != clips[:-distance]))
        pairs.append(clips[rows] * count + clips[rows + distance])
        shifts.append(frames[rows] - frames[rows + distance])
        places.append(frames[rows])
    return np.concatenate(pairs), np.concatenate(shifts), np.concatenate(places)


def _voted(pairs: np.ndarray, shifts: np.ndarray, places: np.ndarray, count: int) -> Iterator[Candidate]:
    """The pairs of clips with enough votes for a shift. Two sets of bins, so that no shift is at the edge of both."""
    best: dict[int, Candidate] = {}
    for offset in (0, SHIFT_STEP // 2):
        bins = (shifts + offset) // SHIFT_STEP
        order = np.lexsort((places, bins, pairs))
        sorted_pairs, sorted_bins, sorted_places = pairs[order], bins[order], places[order]
        new = np.ones(len(order), bool)
        new[1:] = (sorted_pairs[1:] != sorted_pairs[:-1]) | (sorted_bins[1:] != sorted_bins[:-1])
        once = new.copy()  # a frame has one vote, whichever of its bits were turned
        once[1:] |= sorted_places[1:] != sorted_places[:-1]
        starts = np.flatnonzero(new)
        votes = np.add.reduceat(once.astype(np.int64), starts) if len(starts) else starts
        ends = np.append(starts[1:], len(order))
        for group in np.flatnonzero(votes >= LEAST_VOTES).tolist():
            rows = order[starts[group] : ends[group]]
            pair, number = int(pairs[rows[0]]), int(votes[group])
            if pair not in best or number > best[pair].votes:
                shift, at = round(float(np.median(shifts[rows]))), int(np.median(places[rows]))
                best[pair] = Candidate(pair // count, pair % count, shift, at, number)
    yield from (best[pair] for pair in sorted(best))


# ---- the second stage


def compare(task: tuple[Candidate, Excerpt, Excerpt]) -> SharedSound | None:
    """Compare the waveforms of a candidate and its two clips. None for clips that are not alike, or that cannot be read."""
    candidate, one, other = task
    shift = candidate.shift * HOP / RATE
    lengths = one.end - one.start, other.end - other.start
    first, last = max(0.0, shift), min(lengths[0], shift + lengths[1])
    begin = max(first, min(candidate.at * HOP / RATE - COMPARED_SECONDS / 2, last - COMPARED_SECONDS))
    end = min(last, begin + COMPARED_SECONDS)
    if end - begin < LEAST_SECONDS:
        return None
    try:
        waves = [
            read(clip.file, start=clip.start + from_, end=clip.start + to, rate=COMPARED_RATE, check=False).wave
            for clip, from_, to in ((one, begin, end), (other, begin - shift, end - shift))
        ]
    except AuricleError:
        return None
    correlation, upper, lag = correlations(waves[0], waves[1], round(SEARCHED_SECONDS * COMPARED_RATE))
    if correlation < LEAST_CORRELATION or upper < LEAST_UPPER:
        return None
    shift += lag / COMPARED_RATE
    seconds = min(lengths[0], shift + lengths[1]) - max(0.0, shift)
    share = min(1.0, seconds / min(lengths))
    return SharedSound(candidate.first, candidate.second, shift, seconds, share, correlation)


def correlations(first: np.ndarray, second: np.ndarray, reach: int) -> tuple[float, float, float]:
    """Return the largest correlation of two waves without its sign, that of their upper band there, and the shift.

    Args:
        first, second: (S,) and (S',) at ``COMPARED_RATE``.
        reach: samples of shift that are tried in both directions.

    Returns:
        The correlation in ``BAND``, from 0 to 1; that in ``UPPER_BAND`` at the same shift; and the samples, also parts of
        one, that ``second`` is moved by.
    """
    whole, lags = _correlation(first, second, reach, BAND)
    best = int(whole.argmax())
    upper, _ = _correlation(first, second, reach, UPPER_BAND)
    return min(1.0, float(whole[best])), min(1.0, float(upper[best])), float(lags[best])


def _correlation(
    first: np.ndarray, second: np.ndarray, reach: int, band: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The correlation at every shift, and the shifts in samples. Shifts that leave less than half in common have none."""
    size = 1 << (len(first) + len(second)).bit_length()
    hertz = np.fft.rfftfreq(size, 1 / COMPARED_RATE)
    passed = (hertz >= band[0]) & (hertz <= band[1])
    spectra = [np.fft.rfft(wave, size) * passed for wave in (first, second)]
    products = np.fft.irfft(spectra[0] * spectra[1].conj(), FINE * size) * FINE
    powers = [
        np.concatenate([[0.0], np.cumsum(np.square(np.fft.irfft(spectrum, size)[: len(wave)]))])
        for spectrum, wave in zip(spectra, (first, second))
    ]
    fine = np.arange(-FINE * min(reach, len(second) - 1), FINE * min(reach, len(first) - 1) + 1)
    shifts = np.round(fine / FINE).astype(int)
    starts, stops = np.maximum(0, shifts), np.minimum(len(first), shifts + len(second))
    common = np.sqrt(
        (powers[0][stops] - powers[0][starts]).clip(0)
        * (powers[1][stops - shifts] - powers[1][starts - shifts]).clip(0)
    )
    usable = (2 * (stops - starts) >= min(len(first), len(second))) & (common > 1e-13 * len(first))
    values = np.where(usable, np.abs(products[fine]) / np.where(usable, common, 1.0), 0.0)
    return values, fine / FINE
