"""From the last feature map (B, D, F, T) to class scores, of the clip and of every column.

Specification efficientat 2.4. ``head(y)`` is (B, C); ``head.per_frame(y)`` is (B, T, C).
Every column has seen seconds of context around it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.models.efficientat.config import HEADS, MNConfig


class MobileNetHead(nn.Sequential):
    """Global average, linear, hardswish, dropout, linear. Per frame: average over frequency only, the same layers."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float):
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(inputs, hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def per_frame(self, y: Tensor) -> Tensor:
        columns = y.mean(2).transpose(1, 2)
        for layer in list(self)[2:]:
            columns = layer(columns)
        return columns


class FullyConvolutionalHead(nn.Sequential):
    """1x1 convolution to the classes, batch norm (PyTorch's default eps and momentum), global average."""

    def __init__(self, inputs: int, classes: int):
        super().__init__(nn.Conv2d(inputs, classes, 1, bias=False), nn.BatchNorm2d(classes), nn.AdaptiveAvgPool2d(1))

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).flatten(1)

    def per_frame(self, y: Tensor) -> Tensor:
        return self[1](self[0](y)).mean(2).transpose(1, 2)


class AttentionPoolingHead(nn.Module):
    """Per head and class, an average over time weighted by a sigmoid attention; heads joined by learned weights."""

    def __init__(self, inputs: int, classes: int, heads: int):
        super().__init__()
        self.heads, self.classes = heads, classes
        self.subspace_proj = nn.Linear(inputs, 2 * heads * classes)
        self.head_weight = nn.Parameter(torch.full((1, heads, 1), 1.0 / heads))

    def parts(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D, F, T) -> attention, summing to 1 over time, and value, both (B, T, H, C)."""
        projected = self.subspace_proj(y.mean(2).transpose(1, 2))
        attention, value = projected.unflatten(2, (2, self.heads, self.classes)).unbind(2)
        attention = torch.sigmoid(attention).clamp(1e-7, 1.0 - 1e-7)
        return attention / attention.sum(1, keepdim=True), value

    def forward(self, y: Tensor) -> Tensor:
        attention, value = self.parts(y)
        return ((attention * value).sum(1) * self.head_weight).sum(1)

    def per_frame(self, y: Tensor) -> Tensor:
        """The values alone, joined over heads; how much each column counts is ``attention``."""
        return (self.parts(y)[1] * self.head_weight).sum(2)

    def attention(self, y: Tensor) -> Tensor:
        """(B, T, C): the attention of every column, joined over heads like the values."""
        return (self.parts(y)[0] * self.head_weight).sum(2)


def build_head(config: MNConfig, inputs: int) -> MobileNetHead | FullyConvolutionalHead | AttentionPoolingHead:
    """The head of a configuration, on maps with ``inputs`` channels."""
    if config.head == HEADS[0]:
        return MobileNetHead(inputs, config.last_width, config.num_classes, config.dropout)
    if config.head == HEADS[1]:
        return FullyConvolutionalHead(inputs, config.num_classes)
    return AttentionPoolingHead(inputs, config.num_classes, config.num_heads)
