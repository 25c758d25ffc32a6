"""Training steps of convolution units on a CPU in float32: the same derivatives with fewer passes over memory.

A unit is a convolution, a batch norm and an activation. PyTorch runs them one after the other, and forward and backward pass
read or write a feature map thirteen times; most of a training step of MN is waiting for memory. Two facts save half of that
for a 1x1 convolution z = W x whose output is wider than its input (the first unit of a block, six times as wide):

- The statistics of z follow from those of x: its mean is W mean(x), its variance the diagonal of W cov(x) W'. So the scale of the
  batch norm is known before z, goes into the weights, and z is never stored.
- The gradient of the batch norm is a dy + b (z - mean) + c per channel, with z - mean = W (x - mean) again. So the gradients of W
  and x are matrix products with dy and x - mean, and again z is not needed.

The results equal PyTorch's own within float32 rounding
(tests/models/test_training_units.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

ROWS = 512  # positions whose products are summed in float32
CACHED = 2**18  # values per thread (1 MiB) of which a piece is made
FEWEST_ROWS = 100  # per input channel: with fewer, the products of channels with channels take longer than they save
ACTIVATIONS = {nn.ReLU: "relu", nn.Hardswish: "hardswish"}


class ConvUnit(nn.Sequential):
    """Convolution without bias, batch norm, activation or none: (B, Cin, F, T) -> (B, Cout, F', T').

    Attributes:
        fast: compute training steps on a CPU by the functions of this module (``MN.prepare_training`` sets it).
    """

    fast = False

    def forward(self, x: Tensor) -> Tensor:
        if not (self.fast and self._can_be_fast(x)):
            return super().forward(x)
        conv, norm, *rest = self
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        if conv.groups == 1 and conv.kernel_size == (1, 1):
            if conv.out_channels > conv.in_channels and x.numel() >= FEWEST_ROWS * x.shape[1] ** 2:
                return expand(x, conv.weight, norm, ACTIVATIONS[type(rest[0])] if rest else "none")
            z = pointwise(x, conv.weight)
        else:
            z = depthwise(x, conv) if conv.groups == conv.in_channels == conv.out_channels else conv(x)
        y = norm(z)
        return functional.hardswish(y) if rest and type(rest[0]) is nn.Hardswish else rest[0](y) if rest else y

    def _can_be_fast(self, x: Tensor) -> bool:
        """Return True for a training step that ``supported`` covers, of layers that nobody replaced."""
        conv, norm, *rest = self
        if (
            type(conv) is not nn.Conv2d
            or type(norm) is not nn.BatchNorm2d
            or any(type(m) not in ACTIVATIONS for m in rest)
        ):
            return False
        return supported(x, conv.weight) and norm.training and norm.affine and norm.track_running_stats


def supported(x: Tensor, weight: Tensor) -> bool:
    """Return True where gradients are computed in float32 on a CPU, eagerly."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or weight.dtype != torch.float32:
        return False
    eager = torch.is_grad_enabled() and not torch.compiler.is_compiling() and not torch.jit.is_tracing()
    return eager and not torch.is_autocast_enabled("cpu") and torch.backends.mkldnn.is_available()


def rows_of(x: Tensor) -> Tensor:
    """View (B, C, F, T) as (N, C), a row per position; copies what is not channels-last."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def maps_of(rows: Tensor, like: Tensor) -> Tensor:
    """View (N, C) as (B, C, F, T), channels-last, with B, F and T of ``like``."""
    b, _, f, t = like.shape
    return rows.view(b, f, t, -1).permute(0, 3, 1, 2)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str = "none") -> Tensor:
    """Compute ``activation(x @ weight.T + bias)`` in one pass, by oneDNN: (N, Cin), (Cout, Cin) -> (N, Cout)."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], "")


# ---- 1x1 convolution


def pointwise(x: Tensor, weight: Tensor) -> Tensor:
    """1x1 convolution as one matrix product: (B, Cin, F, T), (Cout, Cin, 1, 1) -> (B, Cout, F, T)."""
    return _Pointwise.apply(x, weight)


