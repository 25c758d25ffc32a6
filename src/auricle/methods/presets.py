"""Named settings by method: ``auricle pretrain METHOD SOURCE --preset NAME``. Flags given beside win.

Published recipes, and ``small``: an encoder that learns from an hour of sound in minutes on two cores, as
``benchmarks/small_scale`` measured it (docs/small-scale.md says why it is what it is).
"""

from __future__ import annotations

from typing import Any

from auricle.core.errors import AuricleError, nearest

FRAMES = {"patch_size": "128x2"}
# Measured on ten-second clips in batches of 32 (as --max-tokens makes of AudioSet), 1.57 hides 75.0 % of the tokens (deviation
# 1.5 %); in batches of 8, 4 and 1 it hides 77, 78 and 82 %. The published 1.45 hides 72 % in batches of 32.
SPANS = {"mask_type": "mask_spans", "random_mask_prob": 1.57}
# What SSAST does otherwise (specification mae_ast 12), without its learnt positions, class tokens and plateau schedule
SSAST = {
    "random_mask_prob": 400 / 512,
    "matching": "predictions",
    "separate_passes": True,
    "encoder_mask_tokens": True,
    "mlp_heads": True,
    "layer_norm_first": True,
    **dict.fromkeys(("dropout", "attention_dropout", "dropout_input", "encoder_layerdrop"), 0.0),
    "batch_size": 24,
    "warmup_updates": 1000,
}

# Crops of 0.96 s; short clips are repeated, because padded silence makes every objective trivial
SMALL_VIT = {"input_size": "80x96", "patch_size": "16x8", "embed_dim": 192, "depth": 6, "num_heads": 6}
SMALL_PREDICTOR = {"decoder_embed_dim": 128, "decoder_depth": 2, "decoder_num_heads": 4}
SMALL_TRAINING = {
    "batch_size": 24,  # four times the updates of 96 on the same sound: measured to be better
    "min_ds_size": 96,
    "lr": 5e-4,
    "short": "repeat",
    "workers": 0,
    "log_interval": 10,
    "health_interval": 50,
}
SMALL = {
    **SMALL_VIT,
    **SMALL_PREDICTOR,
    **SMALL_TRAINING,
    "norm_targets": True,  # else how loud and how coloured a recording is is what pays
    "max_updates": 6000,
    "warmup_updates": 600,
}

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "msm-mae": {"small": SMALL},
    "mae-ast": {
        "patch-chunk": {"mask_type": "chunk_mask"},
        "frame-random": {**FRAMES, "mask_type": "random_mask"},
        "frame-spans": {**FRAMES, **SPANS},
        "ssast-patch": {**SSAST, "mask_type": "ssast_patch"},
        "ssast-frame": {**FRAMES, **SSAST, "mask_type": "ssast_frame"},
    },
}


def preset(method: str, name: str) -> dict[str, Any]:
    """Values by field name, for ``jobs.methods.with_flags``. Raises AuricleError for an unknown name."""
    known = PRESETS.get(method, {})
    if not known:
        raise AuricleError(f"{method} has no presets")
    if name not in known:
        raise AuricleError(f"{method} has no preset '{name}'{nearest(name, tuple(known))}; all: {', '.join(known)}")
    return known[name]
