"""MN, the MobileNetV3 audio tagger of EfficientAT, and its blocks ([efficientat 2](docs/specification/efficientat.md#s2)).

``MN(MNConfig(width=0.4))`` is mn04 with initial weights. Module names follow the published state dicts, so that tensors need
no renaming ([efficientat 2.5](docs/specification/efficientat.md#s2-5)).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.frontends.base import front_end
from auricle.models.efficientat.config import STEM, BlockShape, MNConfig, round8, stem_size
from auricle.models.efficientat.encoder import Classes, EfficientAT, build_head
from auricle.models.efficientat.training_units import ConvUnit, excite, supported
from auricle.models.label_space import LabelKind
from auricle.models.layers.init import keyed
from auricle.models.local_layers import LocalLayers
from auricle.models.outputs import Spectrogram


class MN(EfficientAT):
    """Stem, 15 inverted residual blocks, last unit, head. ``classes`` are (id, name) in the order of the logits."""

    config: MNConfig

    def __init__(
        self,
        config: MNConfig | None = None,
        *,
        seed: int | None = 0,
        name: str = "mn",
        classes: Classes | None = None,
        label_type: LabelKind = "multilabel",
        classifier: bool = True,
    ):
        super().__init__()
        self.config = config = config or MNConfig()
        shapes = config.shapes
        channels = shapes[-1].outputs
        stem = conv_unit(1, round8(STEM * config.width), 3, stride=2, activation="hardswish")
        last = conv_unit(channels, 6 * channels, 1, activation="hardswish")
        self.features = nn.Sequential(stem, *self._blocks(shapes), last)
        self.register_module("classifier", build_head(config, 6 * channels) if classifier else None)
        keyed(self, seed, mobilenet_rule)
        self.describe("mn", name, config.front_end, 6 * channels, classes, label_type)

    def _blocks(self, shapes: Sequence[BlockShape]) -> list[InvertedResidual]:
        letters, ratio, aggregate = self.config.squeeze_letters, self.config.se_ratio, self.config.se_agg
        bands, frames = stem_size(front_end(self.config.front_end).n_mels), stem_size(self.config.frames)
        blocks = []
        for shape in shapes:
            bands, frames = shape.size(bands), shape.size(frames)
            gated = letters and shape.squeeze
            sizes = (shape.expanded, bands, frames)
            squeeze = ConcurrentSqueezeExcite(letters, sizes, ratio, aggregate) if gated else None
            blocks.append(InvertedResidual(shape, squeeze))
        return blocks

    def stages(self) -> Sequence[nn.Module]:
        return list(self.features)

    def strides(self) -> Sequence[int]:
        return (2, *(shape.run_stride for shape in self.config.shapes), 1)

    def prepare_training(self) -> None:
        """Choose channels-last memory and ``training_units`` on CPUs (``benchmarks/RESULTS.md``, "The step of fine-tuning")."""
        if next(self.parameters()).device.type == "cpu":
            self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            for module in self.modules():
                if isinstance(module, (ConvUnit, SqueezeExcite)):
                    module.fast = True

    def local_layers(self) -> LocalLayers | None:
        from auricle.models.efficientat.local import local_layers

        return local_layers(self)

    def squeezes(self) -> dict[str, nn.Module]:
        if "c" not in self.config.squeeze_letters:
            return {}
        unit = self.config.squeeze_letters.index("c")
        blocks = {i: self.features[i] for i in range(1, 16)}
        gates = {i: block.gate for i, block in blocks.items() if isinstance(block, InvertedResidual)}
        return {f"se{i}": gate.letter(unit).fc1 for i, gate in gates.items() if gate is not None}

    @property
    def exact_frames(self) -> int | None:
        return self.config.frames if "t" in self.config.squeeze_letters else None

    def check_spec(self, spec: Spectrogram) -> None:
        super().check_spec(spec)
        if self.exact_frames is not None and bool((spec.lengths != self.exact_frames).any()):
            seconds = self.exact_frames * self.front.hop_seconds
            raise AuricleError(
                f"{self.info.name} squeezes along time, so every clip must give {self.exact_frames} mel frames; "
                f"got {sorted(set(spec.lengths.tolist()))}: cut or pad the audio to {seconds:g} s"
            )


ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """The family's batch norm: eps 1e-3, momentum 0.01 ([efficientat 2.2](docs/specification/efficientat.md#s2-2))."""
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


