"""Draw the mask of a batch as the settings of MAE-AST ask.

Source: [mae_ast 6](docs/specification/mae_ast.md#s6), [12](docs/specification/mae_ast.md#s12).
"""

from __future__ import annotations

from collections.abc import Sequence

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.methods.mae_ast.config import SPANS, MAEASTObjectiveConfig
from auricle.models.masking.mae_ast import (
    Spans,
    chunk_mask,
    random_mask,
    same_for_all,
    span_mask,
    ssast_frame_mask,
    ssast_patch_mask,
)
from auricle.models.masking.patches import Mask


def draw_mask(
    config: MAEASTObjectiveConfig,
    grid: tuple[int, int],
    key: BatchKey,
    sizes: Sequence[int] | None = None,
    purpose: str = "mask",
) -> Mask:
    """Draw the mask of a batch.

    random_mask, SSAST's masks and chunks with ``chunk_per_clip`` are drawn per clip and depend on nothing else.
    random_mask_batched and chunk_mask share one mask, keyed by the batch's first clip, and spans are cut to the smallest
    union of the batch: these depend on how the batch was cut, as published.

    Args:
        grid: channels and time steps of the tokens.
        sizes: (B,) real tokens of clips with padding; None: all tokens are real.
        purpose: name of the draw; other names give other masks.

    Raises:
        AuricleError: if nothing can be hidden.
    """
    tokens, clips = grid[0] * grid[1], len(key.positions)
    if config.mask_type in SPANS:
        sources = key.each(purpose)
        sizes = [tokens] * clips if sizes is None else sizes
        mask = span_mask(sizes, tokens, _spans(config), sources, retain=config.mask_type == "retain_spans")
    elif config.mask_type == "random_mask":
        mask = random_mask(tokens, config.random_mask_prob, key.each(purpose), sizes)
    else:
        mask = _grid_mask(config, grid, key, purpose)
    if mask.len_keep == tokens:
        raise AuricleError(
            f"a clip of {tokens} tokens cannot be masked at {config.random_mask_prob:g}; use longer clips"
        )
    return mask


def _grid_mask(config: MAEASTObjectiveConfig, grid: tuple[int, int], key: BatchKey, purpose: str) -> Mask:
    prob, (channels, steps) = config.random_mask_prob, grid
    if config.mask_type == "ssast_patch":
        return ssast_patch_mask(grid, prob, key.each(purpose))
    if config.mask_type == "ssast_frame":
        return ssast_frame_mask(grid, prob, key.each(purpose))
    if config.mask_type == "chunk_mask" and config.chunk_per_clip:
        return chunk_mask(channels * steps, prob, channels, key.each(purpose))
    shared = [key.shared(purpose)]
    if config.mask_type == "chunk_mask":
        return same_for_all(chunk_mask(channels * steps, prob, channels, shared), len(key.positions))
    return same_for_all(random_mask(channels * steps, prob, shared), len(key.positions))


def _spans(config: MAEASTObjectiveConfig) -> Spans:
    return Spans(
        config.random_mask_prob,
        config.mask_length,
        config.mask_selection,
        config.mask_other,
        not config.separate_spans,
        config.mask_min_space,
    )
