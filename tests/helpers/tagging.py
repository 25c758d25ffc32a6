"""Taggers of toy size: one whose answers are known (it names the loudest of three bands), and one with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from auricle.frontends.base import front_end
from auricle.hub.weight_file import save_encoder
from auricle.models.base import Encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.info import EncoderInfo
from auricle.models.label_space import LabelSpace
from auricle.models.outputs import EncoderOutput, Spectrogram

FRONT = "efficientat-mel/sr32000-m64-w800-h320-n1024-fmin0-fmax15000"
CLASSES = (("l", "low"), ("m", "middle"), ("h", "high"))


class LoudestBand(Encoder):
    """Logits: loudness of the lower, middle and upper third of the mel bands, above their common mean."""

    def __init__(self, label_type: str | None = "multilabel"):
        super().__init__()
        front = front_end(FRONT)
        self.info = EncoderInfo(
            name="loudest-band", family="test", front_end=FRONT, sample_rate=32000, hop_seconds=front.hop_seconds,
            frame_dim=64, clip_dim=64, head_names=("main",), min_samples=front.min_samples,
            label_spaces=(None if label_type is None else LabelSpace.of(CLASSES, label_type),),
        )  # fmt: skip
        self.batches: list[tuple[int, ...]] = []

    def architecture(self):
        return {"family": "test"}

    def for_inference(self):
        return self.eval()  # no copy: the tests read its ``batches``

    def encode(self, spec: Spectrogram, **options) -> EncoderOutput:
        self.batches.append(tuple(spec.values.shape))
        frames = spec.values.transpose(1, 2)
        clip = frames.mean(1)
        thirds = torch.stack([part.mean(1) for part in clip.tensor_split(3, dim=1)], dim=1)
        logits = 6.0 * (thirds - thirds.mean(1, keepdim=True))
        times = torch.arange(frames.shape[1]) * spec.hop_seconds
        return EncoderOutput(frames, times, spec.lengths, clip, logits=logits, head_logits={"main": logits})


def save_random_tagger(folder: Path) -> str:
    """Save a tagger of three classes with random weights, and return its file."""
    classes = (("a", "Bird"), ("b", "Chirp, tweet"), ("c", "Rain"))
    encoder = MN(MNConfig(width=0.1, num_classes=3), classes=classes, label_type="multilabel", seed=0)
    file = folder / "tagger.safetensors"
    save_encoder(encoder, file)
    return str(file)
