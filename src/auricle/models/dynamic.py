"""Layers whose weights depend on the sample: convolution, ReLU, and the context that steers them.

Specification efficientat 3.1 to 3.3. Names of modules and tensors are the published state dict's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from auricle.models.inverted import batch_norm


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
