"""EfficientAT's downstream programs in both generations as settings."""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset

# [efficientat_training 2](docs/specification/efficientat_training.md#s2)
EFFICIENTAT: dict[str, Any] = {
    "optim": "adam-l2",
    "betas": (0.9, 0.999),
    "eps": 1e-8,
    "decay_all": True,
    "norm_warmup": False,
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
# [efficientat_training 6](docs/specification/efficientat_training.md#s6): the range decides the upper edge
NARROW_BAND = {"fmin_range": 1, "fmax_range": 1000, "fmax": 15500}


DATA = {"ex_esc50.py": "esc50", "ex_fsd50k.py": "fsd50k", "ex_dcase20.py": "dcase20", "ex_openmic.py": "openmic"}


def efficientat(program: str, generation: int, expected: str | None, **values: Any) -> Preset:
    base = G24 if generation == 2024 else G23
    where = "docs/specification/efficientat_training.md#s2"
    source = f"EfficientAT's {program} of {generation}, defaults ({where})"
    return Preset({**base, **values}, source, expected, generation=str(generation), data=DATA[program])


RECIPES = {
    "efficientat-esc50": efficientat("ex_esc50.py", 2024, None, lr=6e-5, batch_size=128, seconds=5.0),
    "efficientat-fsd50k": efficientat("ex_fsd50k.py", 2024, None, lr=7e-5, batch_size=64),
    "efficientat-dcase20": efficientat("ex_dcase20.py", 2024, None, lr=8e-4, batch_size=64),
    "efficientat-openmic": efficientat(
        "ex_openmic.py", 2024, None, lr=1e-5, batch_size=64, crop="start", binary_labels=True
    ),
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
        **NARROW_BAND,
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
        **NARROW_BAND,
    ),
}
