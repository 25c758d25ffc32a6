"""The heads of SUPERB's tasks: a linear projector to 256, then what each task needs.

Source: [evaluation 6.4](docs/specification/evaluation.md#s6-4). Shapes: B clips, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.models.inputs import mean_over_time

PROJECTED = 256
BLANK = 0  # of CTC
CONTEXTS = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1))  # taps and distances of the x-vector network
WIDTHS = (512, 512, 512, 512, 1500)
LEAST_FRAMES = 1 + sum((taps - 1) * step for taps, step in CONTEXTS)
EMBEDDING = 512
SCALE, MARGIN = 30.0, 0.4  # of the AM-soft-max


class ClassHead(nn.Module):
    """Projector, mean over the valid frames, linear: (B, T, D) -> (B, C). Several slots of classes stand side by side.

    Args:
        width: D.
        sizes: Number of classes of every slot; one for tasks with one label.
    """

    def __init__(self, width: int, sizes: Sequence[int]):
        super().__init__()
        self.sizes = tuple(sizes)
        self.projector = nn.Linear(width, PROJECTED)
        self.linear = nn.Linear(PROJECTED, sum(sizes))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return self.linear(mean_over_time(self.projector(frames), lengths))

    def loss(self, frames: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Return the sum over slots of the cross-entropy; ``targets`` (B, slots)."""
        parts = self(frames, lengths).split(self.sizes, dim=1)
        losses = [functional.cross_entropy(part, targets[:, i]) for i, part in enumerate(parts)]
        return torch.stack(losses).sum()

    @torch.no_grad()
    def predict(self, frames: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the likeliest class of every slot, (slots,) per clip."""
        parts = self(frames, lengths).split(self.sizes, dim=1)
        return list(torch.stack([part.argmax(1) for part in parts], dim=1))


class PhoneHead(nn.Module):
    """Projector and linear for every frame, trained with CTC: (B, T, D) -> (B, T, V); token 0 is the blank."""

    def __init__(self, width: int, tokens: int):
        super().__init__()
        self.projector = nn.Linear(width, PROJECTED)
        self.linear = nn.Linear(PROJECTED, tokens)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return self.linear(self.projector(frames))

    def loss(self, frames: Tensor, lengths: Tensor, targets: Sequence[Tensor]) -> Tensor:
        """Return the CTC loss; one (n,) of tokens per clip. A clip with more tokens than frames counts as 0."""
        scores = self(frames, lengths).log_softmax(2).transpose(0, 1)
        counts = torch.tensor([len(tokens) for tokens in targets], device=frames.device)
        tokens = torch.cat(list(targets)).to(frames.device)
        return functional.ctc_loss(scores, tokens, lengths, counts, blank=BLANK, zero_infinity=True)

    @torch.no_grad()
    def predict(self, frames: Tensor, lengths: Tensor) -> list[Tensor]:
        """Decode greedily: the likeliest token of each frame, repetitions once, without blanks."""
        best = self(frames, lengths).argmax(2)
        runs = [torch.unique_consecutive(row[:count]) for row, count in zip(best, lengths)]
        return [run[run != BLANK] for run in runs]


class SpeakerHead(nn.Module):
    """Projector, x-vector network, mean and deviation over time, linear: (B, T, D) -> embeddings (B, 512).

    Clips with fewer frames than the network sees (15) are extended with zeros.
    """

    def __init__(self, width: int, speakers: int):
        super().__init__()
        self.projector = nn.Linear(width, PROJECTED)
        before, layers = PROJECTED, list[nn.Module]()
        for (taps, step), after in zip(CONTEXTS, WIDTHS):
            layers += [nn.Conv1d(before, after, taps, dilation=step), nn.ReLU(), nn.BatchNorm1d(after)]
            before = after
        self.network = nn.Sequential(*layers)
        self.linear = nn.Linear(2 * before, EMBEDDING)
        self.speakers = nn.Parameter(nn.init.xavier_normal_(torch.empty(EMBEDDING, speakers)))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        x = self.projector(frames) * valid[..., None]
        x = functional.pad(x, (0, 0, 0, max(0, LEAST_FRAMES - x.shape[1]))).transpose(1, 2)
        x = self.network(x).transpose(1, 2)
        counts = (lengths - LEAST_FRAMES + 1).clamp(min=1)
        mean = mean_over_time(x, counts)
        variance = mean_over_time((x - mean[:, None]).square(), counts)
        return self.linear(torch.cat([mean, (variance + 1e-10).sqrt()], dim=1))

    def loss(self, frames: Tensor, lengths: Tensor, targets: Tensor) -> Tensor:
        """Return the AM-soft-max: the cosine of the true speaker is lowered by 0.4, all are multiplied by 30."""
        cosine = functional.normalize(self(frames, lengths)) @ functional.normalize(self.speakers, dim=0)
        margin = MARGIN * functional.one_hot(targets[:, 0], cosine.shape[1])
        return functional.cross_entropy(SCALE * (cosine - margin), targets[:, 0])

    @torch.no_grad()
    def predict(self, frames: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return an embedding (512,) of length 1 per clip."""
        return list(functional.normalize(self(frames, lengths)))
