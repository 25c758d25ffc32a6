"""The exact command lines of a proposal."""

from __future__ import annotations

import shlex
from pathlib import Path

from auricle.jobs.advice import AdviseConfig, Plan

SOUNDS, NOISE, LABELS = "SOUNDS", "NOISE", "LABELS.csv"  # stand for what the person has not named
PREPARED, PREPARED_NOISE = "prepared", "noise-lms"
SAVE_FREQ = 100  # epochs: the published further pre-training was judged every 100


def commands_of(config: AdviseConfig, weight: str, plan: Plan | None) -> tuple[str, ...]:
    """From the sound to an encoder that is measured. Upper-case names are the person's to fill in."""
    sounds = config.source or SOUNDS
    if plan is None:
        use = ["auricle", "embed", sounds, "--model", weight, "--out", "embeddings.npz"]
        return tuple(map(shlex.join, (["auricle", "models", "get", weight], use, *measured_by(config, weight))))
    lines = []
    if not is_prepared(config.source):
        lines.append(prepare(sounds, PREPARED, plan, config.labels and plan.method == "m2d-as"))
    if plan.noise_ratio:
        lines.append(prepare_noise(config.noise or NOISE, plan))
    lines.append(pretrain(config.source if is_prepared(config.source) else PREPARED, weight, plan))
    lines += measured_by(config, run_name(plan))
    return tuple(map(shlex.join, lines))


def is_prepared(source: str) -> bool:
    """Whether a source holds spectrograms already."""
    from auricle.data.store_card import SETTINGS

    return bool(source) and (Path(source) / SETTINGS).is_file()


def prepare(sounds: str, out: str, plan: Plan, labels: bool) -> list[str]:
    if plan.method == "m2d-s":
        return ["auricle", "prepare", "speech", sounds, out]
    words = ["auricle", "prepare", sounds, out, "--min-seconds", min_seconds(plan)]
    words += ["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else []
    return words + (["--labels", LABELS] if labels else [])


def prepare_noise(noise: str, plan: Plan) -> list[str]:
    words = ["auricle", "prepare", noise, PREPARED_NOISE, "--min-seconds", min_seconds(plan)]
    return words + (["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else [])


def min_seconds(plan: Plan) -> str:
    """Enough for one crop: 6.1 for 608 frames, as published."""
    return f"{int(plan.input_size.split('x')[1]) / 100 + 0.02:g}"


def run_name(plan: Plan) -> str:
    return f"runs/{plan.method}"


def pretrain(source: str, weight: str, plan: Plan) -> list[str]:
    start = ["torchrun", "--nproc-per-node", str(plan.gpus), "-m"] if plan.gpus > 1 else []
    words = [*start, "auricle", "pretrain", plan.method, source, "--out", run_name(plan)]
    words += ["--resume", weight, "--teacher", weight] if weight else []
    words += ["--input-size", plan.input_size, "--patch-size", plan.patch_size, "--mask-ratio", f"{plan.mask_ratio:g}"]
    words += ["--sample-rate", str(plan.sample_rate)] if plan.sample_rate != 16000 else []
    words += ["--epochs", str(plan.epochs), "--warmup-epochs", str(plan.warmup_epochs)]
    words += ["--batch-size", str(plan.batch_size), "--accum-iter", str(plan.accum_iter), "--blr", f"{plan.blr:g}"]
    words += ["--loss-off", f"{plan.loss_off:g}"] if plan.loss_off is not None else []
    words += ["--csv-bg-noise", PREPARED_NOISE, "--noise-ratio", f"{plan.noise_ratio:g}"] if plan.noise_ratio else []
    words += ["--min-ds-size", str(plan.min_ds_size)] if plan.min_ds_size else []
    return [*words, "--save-freq", str(SAVE_FREQ)]


def measured_by(config: AdviseConfig, model: str) -> list[list[str]]:
    """How to see whether it helped, where there are labels."""
    if not config.labels:
        return []
    return [["auricle", "evaluate", "linear", model, config.source or SOUNDS, "--labels", LABELS]]
