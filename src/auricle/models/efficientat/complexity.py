"""Cost of an EfficientAT network by the published counting rules: parameters, multiply-accumulates, memory, context.

Nothing is computed: the network runs on shapes alone ([efficientat 11](docs/specification/efficientat.md#s11)). Not counted as
operations: norms, activations, pooling; a linear layer counts once, also where the attention head applies it to every frame.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from auricle.core.errors import AuricleError
from auricle.frontends.base import front_end
from auricle.models.base import Encoder
from auricle.models.efficientat.config import FRAME_STRIDES
from auricle.models.efficientat.dymn import DynamicConv
from auricle.models.efficientat.encoder import STAGES, EfficientAT
from auricle.models.efficientat.mn import MN, InvertedResidual
from auricle.models.ensemble import Ensemble
from auricle.models.outputs import Spectrogram

Shape = tuple[int, ...]
SLICES = 8  # the memory-efficient rule keeps an eighth of a block's wide maps


@dataclass(frozen=True)
class Complexity:
    """parameters and buffers in numbers; macs multiply-accumulates for one clip; memory in kB (1000 bytes).

    efficient_memory_kb is None for networks the published rule does not cover (a block without expansion, DyMN).
    receptive_field is in mel bins and mel frames, alike for both axes; receptive_seconds the latter in time.
    """

    parameters: int
    buffers: int
    macs: int
    memory_kb: float
    efficient_memory_kb: float | None
    receptive_field: int
    receptive_seconds: float


@dataclass(frozen=True)
class LayerCost:
    """One convolution or linear layer as it ran, shapes without the batch axis. ``stage`` STAGES is the head."""

    name: str
    stage: int
    module: nn.Module
    inputs: Shape
    outputs: Shape

    @property
    def macs(self) -> int:
        module = self.module
        if isinstance(module, nn.Linear):
            return module.weight.numel() + (0 if module.bias is None else module.bias.numel())
        if isinstance(module, DynamicConv):
            return math.prod(module.shape[1:]) * math.prod(self.outputs) + module.weight.numel()
        assert isinstance(module, nn.Conv2d)
        return (math.prod(module.weight.shape[1:]) + (module.bias is not None)) * math.prod(self.outputs)

    @property
    def on_path(self) -> bool:
        """Whether it is a convolution of the trunk that maps pass through (context convolutions are beside it)."""
        return self.stage < STAGES and not isinstance(self.module, nn.Linear) and "context_gen" not in self.name

    @property
    def reach(self) -> tuple[int, int]:
        """Effective kernel and stride."""
        module = self.module
        if isinstance(module, DynamicConv):
            return module.shape[2], module.stride
        assert isinstance(module, nn.Conv2d)
        return module.dilation[0] * (module.kernel_size[0] - 1) + 1, module.stride[0]


def complexity(encoder: Encoder, *, seconds: float = 10.0, bits: int = 16) -> Complexity:
    """The cost of one clip of ``seconds`` with activations of ``bits``. An ensemble adds its members up.

    Raises AuricleError for other families than EfficientAT, and for a network that does not take clips of this length.
    """
    if isinstance(encoder, Ensemble):
        return _sum([complexity(member, seconds=seconds, bits=bits) for member in encoder.encoders])
    if not isinstance(encoder, EfficientAT):
        raise AuricleError(f"the published counting rules are for MN and DyMN, not for {encoder.info.family}")
    front = front_end(encoder.info.front_end)
    frames = front.num_frames(max(round(seconds * front.sample_rate), front.min_samples))
    encoder.check_spec(
        Spectrogram(torch.empty(1, front.n_mels, 0), torch.tensor([frames]), front.hop_seconds, front.id)
    )
    rows = layers(encoder, front.n_mels, frames)
    kilo = bits / 8 / 1000
    efficient = efficient_memory(encoder, rows)
    field = receptive_field(rows)
    return Complexity(
        parameters=sum(parameter.numel() for parameter in encoder.parameters()),
        buffers=sum(value.numel() for name, value in encoder.named_buffers() if name != "norm_stats"),
        macs=sum(row.macs for row in rows),
        memory_kb=plain_memory(encoder, rows) * kilo,
        efficient_memory_kb=None if efficient is None else efficient * kilo,
        receptive_field=field,
        receptive_seconds=field * front.hop_seconds,
    )


def relative_macs(encoder: Encoder, *, seconds: float) -> tuple[int, float]:
    """Return the multiply-accumulates of a clip, and how many times those of the network with strides 2222 they are."""
    assert isinstance(encoder, EfficientAT)
    macs = complexity(encoder, seconds=seconds).macs
    return macs, macs / complexity(encoder.with_strides(FRAME_STRIDES[0]), seconds=seconds).macs


def _sum(parts: Sequence[Complexity]) -> Complexity:
    """Members run one after the other: numbers and operations add up, memory and context are the largest."""
    efficient = [part.efficient_memory_kb for part in parts]
    return Complexity(
        parameters=sum(part.parameters for part in parts),
        buffers=sum(part.buffers for part in parts),
        macs=sum(part.macs for part in parts),
        memory_kb=max(part.memory_kb for part in parts),
        efficient_memory_kb=None if None in efficient else max(value for value in efficient if value is not None),
        receptive_field=max(part.receptive_field for part in parts),
        receptive_seconds=max(part.receptive_seconds for part in parts),
    )


def layers(encoder: EfficientAT, bands: int, frames: int) -> list[LayerCost]:
    """Every convolution and linear layer in the order it runs on one (bands, frames) input."""
    twin = _on_meta(encoder)
    rows: list[LayerCost] = []
    parts = [*enumerate(twin.stages()), (STAGES, twin.classifier), (STAGES, twin.heads)]
    for stage, part in parts:
        for name, module in part.named_modules() if part is not None else ():
            if isinstance(module, nn.Conv2d | nn.Linear | DynamicConv):
                module.register_forward_hook(_recording(rows, name, stage))
    twin.core(torch.empty(1, bands, frames, device="meta"))
    return rows


def _recording(rows: list[LayerCost], name: str, stage: int) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        rows.append(LayerCost(name, stage, module, tuple(inputs[0].shape[1:]), tuple(output.shape[1:])))

    return hook


def _on_meta(encoder: EfficientAT) -> EfficientAT:
    """A twin in evaluation mode whose tensors have shapes and no memory."""
    memo: dict[int, object] = {id(p): nn.Parameter(torch.empty_like(p, device="meta")) for p in encoder.parameters()}
    memo |= {id(b): torch.empty_like(b, device="meta") for b in encoder.buffers()}
    return copy.deepcopy(encoder, memo).eval()


def receptive_field(rows: Sequence[LayerCost]) -> int:
    """Mel bins and frames that one value of the last map depends on."""
    field = 1
    for row in reversed([row for row in rows if row.on_path]):
        kernel, stride = row.reach
        field = stride * field + kernel - stride
    return field


def plain_memory(encoder: EfficientAT, rows: Sequence[LayerCost]) -> int:
    """Largest number of values held while a convolution runs: its input, its output, and what a residual keeps."""
    blocks = encoder.stages()
    peak = 0
    for stage in range(STAGES):
        held = 0
        for row in (row for row in rows if row.on_path and row.stage == stage):
            peak = max(peak, math.prod(row.inputs) + math.prod(row.outputs) + held)
            if getattr(blocks[stage], "residual", False) and not held:
                held = math.prod(row.inputs)
    return peak


def efficient_memory(encoder: EfficientAT, rows: Sequence[LayerCost]) -> int | None:
    """The same when blocks without a gate run in slices of their wide maps; None where the rule does not apply."""
    if not isinstance(encoder, MN):
        return None
    stem = next(row for row in rows if row.stage == 0)
    first = [row for row in rows if row.stage == 1 and row.on_path]
    entry = math.prod(first[0].inputs)
    peak = math.prod(stem.inputs) + math.prod(first[-1].outputs) + 2 * (entry // SLICES)
    for stage in range(2, STAGES - 1):
        block = encoder.stages()[stage]
        assert isinstance(block, InvertedResidual)
        convs = [row for row in rows if row.stage == stage and row.on_path]
        if len(convs) < 3:
            return None
        peak = max(peak, _gated(convs) if block.gate is not None else _sliced(convs))
    return peak


def _gated(convs: Sequence[LayerCost]) -> int:
    return math.prod(convs[2].inputs) + math.prod(convs[2].outputs) + math.prod(convs[0].inputs)


def _sliced(convs: Sequence[LayerCost]) -> int:
    channels, bands, frames = convs[1].inputs
    stride = convs[1].reach[1]
    wide, narrow = channels * bands * frames, channels * (bands // stride) * (frames // stride)
    return math.prod(convs[0].inputs) + math.prod(convs[2].outputs) + wide // SLICES + narrow // SLICES
