"""EVAR's defaults of fine-tuning for each model as settings ([finetuning 1](docs/specification/finetuning.md#s1)).

They hold what the program does without options. The task gives seconds and classes; its loss is the cross-entropy divided by the
number of classes, or the binary one.
"""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset
from auricle.methods.supervised.recipes.m2d import EVAR

DEFAULTS: dict[str, Any] = {
    **EVAR,
    "epochs": 200,
    "mixup": 0.5,
    "training_mask": None,
    "one_chunk": False,
    "loss": "evar",
}
NOT_CONFIRMED = ("byol-a", "cnn14", "ast", "eat")  # marked so in the program's own files


def evar(model: str, batch_size: int, lr: float, freq_mask: int, time_mask: int, **values: Any) -> Preset:
    """Return the defaults of a model's configuration file."""
    unsure = ", marked there as not confirmed" if model in NOT_CONFIRMED else ""
    source = f"EVAR's configuration of {model}{unsure} (docs/specification/finetuning.md#s1)"
    own = {"batch_size": batch_size, "lr": lr, "freq_mask": freq_mask, "time_mask": time_mask}
    return Preset({**DEFAULTS, **own, **values}, source, generation="2026")


RECIPES = {
    "evar-m2d": evar("m2d", 128, 2.0, 30, 192),
    "evar-byol-a": evar("byol-a", 256, 1e-3, 30, 100),
    "evar-cnn14": evar("cnn14", 256, 1e-3, 30, 100, resize_crop=False),
    "evar-ast": evar("ast", 64, 2.0, 24, 96, warmup_epochs=4.0),
    "evar-eat": evar("eat", 64, 2.0, 24, 96, warmup_epochs=4.0),
    "evar-beats": evar("beats", 128, 2.0, 30, 192),
    "evar-ced": evar("ced", 128, 2.0, 30, 192),
    "evar-atst": evar("atst", 64, 2.0, 30, 192),
    "evar-atst-frame": evar("atst-frame", 64, 2.0, 30, 192),
    "evar-hts-at": evar("hts-at", 128, 2.0, 8, 64),
    "evar-opera": evar("opera", 128, 2.0, 8, 64),
}
