"""Several encoders as one: logits are averaged with equal weight, features stand side by side (efficientat 5.2).

The members hear the same wave and know the same classes. Members with one front end share its spectrogram; others each
make their own, and then only the waveform call is possible. Frames are on the first member's grid; of a member with
another grid, the frame nearest in time is taken. Probabilities are the sigmoid (softmax) of the averaged logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.base import Encoder, EncoderOutput, LayerChoice, Padding, Spectrogram, chosen_layers


class Ensemble(Encoder):
    """An Encoder made of Encoders. Raises AuricleError when they have no logits, other classes or another rate."""

    def __init__(self, members: Sequence[Encoder], *, name: str = ""):
        super().__init__()
        self.members = nn.ModuleList(members)
        infos = [member.info for member in members]
        if len(infos) < 2:
            raise AuricleError("an ensemble has at least two members")
        for what in ("classes", "sample_rate", "label_type"):
            if len({getattr(info, what) for info in infos}) > 1:
                raise AuricleError(f"the members of an ensemble must agree in their {what.replace('_', ' ')}")
        self.info = replace(
            infos[0],
            name=name or "+".join(info.name for info in infos),
            family="ensemble",
            frame_dim=sum(info.frame_dim for info in infos),
            clip_dim=sum(info.clip_dim for info in infos),
            token_dim=None,
            chunk_frames=None,
            min_samples=max(info.min_samples for info in infos),
            depth=0,
            taps=(),
            licence="; ".join(sorted({info.licence for info in infos})),
            source="; ".join(sorted({info.source for info in infos})),
        )

    def architecture(self) -> dict[str, Any]:
        return {"family": "ensemble", "members": [member.architecture() for member in self.encoders]}

    @property
    def encoders(self) -> list[Encoder]:
        return list(self.members)  # type: ignore[arg-type]

    def update_info(self, **changes: Any) -> None:
        """As every encoder's; the classes are the members' too, so that they stay agreed."""
        super().update_info(**changes)
        shared = {name: value for name, value in changes.items() if name in ("classes", "label_type")}
        for member in self.encoders:
            member.update_info(**shared)

    def statistics(self) -> tuple[float, float]:
        """Those of the first member."""
        return self.encoders[0].statistics()

    def with_stats(self, mean: float, std: float) -> Encoder:
        twin = Ensemble([member.with_stats(mean, std) for member in self.encoders])
        twin.info = self.info
        return twin

    def _inference_copy(self) -> Encoder:
        ready = Ensemble([member.for_inference() for member in self.encoders])
        ready.info = self.info
        return ready

    def forward(
        self, wave: Tensor, lengths: Tensor | None = None, *, sample_rate: int | None = None, **options: Any
    ) -> EncoderOutput:
        if self._one_front_end():
            return super().forward(wave, lengths, sample_rate=sample_rate, **options)
        self._refuse(options.pop("layers", None), options.pop("taps", ()), options.get("ids_keep"))
        return joined([member(wave, lengths, sample_rate=sample_rate, **options) for member in self.encoders])

    def encode(
        self,
        spec: Spectrogram,
        *,
        layers: LayerChoice = None,
        taps: Sequence[str] = (),
        padding: Padding = "exact",
        ids_keep: Tensor | None = None,
        key: Any = None,
    ) -> EncoderOutput:
        self._refuse(layers, taps, ids_keep)
        if not self._one_front_end():
            raise AuricleError("the members have different front ends: call the ensemble with the waveform")
        return joined([member.encode(spec, padding=padding, key=key) for member in self.encoders])

    def core(self, values: Tensor, key_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, F, T) -> mean logits (B, C) and features side by side, of members whose core gives (logits, features)."""
        results = [member.core(values, key_mask) for member in self.encoders]
        return mean_of([logits for logits, _ in results]), torch.cat([features for _, features in results], dim=1)

    def _one_front_end(self) -> bool:
        return len({member.info.front_end for member in self.encoders}) == 1

    def _refuse(self, layers: LayerChoice, taps: Sequence[str], ids_keep: Tensor | None) -> None:
        chosen_layers(layers, 0)
        if taps or ids_keep is not None:
            raise AuricleError("an ensemble has no taps and no tokens to keep; ask its members")


def joined(parts: Sequence[EncoderOutput]) -> EncoderOutput:
    """What the members say of one batch, as one."""
    first = parts[0]
    if any(part.logits is None or part.frames is None for part in parts):
        raise AuricleError("every member of an ensemble needs classes to tell, and frames")
    frames = [on_grid(part.frames, part, first.times) for part in parts]
    scores = [on_grid(part.frame_logits, part, first.times) for part in parts if part.frame_logits is not None]
    return EncoderOutput(
        frames=torch.cat(frames, dim=2),
        times=first.times,
        lengths=first.lengths,
        clip=torch.cat([part.clip for part in parts], dim=1),
        logits=mean_of([part.logits for part in parts if part.logits is not None]),
        frame_logits=mean_of(scores) if len(scores) == len(parts) else None,
    )


def on_grid(frames: Tensor | None, part: EncoderOutput, wanted: Tensor) -> Tensor:
    """(B, T, D) at the times of ``part`` -> of each clip's valid frames those nearest to the ``wanted`` times (B, T', D)."""
    assert frames is not None
    if len(part.times) == len(wanted) and torch.equal(part.times, wanted):
        return frames
    nearest = (part.times[None] - wanted[:, None]).abs().argmin(1)
    index = nearest[None].expand(len(frames), -1).minimum(part.lengths[:, None] - 1)
    return frames.gather(1, index[..., None].expand(-1, -1, frames.shape[2]))


def mean_of(parts: Sequence[Tensor]) -> Tensor:
    """Elementwise mean."""
    return torch.stack(list(parts)).mean(0)
