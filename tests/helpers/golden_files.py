"""Reading golden vectors: tensors and metadata (JSON values, plain strings stored bare)."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor


def read_golden(path: Path) -> tuple[dict[str, Tensor], dict]:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, {key: _value(text) for key, text in (file.metadata() or {}).items()}


def _value(text: str):
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def close(got: Tensor, want: Tensor, atol: float) -> None:
    torch.testing.assert_close(got.detach().to(want.dtype), want, atol=atol, rtol=0)
