"""SSAST's fine-tuning, with which MAE-AST was scored, as far as it is published ([mae_ast 12](docs/specification/mae_ast.md#s12)).

How MAE-AST was put into that program is not published: here its own filter bank goes in, and a linear layer on the mean of the
tokens is the head. The average of the weights of epochs 6 to 25 (balanced AudioSet) and the enhanced labels are left out.
"""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset

SSAST: dict[str, Any] = {
    "optim": "adam-l2",
    "betas": (0.95, 0.999),
    "weight_decay": 5e-7,
    "decay_all": True,
    "norm_warmup": False,
    "clip_grad": None,
    "precision": "float32",
    "schedule": "step",
    "warmup_updates": 0,
    "warmup_epochs": 0.0,
    "crop": "start",
    "head": "uniform-linear",
    "stripes": 1,
    "stripe_value": "zero",
    "wave_mixup_alpha": 10.0,
    "select": "best",
}
AUDIOSET: dict[str, Any] = {
    "batch_size": 12,
    "seconds": 10.255,
    "freq_stripes": 48,
    "time_stripes": 192,
    "wave_mixup": 0.5,
    "decay_start": 10,
    "decay_every": 5,
    "decay_factor": 0.5,
    "loss": "bce",
}
SPEECH_NOISE: dict[str, Any] = {"spectrogram_noise": 0.1, "time_roll": 10}


def ssast(data: str, expected: str | None, **values: Any) -> Preset:
    source = "SSAST's pipeline, as far as published for MAE-AST (docs/specification/mae_ast.md#s12)"
    return Preset({**SSAST, **values}, source, expected, generation="2022", data=data)


RECIPES = {
    "ssast-as20k": ssast(
        "audioset-balanced",
        "0.306 mAP with MAE-AST Patch, 0.230 with Frame",
        **AUDIOSET,
        lr=5e-5,
        epochs=25,
    ),
    "ssast-audioset": ssast(
        "audioset",
        None,
        **AUDIOSET,
        lr=1e-5,
        epochs=5,
        sampling="balanced",
    ),
    "ssast-esc50": ssast(
        "esc50",
        "90.0 % with MAE-AST Patch, 88.9 % with Frame, five folds",
        **SPEECH_NOISE,
        lr=1e-4,
        epochs=50,
        batch_size=48,
        seconds=5.135,
        freq_stripes=24,
        time_stripes=96,
        decay_start=6,
        decay_every=1,
        decay_factor=0.85,
        loss="cross-entropy",
    ),
    "ssast-speech-commands": ssast(
        "speechcommands",
        "97.9 % with MAE-AST Patch, 98.0 % with Frame",
        **SPEECH_NOISE,
        lr=2.5e-4,
        epochs=30,
        batch_size=128,
        seconds=1.295,
        freq_stripes=48,
        time_stripes=48,
        wave_mixup=0.6,
        warmup_updates=1000,
        decay_start=5,
        decay_every=1,
        decay_factor=0.85,
        loss="bce",
    ),
}
