"""M2D's respiratory sounds as settings ([finetuning 9](docs/specification/finetuning.md#s9)).

The recipes hold the correct form; those called published add the habits of the program: decibels stretched by the batch, stripes in
84 % of the batches, summed slices whose remainder is neither learnt nor scored, and the best epoch chosen on the test part.
"""

from __future__ import annotations

from typing import Any

from auricle.methods.config import Preset

RESPIRATORY: dict[str, Any] = {
    "optim": "adam-l2",
    "betas": (0.9, 0.999),
    "weight_decay": 1e-4,
    "decay_all": True,
    "norm_warmup": False,
    "clip_grad": None,
    "precision": "float32",
    "schedule": "cosine-annealing",
    "annealing_epochs": 40.0,
    "min_lr": 1e-6,
    "warmup_epochs": 0.0,
    "batch_size": 64,
    "seconds": 8.0,
    "crop": "start",
    "short": "repeat",
    "fade": 1 / 16,
    "front_end": "decibel-mel/16k",
    "freq_stripes": 20,
    "time_stripes": 40,
    "head": "uniform-linear",
    "freeze": ("embed",),
    "loss": "cross-entropy",
    "select": "best",
    "metric": "respiratory_score",
}
PUBLISHED: dict[str, Any] = {
    "batch_range": True,
    "published_stripes": True,
    "slices": 4,
    "validate_on": "test",
}
ICBHI: dict[str, Any] = {
    "lr": 5e-5,
    "epochs": 150,
    "norm_stats": (-48.606, 33.474),  # 0.3671 and 0.2391 of a range of 140 dB from -100 dB on
    "class_weights": "inverse",
}
SPRSOUND: dict[str, Any] = {"lr": 5e-6, "epochs": 50, "norm_stats": (-72.0, 29.316)}  # 0.2, 0.2094


def respiratory(data: str, kind: str, expected: str, tolerance: str, values: dict[str, Any]) -> Preset:
    source = f"M2D's app/icbhi_sprs{kind} (docs/specification/finetuning.md#s9-3)"
    best = f"{expected} with M2D-X pre-trained further, best epoch on the test part"
    tolerance = f"± {tolerance} (95 % interval of 20 runs)"
    return Preset({**RESPIRATORY, **values}, source, best, tolerance, generation="2024", data=data)


RECIPES = {
    "icbhi": respiratory("icbhi", "", "Score 63.29", "0.22", ICBHI),
    "icbhi-published": respiratory("icbhi", ", with its habits", "Score 63.29", "0.22", {**ICBHI, **PUBLISHED}),
    "sprsound": respiratory("sprsound", "", "Score 89.77", "0.15", SPRSOUND),
    "sprsound-published": respiratory(
        "sprsound", ", with its habits", "Score 89.77", "0.15", {**SPRSOUND, **PUBLISHED}
    ),
}
