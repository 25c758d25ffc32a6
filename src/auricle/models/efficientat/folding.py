"""Networks made ready for inference: batch norms folded into the convolutions before them, memory channels-last.

Channels-last makes depthwise convolutions several times faster on a CPU, and a 1x1 convolution one matrix product;
a convolution and its activation are one operation there. Equal to the original within float32 rounding.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from auricle.models.efficientat.dymn import ContextGen, DynamicBlock, DynamicConv, StaticConv
from auricle.models.efficientat.encoder import EfficientAT
from auricle.models.efficientat.mn import MN
from auricle.models.efficientat.onednn import FUSED_ACTIVATIONS, FusedConv, Graphs


@torch.no_grad()
def folded(encoder: EfficientAT) -> EfficientAT:
    """Fold a copy of ``encoder``: in evaluation mode, with the same fingerprint, not trainable, nothing shared."""
    twin = copy.deepcopy(encoder).eval()
    twin.origin = encoder.fingerprint()
    for module in list(twin.modules()):
        if isinstance(module, DynamicBlock):
            fold_dynamic(module)
        elif isinstance(module, ContextGen):
            fold_pair(module, "joint_conv", "joint_norm")
            module.conv_f, module.conv_t = ready(module.conv_f), ready(module.conv_t)
        elif isinstance(module, nn.Sequential) and len(module) > 1 and isinstance(module[1], nn.BatchNorm2d):
            fold_unit(module)
    twin.stages()[0].insert(0, ChannelsLast())  # type: ignore[operator]
    for parameter in twin.parameters():
        parameter.requires_grad_(False)
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if isinstance(twin, MN) and twin.classifier is not None:  # a graph of DyMN's mixed kernels is ten times slower
        twin.graphs = Graphs()
    return twin


def fold_unit(unit: nn.Sequential) -> None:
    """Convolution, batch norm and activation (if one follows) become one operation; nothing is left of the others."""
    conv, norm, *rest = unit
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    fused = bool(rest) and type(rest[0]) in FUSED_ACTIVATIONS
    unit[0] = FusedConv(fuse_conv_bn_eval(conv, norm), rest[0] if fused else nn.Identity())
    for i in range(1, 3 if fused else 2):
        unit[i] = nn.Identity()


def fold_pair(owner: nn.Module, conv_name: str, norm_name: str) -> None:
    """Put the batch norm of that name into the convolution before it; nothing is left in its place."""
    conv, norm = owner.get_submodule(conv_name), owner.get_submodule(norm_name)
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    setattr(owner, conv_name, ready(fuse_conv_bn_eval(conv, norm)))
    setattr(owner, norm_name, nn.Identity())


def ready(conv: nn.Module) -> nn.Module:
    """The convolution in the form that runs fastest on channels-last maps."""
    plain = isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and conv.groups == 1
    return Pointwise(conv) if plain else conv  # type: ignore[arg-type]


class ChannelsLast(nn.Module):
    """(B, 1, F, T) with channels-last strides; with one channel they are ambiguous, and the stem could choose the other format."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0].unsqueeze(3).permute(0, 3, 1, 2)


class Pointwise(nn.Module):
    """A 1x1 convolution as a linear layer over the channels, which lie side by side."""

    def __init__(self, conv: nn.Conv2d):
        super().__init__()
        self.weight = nn.Parameter(conv.weight.flatten(1))
        self.bias = conv.bias

    def forward(self, x: Tensor) -> Tensor:
        return pointwise(x, self.weight, self.bias)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, Cin, F, T), (Cout, Cin) -> (B, Cout, F, T) as one matrix product of all positions."""
    flat = F.linear(x.permute(0, 2, 3, 1).flatten(0, 2), weight, bias)
    return flat.view(len(x), *x.shape[2:], -1).permute(0, 3, 1, 2)


class FoldedDynamicConv(DynamicConv):
    """A dynamic convolution and the batch norm after it, on channels-last maps."""

    def __init__(self, conv: DynamicConv, norm: nn.BatchNorm2d):
        outputs, inputs, size, _ = conv.shape
        linear, kernels = conv.residuals[0], conv.weight.shape[2]
        assert isinstance(linear, nn.Linear)
        how = {"stride": conv.stride, "groups": conv.groups}
        super().__init__(inputs * conv.groups, outputs, size, linear.in_features, kernels=kernels, **how)
        scale, shift = affine(norm)
        self.temperature, self.residuals = conv.temperature, conv.residuals
        self.weight = nn.Parameter((conv.weight.unflatten(3, (outputs, -1)) * scale[:, None]).flatten(3))
        self.bias = nn.Parameter(shift)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        parts = [self.one(x[i : i + 1], kernel) for i, kernel in enumerate(self.mixed(context))]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def one(self, x: Tensor, kernel: Tensor) -> Tensor:
        """One sample (1, Cin, F, T) with its kernel."""
        size = self.shape[2]
        if size == 1 and self.groups == 1:
            return pointwise(x, kernel.flatten(1), self.bias)
        return F.conv2d(x, kernel, self.bias, self.stride, (size - 1) // 2, 1, self.groups)


def fold_dynamic(block: DynamicBlock) -> None:
    """The norms after a dynamic block's convolutions: scales go into every kernel, shifts become biases."""
    for place in ("exp", "depth", "proj"):
        conv, norm = getattr(block, f"{place}_conv", None), getattr(block, f"{place}_norm", None)
        if not isinstance(norm, nn.BatchNorm2d):
            continue  # a block that does not expand
        if isinstance(conv, StaticConv) and isinstance(conv.module, nn.Conv2d):
            conv.module = ready(fuse_conv_bn_eval(conv.module, norm))
        elif isinstance(conv, DynamicConv):
            setattr(block, f"{place}_conv", FoldedDynamicConv(conv, norm))
        setattr(block, f"{place}_norm", nn.Identity())


def affine(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """What a batch norm does in evaluation: (C,) scale and shift."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale
