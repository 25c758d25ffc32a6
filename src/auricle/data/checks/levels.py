"""What the samples of a recording say about its level: clipped peaks, digital silence, offset, and channels that are of no use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Clipped peaks pile up at one value: the outermost bins of the histogram of samples hold more of them than the many bins before.
# Around the peak of a sine the ratio is 0.2 (the density of its samples is 1 / (pi sqrt(1 - x^2))), of noise and speech less.
SCALE = 8192  # bins for 0 to full scale
RAIL, BESIDE = 3, 97  # bins: 0.04 % and 1.2 % of full scale
LEAST_PILED = 10  # samples
LEAST_BINS = 100  # used ones: samples of a pure tone and of square waves take a few values only
QUIET_PEAK = 0.05  # peaks below are not called clipped
PAUSE = 0.01  # seconds of zeros that are digital silence; single zeros are samples like others
DEAD = 1e-6  # of the power of the loudest channel: -60 dB, cross-talk of a channel that is not connected
CANCELLED = 0.1  # power that is left after mixing the channels, at most: -10 dB


@dataclass(frozen=True)
class LevelFacts:
    """What the samples of a clip say about its level.

    Attributes:
        peak: largest magnitude; 1 is full scale.
        rms: root mean square of all samples without their mean.
        offset: the mean of the channel in which it is farthest from 0.
        clipped: samples piled up at the highest or lowest value, as a share of all samples.
        step: smallest difference of two samples in a row: of 16 bits 2^-15.
        zero_share: samples in pauses of digital silence, as a share of all samples.
        channels: what is wrong with the channels: "dead", "identical", "inverted", or "".
    """

    peak: float
    rms: float
    offset: float
    clipped: float
    step: float
    zero_share: float
    channels: str = ""


class LevelMeter:
    """Measures blocks (n, channels) of a clip.

    Args:
        rate: hertz.
        channels: number of channels.
    """

    def __init__(self, rate: int, channels: int):
        self._pause = max(2, round(PAUSE * rate))
        self._count = 0
        self._peaks = np.zeros(channels)
        self._sums, self._powers = np.zeros(channels), np.zeros(channels)
        self._low, self._high = np.full(channels, np.inf), np.full(channels, -np.inf)
        self._mix_power = 0.0
        self._identical = channels > 1
        self._histogram = np.zeros(4 * SCALE + 1, np.int64)  # of -2 to 2: lossy decoders exceed full scale a little
        self._step = np.inf
        self._zeros, self._zero_run = 0, 0

    def add(self, block: np.ndarray) -> None:
        """Add the next block (n, channels) float32."""
        if not len(block):
            return
        self._count += len(block)
        self._low, self._high = np.minimum(self._low, block.min(axis=0)), np.maximum(self._high, block.max(axis=0))
        self._sums += block.sum(axis=0, dtype=np.float64)
        self._powers += np.square(block, dtype=np.float64).sum(axis=0)
        if block.shape[1] > 1:
            self._mix_power += float(np.square(block.mean(axis=1, dtype=np.float64)).sum())
            self._identical = self._identical and bool((block[:, 1:] == block[:, :1]).all())
        bins = np.rint(block.ravel() * SCALE).clip(-2 * SCALE, 2 * SCALE).astype(np.int64) + 2 * SCALE
        self._histogram += np.bincount(bins, minlength=len(self._histogram))
        steps = np.abs(np.diff(block, axis=0))
        self._step = min(self._step, float(steps.min(initial=np.inf, where=steps > 0)))
        self._find_pauses(np.logical_not(block.any(axis=1)))

    def _find_pauses(self, silent: np.ndarray) -> None:
        """Count samples in runs of zeros of at least a pause, across blocks."""
        changes = np.flatnonzero(np.diff(silent.view(np.int8)))
        bounds = np.concatenate([[0], changes + 1, [len(silent)]])
        for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist()) if silent.any() else ((0, len(silent)),):
            if silent[start]:
                before, self._zero_run = self._zero_run, self._zero_run + stop - start
                if self._zero_run >= self._pause:
                    self._zeros += stop - start + (before if before < self._pause else 0)
            else:
                self._zero_run = 0

    def facts(self) -> LevelFacts:
        """Return the facts about all blocks so far."""
        count = max(self._count, 1)
        means = self._sums / count
        variances = (self._powers / count - means**2).clip(0)
        peak = float(np.maximum(-self._low, self._high).max()) if self._count else 0.0
        return LevelFacts(
            peak=peak,
            rms=float(np.sqrt(variances.mean())),
            offset=float(means[np.abs(means).argmax()]),
            clipped=self._piled_up() / (count * len(means)) if peak >= QUIET_PEAK else 0.0,
            step=self._step if np.isfinite(self._step) else 0.0,
            zero_share=self._zeros / count,
            channels=self._fault_of_channels(variances),
        )

    def _piled_up(self) -> int:
        """Samples at the rails on both sides."""
        used = np.flatnonzero(self._histogram)
        if len(used) < LEAST_BINS:
            return 0
        top, bottom = self._histogram[: used[-1] + 1][::-1], self._histogram[used[0] :]
        piles = ((int(side[:RAIL].sum()), int(side[RAIL : RAIL + BESIDE].sum())) for side in (top, bottom))
        return sum(pile for pile, beside in piles if pile >= max(LEAST_PILED, beside))

    def _fault_of_channels(self, variances: np.ndarray) -> str:
        if len(variances) < 2 or variances.max() == 0:
            return ""
        if self._identical:
            return "identical"
        if (variances <= DEAD * variances.max()).any():
            return "dead"
        power = self._powers.mean()
        return "inverted" if self._mix_power < CANCELLED * power / len(variances) else ""
