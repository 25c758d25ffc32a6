"""Learning rates over a run: every published schedule as a pure function of the position. PyTorch is not imported here."""

from __future__ import annotations

import math

EVAR_FLOOR = 1e-7  # [finetuning 6.3](docs/specification/finetuning.md#s6-3)


def cosine_with_warmup(now: float, peak: float, floor: float, warmup: float, total: float) -> float:
    """Return the rate: linear from 0 to ``peak`` over ``warmup``, then half a cosine to ``floor`` at ``total``.

    ``now``, ``warmup`` and ``total`` have one unit. The very first step has rate 0
    ([m2d 5.3](docs/specification/m2d.md#s5-3); MAE's fine-tuning,
    [finetuning 6.4](docs/specification/finetuning.md#s6-4)).
    """
    if now < warmup:
        return peak * now / warmup
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (now - warmup) / (total - warmup)))


def polynomial_decay(now: int, peak: float, floor: float, warmup: int, total: int, power: float = 1.0) -> float:
    """Return the rate: linear from 0 to ``peak`` over ``warmup`` updates, then a power of the rest to ``floor`` at ``total``.

    ``now`` is the number of updates already made, so the very first has rate 0 ([mae_ast 9](docs/specification/mae_ast.md#s9)).
    """
    if warmup and now <= warmup:
        return peak * now / warmup
    if now >= total:
        return floor
    return floor + (peak - floor) * (1 - (now - warmup) / (total - warmup)) ** power


def exponential_linear(
    epoch: int, peak: float, last_ratio: float, warmup: float, ramp_start: float, ramp_epochs: float
) -> float:
    """Return EfficientAT's rate of a whole epoch ([efficientat 7.4](docs/specification/efficientat.md#s7-4)).

    The warm-up is exp(-5 (1 - e / warmup)^2), where e is the epoch but at least 0.5; from ``ramp_start`` on, over
    ``ramp_epochs``, the rate falls linearly to ``last_ratio * peak``. The two factors multiply.
    """
    up = math.exp(-5.0 * (1.0 - min(max(epoch, 0.5), warmup) / warmup) ** 2) if epoch < warmup else 1.0
    if epoch <= ramp_start:
        down = 1.0
    elif epoch < ramp_start + ramp_epochs:
        down = last_ratio + (1 - last_ratio) * (ramp_epochs - epoch + ramp_start) / ramp_epochs
    else:
        down = last_ratio
    return peak * up * down


def evar_cosine(step: int, per_epoch: int, peak: float, warmup: float, epochs: float) -> float:
    """Return the rate of EVAR's program: it is advanced after a step, so every step uses the time of the one before.

    At time t (epochs): t < warmup: peak t / warmup, else 1e-7 + (peak - 1e-7) / 2 (1 + cos(pi t / epochs)), which jumps down
    at the end of the warm-up. The first two steps have rate 0 (without a warm-up: ``peak``)
    ([finetuning 6.3](docs/specification/finetuning.md#s6-3)).
    """
    time = max(0, step - 1) / per_epoch
    if time < warmup:
        return peak * time / warmup
    if step <= 1:
        return peak
    return EVAR_FLOOR + (peak - EVAR_FLOOR) / 2 * (1 + math.cos(math.pi * time / epochs))


def cosine_annealing(epoch: int, peak: float, floor: float, period: float) -> float:
    """Return the rate of a whole epoch: a cosine from ``peak`` to ``floor`` in ``period`` epochs, and back.

    See [finetuning 9.3](docs/specification/finetuning.md#s9-3).
    """
    return floor + (peak - floor) / 2 * (1 + math.cos(math.pi * epoch / period))


WARMUP_STAIR = 50  # weight updates for which a warm-up of ``stepped`` keeps its rate


def stepped(epoch: int, step: int, peak: float, start: int, every: int, factor: float, warmup: int) -> float:
    """Return SSAST's rate: ``peak``, times ``factor`` after ``start`` epochs and after every ``every`` further ones.

    The warm-up rises to the peak over ``warmup`` weight updates in stairs of 50, the first of which has rate 0
    ([mae_ast 12](docs/specification/mae_ast.md#s12)).
    """
    if step < warmup:
        return peak * (step // WARMUP_STAIR * WARMUP_STAIR) / warmup
    falls = 0 if epoch < start else 1 + (epoch - start) // every
    return peak * factor**falls
