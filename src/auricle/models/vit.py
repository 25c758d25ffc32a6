"""The pre-norm transformer of the M2D family (specification m2d 2.1, 2.2): one attention, one block, one stack."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

NORM_EPS = 1e-6  # specification m2d 2.1


def attend(q: Tensor, k: Tensor, v: Tensor, key_mask: Tensor | None) -> Tensor:
    """Scaled dot-product attention over (B, heads, N, d); key_mask (B, N) is True where a key may be seen.

    On the CPU in bfloat16 the explicit form, on contiguous heads, is 2.5 to 3.3 times as fast, forward and backward, as
    PyTorch's fused one; in float32 the fused one is faster (benchmarks/attention.py).
    """
    bias = None if key_mask is None else key_mask[:, None, None, :]
    if q.device.type != "cpu" or q.dtype != torch.bfloat16:
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
    if bias is not None:
        scores = scores.masked_fill(~bias, -torch.inf)
    return scores.softmax(dim=-1) @ v


class Attention(nn.Module):
    """Multi-head self-attention, one fused linear for queries, keys and values: (B, N, D) -> (B, N, D)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(attend(q, k, v, key_mask).transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    """D -> 4D, exact GELU, 4D -> D."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(functional.gelu(self.fc1(x)))


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=NORM_EPS)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=NORM_EPS)
        self.mlp = Mlp(width, 4 * width)

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        x = x + self.attn(self.norm1(x), key_mask)
        return x + self.mlp(self.norm2(x))


class Transformer(nn.Module):
    """A stack of blocks closed by a LayerNorm: (B, N, D) -> (B, N, D).

    ``recompute`` trades time for memory: activations are computed again in the backward pass.
    """

    def __init__(self, width: int, depth: int, heads: int):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=NORM_EPS)
        self.recompute = False

    def forward(self, x: Tensor, key_mask: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = self._run(block, x, key_mask)
        return self.norm(x)

    def layers(self, x: Tensor, wanted: Sequence[int], key_mask: Tensor | None = None) -> list[Tensor]:
        """Outputs of the blocks ``wanted`` (0-based) in that order; the last block's comes after the final norm."""
        kept: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = self._run(block, x, key_mask)
            if i in wanted:
                kept[i] = self.norm(x) if i == len(self.blocks) - 1 else x
        return [kept[i] for i in wanted]

    def averaged(self, x: Tensor, wanted: Sequence[int]) -> Tensor:
        """The mean of the raw outputs of the blocks ``wanted``, then the final norm (specification m2d 4.1)."""
        kept = []
        for i, block in enumerate(self.blocks[: max(wanted) + 1]):
            x = self._run(block, x, None)
            if i in wanted:
                kept.append(x)
        return self.norm(torch.stack(kept).mean(dim=0))

    def _run(self, block: nn.Module, x: Tensor, key_mask: Tensor | None) -> Tensor:
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(block, x, key_mask, use_reentrant=False)
        return block(x, key_mask)


class PatchEmbed(nn.Module):
    """Cuts a spectrogram into patches and embeds them: a convolution with kernel = stride, as one matrix product.

    Token f * T + t is row f of patches (low frequencies first), column t. Incomplete trailing columns are dropped.
    """

    def __init__(self, width: int, patch: tuple[int, int]):
        super().__init__()
        self.patch = patch
        self.proj = nn.Conv2d(1, width, kernel_size=patch, stride=patch)

    def cut(self, values: Tensor) -> Tensor:
        """(B, F, T) -> (B, N, ph * pw), a patch's values row by row."""
        (height, width), (b, bins, frames) = self.patch, values.shape
        columns = frames // width
        grid = values[:, :, : columns * width].reshape(b, bins // height, height, columns, width)
        return grid.permute(0, 1, 3, 2, 4).reshape(b, -1, height * width)

    def forward(self, patches: Tensor) -> Tensor:
        """(B, N, ph * pw) -> (B, N, D)."""
        return functional.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


def take(x: Tensor, ids: Tensor) -> Tensor:
    """Pick tokens: x (B, N, D), ids (B, M) -> (B, M, D)."""
    return torch.gather(x, 1, ids[..., None].expand(-1, -1, x.shape[-1]))
