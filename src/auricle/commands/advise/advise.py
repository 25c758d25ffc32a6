"""``auricle advise``: the application guide of M2D as a function of a few facts.

Source: [m2d 5.7](docs/specification/m2d.md#s5-7) and [5.9](docs/specification/m2d.md#s5-9).
"""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from auricle.commands.advise import rules
from auricle.commands.advise.cost import Shape, extrapolated_seconds, fitting_batch, step_bytes
from auricle.commands.advise.facts import Advice, AdviseConfig, Facts, Machine, Proposal, RunCost, facts_of, machine_of
from auricle.commands.advise.proposal import SMALL, cautions, commands_of, no_labels, reasons_for
from auricle.commands.advise.rules import KNOWN, STARTS, Known, Start
from auricle.core.errors import AuricleError
from auricle.models.m2d.config import PredictorConfig, ViTConfig

NO_32K = "no published 32 kHz weight can be pre-trained further (they hold the encoder alone)"
LOSES_ABOVE_8K = "--strategy further uses a 16 kHz weight, which does not represent content above 8 kHz"
CPU_BATCH = 2  # clips of a step that is measured without a GPU


def advise(config: AdviseConfig, *, quiet: bool = True) -> Advice:
    """Propose how to get an encoder for the data, with reasons, expected cost and commands.

    Raises:
        AuricleError: The source cannot be read, or not one clip fits into a GPU.
    """
    facts, machine = facts_of(config, quiet), machine_of(config)
    strategy, reasons, notes = strategy_of(config, facts, machine)
    fine = config.fine_time or (0 < facts.clip_seconds < rules.FINE_BELOW)
    start = start_of(strategy, facts.kind, config.above_8khz, fine)
    weight = start.weight if start else ""
    if start:
        reasons.append(f"start weight: {start.why}")
        notes.append(f"the weight's licence is its own: auricle models show {weight}")
    plan = None if strategy == "transfer" else plan_of(config, facts, machine, strategy, start, fine)
    notes += no_labels(config)
    if plan:
        reasons += reasons_for(plan, config, facts, fine)
        notes += cautions(plan, facts, machine)
    if config.above_8khz and start and LOSES_ABOVE_8K not in notes and rate_of(start) == 16000:
        notes.append(f"{weight} is a 16 kHz weight: it does not represent content above 8 kHz")
    cost = cost_of(config, plan, facts, machine) if plan else None
    commands = commands_of(config, weight, plan, facts.kind)
    return Advice(strategy, weight, facts, plan, cost, tuple(reasons), tuple(notes), commands)


def strategy_of(config: AdviseConfig, facts: Facts, machine: Machine) -> tuple[str, list[str], list[str]]:
    """Choose the strategy; return it with its reason and notes."""
    large = facts.hours > rules.MANY_HOURS or facts.clips > rules.MANY_CLIPS
    if config.strategy != "auto":
        return config.strategy, [f"{config.strategy}: as --strategy requests ({facts})"], []
    if not facts.clips:
        return "transfer", ["weights as they are: you named no recordings to train on"], []
    if machine.gpus == 0:
        return "transfer", [f"weights as they are: no GPU to pre-train a ViT-B on ({facts})"], [SMALL]
    if large and machine.gpus > 1:
        bar = f"{rules.MANY_HOURS:,.0f} hours or {rules.MANY_CLIPS:,} clips"
        reason = f"pre-training from scratch may pay: {facts} is more than {bar}, with {machine.gpus} GPUs"
        return "scratch", [reason], []
    if config.above_8khz:
        return "transfer", [f"weights as they are: content above 8 kHz matters, and {NO_32K}"], [LOSES_ABOVE_8K]
    why = "one GPU is too few for training from scratch" if large else "your own data are too few to train from scratch"
    return "further", [f"further pre-training: {why} ({facts})"], []


def start_of(strategy: str, kind: str, high: bool, fine: bool) -> Start | None:
    """Return the published weight to start from; None: train from scratch."""
    for row in STARTS:
        if row.strategy == strategy and kind in row.kinds and row.high in (None, high) and row.fine in (None, fine):
            return row
    return None


def rate_of(start: Start) -> int:
    """Return the sample rate of a start weight in hertz."""
    from auricle.hub.convert.m2d_names import parse_name

    parts = parse_name(start.weight)
    assert parts is not None
    return parts.sample_rate


def plan_of(
    config: AdviseConfig, facts: Facts, machine: Machine, strategy: str, start: Start | None, fine: bool
) -> Proposal:
    """Return the settings of the nearest published run, with a batch that fits into the machine."""
    like = known_of(strategy, method_of(config, facts, strategy), facts.clips)
    rate, (input_size, patch_size) = 16000, sizes_of(facts.kind, fine, start)
    if start is None and config.above_8khz and like.method != "m2d-s":
        rate = 32000
    mask_ratio = 0.6 if input_size == rules.SIZES["speech"][0] else 0.7
    shape = shape_of(like.method, input_size, patch_size, rate, mask_ratio)
    gpus = max(1, machine.gpus)
    batch, accum = batch_of(shape, like.effective_batch, gpus, machine)
    effective = batch * accum * gpus
    enough = max(like.min_ds_size, effective) if facts.clips else like.min_ds_size  # one weight update at least
    return Proposal(
        method=like.method,
        input_size=input_size,
        patch_size=patch_size,
        sample_rate=rate,
        epochs=like.epochs,
        warmup_epochs=like.warmup,
        effective_batch=effective,
        batch_size=batch,
        accum_iter=accum,
        gpus=gpus,
        blr=rules.BLR,
        mask_ratio=mask_ratio,
        loss_off=like.loss_off,
        noise_ratio=noise_of(config, like),
        min_ds_size=enough if facts.clips < enough else 0,
        like=like.name,
    )


