"""Hidden states of any encoder for SUPERB: waveforms of several lengths at 16 kHz in, one tensor per layer out.

Source: [evaluation 6.1](docs/specification/evaluation.md#s6-1). All tensors have one shape, so the layers are those whose output
has the shape of the encoder's frames: all blocks of a transformer, the last ones of a network that narrows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.resample import resample
from auricle.core.errors import AuricleError
from auricle.models.base import Encoder
from auricle.models.inputs import Padding, check_padding
from auricle.models.outputs import EncoderOutput, Spectrogram

RATE = 16000  # of SUPERB's waveforms, hertz


class States(NamedTuple):
    """layers: one (B, T, D) per layer, zero after the end of a clip; lengths: (B,) valid frames; last: (B, T, D) frames."""

    layers: list[Tensor]
    lengths: Tensor
    last: Tensor


class HiddenStates(nn.Module):
    """Computes the hidden states of an encoder.

    Attributes:
        encoder: The encoder.
        layers: Its blocks whose outputs are returned; () where no block has the shape of the frames: then these are returned.
        rate: Samples at 16 kHz per frame.
        padding: "exact": each clip comes out as if it had been alone; "published": the zero-padded batch as the original
            program treats it.
    """

    def __init__(self, encoder: Encoder, padding: Padding = "exact"):
        super().__init__()
        check_padding(padding)
        self.encoder, self.padding = encoder, padding
        self.layers = layers_like_frames(encoder)
        self.rate = round(encoder.info.hop_seconds * RATE)

    def forward(self, waves: Sequence[Tensor | np.ndarray]) -> States:
        """Encode waveforms.

        Args:
            waves: One (S,) per clip at 16 kHz, of any lengths.

        Raises:
            AuricleError: No clip, or a tensor that is no waveform.
        """
        batch, lengths = self.batch(waves)
        return self.states(self.ready(batch, lengths, layers=self.layers, padding=self.padding))

    @property
    def ready(self) -> Encoder:
        """The encoder, in its form for inference where nothing learns."""
        return self.encoder if self.training or torch.is_grad_enabled() else self.encoder.for_inference()

    def of_spectrogram(self, spec: Spectrogram) -> States:
        """Encode spectrograms of the encoder's front end, normalised or not."""
        return self.states(self.ready.encode(spec, layers=self.layers, padding=self.padding))

    def batch(self, waves: Sequence[Tensor | np.ndarray]) -> tuple[Tensor, Tensor]:
        """Return waveforms (B, S) at the encoder's rate, zero-padded, and (B,) the samples of each."""
        if not len(waves):
            raise AuricleError("the batch has no waveform; expected a list of (S,) at 16 kHz")
        clips = [self._at_rate(torch.as_tensor(wave)) for wave in waves]
        lengths = torch.tensor([len(clip) for clip in clips], device=clips[0].device)
        return nn.utils.rnn.pad_sequence(clips, batch_first=True), lengths

    def _at_rate(self, wave: Tensor) -> Tensor:
        if wave.ndim != 1 or not len(wave):
            raise AuricleError(f"expected a waveform (S,) at 16 kHz, found the shape {tuple(wave.shape)}")
        info = self.encoder.info
        if info.sample_rate == RATE:
            return wave.float()
        samples = resample(wave.detach().float().cpu().numpy(), RATE, info.sample_rate, self.encoder.front.resampler)
        return torch.from_numpy(samples).to(wave.device)

    def states(self, out: EncoderOutput) -> States:
        """Return the states of an output with the ``layers``."""
        frames = out.frames
        assert frames is not None
        return States([layer.frames for layer in out.layers] or [frames], out.lengths, frames)


@torch.no_grad()
def layers_like_frames(encoder: Encoder) -> tuple[int, ...]:
    """Return the blocks (0-based) whose outputs have the shape of ``EncoderOutput.frames``. It encodes a second of noise."""
    if not encoder.info.depth:
        return ()
    noise = torch.randn(1, encoder.usable_samples(1.0), generator=torch.Generator().manual_seed(0))
    was = encoder.training
    out = encoder.eval()(noise.to(encoder.norm_stats.device), layers="all")
    encoder.train(was)
    assert out.frames is not None
    return tuple(i for i, layer in enumerate(out.layers) if layer.frames.shape == out.frames.shape)
