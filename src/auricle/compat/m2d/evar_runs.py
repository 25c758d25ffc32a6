"""Fine-tune as EVAR's program: a run per fold, its weights and the results under the published names.

Runs stand in ``logs/<run>``, a row of every call in ``results/ft-scores.csv``
([finetuning 7](docs/specification/finetuning.md#s7)).
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from auricle.compat.m2d.evar_options import FinetuneLine, settings_text
from auricle.compat.m2d.evar_results import append_score, evar_weights, write_clips
from auricle.compat.m2d.evar_tasks import LOG_MEL, read_task, seconds_of, task_parts, write_task
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.core.options import with_values
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.recipes.m2d import ADAMW, EVAR

if TYPE_CHECKING:
    from auricle.commands.finetune.finetune import FinetuneResult

Change = Callable[[FinetuneConfig], FinetuneConfig]
AS_DRAWN = 200_000  # clips of an epoch of the task as ([finetuning 2.4](docs/specification/finetuning.md#s2-4))
LAMB: dict[str, Any] = {
    "optim": "lamb",
    "betas": (0.9, 0.999),
    "eps": 1e-6,
    "weight_decay": 0.01,
    "decay_all": True,
    "clip_grad": 1.0,
}
OPTIMISERS: dict[str, dict[str, Any]] = {
    "sgd": {"optim": "sgd"},
    "lars": {"optim": "sgd"},
    "adamw": ADAMW,
    "lamb": LAMB,
}
FRAME = 0.01  # seconds


def finetune_line(line: FinetuneLine, change: Change | None = None) -> int:
    """Run one call of the program and print its score. Return 0, or 1 if unreadable clips were replaced.

    Args:
        change: applies settings of ``auricle finetune``.
    """
    from auricle.commands.finetune.finetune import finetune_run

    check_line(line)
    for remark in remarks(line):
        print(f"note: {remark}", file=sys.stderr)
    parts = task_parts(read_task(line))
    if line.flags["eval_only"]:
        return evaluate_only(line, parts[-1])
    scores, replaced, result = [], 0, None
    for number, manifest in enumerate(parts, start=1):
        out = Path("logs") / (run_name(line) + (f"-fold{number}" if len(parts) > 1 else ""))
        source = Path(f"{out}-data") / "manifest.csv"
        config = config_of(line, manifest, str(source), str(out))
        config = config if change is None else change(config)
        if Path(str(config.out)).exists():
            raise AuricleError(f"{config.out} exists: this line has run here already; move the folder away")
        make_folder(source.parent)
        write_task(manifest, line, source)
        result = finetune_run(config, callbacks=(evar_weights,))
        scores.append(score_of(result))
        replaced += result.replaced
        print(f"{line.task} fold {number}: {scores[-1]:.5f}" if len(parts) > 1 else f"{line.task}: {scores[-1]:.5f}")
    assert result is not None
    score = fmean(scores)
    clips = (
        write_clips(result.run, parts[-1], seconds_of(line), f"{clips_name(line)}_{score:.5f}.csv")
        if line.task != LOG_MEL
        else None
    )
    append_score(line.task, representation(line), score, run_id(line), report(line, scores, result.run))
    print(f"{run_id(line)} {settings_text(line.flags, balanced=line.balanced)}: {line.task} {score:.5f}, {result.run}")
    if clips is not None:
        print(f"per clip: {clips}")
    return 1 if replaced else 0


def score_of(result: FinetuneResult) -> float:
    """Return the score of a run: of the test part where there is a validation part beside it, else the best of validation."""
    scores = result.test or result.validation
    return scores["accuracy"] if "accuracy" in scores else scores["mAP"]


def check_line(line: FinetuneLine) -> None:
    """Raise AuricleError for settings that cannot be trained."""
    if not line.weight_file:
        raise AuricleError("name the weights: finetune.py config/m2d.yaml TASK weight_file=W")
    if line.config["flat_features"] and not line.flags["training_mask"]:
        raise AuricleError(
            "flat_features=True is fine-tuned with --training_mask above 0 only (the published recipes have 0.5); else leave it out"
        )
    frames, seconds = line.config["dur_frames"], seconds_of(line)
    expected = round(seconds / FRAME) + 1
    if frames and frames != expected:
        raise AuricleError(f"dur_frames={frames} does not fit clips of {seconds:g} s, which have {expected} frames")


def remarks(line: FinetuneLine) -> Iterator[str]:
    """Yield sentences about what the program does silently."""
    flags = line.flags
    if flags["optim"] == "lars":
        yield "--optim lars is plain SGD with momentum in the program, and here; 'auricle finetune --optim lars' is LARS"
    frames = round(seconds_of(line) / FRAME) + 1
    if flags["time_mask"] > frames:
        yield f"--time_mask {flags['time_mask']} is longer than the {frames} frames of a clip: it blanks many batches entirely"
    if line.task in ("as", "as20k", "esc50", "us8k"):
        yield f"{line.task} has no validation part: the best epoch is chosen on the test part, as published"


def config_of(line: FinetuneLine, manifest: Manifest, source: str, out: str) -> FinetuneConfig:
    """Return the settings of a run."""
    flags, many = line.flags, any(len(clip.labels) != 1 for clip in manifest)
    frozen = ("encoder",) if flags["freeze_ar"] else ("embed",) if line.config["freeze_embed"] else ()
    values = {
        **EVAR,
        **OPTIMISERS[flags["optim"]],
        "lr": flags["lr"],
        "epochs": flags["epochs"],
        "batch_size": flags["batch_size"],
        "warmup_epochs": float(flags["warmup_epochs"]),
        "early_stop_epochs": flags["early_stop_epochs"] if flags["early_stop_epochs"] > 0 else None,
        "seed": flags["seed"],
        "hidden": flags["hidden"],
        "mixup": flags["mixup"] or None,
        "freq_mask": flags["freq_mask"] or None,
        "time_mask": flags["time_mask"] or None,
        "resize_crop": bool(flags["rrc"]),
        "training_mask": flags["training_mask"] or None,
        "freeze": frozen,
        "seconds": seconds_of(line),
        "one_chunk": bool(line.config["dur_frames"]),
        "kind": "multilabel" if many else "multiclass",
        "loss": "bce" if many else "nll",
        "workers": min(8, os.cpu_count() or 1),
        "device": "auto",
    }
    if line.balanced:
        values |= {"sampling": "weighted", "epoch_clips": AS_DRAWN}
    return with_values(FinetuneConfig("supervised", source, out, model=line.weight_file), values)


def evaluate_only(line: FinetuneLine, manifest: Manifest) -> int:
    """Score fine-tuned weights on the test part, and print it."""
    from auricle.compat.m2d.evar_results import score_weights

    frames = line.config["dur_frames"] or None
    name, score = score_weights(line.weight_file, manifest, seconds_of(line), line.flags["batch_size"], frames)
    print(f"{line.task}: {name} {score:.5f}, {line.weight_file}")
    return 0


# ---- names


def representation(line: FinetuneLine) -> str:
    """Return the name of what is evaluated: the configuration's, else the weight's folder and file."""
    path = Path(line.weight_file)
    return line.config["name"] or f"{path.parent.name}-{path.stem}".lstrip("-")


def run_id(line: FinetuneLine) -> str:
    """Return name, task and 8 digits that change with any setting ([evaluation 1.4](docs/specification/evaluation.md#s1-4))."""
    return f"{representation(line)}_{line.task}_{digits(line)}"


def digits(line: FinetuneLine) -> str:
    return hashlib.sha256(json.dumps(line.config, sort_keys=True, default=str).encode()).hexdigest()[:8]


def run_name(line: FinetuneLine) -> str:
    """Return the name of the run folder: the id and the settings that differ from the reference."""
    return f"{run_id(line)}_{settings_text(line.flags, balanced=line.balanced)}".rstrip("_")


def clips_name(line: FinetuneLine) -> str:
    """Return the beginning of the name of the file of single clips."""
    return f"{line.task}_ar-m2d.M2D-FT_{digits(line)}"


def report(line: FinetuneLine, scores: list[float], run: Path) -> str:
    """Return the text that the results table keeps of a call."""
    settings = settings_text(line.flags, balanced=line.balanced)
    shown = ", ".join(f"{score:.5f}" for score in scores)
    return (
        f"Finetuning {representation(line)} on {line.task} -> {settings}, scores [{shown}], best weight {run}, "
        f"config {line.config}"
    )
