"""Presets of MSM-MAE.

``small`` learns from an hour of sound in minutes on two cores. ``benchmarks/small_scale`` measured it and docs/small-scale.md
explains the choice.
"""

from __future__ import annotations

from auricle.methods.config import Preset

# Crops of 0.96 s. Short clips are repeated, because padded silence makes every objective trivial.
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
    "norm_targets": True,  # without it the network learns loudness and spectral tilt of the recording
    "max_updates": 6000,
    "warmup_updates": 600,
}

PRESETS = {
    "small": Preset(
        SMALL,
        source="docs/small-scale.md",
        expected="logistic probe, mean of the frames: 80.0 % on ESC-10 (folds 4 and 5), 56.0 % on spoken digits of two "
        "unheard speakers; +3.8 and +13.5 points over the untrained network",
    )
}
