"""M2D's portable runtime, for those who have scripts: its calls, shapes and outputs (specification m2d 6.3 to 6.5).

    model = PortableM2D("m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly/weights_ep69it3124-0.48494.pth")
    frames = model(torch.rand(3, 160000) * 2 - 1)      # (3, 62, 3840)
    clip = frames.mean(1)                              # (3, 3840)

Ten seconds give 62 frames with the 80x1001 weights, where the original's read-me prints 63: 1001 spectrogram frames hold
62 columns of 16, and the 9 frames left over are dropped. 63 is what the 80x608 weights give.

A batch is one piece, zeros included, as in the original. Different: the model comes in evaluation mode (``train()`` is yours
to call); inputs of 200 samples and fewer are zero-padded, not refused; a file is read as data, nothing in it is executed.
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
    """The original's single-file loader.

    weight_file    a published file, or whatever ``auricle.load`` takes, an M2D encoder too
    num_classes    of the classifier; None: features. The file's own classifier, else a fresh one
    freeze_embed   the patch embedding keeps its weights in training
    flat_features  patch tokens (D wide) in place of stacked frames (F * D); None: as the file's classifier reads them
    dur_frames     inputs of up to so many spectrogram frames, in one piece (the training-side runtime's option)

    Raises AuricleError for a file that is no M2D encoder.
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
        """The original's settings: input_size, patch_size, sr, sample_rate, feature_d, n_fft, hop_size, n_mels …"""
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
        """(B, S) in [-1, 1] -> logits (B, C) with a classifier, else what ``encode`` gives."""
        if self.backbone.head is None:
            return self.encode(batch_audio, average_per_time_frame)
        logits = self._encoded(batch_audio).logits
        assert logits is not None
        return logits

    def encode(self, batch_audio: Tensor, average_per_time_frame: bool = False) -> Tensor:
        """(B, S) -> frames (B, T, F * D); flat: tokens (B, N, D), or (B, T, D), the mean of the F tokens of a time step."""
        return self._features(self._encoded(batch_audio), average_per_time_frame)

    def to_normalized_feature(self, batch_audio: Tensor) -> Tensor:
        """(B, S) -> (B, 1, 80, N): the log-mel spectrogram normalised by the file's statistics."""
        spec = self.backbone.frontend(_two_axes(batch_audio), padding="published")
        return self.backbone.normalise(spec.values)[:, None]

    def encode_lms(
        self, lms: Tensor, return_layers: bool = False, average_per_time_frame: bool = False
    ) -> Tensor | list[Tensor]:
        """A normalised log-mel (B, 1, 80, N) encoded; ``return_layers``: one (B, T, F * D) per block, the last normed."""
        values = lms[:, 0]
        lengths = torch.full((len(values),), values.shape[2], device=values.device)
        front = self.backbone.front
        spec = Spectrogram(values, lengths, front.hop_seconds, front.id, normalised=True)
        out = self.backbone.encode(spec, layers="all" if return_layers else None, padding="published")
        return [layer.frames for layer in out.layers] if return_layers else self._features(out, average_per_time_frame)

    def get_scene_embeddings(self, batch_audio: Tensor) -> Tensor:
        """(B, S) -> (B, F * D), flat (B, D): the mean of the features."""
        return self.encode(batch_audio).mean(1)

    def get_timestamp_embeddings(self, batch_audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) -> features (B, T, F * D or D) and their starts (B, T) in milliseconds, the steps evenly long."""
        features = self.encode(batch_audio, average_per_time_frame=True)
        return features, self._timestamps(batch_audio, features)

    def forward_frames(self, batch_audio: Tensor) -> tuple[Tensor, Tensor]:
        """(B, S) -> logits of every frame (B, T, C), features without a classifier, and their starts (B, T) in milliseconds."""
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
        """Specification m2d 6.4: the sound's own length cut into T equal steps, computed in double."""
        milliseconds = 1000 * batch_audio.shape[-1] / self.backbone.info.sample_rate
        steps = torch.arange(features.shape[1], dtype=torch.float64) * (milliseconds / features.shape[1])
        return steps.float().expand(len(features), -1).to(features.device)


def _encoder(weight_file: str | Path | Encoder, num_classes: int | None, flat: bool | None) -> M2DEncoder:
    """The encoder of a file with the classifier asked for, or none."""
    from auricle.hub.load import load

    encoder = weight_file if isinstance(weight_file, Encoder) else load(weight_file)
    if encoder.info.family != "m2d":
        raise AuricleError(f"{encoder.info.name} is not an M2D encoder but one of the family {encoder.info.family}")
    encoder = cast(M2DEncoder, encoder)
    if num_classes is None:
        return encoder.without_head()
    present = encoder.head.config.num_classes if encoder.head is not None else None
    if present == num_classes:
        return encoder
    if present is not None:
        warnings.warn(
            f"{encoder.info.name} has {present} classes, {num_classes} were asked for: its classifier starts anew",
            UserWarning,
            stacklevel=3,
        )
    return encoder.with_classes(num_classes, pools=None if flat is None else "tokens" if flat else "frames")


def _two_axes(batch_audio: Tensor) -> Tensor:
    """(S), (B, S) or (B, 1, S) -> (B, S), as the original's front end takes them."""
    if batch_audio.ndim == 3 and batch_audio.shape[1] == 1:
        return batch_audio[:, 0]
    return batch_audio[None] if batch_audio.ndim == 1 else batch_audio
