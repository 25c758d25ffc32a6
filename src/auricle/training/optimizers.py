"""Optimisers by name (LARS in its two published forms and LAMB too, [finetuning 6.1](docs/specification/finetuning.md#s6-1)
and 6.2), the length of a run, and the learning rate at every point of it.

MAE's LARS leaves one-dimensional parameters alone; the library's form (timm) treats all alike and without weight decay is
plain SGD. M2D's AudioSet recipe names the second one with weight decay 0: it is SGD with momentum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig
from auricle.training.schedules import (
    cosine_annealing,
    cosine_with_warmup,
    evar_cosine,
    exponential_linear,
    polynomial_decay,
    stepped,
)

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


# ---- the length of a run, the position of a micro-step in it, and the learning rate there


@dataclass(frozen=True)
class TrainingLength:
    """The length of a run: micro-steps per epoch, micro-steps per update, epochs (None with ``max_updates``), updates.

    An accumulation group that an epoch leaves incomplete is discarded ([m2d 5.3](docs/specification/m2d.md#s5-3)).
    """

    per_epoch: int
    accum: int
    epochs: int | None
    steps: int

    @classmethod
    def of(cls, per_epoch: int, config: TrainConfig) -> TrainingLength:
        """Return the length of a run of ``per_epoch`` micro-steps an epoch.

        Raises:
            AuricleError: if they do not make one weight update, or the warm-up is longer than the run.
        """
        accum = config.accum_iter
        if per_epoch < accum:
            raise AuricleError(f"one weight update takes {accum} batches (--accum-iter), an epoch has {per_epoch}")
        if config.max_updates:
            return cls(per_epoch, accum, None, config.max_updates)
        steps = config.epochs * (per_epoch // accum)
        warmup = config.warmup_updates or 0
        if config.schedule == "polynomial" and not config.long_warmup and warmup >= steps > 1:
            raise AuricleError(
                f"the warm-up ({number_of(warmup, 'weight update')}) must be shorter than the run ({steps} weight updates in "
                f"{config.epochs} epochs); set --warmup-updates (auto: a tenth of it), or --long-warmup if it is meant"
            )
        return cls(per_epoch, accum, config.epochs, steps)

    @property
    def micro_steps(self) -> int:
        """Micro-steps of the whole run."""
        if self.epochs is not None:
            return self.epochs * self.per_epoch
        whole, rest = divmod(self.steps, self.per_epoch // self.accum)
        return whole * self.per_epoch + rest * self.accum

    def at(self, micro_step: int) -> TrainProgress:
        """Return the position of a micro-step."""
        epoch, inside = divmod(micro_step, self.per_epoch)
        step = epoch * (self.per_epoch // self.accum) + min(inside // self.accum, self.per_epoch // self.accum)
        return TrainProgress(micro_step, self.micro_steps, step, self.steps, micro_step / self.per_epoch, self.epochs)

    def in_group(self, micro_step: int) -> int | None:
        """Return the index of a micro-step in its accumulation group; None in the incomplete group of an epoch."""
        inside = micro_step % self.per_epoch
        whole = self.per_epoch // self.accum * self.accum
        return inside % self.accum if inside < whole else None


def rate_at(progress: TrainProgress, config: TrainConfig, peak: float) -> float:
    """Return the rate of the update that starts at ``progress``.

    It follows the fractional epoch, or with ``max_updates`` and the polynomial schedule the number of updates.
    """
    total = config.schedule_updates or max(1, progress.steps)
    updates, warmup = config.warmup_updates or 0, config.warmup_epochs or 0.0  # numbers after ``with_warmup``
    epoch, epochs = int(progress.epoch), progress.epochs or max(1.0, progress.epoch)
    match config.schedule:
        case "constant":
            return peak
        case "polynomial":
            return polynomial_decay(progress.step, peak, config.min_lr, updates, total, config.power)
        case "efficientat":
            ratio, start, length = config.last_lr_ratio, config.ramp_down_start, config.ramp_down_epochs
            return exponential_linear(epoch, peak, ratio, warmup, start, length)
        case "evar":
            per_epoch = max(1, round(progress.steps / epochs))
            return evar_cosine(progress.step, per_epoch, peak, warmup, epochs)
        case "cosine-annealing":
            return cosine_annealing(epoch, peak, config.min_lr, config.annealing_epochs)
        case "step":
            start, every, factor = config.decay_start, config.decay_every, config.decay_factor
            return stepped(epoch, progress.step, peak, start, every, factor, updates)
    if progress.epochs is None:
        return cosine_with_warmup(min(progress.step, total), peak, config.min_lr, updates, total)
    if warmup >= progress.epochs and not config.long_warmup:
        warmup = 0.1  # a single epoch, with the default made for many
    return cosine_with_warmup(progress.epoch, peak, config.min_lr, warmup, progress.epochs)


AUTO_WARMUP = 0.1  # ratio of the run


def with_warmup(config: TrainConfig, length: TrainingLength) -> TrainConfig:
    """Return the settings with a number for a warm-up that they leave to "auto": a tenth of the run."""
    span = config.schedule_updates or length.steps
    updates = int(AUTO_WARMUP * span) if config.warmup_updates is None else config.warmup_updates
    epochs = AUTO_WARMUP * (length.epochs or 0) if config.warmup_epochs is None else config.warmup_epochs
    return replace(config, warmup_updates=updates, warmup_epochs=epochs)


def has_positive_rate(config: TrainConfig, length: TrainingLength) -> bool:
    """Return False if the rate of every weight update of a run is 0, as in a run that ends in the first step of its warm-up."""
    starts = (length.at(step) for step in range(length.micro_steps) if length.in_group(step) == 0)
    return any(rate_at(progress, config, 1.0) > 0 for progress in starts)


# [m2d 5.3](docs/specification/m2d.md#s5-3), [mae_ast 9](docs/specification/mae_ast.md#s9),
# [efficientat_training 10](docs/specification/efficientat_training.md#s10), [finetuning 6.1](docs/specification/finetuning.md#s6-1)
BETAS = {
    "adamw": (0.9, 0.95),
    "adam": (0.9, 0.98),
    "adam-l2": (0.9, 0.999),
    "lamb": (0.9, 0.999),
}
EPS = {"adamw": 1e-8, "adam": 1e-6, "adam-l2": 1e-8, "lamb": 1e-6}
MOMENTUM = 0.9


def make_optimizer(
    groups: list[dict[str, Any]],
    name: str,
    lr: float,
    betas: tuple[float, ...] = (),
    eps: float | None = None,
    *,
    amsgrad: bool = False,
) -> torch.optim.Optimizer:
    """Return an optimiser, in the fused form where PyTorch offers one.

    Args:
        groups: parameters and their weight decay.
        name: "adamw", with betas (0.9, 0.95) and eps 1e-8 ([m2d 5.3](docs/specification/m2d.md#s5-3)); "adam", MAE-AST's, with
            (0.9, 0.98) and 1e-6 ([mae_ast 9](docs/specification/mae_ast.md#s9)); "adam-l2", PyTorch's Adam, whose decay is
            added to the gradient ([efficientat_training 10](docs/specification/efficientat_training.md#s10)); "sgd", with
            momentum 0.9 and no decay ([m2d 5.1](docs/specification/m2d.md#s5-1)); "lars", MAE's, and "lamb"
            ([finetuning 6](docs/specification/finetuning.md#s6)).
        betas, eps: replace those.
        amsgrad: AdamW with the largest second moment so far ([finetuning 6.1](docs/specification/finetuning.md#s6-1)).
    """
    if name == "sgd":
        return torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups], lr=lr, momentum=MOMENTUM)
    if name == "lars":
        return LARS(groups, lr, MOMENTUM)
    beta1, beta2 = betas or BETAS[name]
    epsilon = EPS[name] if eps is None else eps
    if name == "adam":
        return Adam(groups, lr, (beta1, beta2), epsilon)
    if name == "lamb":
        return LAMB(groups, lr, (beta1, beta2), epsilon)
    kind = torch.optim.Adam if name == "adam-l2" else torch.optim.AdamW
    return kind(groups, lr=lr, betas=(beta1, beta2), eps=epsilon, amsgrad=amsgrad, fused=True)


class Adam(torch.optim.Optimizer):
    """MAE-AST's Adam: decay before the update, eps added to the uncorrected root ([mae_ast 9](docs/specification/mae_ast.md#s9)).

    Per update t = 1, 2, … of a parameter p with gradient g:

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  p <- p - lr wd p,
    p <- p - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).

    Parameters without a gradient (layers that were dropped) are skipped, and their t does not advance. This is PyTorch's
    fused AdamW with eps / sqrt(1 - b2^t) in place of eps, at the same speed. All parameters of a group must be on one
    device in one precision.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        for group in self.param_groups:
            for t, members in self._by_age(group["params"]).items():
                self._update(group, t, members)

    def _by_age(self, parameters: list[Tensor]) -> dict[int, list[Tensor]]:
        """Return the parameters that have a gradient, by the number of their coming update."""
        ages: dict[int, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is not None:
                state = self.state[parameter] or self._fresh(parameter)
                state["step"] += 1
                ages[int(state["step"])].append(parameter)
        return ages

    def _fresh(self, parameter: Tensor) -> dict[str, Tensor]:
        self.state[parameter] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        return self.state[parameter]

    def _update(self, group: dict[str, Any], t: int, members: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        torch._fused_adamw_(  # type: ignore[attr-defined]
            members,
            [parameter.grad for parameter in members if parameter.grad is not None],
            [self.state[parameter]["exp_avg"] for parameter in members],
            [self.state[parameter]["exp_avg_sq"] for parameter in members],
            [],
            [torch.full((), float(t), device=members[0].device)] * len(members),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"] / (1 - beta2**t) ** 0.5,
            amsgrad=False,
            maximize=False,
        )
