"""Any encoder as a HEAR module: ``hear-validator auricle.compat.hear.encoder -m runs/first``.

Source: [evaluation 7.1](docs/specification/evaluation.md#s7-1). The scene embedding is the encoder's clip embedding,
timestamp embeddings are its frames, at the starts of as many equal parts of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.evaluation.suites.hear.embeddings import scene_embeddings as embed_scenes
from auricle.evaluation.suites.hear.embeddings import timestamp_embeddings as embed_timestamps
from auricle.models.base import Encoder
from auricle.models.inputs import check_wave

RATES = (16000, 22050, 32000, 44100, 48000)  # that HEAR has audio at


class HearEncoder(nn.Module):
    """An encoder with the attributes that HEAR requires of a model.

    Attributes:
        encoder: The encoder, in evaluation mode.
        sample_rate: In hertz.
        scene_embedding_size, timestamp_embedding_size: Sizes D of the embeddings.
    """

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.encoder = encoder
        self.sample_rate = encoder.info.sample_rate
        self.scene_embedding_size = encoder.info.clip_dim
        self.timestamp_embedding_size = encoder.info.frame_dim
        if self.sample_rate not in RATES:
            raise AuricleError(
                f"{encoder.info.name} takes {self.sample_rate} Hz; HEAR has audio at {', '.join(map(str, RATES))} Hz"
            )
        self.eval()

    def waves(self, audio: Tensor | np.ndarray) -> Tensor:
        """Return waveforms (B, S) on the encoder's device. Raises AuricleError for other shapes, or NaN."""
        wave: Any = audio
        if isinstance(audio, np.ndarray):
            wave = torch.from_numpy(audio.astype(np.float32) if audio.dtype.kind == "f" else audio)
        wave, _ = check_wave(wave)
        device = next((tensor.device for tensor in (*self.encoder.parameters(), *self.encoder.buffers())), wave.device)
        return wave.to(device)


@dataclass(frozen=True)
class EncoderModule:
    """HEAR's three functions for an encoder.

    Attributes:
        model: What is loaded where the caller names no file: a published name; "" for none.
    """

    model: str = ""

    def load_model(self, model_file_path: Any = "", **_: Any) -> HearEncoder:
        """Load an encoder.

        Args:
            model_file_path: What ``auricle.load`` takes, or an Encoder; of a published encoder a local weight file, "" for its
                published weights.
        """
        if isinstance(model_file_path, Encoder):
            return HearEncoder(model_file_path)
        from auricle.hub.load import load

        if self.model:
            return HearEncoder(load(self.model, weights=model_file_path or None))
        if not model_file_path:
            raise AuricleError("name the encoder: -m followed by a run folder, a weight file or a published name")
        return HearEncoder(load(model_file_path))

    @staticmethod
    def get_scene_embeddings(audio: Tensor | np.ndarray, model: HearEncoder) -> Tensor:
        """Compute one embedding per clip: waveforms (B, S) at the model's rate -> (B, D)."""
        return embed_scenes(model.encoder, model.waves(audio))

    @staticmethod
    def get_timestamp_embeddings(audio: Tensor | np.ndarray, model: HearEncoder) -> tuple[Tensor, Tensor]:
        """Compute embeddings over time: waveforms (B, S) at the model's rate -> (B, T, D), times (B, T) in milliseconds."""
        return embed_timestamps(model.encoder, model.waves(audio))


_ANY = EncoderModule()
load_model = _ANY.load_model
get_scene_embeddings = _ANY.get_scene_embeddings
get_timestamp_embeddings = _ANY.get_timestamp_embeddings