def method_of(config: AdviseConfig, facts: Facts, strategy: str) -> str:
    if strategy == "further":
        return "m2d-x"
    if facts.kind == "speech":
        return "m2d-s"
    return "m2d-as" if config.labels else "m2d"


def known_of(strategy: str, method: str, clips: int) -> Known:
    """Return the published run of this strategy and method whose data set is nearest in size."""
    rows = [row for row in KNOWN if row.strategy == strategy and row.method == method]
    return min(rows, key=lambda row: abs(math.log(row.clips / max(1, clips))))


def sizes_of(kind: str, fine: bool, start: Start | None) -> tuple[str, str]:
    """Return input and patch size: those of the start weight, or from scratch those that suit the kind of sound."""
    if start is None:
        return rules.SIZES["speech" if kind == "speech" else "fine" if fine else "plain"]
    from auricle.hub.convert.m2d_names import parse_name

    parts = parse_name(start.weight)
    assert parts is not None
    return parts.input_size, parts.patch_size


def shape_of(method: str, input_size: str, patch_size: str, rate: int, mask_ratio: float) -> Shape:
    model = ViTConfig(input_size=input_size, patch_size=patch_size, sample_rate=rate)
    return Shape(model, PredictorConfig(), mask_ratio, teacher=method == "m2d-x")


def batch_of(shape: Shape, effective: int, gpus: int, machine: Machine) -> tuple[int, int]:
    """Return clips per GPU and number of micro-steps for an effective batch of at least ``effective``."""
    wanted, fits = -(-effective // gpus), fitting_batch(shape, machine.memory)
    if not fits:
        needed = math.ceil(step_bytes(shape, 1) / rules.USABLE_MEMORY / 2**30)
        raise AuricleError(
            f"not one clip of a ViT-B step fits into {machine.memory:g} GiB; it takes about {needed} GiB: use a larger GPU, "
            "or the weights as they are (--strategy transfer)"
        )
    accum = -(-wanted // fits)
    return -(-wanted // accum), accum


def noise_of(config: AdviseConfig, like: Known) -> float:
    """Return the noise ratio of the published run; for M2D-X it depends on how noisy the recordings are."""
    if like.method != "m2d-x" or config.noisy == "unsure":
        return like.noise_ratio
    return rules.NOISY if config.noisy == "yes" else rules.CLEAN


def cost_of(config: AdviseConfig, plan: Proposal, facts: Facts, machine: Machine) -> RunCost:
    """Estimate the cost: measured on request or if this machine has a GPU, otherwise extrapolated."""
    shape = shape_of(plan.method, plan.input_size, plan.patch_size, plan.sample_rate, plan.mask_ratio)
    clips = max(facts.clips, plan.min_ds_size)
    if config.measure == "yes" or (config.measure == "auto" and machine.here):
        return measured_cost(plan, shape, clips, machine)
    seconds = extrapolated_seconds(shape, clips, plan.epochs, plan.gpus, config.tflops)
    how = (
        f"memory: counted; time: extrapolated from counted operations at {config.tflops:g} TFLOP/s sustained on each GPU "
        "(an assumption: --tflops, or --measure yes on the machine itself)"
    )
    return RunCost(step_bytes(shape, plan.batch_size), seconds, how)


def measured_cost(plan: Proposal, shape: Shape, clips: int, machine: Machine) -> RunCost:
    """Measure a few steps of plain M2D with the same networks here; the cost of a teacher is added by counting."""
    from auricle.commands.advise.cost import measured, training_flops
    from auricle.core.options import with_values
    from auricle.methods.m2d.config import M2DPretrain

    batch = plan.batch_size if machine.here else min(plan.batch_size, CPU_BATCH)
    values = {name: getattr(plan, name) for name in ("input_size", "patch_size", "sample_rate", "mask_ratio")}
    values |= {"batch_size": batch, "workers": 0, "epochs": 1, "warmup_epochs": 0.0}
    memory, step, device = measured(with_values(M2DPretrain("m2d", ""), values))
    plain = replace(shape, teacher=False)
    share = training_flops(shape) / training_flops(plain)
    seconds = step / batch * share * clips * plan.epochs / plan.gpus
    teacher = step_bytes(shape, 0) - step_bytes(plain, 0)
    bytes_ = memory + teacher if machine.here else step_bytes(shape, plan.batch_size)
    how = f"time: a few steps of the same networks, {batch} clips each, measured here on {device}"
    return RunCost(
        bytes_, seconds, how + (f"; {plan.gpus} GPUs are taken to share them evenly" if plan.gpus > 1 else "")
    )


def as_json(advice: Advice) -> dict[str, Any]:
    """Return the advice as JSON values."""
    return asdict(advice)
