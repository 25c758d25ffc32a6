"""Check the inputs of an encoder, pad short waveforms, and group clips of equal length."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.outputs import EncoderOutput, LayerOutput

CHANNELS, CLIPS = 8, 256  # this many samples or fewer, of this many clips or more: a recording (samples, channels)

Padding = Literal["exact", "published"]
LayerChoice = Literal["all"] | Sequence[int] | None


def check_wave(wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Check a batch of waveforms.

    Returns:
        (B, S) float32 and (B,) int64 samples of each clip.

    Raises:
        AuricleError: for another type or shape, (samples, channels), no samples, NaN, infinite samples and impossible
            lengths.
    """
    if not isinstance(wave, Tensor):
        raise AuricleError(f"expected a tensor (B, S), got {type(wave).__name__}; torch.from_numpy(array) makes one")
    if wave.ndim != 2:
        raise AuricleError(
            f"expected a waveform (B, S), got shape {tuple(wave.shape)}; use wave[None] for a single clip"
        )
    if wave.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise AuricleError(
            f"expected float32 samples in [-1, 1], got {wave.dtype}; convert with wave.float() and scale"
        )
    if wave.shape[0] == 0 or wave.shape[1] == 0:
        raise AuricleError(f"the waveform is empty (shape {tuple(wave.shape)}); at least one sample is needed")
    if wave.shape[1] <= CHANNELS and wave.shape[0] >= CLIPS:
        raise AuricleError(
            f"shape {tuple(wave.shape)} would be {wave.shape[0]} clips of {wave.shape[1]} samples; for one recording of "
            "(samples, channels) give wave.mean(1)[None], or use auricle.embed and auricle.tag with sample_rate=…"
        )
    if not _all_finite(wave):
        raise AuricleError("the waveform holds NaN or infinite samples; repair or drop the clip")
    if lengths is None:
        lengths = torch.full((wave.shape[0],), wave.shape[1], device=wave.device)
    lengths = torch.as_tensor(lengths, device=wave.device).long()
    if lengths.shape != (wave.shape[0],) or lengths.min() < 1 or lengths.max() > wave.shape[1]:
        raise AuricleError(f"lengths must be ({wave.shape[0]},) between 1 and {wave.shape[1]}, got {lengths.tolist()}")
    return wave.float(), lengths


def check_padding(padding: str) -> None:
    """Raise AuricleError unless ``padding`` is "exact" or "published"."""
    if padding not in get_args(Padding):
        raise AuricleError(f"padding is one of {', '.join(get_args(Padding))}, not {padding!r}")


def check_ids_keep(ids_keep: Tensor, clips: int, tokens: int) -> Tensor:
    """Return ``ids_keep`` as int64. Raise AuricleError unless it is (B, K), K at least 1, of indices below ``tokens``."""
    whole = not ids_keep.is_floating_point() and ids_keep.dtype != torch.bool
    if ids_keep.ndim != 2 or len(ids_keep) != clips or ids_keep.shape[1] < 1 or not whole:
        raise AuricleError(
            f"ids_keep must be ({clips}, K) whole numbers, K at least 1, got {tuple(ids_keep.shape)} {ids_keep.dtype}"
        )
    low, high = int(ids_keep.min()), int(ids_keep.max())
    if low < 0 or high >= tokens:
        raise AuricleError(f"ids_keep names tokens {low} to {high}; there are 0 to {tokens - 1}")
    return ids_keep.long()


def chosen_layers(layers: LayerChoice, depth: int) -> tuple[int, ...]:
    """Return 0-based block indices in the requested order; negative ones count from the end.

    Raises:
        AuricleError: for an index outside the network.
    """
    if layers is None:
        return ()
    wanted = range(depth) if isinstance(layers, str) and layers == "all" else layers
    try:
        indices = [operator.index(i) for i in wanted]
    except TypeError:
        indices = [depth]  # no index at all
    if any(not -depth <= i < depth for i in indices):
        raise AuricleError(
            f"layers must be None, 'all' or block indices between {-depth} and {depth - 1}, got {layers!r}"
        )
    return tuple(i % depth for i in indices)


def zero_padded(wave: Tensor, lengths: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Pad (B, S) with zeros until every clip has ``least`` samples; what followed a short clip in its row becomes zero."""
    if not (lengths < least).any():
        return wave, lengths
    wave = wave * (torch.arange(wave.shape[1], device=wave.device) < lengths[:, None])
    return nn.functional.pad(wave, (0, max(0, least - wave.shape[1]))), lengths.clamp(min=least)


def mean_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """Average the valid frames of each clip: (B, T, D), (B,) -> (B, D)."""
    valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
    return (frames * valid[..., None]).sum(1) / lengths[:, None].to(frames.dtype)


def _all_finite(wave: Tensor) -> bool:
    """One pass in the usual case: a sum is finite only when every term is, but finite terms may overflow."""
    return bool(torch.isfinite(wave.sum(dtype=torch.float32))) or bool(torch.isfinite(wave).all())


# ---- mixed batches for networks without masks: clips of equal length are encoded together, as if each were alone

Group = tuple[Tensor, EncoderOutput]  # row numbers of the batch, and their output


def by_length(values: Tensor, lengths: Tensor, encode: Callable[[Tensor], EncoderOutput]) -> EncoderOutput:
    """``encode`` on each group of (b, F, T) with equal lengths, cut to it; (B,) lengths in frames.

    Time axes are zero-padded to the longest clip's.
    """
    sizes = sorted(set(lengths.tolist()))
    if len(sizes) == 1:
        return encode(values[..., : sizes[0]])
    rows = [(lengths == size).nonzero()[:, 0] for size in sizes]
    return joined([(row, encode(values[row, :, :size])) for row, size in zip(rows, sizes)])


def joined(groups: Sequence[Group]) -> EncoderOutput:
    """The groups' results in the batch's order; the last group is the longest and gives the times."""
    longest = groups[-1][1]

    def together(pick: Callable[[EncoderOutput], Tensor | None]) -> Tensor:
        return scattered([(rows, pick(part)) for rows, part in groups])  # type: ignore[misc]

    def optional(name: str) -> Tensor | None:
        return None if getattr(longest, name) is None else together(lambda part: getattr(part, name))

    return EncoderOutput(
        frames=optional("frames"),
        times=longest.times,
        lengths=together(lambda part: part.lengths),
        clip=together(lambda part: part.clip),
        logits=optional("logits"),
        frame_logits=optional("frame_logits"),
        tokens=optional("tokens"),
        layers=tuple(
            LayerOutput(
                together(lambda part, i=i: part.layers[i].frames),  # type: ignore[misc]
                layer.times,
                together(lambda part, i=i: part.layers[i].lengths),  # type: ignore[misc]
            )
            for i, layer in enumerate(longest.layers)
        ),
        taps={name: together(lambda part, name=name: part.taps[name]) for name in longest.taps},  # type: ignore[misc]
    )


def scattered(parts: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Rows and their tensors (b, …) -> (B, …), every other axis zero-padded to the largest."""
    shape = [max(part.shape[axis] for _, part in parts) for axis in range(1, parts[0][1].ndim)]
    whole = parts[0][1].new_zeros(sum(len(rows) for rows, _ in parts), *shape)
    for rows, part in parts:
        place: tuple[Any, ...] = (rows, *(slice(0, size) for size in part.shape[1:]))
        whole[place] = part
    return whole
