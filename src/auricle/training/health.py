"""Is the run well? Watches what the loop measures anyway and says in words what is wrong and what to try."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from auricle.data.batch import Batch
    from auricle.methods.m2d.masked import MaskedObjective
    from auricle.training.data import TrainingData


EXPLODING = 10.0  # times the running median of the gradient norm
# Of the targets' mean square, what is the same for all tokens of a clip. The published M2D targets of a small encoder pass
# it while its loss falls below a tenth (LAB.md, small scale: 0.68 at the start, 0.82 after 200 updates, 0.84 after 250).
CLIP_SHARE = 0.8
LOW_RANK = 2.0
WAITING = 0.2  # of the time
REPEAT_AFTER = 10  # looks before the same warning is said again


@dataclass
class Health:
    """Feed it numbers; ``words`` are the warnings of the last look, empty when all is well."""

    norms: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    said: dict[str, int] = field(default_factory=dict)
    looks: int = 0

    def look(self, *, norm: float, waiting: float, log: dict[str, float]) -> list[str]:
        """New warnings: a gradient norm, the share of time waiting for data (0 to 1), the objective's own numbers."""
        self.looks += 1
        words = [*self._norm(norm), *collapse_words(log), *waiting_words(waiting)]
        return [word for kind, word in words if self._is_new(kind)]

    def state(self) -> dict[str, Any]:
        """What a continued run needs to warn as if it had never stopped."""
        return {"norms": list(self.norms), "said": self.said, "looks": self.looks}

    def restore(self, state: dict[str, Any]) -> None:
        self.norms.extend(state["norms"])
        self.said, self.looks = state["said"], state["looks"]

    def _norm(self, norm: float) -> list[tuple[str, str]]:
        usual = sorted(self.norms)[len(self.norms) // 2] if len(self.norms) >= 10 else math.inf
        self.norms.append(norm)
        if norm <= EXPLODING * usual:
            return []
        text = f"the gradient norm is exploding: {norm:.3g}, usually {usual:.3g}; try a lower --lr or --clip-grad, a longer warm-up"
        return [("gradient", text)]

    def _is_new(self, kind: str) -> bool:
        fresh = self.looks - self.said.get(kind, -REPEAT_AFTER) >= REPEAT_AFTER
        if fresh:
            self.said[kind] = self.looks
        return fresh


def collapse_words(log: dict[str, float]) -> list[tuple[str, str]]:
    """From the shares of ``objectives.collapse.target_shares``."""
    words, constant = [], log.get("target_constant", 0.0)
    if (same := constant + log.get("target_clip", 0.0)) > CLIP_SHARE:
        text = (
            f"the targets are collapsing to a constant of the clip: {same:.0%} of their mean square is the same for all of a "
            f"clip's tokens ({constant:.0%} for all clips too), so the predictor only has to say which clip, or how loud, it is; "
            "try --centring position-clip, a faster teacher (lower --ema-decay), msm-mae, or crops without silence"
        )
        words.append(("clip", text))
    if log.get("target_rank", math.inf) < LOW_RANK:
        words.append(
            ("rank", f"the targets fill only {log['target_rank']:.1f} directions (effective rank): they are collapsing")
        )
    return words


def waiting_words(share: float) -> list[tuple[str, str]]:
    if share <= WAITING:
        return []
    remedy = "raise --workers, or prepare the data as log-mel files ('auricle prepare')"
    return [("waiting", f"{share:.0%} of the time is spent waiting for data; {remedy}")]


# A look at a run's features without labels: how many directions they fill (specification m2d 5.4).

CLIPS = 1024  # "more than 1000 samples": specification m2d 5.4


def feature_look(objective: MaskedObjective, batches: Iterable[Batch]) -> dict[str, float]:
    """RankMe and the spectrum's area ("rank", "auc") of the encoder's patch tokens, nothing masked, class token left out."""
    import torch

    from auricle.metrics.rank import Spectrum

    online = objective.online
    device, spectrum = online.pos_embed.device, Spectrum(online.config.embed_dim)
    objective.eval()
    with torch.no_grad():
        for batch in batches:
            tokens = online.transformer(online.embed(objective.patches(batch.to(device))))[:, 1:]
            spectrum.add(tokens.flatten(0, 1).float().cpu().numpy())
    objective.train()
    return {"rank": spectrum.rank_me(), "auc": spectrum.auc()}


def look_every(epochs: int, objective: MaskedObjective, data: TrainingData) -> Callable[[int], dict[str, float]]:
    """What the loop adds to its line of an epoch: a look after every so many, nothing after the others."""
    from auricle.data.loading.loader import make_loader
    from auricle.data.loading.sampler import HeldOutBatches, draw_held_out

    train = data.config.train

    def look(epoch: int) -> dict[str, float]:
        if epoch % epochs:
            return {}
        items = HeldOutBatches(draw_held_out(data.clips, train.batch_size, CLIPS, train.seed), 0, 1)
        return feature_look(objective, make_loader(data.dataset, items, 0, collate=data.collate))

    return look
