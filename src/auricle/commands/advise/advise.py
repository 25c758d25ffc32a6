"""``auricle advise``: the application guide of M2D as a function of a few facts, with reasons, cautions and the commands that
carry a proposal out.

Source: [m2d 5.7](docs/specification/m2d.md#s5-7) and [5.9](docs/specification/m2d.md#s5-9).
"""

from __future__ import annotations

import math
import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from auricle.commands.advise import rules
from auricle.commands.advise.facts import (
    ASSUMED_MEMORY,
    ASSUMED_SECONDS,
    Advice,
    AdviseConfig,
    Facts,
    Machine,
    Proposal,
    RunCost,
    facts_of,
    machine_of,
)
from auricle.commands.advise.rules import (
    KNOWN,
    STARTS,
    Known,
    Shape,
    Start,
    extrapolated_seconds,
    fitting_batch,
    step_bytes,
)
from auricle.core.errors import AuricleError
from auricle.models.m2d.config import PredictorConfig, ViTConfig


def reasons_for(plan: Proposal, config: AdviseConfig, facts: Facts, fine: bool) -> list[str]:
    """Return the reasons for the settings, one sentence each."""
    methods = {
        "m2d-x": "method M2D-X: the start weight is also the offline teacher, as in the published further pre-training",
        "m2d-s": "method M2D-S: speech, with HuBERT features as second target and noise in the input",
        "m2d-as": "method M2D-AS: the clips are labelled",
        "m2d": "method M2D: no labels are needed",
    }
    reasons = [methods[plan.method]]
    if fine and facts.kind != "speech":
        padding = f"much of 6.08 s would be padding with clips of {facts.clip_seconds:.1f} s"
        short = "--fine-time" if config.fine_time else padding
        reasons.append(f"input {plan.input_size}, patch {plan.patch_size}: 2 s and frames of 40 ms ({short})")
    reasons.append(
        f"batch, epochs and warm-up of {plan.like}, the nearest published run: they belong together with the size of the "
        "data and the teacher's decay, so keep them together"
    )
    reasons.append(
        f"effective batch {plan.effective_batch} = {plan.batch_size} clips x {plan.accum_iter} micro-steps x {plan.gpus} GPU"
    )
    if plan.noise_ratio:
        reasons.append(f"noise ratio {plan.noise_ratio:g}: {noise_reason(plan, config)}")
    if plan.min_ds_size:
        reasons.append(f"min-ds-size {plan.min_ds_size}: the list is repeated so that an epoch is long enough")
    return reasons


def noise_reason(plan: Proposal, config: AdviseConfig) -> str:
    if plan.method == "m2d-s":
        return "published for speech (denoising distillation)"
    if config.noisy == "unsure":
        return f"that of {plan.like}; 0.3 helped on noisy recordings, 0.01 on cleaner ones, and 0 was worse on both"
    return (
        "helped most on noisy recordings (ICBHI)" if config.noisy == "yes" else "helped most on cleaner ones (SPRSound)"
    )


SMALL = (
    "a small encoder of your own takes minutes and no GPU: 'auricle prepare SOUNDS --out prepared', then 'auricle pretrain "
    "prepared --preset small --out runs/small' (docs/small-scale.md)"
)


def cautions(plan: Proposal, facts: Facts, machine: Machine) -> list[str]:
    """Return the cautions, one sentence each."""
    notes = []
    if facts.assumed:
        notes.append(
            f"the length of your clips is unknown: {ASSUMED_SECONDS:g} s are assumed; give --clips or --clip-seconds"
        )
    if machine.gpus == 0:
        notes.append("no GPU was named: the figures are for one; --measure yes measures this machine's processor")
    if not machine.known:
        notes.append(f"the memory of the GPU is unknown: {ASSUMED_MEMORY:g} GiB are assumed; give --gpu-memory")
    if plan.method == "m2d-s":
        notes.append("the speech features need the [hf] extra: pip install 'auricle[hf]'")
    if facts.clips and plan.method != "m2d-x" and facts.clips < rules.MANY_CLIPS and facts.hours < rules.MANY_HOURS:
        notes.append(
            "no study shows a benefit of training from scratch with so few data; --strategy further starts from published weights"
        )
        notes.append(SMALL)
    if plan.gpus > 8:
        notes.append("the published runs used up to 4 GPUs")
    return notes


def about_labels(config: AdviseConfig, facts: Facts) -> list[str]:
    """Return what to know of the commands that need labels, where the user named none."""
    if config.labels:
        return []
    if facts.labels is not None:
        where = facts.labels or "the folders or the table itself"
        return [f"labels found: {where}; --labels lets the method learn from them too (M2D-AS)"]
    return [
        f"without labels nobody knows whether an encoder is good for your sounds: label some clips ({LABELS}: file_name, label; "
        "ten of each kind show a lot) for the commands with --labels"
    ]


