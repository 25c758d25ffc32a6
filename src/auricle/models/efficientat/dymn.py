"""DyMN, the dynamic MobileNet audio tagger of EfficientAT ([efficientat 3](docs/specification/efficientat.md#s3)).

``DyMN(DyMNConfig(width=0.4))`` is dymn04 with initial weights, at kernel temperature 1. In its blocks the weights of
convolutions and activations depend on the clip: a context vector, computed from the block's input, steers them.
Names of modules and tensors are the published state dict's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auricle.models.efficientat.config import STEM, BlockShape, DyMNConfig, round8
from auricle.models.efficientat.encoder import Classes, EfficientAT, MobileNetHead
from auricle.models.efficientat.mn import ACTIVATIONS, InvertedResidual, batch_norm, conv_unit, mobilenet_rule
from auricle.models.label_space import LabelKind
from auricle.models.layers.init import keyed


class DyMN(EfficientAT):
    """Stem, 15 blocks, last unit, mlp head. ``classes`` are (id, name) in the order of the logits."""

    config: DyMNConfig

    def __init__(
        self,
        config: DyMNConfig | None = None,
        *,
        seed: int | None = 0,
        name: str = "dymn",
        classes: Classes | None = None,
        label_type: LabelKind = "multilabel",
        classifier: bool = True,
    ):
        super().__init__()
        self.config = config = config or DyMNConfig()
        stem, channels = round8(STEM * config.width), config.shapes[-1].outputs
        self.layers = nn.ModuleList(self._block(shape) for shape in config.shapes)
        self.in_c = conv_unit(1, stem, 3, stride=2, activation="hardswish")
        self.out_c = conv_unit(channels, 6 * channels, 1, activation="hardswish")
        head = MobileNetHead(6 * channels, config.last_width, config.num_classes, config.dropout)
        self.register_module("classifier", head if classifier else None)
        keyed(self, seed, dynamic_rule)
        self.set_temperature(config.temperature)
        self.params_without_grad = self._without_gradient()
        self.describe("dymn", name, config.front_end, 6 * channels, classes, label_type)

    def _block(self, shape: BlockShape) -> nn.Module:
        if self.config.is_dynamic(shape):
            return DynamicBlock(shape, self.config.context(shape), self.config)
        return InvertedResidual(shape)

    def _without_gradient(self) -> frozenset[str]:
        """The gates' convolutions are stored but unused without coordinate attention."""
        if self.config.coordinate_attention:
            return frozenset()
        return frozenset(name for name, _ in self.named_parameters() if "conv_f." in name or "conv_t." in name)

    def stages(self) -> Sequence[nn.Module]:
        return (self.in_c, *self.layers, self.out_c)

    def strides(self) -> Sequence[int]:
        return (2, *(shape.stride for shape in self.config.shapes), 1)

    @property
    def temperature(self) -> float:
        """Temperature of every kernel mixture; published files do not hold it.

        Source: [efficientat 3.4](docs/specification/efficientat.md#s3-4).
        """
        return self._temperature

    def set_temperature(self, temperature: float) -> None:
        """For all dynamic convolutions; ``dymn_config.kernel_temperature`` gives the schedule of training."""
        self._temperature = float(temperature)
        for module in self.modules():
            if isinstance(module, DynamicConv):
                module.temperature = self._temperature

    def settings(self) -> DyMNConfig:
        return replace(self.config, temperature=self.temperature)


