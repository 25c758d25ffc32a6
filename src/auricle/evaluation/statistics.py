"""Mean and standard deviation of a task's log-mel input, to normalise with.

Source: [evaluation 2](docs/specification/evaluation.md#s2), point 2.

pooled     over all valid frames, the true mean and standard deviation (n divisor)
published  EVAR's running form over batches: the second batch replaces the first, and the result is the average of
           batches 2..K (measured on the original); padding counts, as in the original
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Manifest
from auricle.inference.config import EmbedSettings
from auricle.inference.pipeline import clip_batches, padded
from auricle.models.base import Encoder

MOST_CLIPS = 5000


@dataclass
class PooledStatistics:
    """Mean and standard deviation over all values added, from sums in float64."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, values: Tensor) -> None:
        """Add values of any shape."""
        values = values.double()
        self.count += values.numel()
        self.total += float(values.sum())
        self.squares += float(values.square().sum())

    @property
    def mean(self) -> float:
        return self.total / self.count

    @property
    def std(self) -> float:
        return max(0.0, self.squares / self.count - self.mean**2) ** 0.5


@dataclass
class PublishedStatistics:
    """EVAR's running form: mean_1 = m_1, then mean <- mean + (m_k - mean) / (k - 1).

    The variance runs the same way over the batch means of (x - current mean)^2.
    """

    batches: int = 0
    mean: float = 0.0
    variance: float = 0.0

    def add(self, values: Tensor) -> None:
        """Add one batch of any shape."""
        values = values.double()
        self.batches += 1
        weight = 1 / max(1, self.batches - 1)
        self.mean += (float(values.mean()) - self.mean) * weight
        self.variance += (float((values - self.mean).square().mean()) - self.variance) * weight

    @property
    def std(self) -> float:
        return self.variance**0.5


FORMS: dict[str, type[PooledStatistics] | type[PublishedStatistics]] = {
    "pooled": PooledStatistics,
    "published": PublishedStatistics,
}


def task_statistics(encoder: Encoder, manifest: Manifest, settings: EmbedSettings, form: str) -> tuple[float, float]:
    """Measure mean and standard deviation of the encoder's spectrograms before normalisation.

    Args:
        encoder: Its front end is used.
        manifest: The clips; the first 5,000 of a keyed order are read.
        settings: How clips are cut; batches hold exactly ``batch_size`` clips where all are cut to one length.
        form: "pooled" or "published".

    Raises:
        AuricleError: The form is unknown, or no clip can be read.
    """
    if form not in FORMS:
        raise AuricleError(f"unknown statistics '{form}'; known: own, {', '.join(FORMS)}")
    order = RandomKey(settings.crop_seed).of("statistics").permutation(len(manifest))[:MOST_CLIPS]
    statistics, seen = FORMS[form](), 0
    chosen = replace(manifest, clips=tuple(manifest.clips[i] for i in order))
    for batch in clip_batches(chosen, encoder.info.sample_rate, settings, encoder.front.resampler, in_order=True):
        waves = [audio.waveform for audio in batch if audio.waveform is not None]
        if waves:
            statistics.add(_values(encoder, waves, form))
            seen += len(waves)
    if not seen:
        raise AuricleError("no clip could be read, so there are no statistics")
    return statistics.mean, statistics.std


@torch.inference_mode()
def _values(encoder: Encoder, waves: list, form: str) -> Tensor:
    wave, lengths = (torch.from_numpy(x) for x in padded(waves))
    spec = encoder.frontend(wave, lengths, padding="exact" if form == "pooled" else "published")
    if form == "published":
        return spec.values
    valid = torch.arange(spec.values.shape[2]) < spec.lengths[:, None]
    return spec.values.transpose(1, 2)[valid]
