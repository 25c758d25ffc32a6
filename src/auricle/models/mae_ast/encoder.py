"""MAE-AST: the network of pre-training, and the encoder that gives features of all layers.

Source: [mae_ast 3](docs/specification/mae_ast.md#s3) to [5](docs/specification/mae_ast.md#s5),
[11](docs/specification/mae_ast.md#s11).

``MAEASTNetwork`` has tokens, encoder, decoder and the two heads of pre-training. Tokens are time-major: token t * C + c is row
c of blocks (low frequencies first) of time step t; incomplete trailing frames are dropped.

``MAEASTEncoder`` encodes without masking. ``frames`` stack the tokens of a time step, its lowest rows first. With
``through_decoder`` the decoder goes on from there, and its layers follow the encoder's.

Clips may have any length. Beyond the position tables (960 s) the spectrogram is cut into chunks of ``info.chunk_frames``; each
is encoded on its own, positions restarting at 0. Frame t is centred on (kt t + (kt - 1) / 2) * 160 + 200 samples. Waveforms
shorter than one token (2800 samples for patches, 560 for frames) are zero-padded up to it. With ``padding="published"`` the
spectrograms, not the waveforms, are zero-padded to the longest; a clip's last, incomplete time step then counts as valid.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.fbank import KaldiFbank
from auricle.models.base import Encoder
from auricle.models.info import EncoderInfo
from auricle.models.inputs import Padding, check_ids_keep, check_padding, check_wave, mean_over_time, zero_padded
from auricle.models.layers.init import keyed, linear_rule, normal_rule
from auricle.models.layers.transformer import BlockStyle, Transformer, fast_dropout, line_rows, line_table, take
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.masking.patches import Mask
from auricle.models.outputs import CoreOutput, EncoderOutput, LayerOutput, Spectrogram

EPS = (
    1e-5  # of every norm ([mae_ast 3.3](docs/specification/mae_ast.md#s3-3), [4.2](docs/specification/mae_ast.md#s4-2))
)
INPUT_SCALE = 0.5  # factor of the normalised input


class MAEASTNetwork(Encoder):
    """A deep transformer over the visible tokens, a shallow one over all of them, two linear heads.

    ``encoder_mask_emb`` and ``layer_norm`` do not affect any output; they exist for the published layout.
    """

    enc_positions: Tensor
    dec_positions: Tensor

    def __init__(self, config: MAEASTConfig, *, seed: int | None = 0):
        super().__init__()
        self.config = config
        self.batch_norm = nn.BatchNorm2d(1, eps=EPS, affine=False)
        self.encoder_mask_emb = nn.Parameter(torch.zeros(config.embed_dim))
        self.decoder_mask_emb = nn.Parameter(torch.zeros(config.decoder_embed_dim))
        self.post_extract_proj = nn.Linear(config.patch_values, config.embed_dim)
        self.layer_norm = nn.LayerNorm(config.n_mels)
        self.encoder = Transformer(
            config.embed_dim, config.depth, config.num_heads, style(config, config.encoder_layerdrop)
        )
        self.post_enc_proj = (
            nn.Linear(config.embed_dim, config.decoder_embed_dim) if config.use_post_enc_proj else nn.Identity()
        )
        self.decoder = Transformer(
            config.decoder_embed_dim, config.decoder_depth, config.num_heads, style(config, config.decoder_layerdrop)
        )
        self.final_proj_reconstruction = nn.Linear(config.decoder_embed_dim, config.patch_values)
        self.final_proj_classification = nn.Linear(config.decoder_embed_dim, config.patch_values)
        if config.stored_positions and config.enc_sine_pos:
            self.register_buffer("enc_positions", line_table(config.embed_dim, config.max_token_length))
        if config.stored_positions and config.dec_sine_pos:
            self.register_buffer("dec_positions", line_table(config.decoder_embed_dim, config.max_token_length))
        self.initialise(seed)

    def initialise(self, seed: int | None) -> None:
        """Initialise the weights randomly, keyed by ``seed`` and the parameters' names.

        Source: [mae_ast 4.4](docs/specification/mae_ast.md#s4-4).
        """
        inside = {module for stack in (self.encoder, self.decoder) for module in stack.modules()}

        def rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
            (normal_rule if owner in inside else linear_rule)(local, owner, parameter, generator)

        keyed(self, seed, rule)

    # ------------------------------------------------------------------------------------------------------------- input
    def statistics(self) -> tuple[float, float]:
        mean, std = super().statistics()
        assert self.batch_norm.running_mean is not None
        assert self.batch_norm.running_var is not None
        inner, spread = float(self.batch_norm.running_mean), float(self.batch_norm.running_var)
        return mean + std * inner, std * math.sqrt(spread + EPS)

    def with_stats(self, mean: float, std: float) -> Encoder:
        """Return a copy with other input statistics instead of the running ones; the weights are shared."""
        twin = super().with_stats(mean, std)
        neutral = nn.BatchNorm2d(1, eps=EPS, affine=False).to(self.norm_stats.device).train(self.training)
        assert neutral.running_var is not None
        neutral.running_var.fill_(1 - EPS)
        twin._modules = {**self._modules, "batch_norm": neutral}
        return twin

    def normalise(self, values: Tensor) -> Tensor:
        """Normalise (B, F, T) by the running statistics, in training by those of the batch, and multiply by 0.5."""
        values = super().normalise(values).to(self.post_extract_proj.weight.dtype)  # of a network in half precision
        return self.batch_norm(values[:, None])[:, 0] * INPUT_SCALE

    def cut(self, values: Tensor) -> Tensor:
        """Cut a normalised spectrogram (B, F, T) into tokens (B, N, P); within a token, the mel bin varies fastest."""
        (height, width), (b, bins, frames) = self.config.patch, values.shape
        steps = frames // width
        grid = values[:, :, : steps * width].reshape(b, bins // height, height, steps, width)
        return grid.permute(0, 3, 1, 4, 2).reshape(b, -1, height * width)

    def uncut(self, tokens: Tensor) -> Tensor:
        """Assemble tokens (B, N, P) to a spectrogram (B, F, T); the inverse of ``cut``."""
        (height, width), b = self.config.patch, len(tokens)
        grid = tokens.reshape(b, -1, self.config.rows, width, height)
        return grid.permute(0, 2, 4, 1, 3).reshape(b, self.config.n_mels, -1)

    def key_mask(self, steps: Tensor, total: int) -> Tensor | None:
        """Return a mask (B, N), True for tokens within the clip, from valid time steps (B,); None if all are valid."""
        if bool((steps >= total).all()):
            return None
        valid = torch.arange(total, device=steps.device) < steps[:, None]
        return valid.repeat_interleave(self.config.rows, dim=1)

    def positions(self, which: str, count: int) -> Tensor | None:
        """Return the first rows (count, D) of the position table "enc" or "dec"; None if the model has none."""
        config = self.config
        if not (config.enc_sine_pos if which == "enc" else config.dec_sine_pos):
            return None
        if count > config.max_token_length:
            raise AuricleError(f"{count} tokens exceed the {config.max_token_length} rows of the position table")
        if config.stored_positions:
            return getattr(self, f"{which}_positions")[:count]
        table = line_rows(
            config.embed_dim if which == "enc" else config.decoder_embed_dim, count, self.norm_stats.device
        )
        return table.to(self.post_extract_proj.weight.dtype)

    def add_positions(self, x: Tensor, which: str, key_mask: Tensor | None = None) -> Tensor:
        """Add positions to x (B, N, D); those of padded tokens are zero ([mae_ast 4.1](docs/specification/mae_ast.md#s4-1))."""
        table = self.positions(which, x.shape[1])
        if table is None:
            return x
        return x + (table if key_mask is None else table * key_mask[..., None])

    def add_positions_at(self, x: Tensor, which: str, ids: Tensor, count: int, keys: Tensor | None) -> Tensor:
        """Add the positions of the tokens ``ids`` (B, K) of ``count`` to x (B, K, D); ``keys`` (B, K) is False for padding."""
        table = self.positions(which, count)
        if table is None:
            return x
        return x + (table[ids] if keys is None else table[ids] * keys[..., None])

    # ------------------------------------------------------------------------------------------------------- pre-training
    def encode_visible(self, tokens: Tensor, visible: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Encode only the visible tokens.

        Input dropout applies only here.

        Args:
            tokens: (B, N, P).
            visible: indices of the visible tokens, (B, R).
            key_mask: (B, N), False for padding; None: no padding.

        Returns:
            (B, R, D).
        """
        bias = self.post_extract_proj.bias + 0.0 * self.encoder_mask_emb  # a gradient of exactly zero, as published
        x = functional.linear(take(tokens, visible), self.post_extract_proj.weight, bias)
        x = fast_dropout(x, self.config.dropout_input, self.training)
        keys = None if key_mask is None else key_mask.gather(1, visible)
        return self.encoder(self.add_positions_at(x, "enc", visible, tokens.shape[1], keys), keys)

    def decode(self, encoded: Tensor, mask: Mask, key_mask: Tensor | None = None) -> Tensor:
        """Decode all tokens: encoded visible tokens (B, R, D) in the mask's order -> (B, N, D') in token order."""
        encoded = self.post_enc_proj(encoded)
        hidden = self.decoder_mask_emb.to(encoded.dtype).expand(len(encoded), mask.hidden.shape[1], -1)
        x = take(torch.cat([encoded, hidden], dim=1), mask.ids_restore)
        return self.decoder(self.add_positions(x, "dec", key_mask), key_mask)

    def decode_masked(self, tokens: Tensor, mask: Mask, key_mask: Tensor | None = None) -> Tensor:
        """Encode the visible tokens and decode the masked ones: (B, N, P) -> (B, M, D'), in the mask's order.

        This equals ``decode`` for the masked tokens. The decoder processes the tokens in the mask's order (the order does
        not matter once positions are added), and its last block computes only the masked ones.
        """
        encoded = self.post_enc_proj(self.encode_visible(tokens, mask.visible, key_mask))
        hidden = self.decoder_mask_emb.to(encoded.dtype).expand(len(encoded), mask.hidden.shape[1], -1)
        keys = None if key_mask is None else key_mask.gather(1, mask.ids_shuffle)
        x = self.add_positions_at(torch.cat([encoded, hidden], dim=1), "dec", mask.ids_shuffle, tokens.shape[1], keys)
        return self.decoder.tail(x, hidden.shape[1], keys)

    def predict(self, tokens: Tensor, mask: Mask, key_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Predict the masked tokens: (B, N, P) -> reconstruction and classification (B, M, P), in the mask's order."""
        decoded = self.decode_masked(tokens, mask, key_mask)
        return self.final_proj_reconstruction(decoded), self.final_proj_classification(decoded)


def style(config: MAEASTConfig, layerdrop: float) -> BlockStyle:
    return BlockStyle(
        hidden=config.ffn_dim,
        post_norm=not config.layer_norm_first,
        eps=EPS,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        layerdrop=layerdrop,
    )


TOKENS_PER_PASS = 8192  # per forward pass outside training; bounds the memory of long recordings
PRETRAINING = (
    "decoder_mask_emb",
    "decoder.",
    "post_enc_proj.",
    "final_proj_",
)  # parameters that do not affect the features


class MAEASTEncoder(MAEASTNetwork):
    """The MAE-AST encoder. A frame concatenates the C tokens of a time step, so ``info.frame_dim`` is C * D."""

    def __init__(
        self, config: MAEASTConfig, *, through_decoder: bool = False, seed: int | None = 0, name: str = "mae-ast"
    ):
        super().__init__(config, seed=seed)
        self.through_decoder = through_decoder
        self.info = self._info(name)

    def _info(self, name: str) -> EncoderInfo:
        config = self.config
        front, (_, step) = KaldiFbank(config.n_mels), config.patch
        dim = config.decoder_embed_dim if self.through_decoder else config.embed_dim
        return EncoderInfo(
            name=name,
            family="mae-ast",
            front_end=front.id,
            sample_rate=front.sample_rate,
            hop_seconds=front.hop_seconds * step,
            frame_dim=config.rows * dim,
            clip_dim=config.rows * dim,
            token_dim=dim,
            min_samples=front.min_samples + (step - 1) * front.hop_length,
            chunk_frames=config.chunk_frames,
            depth=config.depth + (config.decoder_depth if self.through_decoder else 0),
        )

    @property
    def params_without_grad(self) -> frozenset[str]:  # type: ignore[override]
        """Parameters that do not affect the features: those of pre-training, and two unused ones of the published layout."""
        unused = () if self.through_decoder else PRETRAINING
        heads = ("decoder_mask_emb", "final_proj_", "encoder_mask_emb", "layer_norm.")
        return frozenset(name for name, _ in self.named_parameters() if name.startswith((*unused, *heads)))

    def _architecture(self) -> dict[str, Any]:
        through = {"through_decoder": True} if self.through_decoder else {}
        return {"family": "mae-ast", "config": asdict(self.config), **through}

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        """The decoder and the parameters of pre-training come after the encoder, even if the features do not depend on them."""
        config = self.config
        norms = (("encoder.norm.",), ("decoder.norm.",))
        before, after = (((), ()), norms) if config.layer_norm_first else (norms, ((), ()))
        return [
            ("embed", ("post_extract_proj.", "layer_norm.", "encoder_mask_emb", *before[0])),
            *((f"block{i}", (f"encoder.blocks.{i}.",)) for i in range(config.depth)),
            ("norm", after[0]),
            ("decoder_embed", ("post_enc_proj.", "decoder_mask_emb", *before[1])),
            *((f"decoder_block{i}", (f"decoder.blocks.{i}.",)) for i in range(config.decoder_depth)),
            ("decoder_norm", after[1]),
            ("pretraining", ("final_proj_",)),
        ]

    def with_decoder(self) -> MAEASTEncoder:
        """Return a copy whose layers include those of the decoder (without masking); the weights are shared."""
        twin = copy.copy(self)
        twin._buffers, twin._modules = dict(self._buffers), dict(self._modules)
        twin.through_decoder = True
        twin.info = twin._info(self.info.name)
        twin.update_info(licence=self.info.licence, source=self.info.source)
        return twin

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        step, rows = self.config.patch[1], self.config.rows
        total, span = values.shape[2] // step, int(self.info.chunk_frames or 0) // step
        if total < 1:
            raise AuricleError(f"{self.info.name} needs {step} frames or more, the spectrogram has {values.shape[2]}")
        values = self.normalise(values)
        steps = None if lengths is None else self.frame_lengths(lengths)
        grids: list[list[Tensor]] = [[] for _ in (*layers, -1)]
        starts = (0,) if total <= span else range(0, total, span)  # a range would fix the length of an exported graph
        for start in starts:
            count = min(span, total - start)
            chunk = values[:, :, start * step : (start + count) * step]
            valid = mask = None
            if steps is not None:
                valid = torch.arange(start, start + count, device=values.device) < steps[:, None]
                mask = (valid | ~valid.any(1, keepdim=True)).repeat_interleave(rows, dim=1)  # attention needs a key
            for grid, tokens in zip(grids, self._blocks(chunk, (*layers, self.info.depth - 1), mask)):
                stacked = tokens.float().unflatten(1, (count, rows)).flatten(2)
                grid.append(stacked if valid is None else stacked * valid[..., None])
        *inner, frames = [torch.cat(grid, dim=1) for grid in grids]
        clip = frames.mean(1) if steps is None else mean_over_time(frames, steps)
        return CoreOutput(frames, clip), tuple(inner)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        return lengths.div(self.config.patch[1], rounding_mode="floor").clamp(min=1)

    def _blocks(self, values: Tensor, wanted: Sequence[int], key_mask: Tensor | None) -> list[Tensor]:
        x = self.add_positions(self.post_extract_proj(self.cut(values)), "enc", key_mask)
        inner, outer = split_layers(wanted, self.config.depth)
        outputs = dict(zip(inner, self.encoder.layers(x, inner, key_mask)))
        if outer:
            x = self.add_positions(self.post_enc_proj(outputs[self.config.depth - 1]), "dec", key_mask)
            decoded = self.decoder.layers(x, outer, key_mask)
            outputs |= {self.config.depth + i: layer for i, layer in zip(outer, decoded)}
        return [outputs[i] for i in wanted]

    @property
    def least_frames(self) -> int:
        """Number of spectrogram frames of one time step."""
        return self.config.patch[1]

    @property
    def most_graph_frames(self) -> int | None:
        """Those of one chunk."""
        return self.info.chunk_frames

    def frontend(
        self,
        wave: Tensor,
        lengths: Tensor | None = None,
        *,
        padding: Padding = "exact",
        key: BatchKey | None = None,
    ) -> Spectrogram:
        """Compute the filterbank as ``Encoder.frontend``. Kaldi's frames never cover padding, so both paddings give the same."""
        check_padding(padding)
        wave, lengths = check_wave(wave, lengths)
        whole = padding == "published" and int(lengths.max()) >= self.info.min_samples
        return self.spectrogram(*zero_padded(wave, lengths, self.front.min_samples if whole else self.info.min_samples))

    def _encode(
        self,
        spec: Spectrogram,
        *,
        layers: tuple[int, ...],
        taps: tuple[str, ...],
        padding: Padding,
        ids_keep: Tensor | None,
        key: BatchKey | None,
    ) -> EncoderOutput:
        if taps or (ids_keep is not None and layers):
            raise AuricleError(f"{self.info.name} has no taps, and no layers together with ids_keep")
        values = spec.values if spec.normalised else self.normalise(spec.values)
        if ids_keep is not None:
            return self._encode_visible(values, ids_keep)
        steps = self.steps(spec.lengths, values.shape[2], padding)
        grids = self._encode_chunks(values, steps, (*layers, self.info.depth - 1), together=padding == "published")
        times = self.frame_times(grids[-1].shape[1])
        framed = [LayerOutput(grid.flatten(2), times, steps) for grid in grids]
        frames, clip = framed[-1].frames, mean_over_time(framed[-1].frames, steps)
        return EncoderOutput(frames, times, steps, clip, tokens=grids[-1].flatten(1, 2), layers=tuple(framed[:-1]))

    def steps(self, lengths: Tensor, frames: int, padding: Padding) -> Tensor:
        """Return the number of valid time steps per clip, (B,).

        With ``padding="published"``, an incomplete last step counts if the batch is longer
        ([mae_ast 8](docs/specification/mae_ast.md#s8)).
        """
        step = self.least_frames
        if frames < step:
            raise AuricleError(f"{self.info.name} needs {step} frames or more, the spectrogram has {frames}")
        if padding == "published":
            return ((lengths - 1).div(step, rounding_mode="floor") + 1).clamp(max=frames // step)
        return self.frame_lengths(lengths)

    def _encode_visible(self, values: Tensor, ids_keep: Tensor) -> EncoderOutput:
        """Encode only the tokens ``ids_keep`` (B, K) of a single chunk; ``clip`` is their mean."""
        patches = self.cut(values)
        ids_keep = check_ids_keep(ids_keep, *patches.shape[:2])
        x = self.post_extract_proj(take(patches, ids_keep))
        tokens = self.encoder(self.add_positions_at(x, "enc", ids_keep, int(ids_keep.max()) + 1, None)).float()
        count = torch.full((len(ids_keep),), ids_keep.shape[1], device=ids_keep.device)
        return EncoderOutput(None, torch.zeros(0, device=ids_keep.device), count, tokens.mean(dim=1), tokens=tokens)

    def training_passes(self, lengths: Tensor, frames: int) -> int:
        span = int(self.info.chunk_frames or 0) // self.config.patch[1]
        return -(-int(self.steps(lengths, frames, "exact").max()) // span)

    def _encode_chunks(self, values: Tensor, steps: Tensor, wanted: Sequence[int], *, together: bool) -> list[Tensor]:
        """Encode chunk by chunk; return one grid (B, T, C, D) per wanted layer, 0 after the end of a clip.

        ``together`` encodes the whole batch in one pass and keeps the output for padding, as the original does.
        """
        total, span = int(steps.max()), int(self.info.chunk_frames or 0) // self.config.patch[1]
        if together:
            total = values.shape[2] // self.config.patch[1]
        shape = (len(values), total, self.config.rows)
        grids = [values.new_zeros(*shape, self._layer_dim(i), dtype=torch.float32) for i in wanted]
        for start in range(0, total, span):
            remaining = (steps - start).clamp(0, min(span, total - start))
            for rows in self._passes(remaining, span, together or self.training):
                lengths = remaining[rows]
                count = min(span, total - start) if together else int(lengths.max())
                first = start * self.config.patch[1]
                chunk = values[rows, :, first : first + count * self.config.patch[1]]
                mask = self.key_mask(lengths, count)
                for grid, layer in zip(grids, self._blocks(chunk, wanted, mask)):
                    real = layer if mask is None or together else layer * mask[..., None]
                    grid[rows, start : start + count] = real.float().unflatten(1, (count, -1))
        return grids

    def _passes(self, remaining: Tensor, span: int, together: bool) -> list[Tensor]:
        """Return the rows that have frames in this chunk, longest first, in groups of bounded size."""
        order = torch.argsort(remaining, descending=True, stable=True)
        order = order[remaining[order] > 0]
        longest = max(1, int(remaining.max()) * self.config.rows)
        return [order] if together else list(order.split(max(1, TOKENS_PER_PASS // longest)))

    def _layer_dim(self, layer: int) -> int:
        return self.config.embed_dim if layer < self.config.depth else self.config.decoder_embed_dim

    def frame_times(self, count: int) -> Tensor:
        """Return (count,) seconds: frames of 25 ms every 10 ms, kt of them in a step."""
        step = self.config.patch[1]
        index = torch.arange(count, device=self.norm_stats.device)
        return (index * step + (step - 1) / 2) * self.front.hop_seconds + self.front.frame_time(0)


def split_layers(wanted: Sequence[int], depth: int) -> tuple[list[int], list[int]]:
    """Split layer indices into those of the encoder (plus its last, if the decoder needs it) and of the decoder."""
    outer = [i - depth for i in wanted if i >= depth]
    inner = [i for i in wanted if i < depth]
    return inner + [depth - 1] * (bool(outer) and depth - 1 not in inner), outer
