"""Features of a speech model of the transformers library, layer by layer: the targets of M2D-S (specification m2d 5.8)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from auricle.core.errors import AuricleError, MissingExtra
from auricle.data.datasets.speech import FRAMES_PER_FEATURE, SAMPLE_RATE

HOP = SAMPLE_RATE * FRAMES_PER_FEATURE // 100  # samples between features: two log-mel frames of 10 ms
EPS = 1e-7  # of the variance: the feature processor of wav2vec2-base-960h


class SpeechFeatures:
    """``features(wave)`` -> (T, D) float32 of one recording at 16 kHz, 50 a second.

    ``model`` is a network of HuBERT's kind: (1, S) -> an object with ``hidden_states``, of which ``layer`` is taken
    (0: the input embedding, k: the output of layer k). Each recording goes alone: no padding touches its features.
    """

    def __init__(self, model: nn.Module, layer: int, device: torch.device | str = "cpu"):
        self.model, self.layer = model.to(device).eval(), layer
        self.device = torch.device(device)

    @torch.no_grad()
    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """(S,) float32 -> (T, D), T = 1 + (S - 400) // 320 for HuBERT. Raises AuricleError for a layer it has not."""
        values = torch.from_numpy(standardised(wave))[None].to(self.device)
        layers = self.model(values, output_hidden_states=True).hidden_states
        if not 0 <= self.layer < len(layers):
            raise AuricleError(f"the speech model has hidden states 0 to {len(layers) - 1}, not {self.layer}")
        return layers[self.layer][0].float().cpu().numpy()


def standardised(wave: np.ndarray) -> np.ndarray:
    """Zero mean, unit variance."""
    return ((wave - wave.mean()) / np.sqrt(wave.var() + EPS)).astype(np.float32)


def load_speech_model(name: str) -> nn.Module:
    """A model of the transformers library, by its name on the hub or its folder. Nothing in it is executed.

    Raises MissingExtra without the library, AuricleError for what cannot be loaded and for another hop than 20 ms.
    """
    try:
        from transformers import AutoModel
    except ImportError:
        raise MissingExtra("extracting speech features", "hf") from None
    try:
        model = AutoModel.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AuricleError(f"the speech model '{name}' cannot be loaded: {first}") from None
    check_hop(model.config, name)
    return model


def check_hop(config: Any, name: str) -> None:
    hop = math.prod(getattr(config, "conv_stride", ()) or (0,))
    if hop != HOP:
        raise AuricleError(
            f"'{name}' is no speech model of HuBERT's kind with {HOP} samples between features (it has {hop or 'none'})"
        )
