"""Running statistics of batch norms in short runs from random weights.

A running mean moves by the share ``momentum`` of each batch. From its initial value (mean 0, variance 1) it needs several times
1 / momentum updates; EfficientAT's momentum of 0.01 is made for long runs, and a network that trained for 300 updates scores
at chance in evaluation mode although its loss fell.
"""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class NormWarmup:
    """Lets running statistics begin as plain averages over the batches: update k has the share 1 / k, until that is the
    norm's own momentum.

    Statistics of weights that were trained before have seen many batches, so nothing changes for them.

    Args:
        network: its batch norms are found once, by name; they may be replaced by synchronised ones later.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self.own = {
            name: norm.momentum
            for name, norm in network.named_modules()
            if isinstance(norm, _BatchNorm) and norm.track_running_stats and norm.momentum is not None
        }

    def __call__(self) -> None:
        """Set the shares of the next update. A norm that has its own momentum keeps it and is not looked at again."""
        for name, own in list(self.own.items()):
            norm = self.network.get_submodule(name)
            assert isinstance(norm, _BatchNorm)
            seen = 0 if norm.num_batches_tracked is None else int(norm.num_batches_tracked)
            norm.momentum = max(own, 1 / (seen + 1))
            if norm.momentum == own:
                del self.own[name]
