"""M2D's portable runtime, for existing scripts: the same calls, shapes and outputs.

Source: [m2d 6.3](docs/specification/m2d.md#s6-3) to [6.5](docs/specification/m2d.md#s6-5).

    model = PortableM2D("m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly/weights_ep69it3124-0.48494.pth")
    frames = model(torch.rand(3, 160000) * 2 - 1)      # (3, 62, 3840)
    clip = frames.mean(1)                              # (3, 3840)

With the 80x1001 weights, ten seconds give 62 frames (the README of the original states 63): 1001 spectrogram frames hold 62
columns of 16, and the remaining 9 frames are dropped. The 80x608 weights give 63.

As in the original, padding zeros in a batch are encoded like audio. Differences: the model is in evaluation mode after
loading; inputs of up to 200 samples are zero-padded instead of an error; weight files are read without executing code.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.frontends.log_mel import LogMel
from auricle.models.base import Encoder
from auricle.models.m2d.config import parse_size
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.m2d.head import mean_of_rows
from auricle.models.outputs import EncoderOutput, Spectrogram


class PortableM2D(nn.Module):
    """The interface of the original's single-file loader.

    Args:
        weight_file: a published file, another argument of ``auricle.load``, or an M2D encoder.
        num_classes: classes of the classifier (that of the file if the number matches, else a new one); None: features.
        freeze_embed: freeze the patch embedding.
        flat_features: patch tokens (size D) instead of stacked frames (F * D); None: the input of the file's classifier.
        dur_frames: maximum number of spectrogram frames that are encoded in one chunk (an option of the training runtime).

    Raises:
        AuricleError: if the file is not an M2D encoder.
    """

    def __init__(
        self,
        weight_file: str | Path | Encoder,
        num_classes: int | None = None,
        freeze_embed: bool = False,
        flat_features: bool | None = None,
        *,
        dur_frames: int | None = None,
    ):
        super().__init__()
        encoder = _encoder(weight_file, num_classes, flat_features)
        self.backbone = encoder if dur_frames is None else encoder.with_duration(dur_frames)
        pools_tokens = encoder.head is not None and encoder.head.config.pools == "tokens"
        self.flat_features = pools_tokens if flat_features is None else flat_features
        if freeze_embed:
            self.backbone.freeze_embed()
        self.eval()

    @property
    def cfg(self) -> SimpleNamespace:
        """The settings under the original's names: input_size, patch_size, sr, sample_rate, feature_d, n_fft, hop_size, n_mels …"""
        config = self.backbone.config
        front = LogMel(config.sample_rate)
        return SimpleNamespace(
            model=self.backbone.info.name.split("-")[0],
            weight_file=self.backbone.info.source,
            input_size=list(parse_size(config.input_size)),
            patch_size=list(parse_size(config.patch_size)),
            sr=f"{config.sample_rate // 1000}k",
            sample_rate=config.sample_rate,
            n_fft=front.n_fft,
            window_size=front.n_fft,
            hop_size=front.hop_length,
            n_mels=front.n_mels,
            f_min=front.fmin,
            f_max=config.sample_rate // 2,
            feature_d=config.embed_dim if self.flat_features else self.backbone.info.frame_dim,
            flat_features=self.flat_features,
        )

    def forward(self, batch_audio: Tensor, average_per_time_frame: bool = False) -> Tensor:
        """Compute logits (B, C) of waveforms (B, S) in [-1, 1]; without a classifier, the features of ``encode``."""
        if self.backbone.head is None:
            return self.encode(batch_audio, average_per_time_frame)
        logits = self._encoded(batch_audio).logits
        assert logits is not None
        return logits

    def encode(self, batch_audio: Tensor, average_per_time_frame: bool = False) -> Tensor:
        """Compute frames (B, T, F * D) of waveforms (B, S).

        With ``flat_features``: tokens (B, N, D), or their mean per time step (B, T, D) if ``average_per_time_frame``.
        """
        return self._features(self._encoded(batch_audio), average_per_time_frame)

    def to_normalized_feature(self, batch_audio: Tensor) -> Tensor:
        """Compute the normalised log-mel spectrogram (B, 1, 80, N) of waveforms (B, S)."""
        spec = self.backbone.frontend(_two_axes(batch_audio), padding="published")
        return self.backbone.normalise(spec.values)[:, None]

    def encode_lms(
        self, lms: Tensor, return_layers: bool = False, average_per_time_frame: bool = False
    ) -> Tensor | list[Tensor]:
        """Encode a normalised log-mel spectrogram (B, 1, 80, N).

        With ``return_layers``: a list of frames (B, T, F * D), one per block, the last after the final normalisation.
        """
        values = lms[:, 0]
        lengths = torch.full((len(values),), values.shape[2], device=values.device)
        front = self.backbone.front
        spec = Spectrogram(values, lengths, front.hop_seconds, front.id, normalised=True)
        out = self.backbone.encode(spec, layers="all" if return_layers else None, padding="published")
        return [layer.frames for layer in out.layers] if return_layers else self._features(out, average_per_time_frame)

    def get_scene_embeddings(self, batch_audio: Tensor) -> Tensor:
        """Compute the mean of the features over time: (B, S) -> (B, F * D), with ``flat_features`` (B, D)."""
        return self.encode(batch_audio).mean(1)

    def get_timestamp_embeddings(self, batch_audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features (B, T, F * D or D) of waveforms (B, S), and their start times (B, T) in milliseconds."""
        features = self.encode(batch_audio, average_per_time_frame=True)
        return features, self._timestamps(batch_audio, features)

    def forward_frames(self, batch_audio: Tensor) -> tuple[Tensor, Tensor]:
        """Compute logits per frame (B, T, C) of waveforms (B, S), and their start times (B, T) in milliseconds.

        Without a classifier, features take the place of logits.
        """
        if self.backbone.head is None:
            return self.get_timestamp_embeddings(batch_audio)
        logits = self._encoded(batch_audio).frame_logits
        assert logits is not None
        return logits, self._timestamps(batch_audio, logits)

    def _encoded(self, batch_audio: Tensor) -> EncoderOutput:
        return self.backbone(_two_axes(batch_audio), padding="published")

    def _features(self, out: EncoderOutput, average_per_time_frame: bool) -> Tensor:
        features = out.frames if not self.flat_features or average_per_time_frame else out.tokens
        assert features is not None
        if self.flat_features and average_per_time_frame:
            return mean_of_rows(features, self.backbone.config.grid[0])
        return features

    def _timestamps(self, batch_audio: Tensor, features: Tensor) -> Tensor:
        """Divide the duration of the clip into T equal steps (in float64; [m2d 6.4](docs/specification/m2d.md#s6-4))."""
        milliseconds = 1000 * batch_audio.shape[-1] / self.backbone.info.sample_rate
        steps = torch.arange(features.shape[1], dtype=torch.float64) * (milliseconds / features.shape[1])
        return steps.float().expand(len(features), -1).to(features.device)


def _encoder(weight_file: str | Path | Encoder, num_classes: int | None, flat: bool | None) -> M2DEncoder:
    """Load the encoder of a file, with a classifier of ``num_classes`` or without one."""
    from auricle.hub.load import load

    encoder = weight_file if isinstance(weight_file, Encoder) else load(weight_file)
    if encoder.info.family != "m2d":
        raise AuricleError(f"{encoder.info.name} is not an M2D encoder but one of the family {encoder.info.family}")
    encoder = cast(M2DEncoder, encoder)
    if num_classes is None:
        return encoder.without_head()
    current = encoder.head.config.num_classes if encoder.head is not None else None
    if current == num_classes:
        return encoder
    if current is not None:
        warnings.warn(
            f"{encoder.info.name} has {current} classes, expected {num_classes}: its classifier is initialised",
            UserWarning,
            stacklevel=3,
        )
    return encoder.with_classes(num_classes, pools=None if flat is None else "tokens" if flat else "frames")


def _two_axes(batch_audio: Tensor) -> Tensor:
    """Reshape (S), (B, S) or (B, 1, S) to (B, S); the original's front end accepts all three."""
    if batch_audio.ndim == 3 and batch_audio.shape[1] == 1:
        return batch_audio[:, 0]
    return batch_audio[None] if batch_audio.ndim == 1 else batch_audio