def conv_unit(
    inputs: int,
    outputs: int,
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    activation: str | None = None,
) -> ConvUnit:
    """Convolution without bias, batch norm, activation (in place) or none."""
    padding = (kernel - 1) // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)
    tail = [ACTIVATIONS[activation](inplace=True)] if activation else []
    return ConvUnit(conv, batch_norm(outputs), *tail)


class InvertedResidual(nn.Module):
    """(B, Cin, F, T) -> (B, Cout, F', T'): expand, depthwise, squeeze-and-excite, project, add the input."""

    def __init__(self, shape: BlockShape, squeeze: ConcurrentSqueezeExcite | None = None):
        super().__init__()
        self.residual = shape.residual
        wide, act = shape.expanded, shape.activation
        units: list[nn.Module] = []
        if wide != shape.inputs:
            units.append(conv_unit(shape.inputs, wide, 1, activation=act))
        depthwise = {"stride": shape.run_stride, "dilation": shape.dilation, "groups": wide}
        units.append(conv_unit(wide, wide, shape.kernel, activation=act, **depthwise))
        if squeeze is not None:
            units.append(squeeze)
        units.append(conv_unit(wide, shape.outputs, 1))
        self.block = nn.Sequential(*units)

    @property
    def gate(self) -> ConcurrentSqueezeExcite | None:
        """The squeeze-and-excitation of the block, if it has one."""
        return next((unit for unit in self.block if isinstance(unit, ConcurrentSqueezeExcite)), None)

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return y + x if self.residual else y


def mobilenet_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Kaiming-normal convolutions (fan out), unit norms, N(0, 0.01) linears, zero biases.

    Source: [efficientat 2.6](docs/specification/efficientat.md#s2-6).
    """
    if isinstance(owner, nn.BatchNorm2d):
        parameter.fill_(1.0 if local == "weight" else 0.0)
    elif local == "bias":
        parameter.zero_()
    elif isinstance(owner, nn.Conv2d):
        nn.init.kaiming_normal_(parameter, mode="fan_out", generator=generator)
    elif isinstance(owner, nn.Linear):
        parameter.normal_(std=0.01, generator=generator)


AXES = {"c": 1, "f": 2, "t": 3}


class SqueezeExcite(nn.Module):
    """Squeeze-and-excitation along one axis ([efficientat 2.3](docs/specification/efficientat.md#s2-3)).

    The mean over the other axes of (B, C, F, T), two linear layers, a sigmoid along ``axis``.

    Attributes:
        fast: as of ``ConvUnit``.
    """

    fast = False

    def __init__(self, axis: int, size: int, ratio: int):
        super().__init__()
        self.axis, self.others = axis, tuple({1, 2, 3} - {axis})
        self.fc1 = nn.Linear(size, round8(size // ratio))
        self.fc2 = nn.Linear(round8(size // ratio), size)

    def forward(self, x: Tensor) -> Tensor:
        if self.fast and self.axis == AXES["c"] and supported(x, self.fc1.weight):
            return excite(x, self.fc1, self.fc2)
        gate = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(self.others)))))
        shape = [x.shape[0], 1, 1, 1]
        shape[self.axis] = x.shape[self.axis]
        return x * gate.view(shape)


class ConcurrentSqueezeExcite(nn.Module):
    """One gate per letter of ``dims`` on the same map, joined elementwise by max, mean (avg), sum (add) or min."""

    def __init__(self, dims: str, sizes: Sequence[int], ratio: int, aggregate: str):
        super().__init__()
        self.aggregate = aggregate
        self.conc_se_layers = nn.ModuleList(SqueezeExcite(AXES[dim], sizes[AXES[dim] - 1], ratio) for dim in dims)

    def letter(self, n: int) -> SqueezeExcite:
        """The gate of the n-th letter."""
        gate = self.conc_se_layers[n]
        assert isinstance(gate, SqueezeExcite)
        return gate

    def forward(self, x: Tensor) -> Tensor:
        gated = [layer(x) for layer in self.conc_se_layers]
        if len(gated) == 1:
            return gated[0]
        stacked = torch.stack(gated)
        if self.aggregate == "max":
            return stacked.amax(0)
        if self.aggregate == "min":
            return stacked.amin(0)
        return stacked.mean(0) if self.aggregate == "avg" else stacked.sum(0)
