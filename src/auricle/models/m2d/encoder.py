"""The M2D encoder: log-mel patches, a ViT, frames of stacked frequency patches.

Source: [m2d 2](docs/specification/m2d.md#s2) and [6.3](docs/specification/m2d.md#s6-3).

Clips may have any length. The spectrogram is normalised, then cut into chunks of the training length U. Each chunk is encoded
on its own, positions restarting at column 0. The last chunk is completed with zeros to whole patches; if that would exceed U,
the excess column is lost, as is the remainder U mod pw of every full chunk. Frame t of chunk i is centred on
(i U + pw t + (pw - 1) / 2) hop seconds. Waveforms shorter than 201 samples (16 kHz; 401 at 32 kHz) are zero-padded up to that.
``with_duration`` returns an encoder for inputs of a limited length in one chunk ([m2d 6.5](docs/specification/m2d.md#s6-5)).

With a published head (fine-tuned files) there are logits of the clip and of every frame; ``clip`` is what that head reads: the
mean of the stacked frames, or of the patch tokens.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import FrontEnd, front_end
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN
from auricle.models.info import EncoderInfo
from auricle.models.inputs import Padding, check_ids_keep, mean_over_time
from auricle.models.label_space import LabelKind, LabelSpace
from auricle.models.layers.init import keyed, transformer_rule
from auricle.models.layers.transformer import PatchEmbed, Transformer, grid_table, resized, take
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig, parse_size
from auricle.models.m2d.head import M2DHead, TrainingMask, head_in_features, head_rule, mean_of_rows
from auricle.models.outputs import CoreOutput, EncoderOutput, LayerOutput, Spectrogram

DEFAULT_STATS = (
    -7.1,
    4.2,
)  # [m2d 2.6](docs/specification/m2d.md#s2-6): what files of 2022-23 without statistics were made with
TOKENS_PER_PASS = 8192  # chunks encoded at once: bounds the memory of long recordings


class M2DEncoder(Encoder):
    """ViT over log-mel patches. ``info.frame_dim`` is F * D: the F patches of a time step side by side.

    ``training_mask`` hides patches in training mode (fine-tuning, [m2d 3.2](docs/specification/m2d.md#s3-2)); None: nothing is
    hidden.
    """

    pos_embed: Tensor
    head: M2DHead | None
    training_mask: TrainingMask | None = None

    def __init__(
        self,
        config: ViTConfig,
        *,
        stats: Sequence[float] = DEFAULT_STATS,
        seed: int | None = 0,
        name: str = "m2d",
        head: M2DHeadConfig | None = None,
        one_piece: bool = False,
        front_end: str | None = None,
    ):
        super().__init__()
        self.config, self.one_piece, self.front_end_id = config, one_piece, front_end or config.front_end
        self.patch_embed = PatchEmbed(config.embed_dim, parse_size(config.patch_size))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.embed_dim))
        self.register_buffer("pos_embed", grid_table(config.embed_dim, config.grid))
        self.transformer = Transformer(config.embed_dim, config.depth, config.attention_heads)
        self.norm_stats = torch.tensor([float(value) for value in stats])
        keyed(self, seed, transformer_rule)
        self.register_module("head", self._new_head(head, seed))
        self.info = self._info(name)

    def _new_head(self, config: M2DHeadConfig | None, seed: int | None) -> M2DHead | None:
        if config is None:
            return None
        head = M2DHead(head_in_features(config, self.config.grid[0], self.config.embed_dim), config)
        keyed(head.linear, seed, head_rule, prefix="head")
        return head

    def _info(self, name: str) -> EncoderInfo:
        config, (rows, _) = self.config, self.config.grid
        front = self._checked(self.front_end_id)
        return EncoderInfo(
            name=name,
            family="m2d",
            head_names=() if self.head is None else (MAIN,),
            label_spaces=() if self.head is None else (None,),
            front_end=front.id,
            sample_rate=config.sample_rate,
            hop_seconds=front.hop_seconds * self.patch_embed.patch[1],
            frame_dim=rows * config.embed_dim,
            clip_dim=rows * config.embed_dim if self.head is None else self.head.linear.in_features,
            token_dim=config.embed_dim,
            min_samples=front.min_samples,
            chunk_frames=parse_size(config.input_size)[1],
            depth=config.depth,
        )

    def _architecture(self) -> dict[str, Any]:
        head = {} if self.head is None else {"head": asdict(self.head.config)}
        own = {} if self.front_end_id == self.config.front_end else {"front_end": self.front_end_id}
        piece = {"one_piece": True} if self.one_piece else {}
        return {"family": "m2d", "config": asdict(self.config)} | head | piece | own

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        blocks = [(f"block{i}", (f"transformer.blocks.{i}.",)) for i in range(self.config.depth)]
        return [
            ("patch_embed", ("patch_embed.", "cls_token")),
            *blocks,
            ("norm", ("transformer.norm.",)),
            ("head", ("head.", "heads.")),
        ]

    @property
    def chunked(self) -> bool:
        return not self.one_piece

    # ------------------------------------------------------------------------------------------------------------ variants
    def with_classes(
        self,
        num_classes: int,
        *,
        pools: Literal["tokens", "frames"] | None = None,
        classes: Sequence[tuple[str, str]] | None = None,
        label_type: LabelKind = "multilabel",
        seed: int = 0,
    ) -> M2DEncoder:
        """Return a copy with a new head of the published form; all other weights are shared, not copied.

        Args:
            num_classes: the number of logits.
            pools: what the head reads the mean of: patch "tokens" (D wide) or stacked "frames" (F * D); None: as the
                present head does; without one, tokens where patches are hidden in training, else frames.
            classes: (id, name) in the order of the logits, if they are known.
            label_type: whether the classes exclude each other ("multiclass") or not.
            seed: of the new weights.
        """
        fresh: Literal["tokens", "frames"] = "frames" if self.training_mask is None else "tokens"
        present = fresh if self.head is None else self.head.config.pools
        head = self._new_head(M2DHeadConfig(num_classes, pools or present), seed)
        assert head is not None
        twin = self.without_head()
        twin._modules["head"] = head.train(self.training).to(self.norm_stats.device)
        space = LabelSpace.unnamed(num_classes, label_type) if classes is None else LabelSpace.of(classes, label_type)
        twin.update_info(clip_dim=head.linear.in_features, head_names=(MAIN,), label_spaces=(space,))
        return twin

    def with_duration(self, frames: int) -> M2DEncoder:
        """Return a copy for inputs of up to ``frames`` spectrogram frames, encoded in one chunk; all weights are shared.

        Positions are resized for a wider grid and cut for a narrower one; incomplete columns are dropped; longer inputs
        are refused ([m2d 6.5](docs/specification/m2d.md#s6-5), ``dur_frames``).
        """
        twin = copy.copy(self)
        twin._buffers, twin._modules = dict(self._buffers), dict(self._modules)
        bands, _ = parse_size(self.config.input_size)
        twin.config, twin.one_piece = replace(self.config, input_size=f"{bands}x{frames}"), True
        twin._buffers["pos_embed"] = resized(self.pos_embed, self.config.grid, twin.config.grid)
        twin.update_info(chunk_frames=frames)
        return twin

    def with_front_end(self, id: str) -> M2DEncoder:
        twin = copy.copy(self)
        twin._buffers, twin._modules = dict(self._buffers), dict(self._modules)
        front = self._checked(id)
        twin.front_end_id = front.id
        twin.update_info(front_end=front.id, min_samples=front.min_samples)
        return twin

    def _checked(self, id: str) -> FrontEnd:
        """The front end of an id. Raises AuricleError unless its frames and bands are those of the patches."""
        front, own = front_end(id), front_end(self.config.front_end)
        sizes = [(each.sample_rate, each.hop_length, each.n_mels) for each in (front, own)]
        if sizes[0] != sizes[1]:
            found, expected = (f"{rate} Hz, a hop of {hop} samples and {bands} bands" for rate, hop, bands in sizes)
            raise AuricleError(f"the front end '{id}' has {found}; this network takes {expected}")
        return front

    def _native_classes(self) -> int | None:
        return None if self.head is None else self.head.config.num_classes

    def _drop_native_head(self) -> None:
        self._modules["head"] = None
        self.update_info(clip_dim=self.info.frame_dim)

    def augment_in_training(
        self, *, mel_edges: tuple[int, int] = (1, 1), mask_ratio: float = 0.0, published_mask: bool = False
    ) -> None:
        self.training_mask = TrainingMask(mask_ratio, published_mask) if mask_ratio else None

    def training_passes(self, lengths: Tensor, frames: int) -> int:
        return 1 if self.training_mask is None else len(self._chunk_columns(frames))

    def freeze_embed(self) -> None:
        """Keep the patch embedding as it is in training ([m2d 6.4](docs/specification/m2d.md#s6-4))."""
        self.patch_embed.requires_grad_(False)

    # ---- training and export
    def embed(self, patches: Tensor, ids: Tensor | None = None, columns: int | None = None) -> Tensor:
        """Patches (B, N, ph*pw) -> tokens (B, N, D) with positions, class token in front (B, 1 + N, D).

        ``ids`` (B, N) holds the cells of the patches in a grid with ``columns`` columns; without it all cells are taken.
        """
        table = self.positions(columns) if ids is None else self.positions(columns)[0][ids]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1)
        return torch.cat([cls, self.patch_embed(patches) + table], dim=1)

    def positions(self, columns: int | None) -> Tensor:
        """(1, F * columns, D): the table cut to its first columns ([m2d 2.4](docs/specification/m2d.md#s2-4))."""
        rows, full = self.config.grid
        if columns is None or columns == full:
            return self.pos_embed[:, 1:]
        return self.pos_embed[:, 1:].view(1, rows, full, -1)[:, :, :columns].reshape(1, rows * columns, -1)

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        total, chunk, patch = values.shape[2], int(self.info.chunk_frames or 0), self.patch_embed.patch[1]
        if self.one_piece and total > chunk:
            raise AuricleError(f"{self.info.name} encodes up to {chunk} frames in one chunk, not {total}")
        values, masked = self.normalise(values), lengths is not None
        if lengths is None:
            lengths = torch.full((values.shape[0],), total, device=values.device)
        else:
            values = values * (torch.arange(total, device=values.device) < lengths[:, None, None])
        grids: list[list[Tensor]] = [[] for _ in (*layers, -1)]
        for start in range(0, total, chunk):
            chunk_values = values[:, :, start : start + chunk]
            columns = self._columns_of(chunk_values.shape[2])
            chunk_values = nn.functional.pad(chunk_values, (0, max(0, columns * patch - chunk_values.shape[2])))[
                :, :, : columns * patch
            ]
            own = self.frame_lengths((lengths - start).clamp(min=0, max=chunk))
            valid = torch.arange(columns, device=values.device) < own[:, None]
            mask = valid.repeat(1, self.config.grid[0]) if masked else None
            for grid, tokens in zip(grids, self._blocks(chunk_values, (*layers, self.config.depth - 1), mask)):
                stacked = tokens.float().unflatten(1, (-1, columns)).transpose(1, 2).flatten(2)
                grid.append(stacked * valid[..., None])
        *inner, frames = [torch.cat(grid, dim=1) for grid in grids]
        clip, logits, _ = self._read(frames, self.frame_lengths(lengths))
        return CoreOutput(frames, clip, logits), tuple(inner)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        chunk, patch, full = int(self.info.chunk_frames or 0), self.patch_embed.patch[1], self.config.grid[1]
        if self.one_piece:
            return lengths.div(patch, rounding_mode="floor").clamp(min=1, max=full)
        rest = (lengths % chunk + patch - 1).div(patch, rounding_mode="floor").clamp(max=full)
        return lengths.div(chunk, rounding_mode="floor") * full + rest

    @property
    def most_graph_frames(self) -> int | None:
        """The number of patch columns is a part of the graph."""
        return 0

    def _columns_of(self, frames: int) -> int:
        """Patch columns of a chunk of so many frames."""
        patch, full = self.patch_embed.patch[1], self.config.grid[1]
        return min(max(1, frames // patch) if self.one_piece else -(-frames // patch), full)

    def _blocks(self, values: Tensor, wanted: Sequence[int], key_mask: Tensor | None) -> list[Tensor]:
        tokens = self.embed(self.patch_embed.cut(values), columns=values.shape[2] // self.patch_embed.patch[1])
        if key_mask is not None:
            key_mask = nn.functional.pad(key_mask, (1, 0), value=True)  # the class token is always seen
        return [layer[:, 1:] for layer in self.transformer.layers(tokens, wanted, key_mask)]

    # ------------------------------------------------------------------------------------------------------------- encode
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
            raise AuricleError(
                f"{self.info.name} has no taps, and no layers of a part of the tokens; ask for layers alone"
            )
        values = spec.values if spec.normalised else self.normalise(spec.values)
        lengths = spec.lengths if padding == "exact" else torch.full_like(spec.lengths, values.shape[2])
        self._check_length(lengths)
        if ids_keep is None and self.training and self.training_mask is not None:
            ids_keep = self._drawn_tokens(self.training_mask, values.shape[2], key).to(values.device)
        if ids_keep is not None:
            return self._encode_visible(values, lengths, ids_keep)
        grids, columns, starts = self._encode_chunks(values, lengths, (*layers, self.config.depth - 1))
        times = self.frame_times(grids[-1].shape[1])
        framed = [LayerOutput(grid.flatten(2), times, columns) for grid in grids]
        frames = framed[-1].frames
        tokens = torch.cat([g.transpose(1, 2).flatten(1, 2) for g in grids[-1].tensor_split(starts[1:], dim=1)], dim=1)
        clip, logits, frame_logits = self._read(frames, columns)
        return EncoderOutput(frames, times, columns, clip, logits, frame_logits, tokens, tuple(framed[:-1]))

    def _check_length(self, lengths: Tensor) -> None:
        longest = int(lengths.max())
        if self.one_piece and longest > int(self.info.chunk_frames or 0):
            raise AuricleError(
                f"{self.info.name} encodes up to {self.info.chunk_frames} frames in one chunk, the input has "
                f"{longest}; cut it, or choose a longer with_duration"
            )

    def _read(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Stacked frames (B, T, F * D) -> clip (B, D'), logits (B, C) and frame logits (B, T, C) if there is a head."""
        clip = mean_over_time(frames, lengths)
        if self.head is None:
            return clip, None, None
        if self.head.config.pools == "tokens":
            frames, clip = (mean_of_rows(x, self.config.grid[0]) for x in (frames, clip))
        return clip, self.head(clip), self.head.per_frame(frames)

    def _chunk_columns(self, frames: int) -> list[int]:
        """Patch columns of each chunk of a spectrogram."""
        chunk, patch = int(self.info.chunk_frames or 0), self.patch_embed.patch[1]
        return [columns for *_, columns in Chunks([frames], chunk, patch, whole=self.one_piece).pieces]

    def _drawn_tokens(self, mask: TrainingMask, frames: int, key: BatchKey | None) -> Tensor:
        """(B, K) the tokens that a training mask leaves: each chunk has a mask of its own."""
        rows, first, visible = self.config.grid[0], 0, []
        for chunk, columns in enumerate(self._chunk_columns(frames)):
            visible.append(mask.draw(key, (rows, columns), chunk).visible + first)
            first += rows * columns
        return torch.cat(visible, dim=1)

    def _encode_visible(self, values: Tensor, lengths: Tensor, ids_keep: Tensor) -> EncoderOutput:
        """Only the tokens ``ids_keep`` (B, K) of ``EncoderOutput.tokens``; clip is the mean visible token."""
        chunk, patch, rows = int(self.info.chunk_frames or 0), self.patch_embed.patch[1], self.config.grid[0]
        parts = self._chunk_columns(values.shape[2])
        ids_keep = check_ids_keep(ids_keep, len(values), sum(parts) * rows)
        values = values * (torch.arange(values.shape[2], device=values.device) < lengths[:, None, None])
        encoded, first = [], 0
        for i, columns in enumerate(parts):
            ids = ids_of_part(ids_keep, first, first + rows * columns)
            first += rows * columns
            own = values[:, :, i * chunk : (i + 1) * chunk]
            own = nn.functional.pad(own, (0, max(0, columns * patch - own.shape[2])))[:, :, : columns * patch]
            if ids.shape[1]:
                patches = take(self.patch_embed.cut(own), ids)
                encoded.append(self.transformer(self.embed(patches, ids=ids, columns=columns))[:, 1:].float())
        tokens = torch.cat(encoded, dim=1)
        clip = tokens.mean(dim=1)
        count = torch.full((len(ids_keep),), ids_keep.shape[1], device=ids_keep.device)
        none = torch.zeros(0, device=ids_keep.device)
        return EncoderOutput(None, none, count, clip, self._logits_of_tokens(clip), tokens=tokens)

    def _logits_of_tokens(self, clip: Tensor) -> Tensor | None:
        if self.head is None:
            return None
        if self.head.config.pools != "tokens":
            raise AuricleError(
                f"the head of {self.info.name} reads whole frames, of which a part of the tokens has none"
            )
        return self.head(clip)

    def _encode_chunks(
        self, values: Tensor, lengths: Tensor, wanted: Sequence[int]
    ) -> tuple[list[Tensor], Tensor, list[int]]:
        """-> one grid (B, T, F, D) per block wanted, columns (B,) valid ones, first column of each chunk."""
        chunk, patch = int(self.info.chunk_frames or 0), self.patch_embed.patch[1]
        pieces = Chunks(lengths.tolist(), chunk, patch, whole=self.one_piece)
        rows, width = self.config.grid[0], self.config.embed_dim
        shape = (len(values), pieces.total, rows, width)
        grids = [values.new_zeros(shape) for _ in wanted]
        together = self.training and self.one_pass
        bound = len(pieces.pieces) if together else max(1, TOKENS_PER_PASS // (rows * pieces.full))
        for group in pieces.passes(bound):
            batch, mask = pieces.gather(values, group, rows)
            for grid, layer in zip(grids, self._blocks(batch, wanted, mask)):
                pieces.scatter(grid, layer.float(), group)
        columns = torch.tensor(pieces.columns, device=values.device)
        return grids, columns, pieces.starts

    def frame_times(self, count: int) -> Tensor:
        """Return (count,) seconds: (i U + pw t + (pw - 1) / 2) hop for column t of chunk i."""
        step, full = self.patch_embed.patch[1], self.config.grid[1]
        index = torch.arange(count, device=self.norm_stats.device)
        start = (index // full) * int(self.info.chunk_frames) + (index % full) * step  # type: ignore[arg-type]
        return (start + (step - 1) / 2) * (self.info.hop_seconds / step)


def ids_of_part(ids: Tensor, first: int, stop: int) -> Tensor:
    """Return the ids (B, K) from ``first`` up to ``stop``, less ``first``, in their order: (B, k).

    Raises:
        AuricleError: the clips have different numbers of them.
    """
    inside = (ids >= first) & (ids < stop)
    counts = inside.sum(1)
    if bool((counts != counts[0]).any()):
        raise AuricleError(
            f"of a chunk, as many tokens are encoded of every clip; ids_keep has {int(counts.min())} to {int(counts.max())}"
        )
    return ids[inside].view(len(ids), -1) - first


Piece = tuple[int, int, int]  # clip, chunk, patch columns


class Chunks:
    """Which patch columns each chunk of each clip gives ([m2d 6.3](docs/specification/m2d.md#s6-3)).

    The last chunk of a clip is completed to whole patches; with ``whole`` patches only, its incomplete column is dropped
    instead, unless it is the only one.
    """

    def __init__(self, lengths: list[int], chunk: int, patch: int, *, whole: bool = False):
        self.chunk, self.patch, self.full = chunk, patch, chunk // patch
        self.lengths, self.whole = lengths, whole
        self.pieces: list[Piece] = [
            (clip, i, self._columns(min(n - i * chunk, chunk)))
            for clip, n in enumerate(lengths)
            for i in range(-(-n // chunk))
        ]
        self.columns = [sum(c for b, _, c in self.pieces if b == clip) for clip in range(len(lengths))]
        self.total = max(self.columns)
        self.starts = list(range(0, self.total, self.full))

    def _columns(self, frames: int) -> int:
        columns = max(1, frames // self.patch) if self.whole else -(-frames // self.patch)
        return min(columns, self.full)

    def passes(self, at_most: int) -> list[list[Piece]]:
        """Groups of pieces to encode together, longest first, so that full chunks share a pass without a mask."""
        ordered = sorted(self.pieces, key=lambda piece: -piece[2])
        return [ordered[i : i + at_most] for i in range(0, len(ordered), at_most)]

    def gather(self, values: Tensor, group: list[Piece], rows: int) -> tuple[Tensor, Tensor | None]:
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

    def scatter(self, grid: Tensor, tokens: Tensor, group: list[Piece]) -> None:
        """Tokens (pieces, F * columns, D) in f * T + t order -> their place in grid (B, T, F, D)."""
        stacked = tokens.unflatten(1, (grid.shape[2], -1)).transpose(1, 2)
        for row, (clip, i, columns) in enumerate(group):
            grid[clip, i * self.full : i * self.full + columns] = stacked[row, :columns]