SOUNDS, NOISE, LABELS = "SOUNDS", "NOISE", "LABELS.csv"  # placeholders for what the user has not named
PREPARED, PREPARED_NOISE = "prepared", "noise-lms"
TAGGER = "mn10_as"  # names AudioSet's classes at the cost of a small network
SAVE_FREQ = 100  # epochs: the published further pre-training was judged every 100


def commands_of(config: AdviseConfig, weight: str, plan: Proposal | None, facts: Facts) -> tuple[str, ...]:
    """Return the commands from audio to embeddings of a measured encoder. The user replaces upper-case names."""
    sounds = config.source or SOUNDS
    table = LABELS if facts.labels is None else facts.labels
    labels = ["--labels", table] if table else []
    lines = []
    if plan is None:
        lines.append(["auricle", "models", "get", weight])
    else:
        if not is_prepared(config.source):
            lines.append(prepare(sounds, PREPARED, plan, labels if config.labels and plan.method == "m2d-as" else []))
        if plan.noise_ratio:
            lines.append(prepare_noise(config.noise or NOISE, plan))
        lines.append(pretrain(config.source if is_prepared(config.source) else PREPARED, weight, plan))
    run = run_name(plan) if plan else ""
    lines += measuring(sounds, run, weight, labels)
    lines.append(["auricle", "embed", sounds, "--model", run or weight, "--out", "embeddings.npz"])
    if facts.kind == "everyday" and not is_prepared(config.source):
        lines.append(["auricle", "tag", sounds, "--model", TAGGER, "--out", "tags"])
    return tuple(map(shlex.join, lines))


def measuring(sounds: str, run: str, weight: str, labels: list[str]) -> list[list[str]]:
    """Return the commands that measure a run and the weight that it started from on labelled clips, and compare them."""
    models = [model for model in (run, weight) if model]
    lines = [["auricle", "evaluate", sounds, "--model", model, *labels] for model in models]
    if run and weight:
        lines.append(["auricle", "results", "--compare", weight, run])
    return [*lines, ["auricle", "report", run]] if run else lines


def is_prepared(source: str) -> bool:
    """Return True if a source is a prepared folder."""
    from auricle.data.stores.npy import SETTINGS

    return bool(source) and (Path(source) / SETTINGS).is_file()


def prepare(sounds: str, out: str, plan: Proposal, labels: list[str]) -> list[str]:
    if plan.method == "m2d-s":
        return ["auricle", "prepare", "speech", sounds, "--out", out]
    command = ["auricle", "prepare", sounds, "--out", out, "--min-seconds", min_seconds(plan)]
    command += ["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else []
    return command + labels


def prepare_noise(noise: str, plan: Proposal) -> list[str]:
    command = ["auricle", "prepare", noise, "--out", PREPARED_NOISE, "--min-seconds", min_seconds(plan)]
    return command + (["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else [])


def min_seconds(plan: Proposal) -> str:
    """Return the seconds of one crop as text: 6.1 for 608 frames, as published."""
    return f"{int(plan.input_size.split('x')[1]) / 100 + 0.02:g}"


def run_name(plan: Proposal) -> str:
    return f"runs/{plan.method}"


def pretrain(source: str, weight: str, plan: Proposal) -> list[str]:
    start = ["torchrun", "--nproc-per-node", str(plan.gpus), "-m"] if plan.gpus > 1 else []
    command = [*start, "auricle", "pretrain", source, "--method", plan.method, "--out", run_name(plan)]
    command += ["--resume", weight, "--teacher", weight] if weight else []
    command += [
        "--input-size",
        plan.input_size,
        "--patch-size",
        plan.patch_size,
        "--mask-ratio",
        f"{plan.mask_ratio:g}",
    ]
    command += ["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else []
    command += ["--epochs", str(plan.epochs), "--warmup-epochs", str(plan.warmup_epochs)]
    command += ["--batch-size", str(plan.batch_size), "--accum-iter", str(plan.accum_iter), "--blr", f"{plan.blr:g}"]
    command += ["--loss-off", f"{plan.loss_off:g}"] if plan.loss_off is not None else []
    command += ["--csv-bg-noise", PREPARED_NOISE, "--noise-ratio", f"{plan.noise_ratio:g}"] if plan.noise_ratio else []
    command += ["--min-ds-size", str(plan.min_ds_size)] if plan.min_ds_size else []
    return [*command, "--save-freq", str(SAVE_FREQ)]


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
    notes += about_labels(config, facts)
    if plan:
        reasons += reasons_for(plan, config, facts, fine)
        notes += cautions(plan, facts, machine)
    if config.above_8khz and start and LOSES_ABOVE_8K not in notes and rate_of(start) == 16000:
        notes.append(f"{weight} is a 16 kHz weight: it does not represent content above 8 kHz")
    cost = cost_of(config, plan, facts, machine) if plan else None
    commands = commands_of(config, weight, plan, facts)
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
    from auricle.commands.advise.rules import measured, training_flops
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
