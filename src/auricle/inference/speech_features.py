"""Compute features of a speech model of the transformers library: the targets of M2D-S.

Source: [m2d 5.8](docs/specification/m2d.md#s5-8).
"""

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
    """Features (T, D) of one recording at 16 kHz, 50 a second. Recordings are not batched, so none is padded.

    Args:
        model: a network such as HuBERT: (1, S) -> an object with ``hidden_states``.
        layer: the hidden state to take (0: the input embedding, k: the output of layer k).
    """

    def __init__(self, model: nn.Module, layer: int, device: torch.device | str = "cpu"):
        self.model, self.layer = model.to(device).eval(), layer
        self.device = torch.device(device)

    @torch.no_grad()
    def __call__(self, wave: np.ndarray) -> np.ndarray:
        """Compute the features of a waveform.

        Args:
            wave: (S,) float32 at 16 kHz.

        Returns:
            (T, D) float32, T = 1 + (S - 400) // 320 for HuBERT.

        Raises:
            AuricleError: for a layer that the model does not have.
        """
        values = torch.from_numpy(standardised(wave))[None].to(self.device)
        layers = self.model(values, output_hidden_states=True).hidden_states
        if not 0 <= self.layer < len(layers):
            raise AuricleError(f"the speech model has hidden states 0 to {len(layers) - 1}, not {self.layer}")
        return layers[self.layer][0].float().cpu().numpy()


def standardised(wave: np.ndarray) -> np.ndarray:
    """Return the waveform with zero mean and unit variance."""
    return ((wave - wave.mean()) / np.sqrt(wave.var() + EPS)).astype(np.float32)


def load_speech_model(name: str) -> nn.Module:
    """Load a model of the transformers library by its name on the hub or its folder, without running code from it.

    Raises:
        MissingExtra: without the library.
        AuricleError: for a model that cannot be loaded, and for another hop than 20 ms.
    """
    try:
        from transformers import AutoModel
    except ImportError:
        raise MissingExtra("extracting speech features", "hf") from None
    try:
        model = AutoModel.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise AuricleError(f"the speech model '{name}' cannot be loaded: {reason}") from None
    check_hop(model.config, name)
    return model


def check_hop(config: Any, name: str) -> None:
    """Raise AuricleError unless the model gives a feature every 20 ms."""
    hop = math.prod(getattr(config, "conv_stride", ()) or (0,))
    if hop != HOP:
        raise AuricleError(
            f"'{name}' is no speech model such as HuBERT with {HOP} samples between features (it has {hop or 'none'})"
        )
