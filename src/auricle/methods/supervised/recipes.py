"""Published recipes as settings: EfficientAT's downstream programs in both generations, and M2D's fine-tuning scripts.

They hold what the programs set, including habits that a recipe of one's own would not have (weight decay of biases, the last epoch
as the result). Data sets are not part of a recipe: any labelled recordings can be learnt with one.
PyTorch is not imported here.
"""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset

# ---- EfficientAT ([efficientat_training 2](docs/specification/efficientat_training.md#s2), generations 2023 and 2024)

EFFICIENTAT: dict[str, Any] = {
    "optim": "adam-l2",
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "decay_all": True,
    "clip_grad": None,
    "precision": "float32",
    "schedule": "efficientat",
    "last_lr_ratio": 0.01,
    "min_lr": 0.0,
    "long_warmup": True,
    "select": "last",
    "seconds": 10.0,
    "fmin_range": 10,
    "fmax_range": 2000,
}
MIXED = {"mixup": 0.3, "mixup_input": "spectrogram", "mixup_fold": True}
G24 = {
    **EFFICIENTAT,
    **MIXED,
    "epochs": 80,
    "warmup_epochs": 10.0,
    "ramp_down_start": 10.0,
    "ramp_down_epochs": 65.0,
    "weight_decay": 0.0,
    "gain": 12,
    "roll": 4000,
    "wave_mixup": 0.5,
}
G23 = {**EFFICIENTAT, "epochs": 50}


def efficientat(program: str, generation: int, expected: str | None, **values: Any) -> Preset:
    base = G24 if generation == 2024 else G23
    where = "docs/specification/efficientat_training.md#s2"
    return Preset({**base, **values}, f"EfficientAT's {program} of {generation}, defaults ({where})", expected)


# ---- M2D's scripts with EVAR's program ([finetuning 8](docs/specification/finetuning.md#s8))

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
}


def m2d(script: str, expected: str, **values: Any) -> Preset:
    where = "docs/specification/finetuning.md#s8"
    return Preset({**EVAR, **values}, f"M2D's {script} with EVAR's program ({where})", f"{expected} with M2D/0.7")


RECIPES = {
    "efficientat-esc50": efficientat("ex_esc50.py", 2024, None, lr=6e-5, batch_size=128, seconds=5.0),
    "efficientat-fsd50k": efficientat("ex_fsd50k.py", 2024, None, lr=7e-5, batch_size=64),
    "efficientat-dcase20": efficientat("ex_dcase20.py", 2024, None, lr=8e-4, batch_size=64),
    "efficientat-openmic": efficientat("ex_openmic.py", 2024, None, lr=1e-5, batch_size=64, crop="start"),
    "efficientat-2023-esc50": efficientat(
        "ex_esc50.py",
        2023,
        "97.45 % with mn40_as_ext, five folds",
        lr=1e-5,
        batch_size=64,
        weight_decay=1e-3,
        warmup_epochs=10.0,
        ramp_down_start=20.0,
        ramp_down_epochs=20.0,
        seconds=5.0,
        fmin_range=1,
        fmax_range=1000,
    ),
    "efficientat-2023-fsd50k": efficientat(
        "ex_fsd50k.py",
        2023,
        None,
        lr=5e-5,
        batch_size=64,
        epochs=20,
        weight_decay=1e-4,
        warmup_epochs=0.0,
        ramp_down_start=6.0,
        ramp_down_epochs=9.0,
    ),
    "efficientat-2023-dcase20": efficientat(
        "ex_dcase20.py",
        2023,
        "about 70 % with mn10_as, 74 % with mn40_as",
        **MIXED,
        lr=2e-5,
        batch_size=16,
        weight_decay=1e-3,
        warmup_epochs=6.0,
        ramp_down_start=6.0,
        ramp_down_epochs=20.0,
        roll=10000,
        fmin_range=1,
        fmax_range=1000,
    ),
    "m2d-as2m": m2d(
        "ft-as2m.sh",
        "47.9 mAP",
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
        "38.6 mAP",
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
        "96.0 %, five folds",
        lr=0.5,
        epochs=200,
        batch_size=128,
        freq_mask=15,
        freeze=("embed",),
        seconds=5.0,
        loss="nll",
    ),
    "m2d-spcv2": m2d(
        "ft-spc.sh", "98.4 %", lr=0.5, epochs=200, batch_size=128, mixup=0.3, seconds=1.0, one_chunk=False, loss="nll"
    ),
    "m2d-vc1": m2d(
        "ft-vc1.sh",
        "96.3 %",
        optim="adamw",
        betas=(0.9, 0.95),
        amsgrad=True,
        weight_decay=1e-4,
        decay_all=True,
        lr=5e-4,
        epochs=50,
        batch_size=64,
        training_mask=None,
        resize_crop=False,
        seconds=8.2,
        loss="nll",
    ),
    "m2d-circor": m2d(
        "m2d_ftcircor.sh",
        "weighted accuracy 0.832, UAR 0.713 (15 runs)",
        lr=2.5e-4,
        epochs=50,
        batch_size=32,
        freeze=("embed",),
        training_mask=None,
        resize_crop=False,
        freq_mask=None,
        time_mask=None,
        one_chunk=False,
        seconds=5.0,
        loss="cross-entropy",
        class_weights="balanced",
    ),
}
