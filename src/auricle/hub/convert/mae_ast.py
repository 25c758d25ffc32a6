"""The published MAE-AST layout (fairseq's), read and written without fairseq (specification mae_ast 10)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

# (published, ours) parts of names
NAMES = (
    (r"^(encoder|decoder)\.layers\.", r"\1.blocks."),
    (r"^(encoder|decoder)\.layer_norm\.", r"\1.norm."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.(fc[12])\.", r".mlp.\1."),
    (r"^enc_sine_pos_embed\.pe$", "enc_positions"),
    (r"^dec_sine_pos_embed\.pe$", "dec_positions"),
)
PARTS = ("q", "k", "v")
SEPARATE = re.compile(r"^((?:encoder|decoder)\.layers\.\d+)\.self_attn\.([qkv])_proj\.(weight|bias)$")


def to_ours(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of our network; queries, keys and values of a layer joined; names without a counterpart stay."""
    ours, parts = {}, {}
    for name, value in published.items():
        if found := SEPARATE.match(name):
            parts[found[2], f"{found[1]}.attn.qkv.{found[3]}"] = value
        else:
            ours[_renamed(name)] = value[0] if name.endswith("_pos_embed.pe") else value
    for name in {name for _, name in parts}:
        ours[_renamed(name)] = torch.cat([parts[part, name] for part in PARTS])
    return ours


def _renamed(name: str) -> str:
    for old, new in NAMES:
        name = re.sub(old, new, name)
    return name
