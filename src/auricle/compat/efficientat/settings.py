"""Translate a parsed line of EfficientAT's training programs to the settings of ``auricle finetune`` or ``auricle distill``.

What the programs do beyond their options (the schedule per epoch, decay of biases, the last epoch as the result) stands in the
recipes ``methods/supervised/recipes/``. PyTorch is not imported here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from auricle.compat.efficientat.programs import ProgramLine
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.methods.distillation.config import DistillConfig, TeacherConfig
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.recipes.efficientat import EFFICIENTAT

ROLL = {2023: 10000, 2024: 4000}  # samples ([efficientat_training 5](docs/specification/efficientat_training.md#s5))
WAVE_MIXUP = 0.5  # share of the clips, likewise
ONE_LABEL = ("ex_dcase20", "ex_esc50")  # programs whose clips have exactly one label
SECONDS = {"ex_esc50": 5.0, "ex_dcase20": None}  # of a clip; None: the length of the files; 10 in the other programs
TEACHER_URL = "https://github.com/fschmid56/EfficientAT/releases"
NEVER_MEASURED = 10_000_000  # epochs between two saved encoders: the program saves its own files


def config_of(line: ProgramLine, source: str, model: str, out: str) -> FinetuneConfig:
    """Return the settings of a line.

    Args:
        line: the parsed line.
        source: manifest of the data set, whose splits are train and valid.
        model: weight file of the network that is trained.
        out: the run folder.

    Raises:
        AuricleError: for values that the program refuses too.
    """
    check_rates(line)
    values = {**EFFICIENTAT, **training_values(line), **clip_values(line), **augment_values(line), **rate_values(line)}
    start: dict[str, Any] = {"model": model, "initial": "weights"}
    if learns_from_teacher(line):
        return with_values(DistillConfig("distillation", source, out, **start, distillation=teacher_of(line)), values)
    return with_values(FinetuneConfig("supervised", source, out, **start), values)


def learns_from_teacher(line: ProgramLine) -> bool:
    """Return True if a teacher's predictions are learnt: ``--kd_lambda 0`` switches that off, as published."""
    return bool(line.get("kd_lambda"))


def teacher_of(line: ProgramLine) -> TeacherConfig:
    """Return the stored predictions of a line. Raises AuricleError if a file is missing, with its source."""
    for name in ("teacher_preds", "fname_to_index"):
        if not os.path.isfile(line[name]):
            raise AuricleError(
                f"there is no file {line[name]} (--{name}); it is published at {TEACHER_URL} (the predictions have about "
                "2 GB). Without a teacher: --kd_lambda 0"
            )
    return TeacherConfig(
        teacher_predictions=line["teacher_preds"],
        teacher_index=line["fname_to_index"],
        kd_lambda=line["kd_lambda"],
        teacher_temperature=line["temperature"],
        published_missing=True,
    )


def check_rates(line: ProgramLine) -> None:
    """Raise AuricleError for the rates that the program refuses as well."""
    if line.get("classifier_lr") and line.get("last_layer_lr"):
        raise AuricleError("give --classifier_lr or --last_layer_lr, not both")
    if line.get("kd_lambda") is not None and not 0 <= line["kd_lambda"] <= 1:
        raise AuricleError(f"--kd_lambda is a share from 0 to 1, not {line['kd_lambda']}")


def training_values(line: ProgramLine) -> dict[str, Any]:
    """Return the settings of the loop."""
    lightning = line.script == "ex_pl_audioset"
    return {
        "optim": "adamw" if line.get("adamw") else "adam-l2",
        "epochs": line["n_epochs"],
        "batch_size": line["batch_size"],
        "accum_iter": line["num_devices"] if lightning else 1,
        "lr": line["max_lr"] if "max_lr" in line.values else line["lr"],
        "weight_decay": float(line.get("weight_decay", 0.0)),
        "warmup_epochs": float(line["warm_up_len"]),
        "ramp_down_start": float(line["ramp_down_start"]),
        "ramp_down_epochs": float(line["ramp_down_len"]),
        "last_lr_ratio": line["last_lr_value"],
        "workers": min(line["num_workers"], os.cpu_count() or 1),
        "device": "auto" if line.get("cuda") or lightning else "cpu",
        "precision": "auto" if lightning and line["precision"] == 16 else "float32",
        "log_interval": 1,  # the program's losses of an epoch are means over all batches
        "save_freq": NEVER_MEASURED,
    }