class _Pointwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        rows = rows_of(x)
        ctx.save_for_backward(rows, weight)
        return maps_of(linear(rows, weight.flatten(1)), x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:  # type: ignore[override]
        (x, weight), dy = ctx.saved_tensors, rows_of(grad)
        dx = maps_of(linear(dy, weight.flatten(1).t().contiguous()), grad) if ctx.needs_input_grad[0] else None
        dw = (dy.t() @ x).view_as(weight) if ctx.needs_input_grad[1] else None
        return dx, dw


# ---- 1x1 convolution to more channels, batch norm, activation


def covariance_of(centred: Tensor) -> Tensor:
    """Return the covariance (C, C) of rows (N, C) whose mean is zero, divided by N; summed in float64."""
    whole = len(centred) // ROWS * ROWS
    pieces, rest = centred[:whole].view(-1, ROWS, centred.shape[1]), centred[whole:]
    products = torch.bmm(pieces.transpose(1, 2), pieces).double().sum(0) + (rest.t() @ rest).double()
    return (products / len(centred)).float()


def expand(x: Tensor, weight: Tensor, norm: nn.BatchNorm2d, activation: str) -> Tensor:
    """1x1 convolution, batch norm with the statistics of the batch, activation; updates the running statistics.

    Args:
        x: (B, Cin, F, T).
        weight: (Cout, Cin, 1, 1).
        norm: of Cout channels, in training mode.
        activation: "relu", "hardswish" or "none".

    Returns:
        (B, Cout, F, T), channels-last.
    """
    return _Expand.apply(x, weight, norm.weight, norm.bias, norm, activation)


class _Expand(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, gamma: Tensor, beta: Tensor, norm: nn.BatchNorm2d, activation: str
    ) -> Tensor:
        rows, wide = rows_of(x), weight.flatten(1)
        mean_x = rows.mean(0)
        centred = rows - mean_x  # without it float32 sums of squares lose the variance of values far from zero
        covariance = covariance_of(centred)
        variance = ((wide @ covariance) * wide).sum(1).clamp_(min=0)
        update_running(norm, wide @ mean_x, variance, len(rows))
        inverse_std = (variance + norm.eps).rsqrt()
        scaled = (gamma * inverse_std)[:, None] * wide
        normal = linear(centred, scaled, beta, "relu" if activation == "relu" else "none")
        ctx.save_for_backward(centred, weight, gamma, normal, covariance, inverse_std)
        ctx.activation = activation
        return maps_of(functional.hardswish(normal) if activation == "hardswish" else normal, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, gamma, normal, covariance, inverse_std = ctx.saved_tensors
        count, wide, scale = len(x), weight.flatten(1), gamma * inverse_std
        dy_scaled, dbeta, products = products_with_gradient(
            rows_of(grad), normal, ctx.activation, x, scale[:, None] * wide if ctx.needs_input_grad[0] else None
        )
        dgamma = (products * wide).sum(1) * inverse_std
        slope = -scale * inverse_std * dgamma / count  # of z - mean in the gradient of z
        dw = (scale[:, None] * products).addcmul_(slope[:, None], wide @ covariance, value=count)
        dx = None
        if dy_scaled is not None:
            again = wide.t() @ (slope[:, None] * wide)
            dx = maps_of(dy_scaled.addmm_(x, again).sub_((scale * dbeta / count) @ wide), grad)
        return dx, dw.view_as(weight), dgamma, dbeta, None, None


def products_with_gradient(
    grad: Tensor, normal: Tensor, activation: str, x: Tensor, weight: Tensor | None
) -> tuple[Tensor | None, Tensor, Tensor]:
    """Take the gradient dy through an activation and return dy W, the sum of dy and dy' x, in pieces that fit in a cache.

    Args:
        grad, normal: (N, Cout) gradient after the activation; what the activation got (of "relu": gave).
        activation: "relu", "hardswish" or "none".
        x, weight: (N, Cin), (Cout, Cin); without a weight the first result is None.

    Returns:
        (N, Cin), (Cout,) and (Cout, Cin).
    """
    outputs, inputs = grad.shape[1], x.shape[1]
    size = max(ROWS, CACHED * torch.get_num_threads() // outputs)
    dx = None if weight is None else x.new_empty(x.shape)
    total, products, piece = x.new_zeros(outputs), x.new_zeros(outputs, inputs), x.new_empty(size, outputs)
    for start in range(0, len(x), size):
        rows = slice(start, start + size)
        dy, out = grad[rows], piece[: len(x) - start]
        if activation == "relu":
            dy = torch.ops.aten.threshold_backward.grad_input(dy, normal[rows], 0, grad_input=out)
        elif activation == "hardswish":
            dy = torch.ops.aten.hardswish_backward.out(dy, normal[rows], out=out)
        total += dy.sum(0)
        products.addmm_(dy.t(), x[rows])
        if dx is not None and weight is not None:
            torch.mm(dy, weight, out=dx[rows])
    return dx, total, products


def update_running(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, count: int) -> None:
    """Move the running statistics of a batch norm towards those of a batch of ``count`` values per channel, as PyTorch does."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked += 1
    momentum = 1.0 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
    norm.running_mean.lerp_(mean.to(norm.running_mean.dtype), momentum)
    norm.running_var.lerp_((variance * count / max(1, count - 1)).to(norm.running_var.dtype), momentum)


# ---- squeeze-and-excitation over channels


def excite(x: Tensor, fc1: nn.Linear, fc2: nn.Linear) -> Tensor:
    """Scale every channel of every clip: (B, C, F, T) times the sigmoid of fc2(relu(fc1(mean over F and T)))."""
    return _Excite.apply(x, fc1.weight, fc1.bias, fc2.weight, fc2.bias, fc1, fc2)


class _Excite(torch.autograd.Function):
    """Backward, both uses of x (the mean and the product) are one pass over its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, fc1: Any, fc2: Any) -> Tensor:
        mean = x.mean((2, 3))
        hidden = torch.relu(fc1(mean))  # as a module: its output may be asked for by name
        gate = torch.sigmoid(fc2(hidden))
        ctx.save_for_backward(x, mean, hidden, gate, w1, w2)
        return x * gate[:, :, None, None]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, mean, hidden, gate, w1, w2 = ctx.saved_tensors
        d2 = (grad * x).sum((2, 3)) * gate * (1 - gate)
        d1 = (d2 @ w2) * (hidden > 0)
        offset = (d1 @ w1) / x.shape[2:].numel()
        dx = torch.addcmul(offset[:, :, None, None], grad, gate[:, :, None, None])
        return dx, d1.t() @ mean, d1.sum(0), d2.t() @ hidden, d2.sum(0), None, None


# ---- depthwise convolution


def depthwise(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Depthwise convolution (B, C, F, T) -> (B, C, F', T'), with a faster gradient of kernels larger than 3x3."""
    if max(conv.kernel_size) <= NARROW or conv.dilation != (1, 1):
        return conv(x)
    return _Depthwise.apply(x, conv.weight, conv.stride, conv.padding)


NARROW = 3  # oneDNN has a depthwise kernel for the gradient of weights up to this width


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return functional.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = depthwise_gradient(grad, x, weight, ctx.stride, ctx.padding, (True, False))[0]
        if ctx.needs_input_grad[1]:
            dw = depthwise_weight_gradient(grad, x, weight, ctx.stride, ctx.padding)
        return dx, dw, None, None


def depthwise_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Any, padding: Any, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor]:
    """Return PyTorch's gradients of a depthwise convolution, those that are wanted: of x, of the weights."""
    return torch.ops.aten.convolution_backward(
        grad, x, weight, None, stride, padding, (1, 1), False, (0, 0), len(weight), (*wanted, False)
    )[:2]


def depthwise_weight_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Any, padding: Any) -> Tensor:
    """Return the gradient of depthwise weights (C, 1, kF, kT), computed for up to 3x3 weights at a time.

    For wider kernels oneDNN treats the channels as a dense convolution of 16, at sixteen times the work: 5x5 weights take 9.4 ms
    in one piece and 2 ms in these (4 x 120 x 16 x 125, one thread).
    """
    (height, width), (rows, columns) = weight.shape[2:], grad.shape[2:]
    padded = functional.pad(x, (padding[1], padding[1], padding[0], padding[0]))
    result = torch.empty_like(weight)
    tall = height if rows >= height else NARROW  # the depthwise kernel takes no more rows than the map has
    for top in range(0, height, tall):
        for left in range(0, width, NARROW):
            part = weight[:, :, top : top + tall, left : left + NARROW]
            below, right = part.shape[2] + (rows - 1) * stride[0], part.shape[3] + (columns - 1) * stride[1]
            seen = padded[:, :, top : top + below, left : left + right]
            found = depthwise_gradient(grad, seen, part.contiguous(), stride, (0, 0), (False, True))[1]
            result[:, :, top : top + tall, left : left + NARROW] = found
    return result
