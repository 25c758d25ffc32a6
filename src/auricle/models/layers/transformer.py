"""The transformer of every family: dropout, fixed positions, one attention, one block, one stack.

M2D's is pre-norm and without dropout ([m2d 2.1](docs/specification/m2d.md#s2-1), [2.2](docs/specification/m2d.md#s2-2));
MAE-AST's is post-norm by default ([mae_ast 4.2](docs/specification/mae_ast.md#s4-2), [4.3](docs/specification/mae_ast.md#s4-3)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

# ---- fast dropout on a CPU: 16 random bits per value, where PyTorch draws a float per value in one thread

LEVELS = 2**16  # resolution of the rate: 16 bits
INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def fast_dropout(x: Tensor, rate: float, training: bool) -> Tensor:
    """Apply dropout in training; PyTorch's default generator seeds the random stream.

    On the CPU the rate is rounded to a multiple of 2^-16, and the remaining values are scaled accordingly. It takes
    about a fifth of the time of PyTorch's own, forward and backward (4 x 12 x 496 x 496 bfloat16: 17 ms, not 85).
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu" or x.dtype not in INTEGERS:
        return functional.dropout(x, rate, True)
    return _Dropout.apply(x, round(LEVELS * (1 - rate)))


class _Dropout(torch.autograd.Function):
    """Keep a value with probability ``level`` / LEVELS. The mask is an integer of the size of a value, all ones or zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, level: int) -> Tensor:
        mask = _mask(x, level)
        ctx.save_for_backward(mask)
        ctx.scale = LEVELS / level
        return _masked(x, mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _masked(grad, ctx.saved_tensors[0], ctx.scale), None


def _mask(x: Tensor, level: int) -> Tensor:
    """Return a mask of all ones where a random signed 16-bit number is below ``level`` - LEVELS / 2."""
    bound = level - LEVELS // 2
    seed = int(torch.randint(2**62, ()))
    numbers = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
    bits = torch.from_numpy(numbers.view(np.int16))[: x.numel()].view(x.shape)
    mask = bits.clamp_(bound - 1, bound).sub_(bound) if bound < LEVELS // 2 else bits.fill_(-1)
    return mask.to(INTEGERS[x.dtype])


def _masked(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    scaled = x.contiguous() * scale
    scaled.view(mask.dtype).bitwise_and_(mask)
    return scaled


# ---- fixed sine/cosine positions: M2D's grids ([m2d 2.3](docs/specification/m2d.md#s2-3)) and their resizing
# ([m2d 6.5](docs/specification/m2d.md#s6-5)), MAE-AST's lines


def sincos(embed_dim: int, positions: np.ndarray) -> np.ndarray:
    """(n,) -> (n, embed_dim) float64: all sines first, then all cosines, at frequencies 10000^(-j / (embed_dim/2))."""
    half = embed_dim // 2
    angles = np.outer(positions, 10000.0 ** (-np.arange(half, dtype=np.float64) / half))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def grid_table(embed_dim: int, grid: tuple[int, int]) -> Tensor:
    """(1, 1 + F*T, embed_dim) float32. Row 0, the class token's, is zero; token f*T + t is [e(t), e(f)]."""
    rows, columns = grid
    if torch.get_default_device().type == "meta":  # only the shape is asked for
        return torch.empty(1, 1 + rows * columns, embed_dim)
    f, t = np.repeat(np.arange(rows), columns), np.tile(np.arange(columns), rows)
    table = np.concatenate([sincos(embed_dim // 2, t), sincos(embed_dim // 2, f)], axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((1, embed_dim)), table])).float()[None]


def resized(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """A table for another grid. Wider: bicubic over (F, T); not wider: the first columns.

    Source: [m2d 6.5](docs/specification/m2d.md#s6-5).
    """
    head, body = table[:, :1], table[:, 1:].reshape(1, *old, -1)
    if new[1] > old[1] or new[0] != old[0]:
        body = functional.interpolate(body.permute(0, 3, 1, 2), size=new, mode="bicubic", align_corners=False)
        body = body.permute(0, 2, 3, 1)
    return torch.cat([head, body[:, :, : new[1]].reshape(1, new[0] * new[1], -1)], dim=1)


FEWEST_ROWS = 1024  # of a cached table; longer ones grow by doubling


def line_rows(embed_dim: int, count: int, device: torch.device) -> Tensor:
    """(count, embed_dim) float32: the first rows of MAE-AST's table, from a cached one.

    Source: [mae_ast 4.1](docs/specification/mae_ast.md#s4-1).
    """
    if torch.compiler.is_compiling():  # a cached tensor must not be a part of two graphs
        return line_table(embed_dim, count).to(device)
    return _line(embed_dim, max(FEWEST_ROWS, 1 << (count - 1).bit_length()), device)[:count]


def line_table(embed_dim: int, length: int) -> Tensor:
    """(length, embed_dim) float32: sine and cosine interleaved, column pair i at the rate exp(-2 i ln(10000) / embed_dim).

    All in float32, as the published tables are: far rows differ from exact ones by up to 3e-3.
    """
    rates = torch.exp(torch.arange(0, embed_dim, 2) * (-math.log(10000.0) / embed_dim))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _line(embed_dim: int, length: int, device: torch.device) -> Tensor:
    return line_table(embed_dim, length).to(device)


NORM_EPS = 1e-6  # [m2d 2.1](docs/specification/m2d.md#s2-1)
EXPLICIT_SCORES = 2**29  # attention scores held at once in the explicit form (1 GiB in bfloat16)


@dataclass(frozen=True)
class BlockStyle:
    """How the blocks of a family are made; the defaults are M2D's.

    hidden is the MLP's inner width (0: four times the width); post_norm normalises after each residual sum and the
    stack's input, not what enters attention and MLP and the stack's output; the rates are of dropout on both residual
    branches and the stack's input, on attention probabilities, and inside the MLP; layerdrop is the probability that a
    block is skipped in training.
    """

    hidden: int = 0
    post_norm: bool = False
    eps: float = NORM_EPS
    dropout: float = 0.0
    attention_dropout: float = 0.0
    activation_dropout: float = 0.0
    layerdrop: float = 0.0


def attend(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None, dropout: float = 0.0) -> Tensor:
    """Scaled dot-product attention over (B, heads, N, d); key_mask (B, N) is True where a key may be seen.

    ``dropout`` is the share of attention probabilities set to zero. On the CPU in bfloat16 the explicit form, on
    contiguous heads, is 2.5 to 3.3 times as fast, forward and backward, as PyTorch's fused one; in float32 the fused
    one is faster (benchmarks/attention.py), but it does not support dropout. The explicit form is left where its scores would
    fill the memory.
    """
    bias = None if key_mask is None else key_mask[:, None, None, :]
    fused = q.dtype != torch.bfloat16 and dropout == 0
    if fused or q.device.type != "cpu" or q.shape[:3].numel() * k.shape[2] > EXPLICIT_SCORES:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, dropout_p=dropout)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores.masked_fill(~bias, -torch.inf)
    return fast_dropout(scores.softmax(dim=-1), dropout, True) @ v


class Attention(nn.Module):
    """Multi-head self-attention, one fused linear for queries, keys and values: (B, N, D) -> (B, N, D).

    With ``last`` only the last so many tokens ask: -> (B, last, D), what the others would get is not computed.
    """

    def __init__(self, embed_dim: int, num_heads: int, dropout: float = 0.0):
        super().__init__()
        self.num_heads, self.dropout = num_heads, dropout
        self.qkv = nn.Linear(embed_dim, 3 * embed_dim)
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, x: Tensor, key_mask: Tensor | None = None, last: int | None = None) -> Tensor:
        if last is None:
            q, k, v = self._heads(self.qkv(x), 3)
        else:
            width, weight, bias = x.shape[2], self.qkv.weight, self.qkv.bias
            (q,) = self._heads(functional.linear(x[:, -last:], weight[:width], bias[:width]), 1)
            k, v = self._heads(functional.linear(x, weight[width:], bias[width:]), 2)
        mixed = attend(q, k, v, key_mask, self.dropout if self.training else 0.0)
        return self.proj(mixed.transpose(1, 2).flatten(2))

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts * D) -> as many (B, heads, N, d)."""
        return x.unflatten(2, (parts, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)


class Mlp(nn.Module):
    """D -> hidden, exact GELU, hidden -> D."""

    def __init__(self, embed_dim: int, hidden: int, dropout: float = 0.0):
        super().__init__()
        self.dropout = dropout
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, embed_dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(fast_dropout(functional.gelu(self.fc1(x)), self.dropout, self.training))


class Block(nn.Module):
    """Pre-norm: x + attention(norm(x)), then x + mlp(norm(x)). Post-norm: norm(x + attention(x)), norm(x + mlp(x))."""

    def __init__(self, embed_dim: int, num_heads: int, style: BlockStyle = BlockStyle()):
        super().__init__()
        self.style = style
        self.norm1 = nn.LayerNorm(embed_dim, eps=style.eps)
        self.attn = Attention(embed_dim, num_heads, style.attention_dropout)
        self.norm2 = nn.LayerNorm(embed_dim, eps=style.eps)
        self.mlp = Mlp(embed_dim, style.hidden or 4 * embed_dim, style.activation_dropout)

    def forward(self, x: Tensor, key_mask: Tensor | None = None, last: int | None = None) -> Tensor:
        """(B, N, D) -> (B, N, D), or (B, last, D): the last tokens alone, which still see all others."""
        seen = x if self.style.post_norm else self.norm1(x)
        x = (x if last is None else x[:, -last:]) + self._dropped(self.attn(seen, key_mask, last))
        if self.style.post_norm:
            x = self.norm1(x)
            return self.norm2(x + self._dropped(self.mlp(x)))
        return x + self._dropped(self.mlp(self.norm2(x)))

    def _dropped(self, x: Tensor) -> Tensor:
        return fast_dropout(x, self.style.dropout, self.training)


class Transformer(nn.Module):
    """A stack of blocks with a LayerNorm after (pre-norm) or before it (post-norm): (B, N, D) -> (B, N, D).

    With ``recompute``, activations are computed again in the backward pass, which saves memory and costs time. Layerdrop
    and dropout use PyTorch's default generator, layerdrop ``layerdrop_generator`` where it is set; ``layers`` always runs
    all blocks.
    """

    def __init__(self, embed_dim: int, depth: int, num_heads: int, style: BlockStyle = BlockStyle()):
        super().__init__()
        self.style = style
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, style) for _ in range(depth))
        self.norm = nn.LayerNorm(embed_dim, eps=style.eps)
        self.recompute = False
        self.layerdrop_generator: torch.Generator | None = None

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        x = self._input_norm(x)
        for block in self._active_blocks():
            x = self._run(block, x, key_mask)
        return self._output_norm(x)

    def tail(self, x: Tensor, last: int, key_mask: Tensor | None = None) -> Tensor:
        """Compute ``forward`` for the last tokens only: (B, N, D) -> (B, last, D). The last block skips the other tokens."""
        x = self._input_norm(x)
        blocks = self._active_blocks()
        for block in blocks[:-1]:
            x = self._run(block, x, key_mask)
        for block in blocks[-1:]:
            x = self._run(block, x, key_mask, last)
        return self._output_norm(x[:, -last:])

    def layers(self, x: Tensor, wanted: Sequence[int], key_mask: Tensor | None = None) -> list[Tensor]:
        """Return the outputs of the blocks ``wanted`` (0-based), in that order; the last block includes the final norm."""
        outputs: dict[int, Tensor] = {}
        x = self._input_norm(x)
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = self._run(block, x, key_mask)
            if i in wanted:
                outputs[i] = self._output_norm(x) if i == len(self.blocks) - 1 else x
        return [outputs[i] for i in wanted]

    def averaged(self, x: Tensor, wanted: Sequence[int]) -> Tensor:
        """Average the outputs of the blocks ``wanted`` and apply the final norm ([m2d 4.1](docs/specification/m2d.md#s4-1))."""
        outputs = []
        x = self._input_norm(x)
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = self._run(block, x, None)
            if i in wanted:
                outputs.append(x)
        return self._output_norm(torch.stack(outputs).mean(dim=0))

    def _input_norm(self, x: Tensor) -> Tensor:
        return fast_dropout(self.norm(x) if self.style.post_norm else x, self.style.dropout, self.training)

    def _output_norm(self, x: Tensor) -> Tensor:
        return x if self.style.post_norm else self.norm(x)

    def _active_blocks(self) -> list[nn.Module]:
        """Return the blocks of this forward pass: all, or in training those that layerdrop does not skip."""
        if not self.training or self.style.layerdrop == 0:
            return list(self.blocks)
        drawn = torch.rand(len(self.blocks), generator=self.layerdrop_generator).tolist()
        return [block for block, u in zip(self.blocks, drawn) if u > self.style.layerdrop]

    def _run(self, block: nn.Module, x: Tensor, key_mask: Tensor | None, last: int | None = None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, x, key_mask, last, use_reentrant=False)
        return block(x, key_mask, last)


def stacks_of(network: nn.Module) -> list[Transformer]:
    """Return every stack of blocks in ``network``."""
    return [module for module in network.modules() if isinstance(module, Transformer)]


def recompute_activations(network: nn.Module) -> int:
    """Let every stack of blocks in ``network`` compute its activations again in the backward pass; return how many there are."""
    stacks = stacks_of(network)
    for stack in stacks:
        stack.recompute = True
    return len(stacks)


class PatchEmbed(nn.Module):
    """Cut a spectrogram into patches and embed them: a convolution with kernel = stride, as a matrix product.

    Token f * T + t is row f of patches (low frequencies first), column t. What fills no patch, at the end or in the
    highest bands, is dropped.
    """

    def __init__(self, embed_dim: int, patch: tuple[int, int]):
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(1, embed_dim, kernel_size=patch, stride=patch)

    def cut(self, values: Tensor) -> Tensor:
        """Cut a spectrogram (B, F, T) into patches (B, N, ph * pw); the values of a patch are in row order."""
        (height, width), (b, bins, frames) = self.patch, values.shape
        rows, columns = bins // height, frames // width
        grid = values[:, : rows * height, : columns * width].reshape(b, rows, height, columns, width)
        return grid.permute(0, 1, 3, 2, 4).reshape(b, -1, height * width)

    def forward(self, patches: Tensor) -> Tensor:
        """Embed patches: (B, N, ph * pw) -> (B, N, D)."""
        return functional.linear(patches.to(self.proj.weight.dtype), self.proj.weight.flatten(1), self.proj.bias)


def take(x: Tensor, ids: Tensor) -> Tensor:
    """Select tokens: x (B, N, D), ids (B, M) -> (B, M, D)."""
    return torch.gather(x, 1, ids[..., None].expand(-1, -1, x.shape[-1]))
