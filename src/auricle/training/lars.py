"""LARS in its two published forms, and LAMB ([finetuning 6.1](docs/specification/finetuning.md#s6-1) and 6.2).

MAE's LARS leaves one-dimensional parameters alone; the library's form (timm) treats all alike and without weight decay is
plain SGD. M2D's AudioSet recipe names the second one with weight decay 0: it is SGD with momentum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

LIBRARY_EPS = 1e-8


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is scaled per tensor by trust * |p| / |g|.

    Per update of a parameter p with gradient g, where m is the momentum:

    * ``form="mae"``: matrices g <- g + wd p, then g <- trust |p| / |g| g if both norms are above 0; vectors and biases
      keep g. v <- m v + g (v starts at 0), p <- p - lr v.
    * ``form="library"``: with wd != 0 or ``always_adapt``, q = trust |p| / (|g| + wd |p| + 1e-8), 1 if a norm is 0;
      ``trust_clip``: q <- min(q / lr, 1); g <- q (g + wd p). Then momentum as SGD (v starts as the first g).

    Args:
        params: parameters or groups.
        lr, momentum, weight_decay: as of SGD.
        trust: the trust coefficient.
        form: "mae" or "library".
        always_adapt, trust_clip: of the library's form.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 0.001,
        form: str = "mae",
        always_adapt: bool = False,
        trust_clip: bool = False,
    ):
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust}
        super().__init__(params, {**defaults, "form": form, "always_adapt": always_adapt, "trust_clip": trust_clip})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        for group in self.param_groups:
            adapt = _mae_gradient if group["form"] == "mae" else _library_gradient
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                gradient = adapt(parameter, parameter.grad, group)
                state = self.state[parameter]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(parameter)
                state["momentum_buffer"].mul_(group["momentum"]).add_(gradient)
                parameter.add_(state["momentum_buffer"], alpha=-group["lr"])


def _mae_gradient(parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    if parameter.ndim <= 1:
        return gradient
    gradient = gradient.add(parameter, alpha=group["weight_decay"])
    norm, gradient_norm = parameter.norm(), gradient.norm()
    both = (norm > 0) & (gradient_norm > 0)
    return gradient * torch.where(both, group["trust"] * norm / gradient_norm, 1.0)


def _library_gradient(parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
    decay = group["weight_decay"]
    if not decay and not group["always_adapt"]:
        return gradient
    norm, gradient_norm = parameter.norm(), gradient.norm()
    ratio = group["trust"] * norm / (gradient_norm + decay * norm + LIBRARY_EPS)
    ratio = torch.where((norm > 0) & (gradient_norm > 0), ratio, 1.0)
    if group["trust_clip"]:
        ratio = (ratio / group["lr"]).clamp(max=1.0)
    return ratio * (gradient + decay * parameter)


class LAMB(torch.optim.Optimizer):
    """Adam's direction, scaled per tensor by |p| / |u|, after the global gradient norm is clipped at 1.

    u = m^ / (sqrt(v^) + eps) + wd p with bias-corrected moments; p <- p - lr |p| / |u| u, the ratio 1 where a norm is 0
    or the parameter has no weight decay.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.01,
        clip: float = 1.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "clip": clip})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not gradients:
            return
        total = torch.stack([gradient.norm() for gradient in gradients]).norm()
        for group in self.param_groups:
            shrink = (total / group["clip"]).clamp(min=1.0)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad / shrink, group)

    def _update(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        (beta1, beta2), state = group["betas"], self.state[parameter]
        if not state:
            state["step"] = torch.tensor(0.0)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        t = int(state["step"])
        state["exp_avg"].lerp_(gradient, 1 - beta1)
        state["exp_avg_sq"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        mean, square = state["exp_avg"] / (1 - beta1**t), state["exp_avg_sq"] / (1 - beta2**t)
        update = mean / (square.sqrt() + group["eps"])
        if group["weight_decay"]:
            update = update + group["weight_decay"] * parameter
            norm, update_norm = parameter.norm(), update.norm()
            update = update * torch.where((norm > 0) & (update_norm > 0), norm / update_norm, 1.0)
        parameter.add_(update, alpha=-group["lr"])
