"""Batch norm over the batch of all ranks, on any device (PyTorch's own needs a GPU), so that two ranks equal one with the
double batch."""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce


class RankBatchNorm(nn.modules.batchnorm._BatchNorm):
    """(B, C, …) normalised by the mean and variance over B and … of all ranks; evaluation is the ordinary one."""

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"expected (B, C, ...), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes = [i for i in range(x.ndim) if i != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        wide = x.float()
        count = all_reduce(wide.new_tensor([wide.numel() / wide.shape[1]]))
        mean = all_reduce(wide.sum(axes)) / count
        variance = all_reduce((wide - mean.view(shape)).square().sum(axes)) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normal = (wide - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """Running statistics, with the unbiased variance, as PyTorch keeps them."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def synchronise(module: nn.Module) -> nn.Module:
    """The module with every batch norm replaced by one over all ranks; parameters and statistics are kept."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return module
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, _replaced(child))
        else:
            synchronise(child)
    return module


def _replaced(old: nn.modules.batchnorm._BatchNorm) -> RankBatchNorm:
    new = RankBatchNorm(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    device = next((t.device for t in old.state_dict().values()), torch.device("cpu"))
    new.to(device).load_state_dict(old.state_dict())
    return new.train(old.training)
