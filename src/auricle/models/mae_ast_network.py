"""The MAE-AST network: tokens, encoder, decoder and both heads of its pre-training (specification mae_ast 3 to 5).

Tokens are time-major: token t * C + c is row c of blocks (low frequencies first) of time step t; incomplete trailing frames
are dropped. What makes features of it stands in ``models/mae_ast.py``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.errors import AuricleError
from auricle.models.contract import Encoder
from auricle.models.dropout import dropped
from auricle.models.init import keyed, linear_rule, normal_rule
from auricle.models.mae_ast_config import MAEASTConfig
from auricle.models.masks import Mask
from auricle.models.positions import line_rows, line_table
from auricle.models.vit import BlockStyle, Transformer, take

EPS = 1e-5  # of every norm (specification mae_ast 3.3, 4.2)
HALF = 0.5  # what the normalised input is multiplied by


class MAEASTNetwork(Encoder):
    """A deep transformer over the visible tokens, a shallow one over all of them, two linear heads.

    Parameters that no output depends on, ``encoder_mask_emb`` and ``layer_norm``, are kept for the published layout.
    """

    enc_positions: Tensor
    dec_positions: Tensor

    def __init__(self, config: MAEASTConfig, *, seed: int = 0):
        super().__init__()
        self.config = config
        self.batch_norm = nn.BatchNorm2d(1, eps=EPS, affine=False)
        self.encoder_mask_emb = nn.Parameter(torch.zeros(config.width))
        self.decoder_mask_emb = nn.Parameter(torch.zeros(config.decoder_width))
        self.post_extract_proj = nn.Linear(config.patch_values, config.width)
        self.layer_norm = nn.LayerNorm(config.mel_bins)
        self.encoder = Transformer(config.width, config.depth, config.heads, style(config, config.encoder_layerdrop))
        self.post_enc_proj = (
            nn.Linear(config.width, config.decoder_width) if config.use_post_enc_proj else nn.Identity()
        )
        self.decoder = Transformer(
            config.decoder_width, config.decoder_depth, config.heads, style(config, config.decoder_layerdrop)
        )
        self.final_proj_reconstruction = nn.Linear(config.decoder_width, config.patch_values)
        self.final_proj_classification = nn.Linear(config.decoder_width, config.patch_values)
        if config.stored_positions and config.enc_sine_pos:
            self.register_buffer("enc_positions", line_table(config.width, config.max_token_length))
        if config.stored_positions and config.dec_sine_pos:
            self.register_buffer("dec_positions", line_table(config.decoder_width, config.max_token_length))
        self.initialise(seed)

    def initialise(self, seed: int) -> None:
        """Random weights (specification mae_ast 4.4), keyed by ``seed`` and the parameters' names."""
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
        """A copy that normalises with other statistics, its own running ones put aside; the weights are shared."""
        twin = super().with_stats(mean, std)
        neutral = nn.BatchNorm2d(1, eps=EPS, affine=False).to(self.norm_stats.device).train(self.training)
        assert neutral.running_var is not None
        neutral.running_var.fill_(1 - EPS)
        twin._modules = {**self._modules, "batch_norm": neutral}
        return twin

    def normalise(self, values: Tensor) -> Tensor:
        """(B, F, T) by the running statistics, in training by the batch's own (which the running ones follow); halved."""
        values = super().normalise(values).to(self.post_extract_proj.weight.dtype)  # of a network in half precision
        return self.batch_norm(values[:, None])[:, 0] * HALF

    def cut(self, values: Tensor) -> Tensor:
        """Normalised (B, F, T) -> tokens (B, N, P): inside a token time row by time row, mel bin fastest."""
        (height, width), (b, bins, frames) = self.config.patch, values.shape
        steps = frames // width
        grid = values[:, :, : steps * width].reshape(b, bins // height, height, steps, width)
        return grid.permute(0, 3, 1, 4, 2).reshape(b, -1, height * width)

    def uncut(self, tokens: Tensor) -> Tensor:
        """Tokens (B, N, P) -> (B, F, T), the inverse of ``cut``."""
        (height, width), b = self.config.patch, len(tokens)
        grid = tokens.reshape(b, -1, self.config.rows, width, height)
        return grid.permute(0, 2, 4, 1, 3).reshape(b, self.config.mel_bins, -1)

    def key_mask(self, steps: Tensor, total: int) -> Tensor | None:
        """(B,) valid time steps of ``total`` -> (B, N) True where a token is real; None when all are."""
        if bool((steps >= total).all()):
            return None
        valid = torch.arange(total, device=steps.device) < steps[:, None]
        return valid.repeat_interleave(self.config.rows, dim=1)

    def positions(self, which: str, count: int) -> Tensor | None:
        """(count, D): the first rows of the table "enc" or "dec"; None where there are no positions."""
        config = self.config
        if not (config.enc_sine_pos if which == "enc" else config.dec_sine_pos):
            return None
        if count > config.max_token_length:
            raise AuricleError(f"{count} tokens are more than the {config.max_token_length} of the position table")
        if config.stored_positions:
            return getattr(self, f"{which}_positions")[:count]
        table = line_rows(config.width if which == "enc" else config.decoder_width, count, self.norm_stats.device)
        return table.to(self.post_extract_proj.weight.dtype)

    def placed(self, x: Tensor, which: str, key_mask: Tensor | None = None) -> Tensor:
        """x (B, N, D) plus positions; those of padded tokens are zero (specification mae_ast 4.1)."""
        table = self.positions(which, x.shape[1])
        if table is None:
            return x
        return x + (table if key_mask is None else table * key_mask[..., None])

    def placed_at(self, x: Tensor, which: str, ids: Tensor, count: int, keys: Tensor | None) -> Tensor:
        """x (B, K, D) plus the positions of the tokens ``ids`` (B, K) of ``count``; keys (B, K) is False for padding."""
        table = self.positions(which, count)
        if table is None:
            return x
        return x + (table[ids] if keys is None else table[ids] * keys[..., None])

    # ------------------------------------------------------------------------------------------------------- pre-training
    def see(self, tokens: Tensor, visible: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """The encoder on the visible tokens alone: tokens (B, N, P), visible (B, R) their indices -> (B, R, D).

        ``key_mask`` (B, N) is True where a token is real. Input dropout acts here and nowhere else.
        """
        bias = self.post_extract_proj.bias + 0.0 * self.encoder_mask_emb  # a gradient of exactly zero, as published
        x = functional.linear(take(tokens, visible), self.post_extract_proj.weight, bias)
        x = dropped(x, self.config.dropout_input, self.training)
        keys = None if key_mask is None else key_mask.gather(1, visible)
        return self.encoder(self.placed_at(x, "enc", visible, tokens.shape[1], keys), keys)

    def decode(self, seen: Tensor, mask: Mask, key_mask: Tensor | None = None) -> Tensor:
        """The decoder on all tokens: seen (B, R, D) in the mask's order -> (B, N, D') in token order."""
        seen = self.post_enc_proj(seen)
        hidden = self.decoder_mask_emb.to(seen.dtype).expand(len(seen), mask.hidden.shape[1], -1)
        whole = take(torch.cat([seen, hidden], dim=1), mask.ids_restore)
        return self.decoder(self.placed(whole, "dec", key_mask), key_mask)

    def masked(self, tokens: Tensor, mask: Mask, key_mask: Tensor | None = None) -> Tensor:
        """Tokens (B, N, P) -> (B, M, D') of the decoder for the masked ones, in the mask's order.

        As ``decode``, but the decoder runs in the mask's order, the visible tokens first, and ends with the masked ones
        alone: what a token says does not depend on where it stands once its position is added.
        """
        seen = self.post_enc_proj(self.see(tokens, mask.visible, key_mask))
        hidden = self.decoder_mask_emb.to(seen.dtype).expand(len(seen), mask.hidden.shape[1], -1)
        keys = None if key_mask is None else key_mask.gather(1, mask.ids_shuffle)
        whole = self.placed_at(torch.cat([seen, hidden], dim=1), "dec", mask.ids_shuffle, tokens.shape[1], keys)
        return self.decoder.tail(whole, hidden.shape[1], keys)

    def predict(self, tokens: Tensor, mask: Mask, key_mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (B, N, P) -> reconstruction and classification (B, M, P) of the masked ones, in the mask's order."""
        decoded = self.masked(tokens, mask, key_mask)
        return self.final_proj_reconstruction(decoded), self.final_proj_classification(decoded)


def style(config: MAEASTConfig, layerdrop: float) -> BlockStyle:
    return BlockStyle(
        hidden=config.ffn_width,
        post_norm=not config.layer_norm_first,
        eps=EPS,
        dropout=config.dropout,
        attention_dropout=config.attention_dropout,
        activation_dropout=config.activation_dropout,
        layerdrop=layerdrop,
    )
