"""What the heads learn from: hidden states of clips, computed once or anew for every batch.

The heads of KS, IC, SID and ER average over time after a linear layer, and the sum of the layers is linear too: the mean over time
of every layer is all they need. It is computed once per clip, and a step costs a few small products. Frames, random crops and the
states of encoders that are trained are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.evaluation.suites.superb.featurizer import feature_lengths
from auricle.evaluation.suites.superb.hidden_states import RATE, HiddenStates

Batch = tuple[Tensor, Tensor]  # (L, B, T, D) hidden states, (B,) valid frames
BATCHES_AT_ONCE = 8  # their clips are decoded before they are encoded, and sorted by length


class Waves:
    """The recordings of clips at 16 kHz, read when they are asked for."""

    def __init__(self, clips: Manifest):
        from auricle.data.stores.base import open_store

        self.clips, self.rows, self.store = clips, list(clips), open_store(clips, "audio")

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, row: int) -> np.ndarray:
        """Return the samples (S,) of a clip. Raises AuricleError for one that cannot be read."""
        from auricle.inference.pipeline import source_of

        return source_of(self.clips, self.store, self.rows[row]).read(RATE, "soxr")


@dataclass
class LiveInputs:
    """Hidden states that are computed for every batch.

    Attributes:
        waves: The recordings.
        states: The encoder.
        last_layer: Give the last hidden state alone.
        crop: The most samples of a training clip; 0: whole clips.
        source: Draws where clips are cut.
    """

    waves: Waves
    states: HiddenStates
    last_layer: bool = False
    crop: int = 0
    source: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __call__(self, rows: Sequence[int], training: bool = False) -> Batch:
        return self.of_waves([self._wave(row, training) for row in rows])

    def of_waves(self, waves: Sequence[np.ndarray]) -> Batch:
        """Encode samples (S,) at 16 kHz, one array per clip."""
        found = self.states([torch.from_numpy(wave).to(self.device) for wave in waves])
        hidden = torch.stack([found.last] if self.last_layer else found.layers)
        counted = torch.tensor(feature_lengths([len(w) for w in waves], self.states.rate), device=hidden.device)
        return hidden, torch.minimum(counted, found.lengths).clamp(min=1)

    @property
    def device(self) -> torch.device:
        return self.states.encoder.norm_stats.device

    def _wave(self, row: int, training: bool) -> np.ndarray:
        wave = self.waves.read(row)
        excess = len(wave) - self.crop if self.crop and training else 0
        if excess <= 0:
            return wave
        start = int(self.source.integers(0, excess + 1))
        return wave[start : start + self.crop]


@dataclass
class StoredInputs:
    """The mean over time of every layer of every clip.

    Attributes:
        means: (L, n, D).
        crop: Whether a clip is longer than training takes, (n,).
        live: Computes training batches that hold such a clip.
    """

    means: Tensor
    longer: np.ndarray
    live: LiveInputs

    def __call__(self, rows: Sequence[int], training: bool = False) -> Batch:
        if training and self.longer[list(rows)].any():
            with torch.no_grad():
                return _mean(*self.live(rows, True))
        return self.means[:, list(rows)][:, :, None], torch.ones(len(rows), dtype=torch.long, device=self.means.device)


Inputs = Callable[..., Batch]


def _mean(hidden: Tensor, lengths: Tensor) -> Batch:
    """Average (L, B, T, D) over the valid frames: (L, B, 1, D)."""
    valid = torch.arange(hidden.shape[2], device=hidden.device) < lengths[:, None]
    mean = (hidden * valid[..., None]).sum(2, keepdim=True) / lengths[:, None, None]
    return mean, torch.ones_like(lengths)


def readable_rows(waves: Waves) -> tuple[dict[int, int], dict[str, str]]:
    """Return the samples of every clip that can be read, by row, and why others cannot, by id."""
    samples, failed = dict[int, int](), dict[str, str]()
    for row in range(len(waves)):
        wave = _read_or_note(waves, row, failed)
        if wave is not None:
            samples[row] = len(wave)
    return samples, failed


def _read_or_note(waves: Waves, row: int, failed: dict[str, str]) -> np.ndarray | None:
    """Return the samples of a clip; None for one that cannot be read, whose reason is added to ``failed`` by its id."""
    try:
        wave = waves.read(row)
    except AuricleError as error:
        failed[waves.rows[row].id] = str(error)
        return None
    if not len(wave):
        failed[waves.rows[row].id] = "the recording is empty"
        return None
    return wave


@torch.no_grad()
def store_means(live: LiveInputs, batch_size: int, what: str, quiet: bool) -> tuple[StoredInputs, dict[str, str]]:
    """Decode and encode every clip once.

    Returns:
        The inputs (rows that could not be read hold zeros), and why clips could not be read, by id.

    Raises:
        AuricleError: No clip could be read, or the encoder gives NaN.
    """
    clips, means, at_once = live.waves, None, batch_size * BATCHES_AT_ONCE
    longer, failed = np.zeros(len(clips), bool), dict[str, str]()
    with progress_bar(total=len(clips), what=what, quiet=quiet) as bar:
        for start in range(0, len(clips), at_once):
            rows = range(start, min(start + at_once, len(clips)))
            waves = {row: wave for row in rows if (wave := _read_or_note(clips, row, failed)) is not None}
            bar.update(len(rows) - len(waves))
            order = sorted(waves, key=lambda row: len(waves[row]))  # little padding in a batch
            for batch in (order[i : i + batch_size] for i in range(0, len(order), batch_size)):
                mean, _ = _mean(*live.of_waves([waves[row] for row in batch]))
                _check_finite(mean, [clips.rows[row].id for row in batch])
                if means is None:
                    means = mean.new_zeros(mean.shape[0], len(clips), mean.shape[3])
                means[:, batch] = mean[:, :, 0]
                longer[batch] = [bool(live.crop) and len(waves[row]) > live.crop for row in batch]
                bar.update(len(batch))
    if means is None:
        raise AuricleError(f"no clip could be read; {next(iter(failed.values()), 'the task has none')}")
    return StoredInputs(means, longer, live), failed


def _check_finite(mean: Tensor, ids: Sequence[str]) -> None:
    """Raise AuricleError for features (L, B, 1, D) that are not finite."""
    wrong = (~torch.isfinite(mean)).any(-1).any(-1).any(0)
    if wrong.any():
        raise AuricleError(f"the encoder gives NaN or infinite features, such as of {ids[int(wrong.nonzero()[0])]}")
