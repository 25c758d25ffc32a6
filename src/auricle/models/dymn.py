"""DyMN, the dynamic MobileNet audio tagger of EfficientAT (specification efficientat 3).

``DyMN(DyMNConfig(width=0.4))`` is dymn04 with initial weights, at kernel temperature 1.
Names of modules are the published state dict's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from auricle.models.dymn_config import DyMNConfig
from auricle.models.dynamic import ContextGen, DynamicConv, DynamicReLU, StaticActivation, StaticConv
from auricle.models.efficientat import Classes, EfficientAT, LabelType
from auricle.models.heads import MLPHead
from auricle.models.init import keyed
from auricle.models.inverted import ACTIVATIONS, InvertedResidual, batch_norm, conv_unit, mobilenet_rule
from auricle.models.mn_config import STEM, BlockShape, round8


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


class DyMN(EfficientAT):
    """Stem, 15 blocks, last unit, mlp head. ``classes`` are (id, name) in the order of the logits."""

    config: DyMNConfig

    def __init__(
        self,
        config: DyMNConfig | None = None,
        *,
        seed: int = 0,
        name: str = "dymn",
        classes: Classes | None = None,
        label_type: LabelType = "multilabel",
    ):
        super().__init__()
        self.config = config = config or DyMNConfig()
        stem, channels = round8(STEM * config.width), config.shapes[-1].outputs
        self.layers = nn.ModuleList(self._block(shape) for shape in config.shapes)
        self.in_c = conv_unit(1, stem, 3, stride=2, activation="hardswish")
        self.out_c = conv_unit(channels, 6 * channels, 1, activation="hardswish")
        self.classifier = MLPHead(6 * channels, config.last_width, config.num_classes, config.dropout)
        keyed(self, seed, dynamic_rule)
        self.set_temperature(config.temperature)
        self.inert = self._without_gradient()
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
        """Temperature of every kernel mixture; published files do not hold it (specification efficientat 3.4)."""
        return self._temperature

    def set_temperature(self, temperature: float) -> None:
        """For all dynamic convolutions; ``dymn_config.kernel_temperature`` gives the schedule of training."""
        self._temperature = float(temperature)
        for module in self.modules():
            if isinstance(module, DynamicConv):
                module.temperature = self._temperature

    def settings(self) -> DyMNConfig:
        return replace(self.config, temperature=self.temperature)


def dynamic_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """The family's rule, with every kernel of a mixture drawn as one convolution (Kaiming-normal, fan out)."""
    if isinstance(owner, DynamicConv):
        outputs, _, height, width = owner.shape
        parameter.normal_(std=math.sqrt(2.0 / (outputs * height * width)), generator=generator)
    else:
        mobilenet_rule(local, owner, parameter, generator)
