"""The identity of a network: a checksum of its architecture and tensors, the same on any machine and in any version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FIRST_NAMES = {  # of settings: fingerprints stay what they were when the settings had these names
    "embed_dim": "width",
    "num_heads": "heads",
    "n_mels": "mel_bins",
    "ffn_dim": "ffn_width",
    "decoder_embed_dim": "decoder_width",
}


def fingerprint_of(architecture: dict[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return 16 hex digits of a SHA-256 over an architecture and tensors by name."""
    digest = hashlib.sha256(json.dumps(_first_names(architecture), sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]


def _first_names(architecture: Any) -> Any:
    """An architecture with the first names of its settings; "auto" heads were 0."""
    if isinstance(architecture, list):
        return [_first_names(part) for part in architecture]
    if not isinstance(architecture, dict):
        return architecture
    named = {FIRST_NAMES.get(name, name): _first_names(value) for name, value in architecture.items()}
    return {name: 0 if name == "heads" and value is None else value for name, value in named.items()}