def clip_values(line: ProgramLine) -> dict[str, Any]:
    """Return how clips are cut and drawn."""
    values: dict[str, Any] = {
        "seconds": SECONDS.get(line.script, 10.0),
        "crop": "random" if line.script == "ex_fsd50k" else "start",
        "eval_windows": "whole" if line.get("variable_eval_length") else "first",
        "kind": "multiclass" if line.script in ONE_LABEL else "multilabel",
    }
    if "epoch_len" in line.values:
        values |= {"sampling": "balanced", "epoch_clips": line["epoch_len"]}
    return values


def augment_values(line: ProgramLine) -> dict[str, Any]:
    """Return the augmentation of a line."""
    rolls = line.get("roll", not line.get("no_roll", True))
    mixes = line.get("wavmix", not line.get("no_wavmix", True))
    return {
        "gain": round(line.get("gain_augment", 0)) or None,
        "roll": ROLL[line.generation] if rolls else None,
        "wave_mixup": WAVE_MIXUP if mixes else 0.0,
        "mixup": line["mixup_alpha"] or None,
        "mixup_input": "spectrogram",
        "mixup_fold": True,
        "mixstyle": line.get("mixstyle_p", 0.0),
        "mixstyle_alpha": line.get("mixstyle_alpha", 0.4),
        "freq_mask": line["freqm"] or None,
        "time_mask": line["timem"] or None,
        "fmin_range": line.get("fmin_aug_range", 10),
        "fmax_range": line.get("fmax_aug_range", 2000),
        "binary_labels": line.script == "ex_openmic",
    }


def rate_values(line: ProgramLine) -> dict[str, Any]:
    """Return what is measured, the rates of the parts (2023), and the temperature of DyMN (AudioSet)."""
    values: dict[str, Any] = {}
    if "features_lr" in line.values:
        values |= {
            "encoder_lr": line["features_lr"] or None,
            "head_lr": line["classifier_lr"] or None,
            "last_layer_lr": line["last_layer_lr"] or None,
        }
    if line.script not in ONE_LABEL:
        values["extra_metrics"] = ("roc_auc",)
    if "max_lr" in line.values and is_dymn(line):
        values["kernel_temperature"] = first_temperature(line)
    return values


def is_dymn(line: ProgramLine) -> bool:
    """Return True if the line trains a DyMN: in 2024 the name decides, also of a network without weights."""
    return line.generation == 2024 and str(line["model_name"]).startswith("dymn")


def first_temperature(line: ProgramLine) -> float:
    """Return the kernel temperature before training: 30 from scratch
    ([efficientat_training 7](docs/specification/efficientat_training.md#s7))."""
    return line["pretrain_final_temp"] if line["pretrained"] else 30.0


def weights_name(line: ProgramLine) -> str | None:
    """Return the name of the weights that a line starts from; None: from scratch."""
    if line.generation == 2023:
        return line["pretrained_name"]
    return line["model_name"] if line["pretrained"] else None


def network_name(line: ProgramLine) -> str:
    """Return a name of the network: of its weights, else its family and width."""
    family = "dymn" if is_dymn(line) else "mn"
    return weights_name(line) or f"{family}{str(float(line['model_width'])).replace('.', '')}"


def remarks(line: ProgramLine) -> Iterator[str]:
    """Yield sentences about options that mean something else here."""
    yield from line.notes
    if line.script == "ex_pl_audioset":
        yield (
            f"--num_devices {line['num_devices']}: one process here; so many batches make one weight update, which has "
            "the same size"
        )
    if line.get("ensemble") and line.trains:
        yield "--ensemble has no effect on training"
    if line["freqm"] or line["timem"]:
        yield "--freqm and --timem: one mask for the whole batch"
