"""From the settings of a MAE-AST run to the mask of a batch."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.draws import BatchDraws
from auricle.errors import AuricleError
from auricle.models.masks import Mask
from auricle.models.masks_mae_ast import chunk_mask, random_mask, same_for_all, ssast_frame_mask, ssast_patch_mask
from auricle.models.masks_spans import Spans, span_mask
from auricle.objectives.config_mae_ast import SPANS, MAEASTObjectiveConfig


def draw_mask(
    config: MAEASTObjectiveConfig,
    grid: tuple[int, int],
    draws: BatchDraws,
    sizes: Sequence[int] | None = None,
    purpose: str = "mask",
) -> Mask:
    """The mask of a batch on a grid of (channels, time steps); ``sizes`` (B,) are the real tokens of clips with padding.

    random_mask, SSAST's masks and chunks with ``chunk_per_clip`` are drawn per clip and depend on nothing else.
    random_mask_batched and chunk_mask share one mask, keyed by the batch's first clip, and spans are cut to the smallest
    union of the batch: these depend on how the batch was cut, as published. Raises AuricleError where nothing can be hidden.
    """
    tokens, clips = grid[0] * grid[1], len(draws.positions)
    if config.mask_type in SPANS:
        sources = draws.each(purpose)
        sizes = [tokens] * clips if sizes is None else sizes
        mask = span_mask(sizes, tokens, spans_of(config), sources, retain=config.mask_type == "retain_spans")
    elif config.mask_type == "random_mask":
        mask = random_mask(tokens, config.random_mask_prob, draws.each(purpose), sizes)
    else:
        mask = _on_grid(config, grid, draws, purpose)
    if mask.len_keep == tokens:
        raise AuricleError(
            f"a clip of {tokens} tokens cannot be masked at {config.random_mask_prob:g}; use longer clips"
        )
    return mask


def _on_grid(config: MAEASTObjectiveConfig, grid: tuple[int, int], draws: BatchDraws, purpose: str) -> Mask:
    prob, (channels, steps) = config.random_mask_prob, grid
    if config.mask_type == "ssast_patch":
        return ssast_patch_mask(grid, prob, draws.each(purpose))
    if config.mask_type == "ssast_frame":
        return ssast_frame_mask(grid, prob, draws.each(purpose))
    if config.mask_type == "chunk_mask" and config.chunk_per_clip:
        return chunk_mask(channels * steps, prob, channels, draws.each(purpose))
    shared = [draws.shared(purpose)]
    if config.mask_type == "chunk_mask":
        return same_for_all(chunk_mask(channels * steps, prob, channels, shared), len(draws.positions))
    return same_for_all(random_mask(channels * steps, prob, shared), len(draws.positions))


def spans_of(config: MAEASTObjectiveConfig) -> Spans:
    return Spans(
        config.random_mask_prob,
        config.mask_length,
        config.mask_selection,
        config.mask_other,
        not config.separate_spans,
        config.mask_min_space,
    )
