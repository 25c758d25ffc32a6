"""Golden vectors of the EfficientAT family: small ones stand in tests/golden, the others beside the checkout."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

from auricle.compat.efficientat.get_model import dymn_config, mn_config
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from helpers.paths import GOLDEN, SHARED

FAMILY = "efficientat"
NOT_ARGUMENTS = ("T_max", "epoch_passed_to_update_params", "temperature")


def golden_path(file: str) -> Path:
    """The file where it stands; the test is skipped where it stands nowhere."""
    for folder in (GOLDEN, SHARED / "golden"):
        if (folder / FAMILY / file).is_file():
            return folder / FAMILY / file
    pytest.skip(f"golden vector {file}: ../shared does not stand beside this checkout")


def golden(name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata (values that are JSON parsed)."""
    with safe_open(golden_path(f"{name}.safetensors"), "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        return tensors, {key: parsed(text) for key, text in (file.metadata() or {}).items()}


def parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def network(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> MN | DyMN:
    """The network of a golden file with its weights, in evaluation mode."""
    arguments = {key: value for key, value in metadata["config"].items() if key not in NOT_ARGUMENTS}
    state = {key[6:]: value for key, value in tensors.items() if key.startswith("state.")}
    net = DyMN(dymn_config(**arguments)) if "in_c.0.weight" in state else MN(mn_config(**arguments))
    net.load_state_dict({**state, "norm_stats": net.norm_stats})
    return net.eval()


def close(got: Tensor, want: Tensor, atol: float = 1e-5, rtol: float = 1e-4) -> None:
    torch.testing.assert_close(got.detach(), want, atol=atol, rtol=rtol)


def training_step(
    name: str, temperature: float | None = None, kind: torch.dtype = torch.float32, *, prepared: bool = False
) -> None:
    """One step of Adam (lr 1e-3) on binary cross entropy, compared tensor by tensor.

    DyMN's needs float64. The gradient of an activation jumps at its kinks, and on some processors the rounding of float32
    puts a value on the other side of one: one channel of the first convolution's gradient is then off by 5e-4.
    """
    tensors, metadata = golden(name)
    tensors = {key: value.to(kind) if value.is_floating_point() else value for key, value in tensors.items()}
    net = network(tensors, metadata).to(kind).train()
    if prepared:
        net.prepare_training()
    if temperature is not None:
        net.set_temperature(temperature)  # type: ignore[union-attr]
    parameters = dict(net.named_parameters())
    assert list(parameters) == metadata["parameter_order"]
    optimizer = torch.optim.Adam(parameters.values(), lr=1e-3)
    y = net.trunk(tensors["input"][:, 0])  # not core, which answers in float32
    logits, features = net.classifier(y), y.mean((2, 3))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, tensors["target"])
    loss.backward()
    norms = [torch.zeros((), dtype=kind) if p.grad is None else p.grad.norm() for p in parameters.values()]
    close(logits, tensors["train_logits"])
    close(features, tensors["train_features"])
    close(loss, tensors["loss"])
    close(torch.stack(norms), tensors["grad_norms"], atol=1e-6, rtol=1e-3)
    for key, value in tensors.items():
        if key.startswith("grad."):
            close(parameters[key.removeprefix("grad.")].grad, value, atol=1e-6, rtol=1e-3)
    optimizer.step()
    for key, value in tensors.items():
        if key.startswith("after_adam."):
            close(parameters[key.removeprefix("after_adam.")], value, atol=1e-5)
        elif key.startswith("after."):
            close(net.state_dict()[key.removeprefix("after.")], value, atol=1e-6)
