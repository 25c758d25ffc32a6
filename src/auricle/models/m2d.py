"""The M2D encoder: log-mel patches, a ViT, frames of stacked frequency patches (specification m2d 2 and 6.3).

Lengths: any. The spectrogram is normalised, then cut into chunks of the training length U; each chunk is encoded on its own,
positions restarting at column 0. The last chunk is completed with zeros to whole patches; if that would exceed U, the excess
column is lost, as is the remainder U mod pw of every full chunk. Frame t of chunk i is centred on
(i U + pw t + (pw - 1) / 2) hop seconds. Waves shorter than 201 samples (16 kHz; 401 at 32 kHz) are zero-padded up to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import Tensor, nn

from auricle.draws import BatchDraws
from auricle.errors import AuricleError
from auricle.models.config import FRONT_ENDS, ViTConfig, parse_size
from auricle.models.contract import (
    Encoded,
    Encoder,
    EncoderInfo,
    Layer,
    LayerChoice,
    Padding,
    Spec,
    chosen_layers,
    mean_over_time,
)
from auricle.models.init import keyed, transformer_rule
from auricle.models.positions import grid_table
from auricle.models.vit import PatchEmbed, Transformer, take
from auricle.signal.front_ends import front_end

DEFAULT_STATS = (-7.1, 4.2)  # specification m2d 2.6: what files of 2022-23 without statistics were made with
TOKENS_PER_PASS = 8192  # chunks encoded at once: bounds the memory of long recordings


class M2DEncoder(Encoder):
    """ViT over log-mel patches. ``info.frame_width`` is F * D: the F patches of a time step side by side."""

    pos_embed: Tensor

    def __init__(self, config: ViTConfig, *, stats: Sequence[float] = DEFAULT_STATS, seed: int = 0, name: str = "m2d"):
        super().__init__()
        self.config = config
        self.patch_embed = PatchEmbed(config.width, parse_size(config.patch_size))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.width))
        self.register_buffer("pos_embed", grid_table(config.width, config.grid))
        self.transformer = Transformer(config.width, config.depth, config.num_heads)
        self.norm_stats = torch.tensor([float(value) for value in stats])
        keyed(self, seed, transformer_rule)
        self.info = self._info(name)

    def _info(self, name: str) -> EncoderInfo:
        config, (rows, _) = self.config, self.config.grid
        front = front_end(FRONT_ENDS[config.sample_rate])
        return EncoderInfo(
            name=name,
            family="m2d",
            front_end=front.id,
            sample_rate=config.sample_rate,
            hop_seconds=front.hop_seconds * self.patch_embed.patch[1],
            frame_width=rows * config.width,
            clip_width=rows * config.width,
            token_width=config.width,
            min_samples=front.min_samples,
            chunk_frames=parse_size(config.input_size)[1],
            depth=config.depth,
        )

    def architecture(self) -> dict:
        return {"family": "m2d", "config": asdict(self.config)}

    # ---------------------------------------------------------------------------------------- what is trained and exported
    def embed(self, patches: Tensor, ids: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Patches (B, N, ph*pw) -> tokens (B, N, D) with positions, class token in front (B, 1 + N, D).

        ``ids`` (B, N) says which grid cells the patches are; without it they are all cells of the first ``columns`` columns.
        """
        table = self.positions(columns) if ids is None else self.pos_embed[0, 1:][ids]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        return torch.cat([cls, self.patch_embed(patches) + table], dim=1)

    def positions(self, columns: int | None) -> Tensor:
        """(1, F * columns, D): the table cut to its first columns (specification m2d 2.4)."""
        rows, full = self.config.grid
        if columns is None or columns == full:
            return self.pos_embed[:, 1:]
        return self.pos_embed[:, 1:].view(1, rows, full, -1)[:, :, :columns].reshape(1, rows * columns, -1)

    def core(self, values: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """Normalised (B, F, T), T at most the training length -> tokens (B, N, D) after the final norm, class dropped.

        key_mask (B, N) is True where a token is real.
        """
        return self._blocks(values, [self.config.depth - 1], key_mask)[0]

    def _blocks(self, values: Tensor, wanted: Sequence[int], key_mask: Tensor | None) -> list[Tensor]:
        tokens = self.embed(self.patch_embed.cut(values), columns=values.shape[2] // self.patch_embed.patch[1])
        if key_mask is not None:
            key_mask = nn.functional.pad(key_mask, (1, 0), value=True)  # the class token is always seen
        return [layer[:, 1:] for layer in self.transformer.layers(tokens, wanted, key_mask)]

    # ------------------------------------------------------------------------------------------------------------- encode
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
        if spec.front_end != self.info.front_end:
            raise AuricleError(
                f"{self.info.name} expects '{self.info.front_end}', the spectrogram is '{spec.front_end}'"
            )
        if taps:
            raise AuricleError(f"{self.info.name} has no taps; ask for layers instead")
        values = spec.values if spec.normalised else self.normalise(spec.values)
        if keep is not None:
            return self._encode_visible(values, keep)
        lengths = spec.lengths if padding == "exact" else torch.full_like(spec.lengths, values.shape[2])
        asked = chosen_layers(layers, self.config.depth)
        grids, columns, starts = self._encode_chunks(values, lengths, (*asked, self.config.depth - 1))
        times = self._times(grids[-1].shape[1])
        framed = [Layer(grid.flatten(2), times, columns) for grid in grids]
        frames = framed[-1].frames
        tokens = torch.cat([g.transpose(1, 2).flatten(1, 2) for g in grids[-1].tensor_split(starts[1:], dim=1)], dim=1)
        clip = mean_over_time(frames, columns)
        return Encoded(frames, times, columns, clip, tokens=tokens, layers=tuple(framed[:-1]))

    def _encode_visible(self, values: Tensor, keep: Tensor) -> Encoded:
        """Only the tokens ``keep`` (B, K) of a single chunk, completed to whole patches; clip is the mean visible token."""
        missing = -values.shape[2] % self.patch_embed.patch[1]
        patches = take(self.patch_embed.cut(nn.functional.pad(values, (0, missing))), keep)
        tokens = self.transformer(self.embed(patches, ids=keep))[:, 1:].float()
        count = torch.full((len(keep),), keep.shape[1], device=keep.device)
        return Encoded(None, torch.zeros(0, device=keep.device), count, tokens.mean(dim=1), tokens=tokens)

    def _encode_chunks(
        self, values: Tensor, lengths: Tensor, wanted: Sequence[int]
    ) -> tuple[list[Tensor], Tensor, list[int]]:
        """-> one grid (B, T, F, D) per block wanted, columns (B,) valid ones, first column of each chunk."""
        pieces = Chunks(lengths.tolist(), int(self.info.chunk_frames), self.patch_embed.patch[1])  # type: ignore[arg-type]
        rows, width = self.config.grid[0], self.config.width
        shape = (len(values), pieces.total, rows, width)
        grids = [values.new_zeros(shape) for _ in wanted]
        for group in pieces.passes(max(1, TOKENS_PER_PASS // (rows * pieces.full))):
            batch, mask = pieces.gather(values, group, rows)
            for grid, layer in zip(grids, self._blocks(batch, wanted, mask)):
                pieces.scatter(grid, layer.float(), group)
        columns = torch.tensor(pieces.columns, device=values.device)
        return grids, columns, pieces.starts

    def _times(self, columns: int) -> Tensor:
        """(T,) seconds: (i U + pw t + (pw - 1) / 2) hop for column t of chunk i."""
        step, full = self.patch_embed.patch[1], self.config.grid[1]
        index = torch.arange(columns, device=self.norm_stats.device)
        start = (index // full) * int(self.info.chunk_frames) + (index % full) * step  # type: ignore[arg-type]
        return (start + (step - 1) / 2) * (self.info.hop_seconds / step)


class Chunks:
    """How a batch of spectrograms of different lengths is cut (specification m2d 6.3): which columns each chunk gives."""

    def __init__(self, lengths: list[int], chunk: int, patch: int):
        self.chunk, self.patch, self.full = chunk, patch, chunk // patch
        self.lengths = lengths
        self.pieces = [  # (clip, chunk, columns)
            (clip, i, min(-(-min(n - i * chunk, chunk) // patch), self.full))
            for clip, n in enumerate(lengths)
            for i in range(-(-n // chunk))
        ]
        self.columns = [sum(c for b, _, c in self.pieces if b == clip) for clip in range(len(lengths))]
        self.total = max(self.columns)
        self.starts = list(range(0, self.total, self.full))

    def passes(self, at_most: int) -> list[list[tuple[int, int, int]]]:
        """Groups of pieces to encode together, longest first, so that full chunks share a pass without a mask."""
        ordered = sorted(self.pieces, key=lambda piece: -piece[2])
        return [ordered[i : i + at_most] for i in range(0, len(ordered), at_most)]

    def gather(self, values: Tensor, group: list[tuple[int, int, int]], rows: int) -> tuple[Tensor, Tensor | None]:
        """-> (pieces, F, frames) zero past each clip's end, key mask (pieces, tokens) or None when all are equally long."""
        width = group[0][2] * self.patch
        batch = values.new_zeros(len(group), values.shape[1], width)
        for row, (clip, i, _) in enumerate(group):
            start = i * self.chunk
            stop = min(start + width, self.lengths[clip], start + self.chunk)
            batch[row, :, : stop - start] = values[clip, :, start:stop]
        columns = torch.tensor([c for *_, c in group], device=values.device)
        if (columns == columns[0]).all():
            return batch, None
        valid = torch.arange(group[0][2], device=values.device) < columns[:, None]
        return batch, valid.repeat(1, rows)

    def scatter(self, grid: Tensor, tokens: Tensor, group: list[tuple[int, int, int]]) -> None:
        """Tokens (pieces, F * columns, D) in f * T + t order -> their place in grid (B, T, F, D)."""
        stacked = tokens.unflatten(1, (grid.shape[2], -1)).transpose(1, 2)
        for row, (clip, i, columns) in enumerate(group):
            grid[clip, i * self.full : i * self.full + columns] = stacked[row, :columns]
