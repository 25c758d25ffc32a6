"""Several encoders as one: logits are averaged with equal weight, features stand side by side.

Source: [efficientat 5.2](docs/specification/efficientat.md#s5-2).

The members take the same waveform and have the same classes. Members with one front end share its spectrogram; others each
make their own, and then only the call with a waveform is possible. Frames are on the first member's grid; of a member with
another grid, the frame nearest in time is taken. Probabilities are the sigmoid (softmax) of the averaged logits.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN
from auricle.models.inference_copy import sharing_copy
from auricle.models.inputs import Padding, chosen_layers
from auricle.models.label_space import LabelSpace
from auricle.models.outputs import CoreOutput, EncoderOutput, Spectrogram


class Ensemble(Encoder):
    """An encoder made of encoders. The mean of their main heads' logits is its main head.

    Raises:
        AuricleError: for a single member, and for members that differ in classes or sample rate.
    """

    def __init__(self, members: Sequence[Encoder], *, name: str = ""):
        super().__init__()
        self.members = nn.ModuleList(members)
        infos = [member.info for member in members]
        if len(infos) < 2:
            raise AuricleError("an ensemble has at least two members")
        for what in ("classes", "sample_rate", "label_type"):
            if len({getattr(info, what) for info in infos}) > 1:
                raise AuricleError(f"the members of an ensemble must agree in their {what.replace('_', ' ')}")
        if len({bool(info.head_names) for info in infos}) > 1:
            raise AuricleError("the members of an ensemble must all have heads, or none")
        space = infos[0].label_space
        self.info = replace(
            infos[0],
            name=name or "+".join(info.name for info in infos),
            family="ensemble",
            frame_dim=sum(info.frame_dim for info in infos),
            clip_dim=sum(info.clip_dim for info in infos),
            token_dim=None,
            head_names=(MAIN,) if infos[0].head_names else (),
            label_spaces=(space and space.uncalibrated(),) if infos[0].head_names else (),
            chunk_frames=None,
            min_samples=max(info.min_samples for info in infos),
            depth=0,
            taps=(),
            licence="; ".join(sorted({info.licence for info in infos})),
            source="; ".join(sorted({info.source for info in infos})),
        )

    @property
    def encoders(self) -> list[Encoder]:
        """The members."""
        return list(self.members)  # type: ignore[arg-type]

    def fix_graphs(self, shapes: Collection[tuple[int, int]]) -> bool:
        fixed = [member.fix_graphs(shapes) for member in self.encoders]
        return any(fixed)

    def forward(
        self, wave: Tensor, lengths: Tensor | None = None, *, sample_rate: int | None = None, **options: Any
    ) -> EncoderOutput:
        if self.one_front_end:
            return super().forward(wave, lengths, sample_rate=sample_rate, **options)
        self._refuse(chosen_layers(options.pop("layers", None), 0), options.pop("taps", ()), options.get("ids_keep"))
        out = joined([member(wave, lengths, sample_rate=sample_rate, **options) for member in self.encoders])
        return self._with_logits(out, 0) if self.info.head_names else out

    def _encode(
        self,
        spec: Spectrogram,
        *,
        layers: tuple[int, ...],
        taps: tuple[str, ...],
        padding: Padding,
        ids_keep: Tensor | None,
        key: BatchKey | None,
    ) -> EncoderOutput:
        self._refuse(layers, taps, ids_keep)
        if not self.one_front_end:
            raise AuricleError("the members have different front ends: call the ensemble with the waveform")
        return joined([member.encode(spec, padding=padding, key=key) for member in self.encoders])

    def training_passes(self, lengths: Tensor, frames: int) -> int:
        return sum(member.training_passes(lengths, frames) for member in self.encoders)

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        if not self.one_front_end:
            raise AuricleError("the members have different front ends: there is no one spectrogram to compute from")
        mask = None if lengths is None else torch.arange(values.shape[2], device=values.device) < lengths[:, None]
        parts = [member.core(values, mask) for member in self.encoders]
        if lengths is None:
            lengths = torch.full((values.shape[0],), values.shape[2], device=values.device)
        wanted = self.frame_times(parts[0].frames.shape[1])
        frames = [parts[0].frames]
        for member, part in zip(self.encoders[1:], parts[1:]):
            times = member.frame_times(part.frames.shape[1])
            frames.append(on_grid(part.frames, times, member.frame_lengths(lengths), wanted))
        clip = torch.cat([part.clip for part in parts], dim=1)
        return CoreOutput(torch.cat(frames, dim=2), clip, mean_of([part.logits for part in parts])), ()

    @property
    def core_takes_mask(self) -> bool:
        return all(member.core_takes_mask for member in self.encoders)

    @property
    def most_graph_frames(self) -> int | None:
        limits = [member.most_graph_frames for member in self.encoders]
        return min((limit for limit in limits if limit is not None), default=None)

    def frame_times(self, count: int) -> Tensor:
        return self.encoders[0].frame_times(count)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        return self.encoders[0].frame_lengths(lengths)

    def statistics(self) -> tuple[float, float]:
        """Return those of the first member."""
        return self.encoders[0].statistics()

    def with_stats(self, mean: float, std: float) -> Encoder:
        twin = copy.copy(self)
        members = nn.ModuleList(member.with_stats(mean, std) for member in self.encoders)
        twin._buffers, twin._modules = dict(self._buffers), {**self._modules, "members": members}
        return twin

    def set_label_space(self, space: LabelSpace | None, head: str | None = None) -> None:
        """As every encoder's; the main head's classes become the members' too, so that all agree."""
        super().set_label_space(space, head)
        if self._native_classes() is not None and self.info.head_names[0] not in self.heads and head in (None, MAIN):
            for member in self.encoders:
                member.set_label_space(space and space.uncalibrated())

    def _architecture(self) -> dict[str, Any]:
        return {"family": "ensemble", "members": [member.architecture() for member in self.encoders]}

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        """The members' groups, by how far each is from its member's input."""
        placed = []
        for i, member in enumerate(self.encoders):
            stages = [*member._stages(), ("head", ("heads.",))]
            for position, (name, prefixes) in enumerate(stages):
                own = tuple(f"members.{i}.{prefix}" for prefix in prefixes)
                placed.append(((position + 1) / len(stages), (f"member{i}.{name}", own)))
        return [stage for _, stage in sorted(placed, key=lambda pair: pair[0])]

    def _native_classes(self) -> int | None:
        first = self.encoders[0]
        return first.num_classes() if first.info.head_names else None

    def _drop_native_head(self) -> None:
        self._modules["members"] = nn.ModuleList(member.without_head() for member in self.encoders)
        self.info = replace(self.info, clip_dim=sum(member.info.clip_dim for member in self.encoders))

    def _inference_copy(self) -> Encoder:
        twin = sharing_copy(self)
        twin._modules["members"] = nn.ModuleList(member.for_inference() for member in self.encoders)
        return twin

    @property
    def one_front_end(self) -> bool:
        return len({member.info.front_end for member in self.encoders}) == 1

    @property
    def normalises_once(self) -> bool:
        return False  # each member has statistics of its own

    def _refuse(self, layers: Sequence[int], taps: Sequence[str], ids_keep: Tensor | None) -> None:
        if layers or taps or ids_keep is not None:
            raise AuricleError("an ensemble has no layers, no taps and no tokens to keep; ask its members")


