"""Building blocks of the MobileNetV3 family: the convolution unit, the inverted residual block, the initialisation.

Module names follow the published state dicts, so that their tensors need no renaming (specification efficientat 2.5).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.models.mn_config import BlockShape
from auricle.models.squeeze import ConcurrentSqueezeExcite

ACTIVATIONS = {"relu": nn.ReLU, "hardswish": nn.Hardswish}


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """The family's batch norm: eps 1e-3, momentum 0.01 (specification efficientat 2.2)."""
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
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation (in place) or none."""
    padding = (kernel - 1) // 2 * dilation
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation=dilation, groups=groups, bias=False)
    tail = [ACTIVATIONS[activation](inplace=True)] if activation else []
    return nn.Sequential(conv, batch_norm(outputs), *tail)


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
    """Kaiming-normal convolutions (fan out), unit norms, N(0, 0.01) linears, zero biases (efficientat 2.6)."""
    if isinstance(owner, nn.BatchNorm2d):
        parameter.fill_(1.0 if local == "weight" else 0.0)
    elif local == "bias":
        parameter.zero_()
    elif isinstance(owner, nn.Conv2d):
        nn.init.kaiming_normal_(parameter, mode="fan_out", generator=generator)
    elif isinstance(owner, nn.Linear):
        parameter.normal_(std=0.01, generator=generator)
