"""Run the networks in the chosen precision. Weights, optimiser state, losses and teacher averaging stay float32."""

from __future__ import annotations

import torch

DTYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Return the context of a forward pass. ``core.devices.resolve_precision`` gives the precision."""
    dtype = DTYPES[precision]
    return torch.autocast(device.type, dtype=dtype or torch.bfloat16, enabled=dtype is not None)