def joined(parts: Sequence[EncoderOutput]) -> EncoderOutput:
    """Join the members' results for one batch."""
    first = parts[0]
    if any(part.frames is None for part in parts):
        raise AuricleError("every member of an ensemble needs frames")
    scores = [_on_first(part.frame_logits, part, first) for part in parts if part.frame_logits is not None]
    return EncoderOutput(
        frames=torch.cat([_on_first(part.frames, part, first) for part in parts if part.frames is not None], dim=2),
        times=first.times,
        lengths=first.lengths,
        clip=torch.cat([part.clip for part in parts], dim=1),
        logits=mean_of([part.logits for part in parts]),
        frame_logits=mean_of(scores) if len(scores) == len(parts) else None,
    )


def _on_first(frames: Tensor, part: EncoderOutput, first: EncoderOutput) -> Tensor:
    """(B, T, D) at the times of ``part`` -> (B, T', D) at those of ``first``."""
    if len(part.times) == len(first.times) and torch.equal(part.times, first.times):
        return frames
    return on_grid(frames, part.times, part.lengths, first.times)


def on_grid(frames: Tensor, times: Tensor, lengths: Tensor, wanted: Tensor) -> Tensor:
    """Take of each clip's valid frames those nearest to the ``wanted`` times.

    Args:
        frames: (B, T, D) at ``times`` (T,), of which (B,) ``lengths`` are valid.
        wanted: (T',) times.

    Returns:
        (B, T', D).
    """
    nearest = (times[None] - wanted[:, None]).abs().argmin(1)
    index = nearest[None].expand(frames.shape[0], -1).minimum(lengths[:, None] - 1)
    return frames.gather(1, index[..., None].expand(-1, -1, frames.shape[2]))


def mean_of(parts: Sequence[Tensor | None]) -> Tensor | None:
    """Average tensors of one shape; None where one of them is None."""
    available = [part for part in parts if part is not None]
    return torch.stack(available).mean(0) if len(available) == len(parts) else None
