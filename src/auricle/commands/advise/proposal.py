"""Explain a proposal: the reasons for its settings, cautions, and the commands that carry it out."""

from __future__ import annotations

import shlex
from pathlib import Path

from auricle.commands.advise import rules
from auricle.commands.advise.facts import ASSUMED_MEMORY, ASSUMED_SECONDS, AdviseConfig, Facts, Machine, Proposal


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


def no_labels(config: AdviseConfig) -> list[str]:
    """Return what to know of the commands that need labels, where the user has none."""
    if config.labels:
        return []
    return [
        f"without labels nobody knows whether an encoder is good for your sounds: label some clips ({LABELS}: file_name, label; "
        "ten of each kind show a lot) for the commands with --labels"
    ]


SOUNDS, NOISE, LABELS = "SOUNDS", "NOISE", "LABELS.csv"  # placeholders for what the user has not named
PREPARED, PREPARED_NOISE = "prepared", "noise-lms"
TAGGER = "mn10_as"  # names AudioSet's classes at the cost of a small network
SAVE_FREQ = 100  # epochs: the published further pre-training was judged every 100


def commands_of(config: AdviseConfig, weight: str, plan: Proposal | None, kind: str) -> tuple[str, ...]:
    """Return the commands from audio to embeddings of a measured encoder. The user replaces upper-case names."""
    sounds = config.source or SOUNDS
    lines = []
    if plan is None:
        lines.append(["auricle", "models", "get", weight])
    else:
        if not is_prepared(config.source):
            lines.append(prepare(sounds, PREPARED, plan, config.labels and plan.method == "m2d-as"))
        if plan.noise_ratio:
            lines.append(prepare_noise(config.noise or NOISE, plan))
        lines.append(pretrain(config.source if is_prepared(config.source) else PREPARED, weight, plan))
    run = run_name(plan) if plan else ""
    lines += measuring(sounds, run, weight)
    lines.append(["auricle", "embed", sounds, "--model", run or weight, "--out", "embeddings.npz"])
    if kind == "everyday" and not is_prepared(config.source):
        lines.append(["auricle", "tag", sounds, "--model", TAGGER, "--out", "tags"])
    return tuple(map(shlex.join, lines))


def measuring(sounds: str, run: str, weight: str) -> list[list[str]]:
    """Return the commands that measure a run and the weight that it started from on labelled clips, and compare them."""
    models = [model for model in (run, weight) if model]
    lines = [["auricle", "evaluate", sounds, "--model", model, "--labels", LABELS] for model in models]
    if run and weight:
        lines.append(["auricle", "results", "--compare", weight, run])
    return [*lines, ["auricle", "report", run]] if run else lines


def is_prepared(source: str) -> bool:
    """Return True if a source is a prepared folder."""
    from auricle.data.stores.npy import SETTINGS

    return bool(source) and (Path(source) / SETTINGS).is_file()


def prepare(sounds: str, out: str, plan: Proposal, labels: bool) -> list[str]:
    if plan.method == "m2d-s":
        return ["auricle", "prepare", "speech", sounds, "--out", out]
    command = ["auricle", "prepare", sounds, "--out", out, "--min-seconds", min_seconds(plan)]
    command += ["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else []
    return command + (["--labels", LABELS] if labels else [])


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
