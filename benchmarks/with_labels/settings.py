"""Settings of the runs with labels, and the candidates that were tried within the training part."""

from __future__ import annotations

from typing import Any

MODEL, STUDENT = "mn04_as", "mn01_as"
WEIGHTS = "weights/mn04_as_mAP_432.pt"  # in the shared folder

COMMON: dict[str, Any] = {
    "valid_ratio": 0.0,  # lengths are fixed beforehand: every training clip is learnt from
    "select": "last",
    "eval_windows": "whole",
    "workers": 0,
    "precision": "float32",
    "log_interval": 1,
    "keep_checkpoints": 1,
}
ESC10 = {**COMMON, "seconds": 5.0, "batch_size": 16, "epochs": 4, "warmup_epochs": 1.0, "mixup": 0.3, "roll": 4000}
DIGITS = {**COMMON, "seconds": 1.0, "batch_size": 32, "epochs": 3, "warmup_epochs": 1.0, "mixup": 0.3, "roll": 1600}
FINE_TUNED: dict[str, dict[str, Any]] = {
    "ESC-10": {**ESC10, "lr": 3e-4, "last_layer_lr": 1e-2},
    "digits": {**DIGITS, "lr": 3e-3},
}
RANDOM = {**ESC10, "seconds": 2.5, "epochs": 16, "warmup_epochs": 2.0, "lr": 2e-3}

# gain: speakers 5 and 6 are 15 dB quieter than those learnt from
FEW = {
    **COMMON,
    "batch_size": 8,
    "epochs": 180,
    "warmup_epochs": 18.0,
    "mixup": 0.3,
    "lr": 1e-2,
    "gain": 12,
    "log_interval": 10,
}
STUDENTS: dict[str, dict[str, Any]] = {
    "ESC-10": {**FEW, "seconds": 2.5, "roll": 4000},
    "digits": {**FEW, "seconds": 1.0, "roll": 1600},
}
DISTILLED = {
    **COMMON,
    "seconds": 1.0,
    "batch_size": 32,
    "epochs": 12,
    "warmup_epochs": 1.2,
    "lr": 3e-3,
    "logits": False,
    "features": "clip",
    "standardise": True,
    "use_labels": False,
    "roll": 1600,
    "gain": 12,
    "log_interval": 10,
}
TEACHERS: dict[str, dict[str, Any]] = {
    "mn04_as": {"teacher": MODEL, "feature_layers": (10,)},
    "small encoder": {"teacher": "small"},  # its stored answers: a live one takes longer than the student's step
}
HEAD = {"how": "head"}  # a head on the frozen student, chosen by cross-validation among the labelled clips
# mn04_as from the labelled clips: on ESC-10 a head is as good as the whole network ("fold" tables of RESULTS.md)
TAUGHT_TEACHER: dict[str, dict[str, Any]] = {
    "ESC-10": HEAD,
    "digits": {**FEW, "seconds": 1.0, "roll": 1600, "epochs": 60, "warmup_epochs": 6.0, "lr": 3e-3},
}
# and the student from its answers to clips without labels
ANSWERED = {
    **COMMON,
    "seconds": 1.0,
    "batch_size": 32,
    "epochs": 8,
    "warmup_epochs": 0.8,
    "lr": 1e-2,
    "mixup": 0.3,
    "use_labels": False,
    "roll": 1600,
    "gain": 12,
    "log_interval": 10,
}
PRETRAIN = ("--preset", "small", "--seed", "0")

CANDIDATES: dict[str, dict[str, dict[str, Any]]] = {
    "ESC-10": {
        "lr 0.0003": {"lr": 3e-4, "last_layer_lr": None},
        "lr 0.001": {"lr": 1e-3, "last_layer_lr": None},
        "lr 0.0003, last layer 0.01": {"lr": 3e-4, "last_layer_lr": 1e-2},
    },
    "digits": {f"lr {lr:g}, 2 epochs": {"lr": lr, "epochs": 2, "warmup_epochs": 0.5} for lr in (1e-3, 3e-3)},
}
TRIED: dict[str, dict[str, Any]] = {
    "300 updates, lr 0.003": {"epochs": 60, "warmup_epochs": 3.0, "lr": 3e-3},
    "400 updates of 20 clips, lr 0.003": {"epochs": 200, "warmup_epochs": 20.0, "batch_size": 20, "lr": 3e-3},
    "900 updates, lr 0.003": {"lr": 3e-3},
    "900 updates, lr 0.003, masks": {"lr": 3e-3, "freq_mask": 24, "time_mask": 20},
    "900 updates, lr 0.01": {"lr": 1e-2},
    "900 updates, lr 0.03": {"lr": 3e-2},
}
STUDENT_CANDIDATES = {name: {**values, "gain": None} for name, values in TRIED.items()}  # the gain came later
HELD = 1  # the training fold and speaker on which the students' settings are chosen
