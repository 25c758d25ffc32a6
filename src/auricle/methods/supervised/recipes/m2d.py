"""M2D's scripts with EVAR's program as settings ([finetuning 8](docs/specification/finetuning.md#s8)), and its heart murmurs."""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset

ADAMW: dict[str, Any] = {  # of EVAR's program
    "optim": "adamw",
    "betas": (0.9, 0.95),
    "amsgrad": True,
    "weight_decay": 1e-4,
    "decay_all": True,
}
EVAR: dict[str, Any] = {
    "optim": "sgd",
    "clip_grad": None,
    "precision": "float32",
    "schedule": "evar",
    "warmup_epochs": 5.0,
    "long_warmup": True,
    "weight_decay": 0.0,
    "head": "evar",
    "one_chunk": True,
    "mixup_input": "waveform",
    "mixup_fold": False,
    "training_mask": 0.5,
    "published_mask": True,
    "resize_crop": True,
    "freq_mask": 30,
    "time_mask": 48,
    "select": "best",
    "norm_warmup": False,
}


CIRCOR: dict[str, Any] = {
    "lr": 2.5e-4,
    "epochs": 50,
    "batch_size": 32,
    "freeze": ("embed",),
    "training_mask": None,
    "resize_crop": False,
    "freq_mask": None,
    "time_mask": None,
    "one_chunk": False,
    "seconds": 5.0,
    "class_weights": "balanced",
    "eval_windows": "full",
    "scored_by": "both",
    "priority": ("Present", "Unknown", "Absent"),
    "group_metric": "murmur_accuracy",
}


def m2d(script: str, data: str, expected: str, tolerance: str, **values: Any) -> Preset:
    source = f"M2D's {script} with EVAR's program (docs/specification/finetuning.md#s8)"
    expected, tolerance = f"{expected} with M2D/0.7", f"± {tolerance} (95 % interval of 3 runs)"
    return Preset({**EVAR, **values}, source, expected, tolerance, generation="2025", data=data)


def circor(kind: str, **values: Any) -> Preset:
    source = f"M2D's m2d_ftcircor.sh{kind} (docs/specification/finetuning.md#s10-2)"
    expected, tolerance = "weighted accuracy 0.832, UAR 0.713 (mean of 15 runs)", "± 0.016 (standard deviation)"
    return Preset({**EVAR, **CIRCOR, **values}, source, expected, tolerance, generation="2024", data="circor")


RECIPES = {
    "m2d-as2m": m2d(
        "ft-as2m.sh",
        "audioset",
        "47.9 mAP",
        "0.0",
        lr=2.0,
        epochs=70,
        warmup_epochs=15.0,
        batch_size=64,
        mixup=0.5,
        time_mask=192,
        resize_crop=False,
        sampling="weighted",
        epoch_clips=200_000,
        seconds=10.0,
        loss="bce",
    ),
    "m2d-as20k": m2d(
        "ft-as20k.sh (ft-as0k.sh in the readme)",
        "audioset-balanced",
        "38.6 mAP",
        "0.1",
        lr=0.5,
        epochs=200,
        batch_size=64,
        mixup=0.3,
        time_mask=192,
        seconds=10.0,
        loss="bce",
    ),
    "m2d-esc50": m2d(
        "ft-esc50.sh",
        "esc50",
        "96.0 %, five folds",
        "0.2",
        lr=0.5,
        epochs=200,
        batch_size=128,
        freq_mask=15,
        freeze=("embed",),
        seconds=5.0,
        loss="nll",
    ),
    "m2d-spcv2": m2d(
        "ft-spc.sh",
        "speechcommands",
        "98.4 %",
        "0.1",
        lr=0.5,
        epochs=200,
        batch_size=128,
        mixup=0.3,
        seconds=1.0,
        one_chunk=False,
        loss="nll",
    ),
    "m2d-vc1": m2d(
        "ft-vc1.sh",
        "voxceleb1",
        "96.3 %",
        "0.2",
        **ADAMW,
        lr=5e-4,
        epochs=50,
        batch_size=64,
        training_mask=None,
        resize_crop=False,
        seconds=8.2,
        loss="nll",
    ),
    "m2d-circor": circor(", with the loss on logits", loss="cross-entropy"),
    "m2d-circor-published": circor(", with its second softmax in the loss", loss="double-softmax"),
}
