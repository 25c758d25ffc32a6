"""MAE-AST as an Encoder: features of all layers, of sound of any length (specification mae_ast 11).

Features come from all layers of the encoder, without masking; ``frames`` stack the tokens of a time step, its lowest rows
first, ``tokens`` are as they are. With ``through_decoder`` the decoder goes on from there, and its layers follow the
encoder's.

Lengths: any. Beyond the position tables (960 s) the spectrogram is cut into chunks of ``info.chunk_frames``; each is encoded
on its own, positions restarting at 0. Frame t is centred on (kt t + (kt - 1) / 2) * 160 + 200 samples. Waves shorter than
one token (2800 samples for patches, 560 for frames) are zero-padded up to it. With ``padding="published"`` the
spectrograms, not the waves, are zero-padded to the longest; a clip's last, incomplete time step then counts as valid.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from auricle.draws import BatchDraws
from auricle.errors import AuricleError
from auricle.models.checks import check_keep, check_padding, check_wave, zero_padded
from auricle.models.contract import (
    Encoded,
    EncoderInfo,
    Layer,
    LayerChoice,
    Padding,
    Spec,
    chosen_layers,
    mean_over_time,
)
from auricle.models.mae_ast_config import MAEASTConfig
from auricle.models.mae_ast_network import MAEASTNetwork
from auricle.models.vit import take
from auricle.signal.fbank import fbank_id
from auricle.signal.front_ends import front_end

TOKENS_PER_PASS = 8192  # clips encoded at once outside training: bounds the memory of long recordings
PRETRAINING = ("decoder_mask_emb", "decoder.", "post_enc_proj.", "final_proj_")  # parameters that features do not see


class MAEASTEncoder(MAEASTNetwork):
    """``info.frame_width`` is C * D: the C tokens of a time step side by side."""

    def __init__(self, config: MAEASTConfig, *, through_decoder: bool = False, seed: int = 0, name: str = "mae-ast"):
        super().__init__(config, seed=seed)
        self.through_decoder = through_decoder
        self.info = self._info(name)

    def _info(self, name: str) -> EncoderInfo:
        config = self.config
        front, (_, step) = front_end(fbank_id(config.mel_bins)), config.patch
        width = config.decoder_width if self.through_decoder else config.width
        return EncoderInfo(
            name=name,
            family="mae-ast",
            front_end=front.id,
            sample_rate=front.sample_rate,
            hop_seconds=front.hop_seconds * step,
            frame_width=config.rows * width,
            clip_width=config.rows * width,
            token_width=width,
            min_samples=front.min_samples + round((step - 1) * front.hop_seconds * front.sample_rate),
            chunk_frames=config.chunk_frames,
            depth=config.depth + (config.decoder_depth if self.through_decoder else 0),
        )

    @property
    def inert(self) -> frozenset[str]:  # type: ignore[override]
        """What features do not depend on: two relics of the published layout, and all that only pre-training uses."""
        unused = () if self.through_decoder else PRETRAINING
        heads = ("decoder_mask_emb", "final_proj_", "encoder_mask_emb", "layer_norm.")
        return frozenset(name for name, _ in self.named_parameters() if name.startswith((*unused, *heads)))

    def architecture(self) -> dict:
        through = {"through_decoder": True} if self.through_decoder else {}
        return {"family": "mae-ast", "config": asdict(self.config), **through}

    def with_decoder(self) -> MAEASTEncoder:
        """A copy whose layers go on through the decoder, without masking; all weights are shared, not copied."""
        twin = copy.copy(self)
        twin._buffers, twin._modules = dict(self._buffers), dict(self._modules)
        twin.through_decoder = True
        twin.info = twin._info(self.info.name)
        twin.rename(licence=self.info.licence, source=self.info.source)
        return twin

    def core(self, values: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Normalised (B, F, T) -> tokens (B, N, D) of the last layer; key_mask (B, N) is True where a token is real."""
        return self._blocks(values, [self.info.depth - 1], key_mask)[0]

    def _blocks(self, values: Tensor, wanted: Sequence[int], key_mask: Tensor | None) -> list[Tensor]:
        x = self.placed(self.post_extract_proj(self.cut(values)), "enc", key_mask)
        inner, outer = split_layers(wanted, self.config.depth)
        found = dict(zip(inner, self.encoder.layers(x, inner, key_mask)))
        if outer:
            x = self.placed(self.post_enc_proj(found[self.config.depth - 1]), "dec", key_mask)
            later = self.decoder.layers(x, outer, key_mask)
            found |= {self.config.depth + i: layer for i, layer in zip(outer, later)}
        return [found[i] for i in wanted]

    @property
    def least_frames(self) -> int:
        """Those of one time step."""
        return self.config.patch[1]

    def frontend(
        self,
        wave: Tensor,
        lengths: Tensor | None = None,
        *,
        padding: Padding = "exact",
        draws: BatchDraws | None = None,
    ) -> Spec:
        """(B, S) -> Spec; Kaldi's frames see no padding, so each clip's spectrogram is its own under both paddings."""
        check_padding(padding)
        wave, lengths = check_wave(wave, lengths)
        whole = padding == "published" and int(lengths.max()) >= self.info.min_samples
        return self.spectrogram(*zero_padded(wave, lengths, self.front.min_samples if whole else self.info.min_samples))

    def encode(
        self,
        spec: Spec,
        *,
        layers: LayerChoice = None,
        taps: Sequence[str] = (),
        padding: Padding = "exact",
        keep: Tensor | None = None,
        draws: BatchDraws | None = None,
    ) -> Encoded:
        self.check_spec(spec)
        check_padding(padding)
        if taps or (keep is not None and layers is not None):
            raise AuricleError(
                f"{self.info.name} has no taps, and no layers of a part of the tokens; ask for layers alone"
            )
        values = spec.values if spec.normalised else self.normalise(spec.values)
        if keep is not None:
            return self._encode_visible(values, keep)
        steps = self.steps(spec.lengths, values.shape[2], padding)
        asked = chosen_layers(layers, self.info.depth)
        grids = self._encode_chunks(values, steps, (*asked, self.info.depth - 1), together=padding == "published")
        times = self._times(grids[-1].shape[1])
        framed = [Layer(grid.flatten(2), times, steps) for grid in grids]
        frames, clip = framed[-1].frames, mean_over_time(framed[-1].frames, steps)
        return Encoded(frames, times, steps, clip, tokens=grids[-1].flatten(1, 2), layers=tuple(framed[:-1]))

    def steps(self, lengths: Tensor, frames: int, padding: Padding) -> Tensor:
        """(B,) valid time steps. As published, a last incomplete one counts where the batch reaches on (8)."""
        step = self.least_frames
        if frames < step:
            raise AuricleError(f"{self.info.name} needs {step} frames or more, the spectrogram has {frames}")
        if padding == "published":
            return ((lengths - 1).div(step, rounding_mode="floor") + 1).clamp(max=frames // step)
        return lengths.div(step, rounding_mode="floor").clamp(min=1)

    def _encode_visible(self, values: Tensor, keep: Tensor) -> Encoded:
        """Only the tokens ``keep`` (B, K) of a single chunk; clip is the mean visible token."""
        patches = self.cut(values)
        keep = check_keep(keep, *patches.shape[:2])
        x = self.post_extract_proj(take(patches, keep))
        tokens = self.encoder(self.placed_at(x, "enc", keep, int(keep.max()) + 1, None)).float()
        count = torch.full((len(keep),), keep.shape[1], device=keep.device)
        return Encoded(None, torch.zeros(0, device=keep.device), count, tokens.mean(dim=1), tokens=tokens)

    def _encode_chunks(self, values: Tensor, steps: Tensor, wanted: Sequence[int], *, together: bool) -> list[Tensor]:
        """-> one grid (B, T, C, D) per layer wanted, 0 past a clip's end. ``together`` keeps the batch in one piece, with
        what the network says of padding, as published."""
        total, span = int(steps.max()), int(self.info.chunk_frames or 0) // self.config.patch[1]
        if together:
            total = values.shape[2] // self.config.patch[1]
        shape = (len(values), total, self.config.rows)
        grids = [values.new_zeros(*shape, self._width(i), dtype=torch.float32) for i in wanted]
        for start in range(0, total, span):
            here = (steps - start).clamp(0, min(span, total - start))
            for rows in self._passes(here, span, together or self.training):
                own = here[rows]
                count = min(span, total - start) if together else int(own.max())
                first = start * self.config.patch[1]
                piece = values[rows, :, first : first + count * self.config.patch[1]]
                mask = self.key_mask(own, count)
                for grid, layer in zip(grids, self._blocks(piece, wanted, mask)):
                    real = layer if mask is None or together else layer * mask[..., None]
                    grid[rows, start : start + count] = real.float().unflatten(1, (count, -1))
        return grids

    def _passes(self, here: Tensor, span: int, together: bool) -> list[Tensor]:
        """Rows with something in this chunk, longest first, in groups of bounded size."""
        order = torch.argsort(here, descending=True, stable=True)
        order = order[here[order] > 0]
        longest = max(1, int(here.max()) * self.config.rows)
        return [order] if together else list(order.split(max(1, TOKENS_PER_PASS // longest)))

    def _width(self, layer: int) -> int:
        return self.config.width if layer < self.config.depth else self.config.decoder_width

    def _times(self, steps: int) -> Tensor:
        """(T,) seconds: frames of 25 ms every 10 ms, kt of them in a step."""
        step = self.config.patch[1]
        index = torch.arange(steps, device=self.norm_stats.device)
        return (index * step + (step - 1) / 2) * self.front.hop_seconds + self.front.start_seconds


def split_layers(wanted: Sequence[int], depth: int) -> tuple[list[int], list[int]]:
    """Layers of the encoder, its last one added where the decoder goes on; and of the decoder, counted from 0."""
    outer = [i - depth for i in wanted if i >= depth]
    inner = [i for i in wanted if i < depth]
    return inner + [depth - 1] * (bool(outer) and depth - 1 not in inner), outer