class DynamicConv(nn.Module):
    """A convolution (no bias) with a mixture of k kernels per sample, weighted by softmax(linear(h) / temperature)."""

    def __init__(
        self, inputs: int, outputs: int, size: int, context: int, *, kernels: int, stride: int = 1, groups: int = 1
    ):
        super().__init__()
        self.shape, self.stride, self.groups = (outputs, inputs // groups, size, size), stride, groups
        self.temperature = 1.0
        count = outputs * inputs // groups * size * size
        self.weight = nn.Parameter(torch.empty(1, 1, kernels, count))
        self.residuals = nn.Sequential(nn.Linear(context, kernels))

    def attention(self, context: Tensor) -> Tensor:
        """(B, H) -> (B, k), summing to 1."""
        return torch.softmax(self.residuals(context) / self.temperature, dim=-1)

    def mixed(self, context: Tensor) -> Tensor:
        """(B, H) -> (B, Cout, Cin / groups, size, size): the kernel of each sample."""
        return (self.attention(context) @ self.weight[0, 0]).view(len(context), *self.shape)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """(B, Cin, F, T), (B, H) -> (B, Cout, F', T'): one grouped convolution over the batch."""
        batch, channels, bands, frames = x.shape
        kernels = self.mixed(context).flatten(0, 1)
        stacked = x.reshape(1, batch * channels, bands, frames)
        y = F.conv2d(stacked, kernels, None, self.stride, (self.shape[2] - 1) // 2, 1, batch * self.groups)
        return y.view(batch, self.shape[0], *y.shape[2:])


class StaticConv(nn.Module):
    """A plain convolution that takes and ignores the context."""

    def __init__(self, inputs: int, outputs: int, size: int, *, stride: int = 1, groups: int = 1):
        super().__init__()
        self.module: nn.Module = nn.Conv2d(inputs, outputs, size, stride, (size - 1) // 2, groups=groups, bias=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.module(x)


class DynamicReLU(nn.Module):
    """The maximum of M lines per channel, whose slopes and offsets come from the context (type B)."""

    lambdas: Tensor
    init_v: Tensor

    def __init__(self, channels: int, context: int, lines: int):
        super().__init__()
        self.channels, self.lines = channels, lines
        self.coef_net = nn.Sequential(nn.Linear(context, 2 * lines * channels))
        self.register_buffer("lambdas", torch.tensor([1.0] * lines + [0.5] * lines))
        self.register_buffer("init_v", torch.tensor([1.0] + [0.0] * (2 * lines - 1)))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        theta = 2.0 * torch.sigmoid(self.coef_net(context)) - 1.0
        coefficients = theta.view(-1, self.channels, 1, 1, 2 * self.lines) * self.lambdas + self.init_v
        slopes, offsets = coefficients.unbind(-1)[: self.lines], coefficients.unbind(-1)[self.lines :]
        best = torch.addcmul(offsets[0], x, slopes[0])
        for slope, offset in zip(slopes[1:], offsets[1:]):
            best = torch.maximum(best, torch.addcmul(offset, x, slope))
        return best


class StaticActivation(nn.Module):
    """The table's activation, taking and ignoring the context."""

    def __init__(self, activation: nn.Module):
        super().__init__()
        self.activation = activation

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        return self.activation(x)


class ContextGen(nn.Module):
    """(B, Cin, F, T) -> context h (B, H), and the gates along frequency (B, E, F', 1) and time (B, E, 1, T').

    The gates are before their sigmoid; None without coordinate attention.
    """

    def __init__(self, inputs: int, context: int, expanded: int, stride: int, gates: bool):
        super().__init__()
        self.stride, self.gates = stride, gates
        self.joint_conv = nn.Conv2d(inputs, context, 1, bias=False)
        self.joint_norm = batch_norm(context)
        self.conv_f: nn.Module = nn.Conv2d(context, expanded, 1)
        self.conv_t: nn.Module = nn.Conv2d(context, expanded, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        bands = x.shape[2]
        sequence = torch.cat([x.mean(3), x.mean(2)], dim=2).unsqueeze(3)  # (B, Cin, F + T, 1)
        h = F.hardswish(self.joint_norm(self.joint_conv(sequence)))
        context = h.mean((2, 3))
        if not self.gates:
            return context, None, None
        along_f = self.conv_f(self._pool(h[:, :, :bands]))
        along_t = self.conv_t(self._pool(h[:, :, bands:]))
        return context, along_f, along_t.transpose(2, 3)

    def _pool(self, h: Tensor) -> Tensor:
        """(B, H, n, 1) -> (B, H, n', 1): averages of three with the zero padding counted, where the block strides."""
        return F.avg_pool2d(h, (3, 1), (self.stride, 1), (1, 0)) if self.stride > 1 else h


class DynamicBlock(nn.Module):
    """(B, Cin, F, T) -> (B, Cout, F', T'): an inverted residual block steered by the context of its input."""

    def __init__(self, shape: BlockShape, context: int, config: DyMNConfig):
        super().__init__()
        self.residual = shape.residual
        wide, activation = shape.expanded, ACTIVATIONS[shape.activation](inplace=True)
        self.expands = wide != shape.inputs
        if self.expands:
            self.exp_conv = self._conv(config, context, shape.inputs, wide, 1)
            self.exp_norm = batch_norm(wide)
            self.exp_act = activation
        self.depth_conv = self._conv(config, context, wide, wide, shape.kernel, stride=shape.stride, groups=wide)
        self.depth_norm = batch_norm(wide)
        dynamic = config.dynamic_relu
        self.depth_act = DynamicReLU(wide, context, config.relu_lines) if dynamic else StaticActivation(activation)
        self.proj_conv = self._conv(config, context, wide, shape.outputs, 1)
        self.proj_norm = batch_norm(shape.outputs)
        self.context_gen = ContextGen(shape.inputs, context, wide, shape.stride, config.coordinate_attention)

    @staticmethod
    def _conv(config: DyMNConfig, context: int, inputs: int, outputs: int, size: int, **how: int) -> nn.Module:
        if config.dynamic_conv:
            return DynamicConv(inputs, outputs, size, context, kernels=config.conv_kernels, **how)
        return StaticConv(inputs, outputs, size, **how)

    def forward(self, x: Tensor) -> Tensor:
        context, along_f, along_t = self.context_gen(x)
        y = self.exp_act(self.exp_norm(self.exp_conv(x, context))) if self.expands else x
        y = self.depth_act(self.depth_norm(self.depth_conv(y, context)), context)
        if along_f is not None:
            y = y * torch.sigmoid(along_f) * torch.sigmoid(along_t)
        y = self.proj_norm(self.proj_conv(y, context))
        return y + x if self.residual else y


def dynamic_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """The family's rule, with every kernel of a mixture drawn as one convolution (Kaiming-normal, fan out)."""
    if isinstance(owner, DynamicConv):
        outputs, _, height, width = owner.shape
        parameter.normal_(std=math.sqrt(2.0 / (outputs * height * width)), generator=generator)
    else:
        mobilenet_rule(local, owner, parameter, generator)
