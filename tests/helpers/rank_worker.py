"""Run by ``torchrun``: one step of a batch-norm network on this rank's share of a batch; rank 0 writes what came out.

``rank_worker.py FOLDER KIND…`` leaves FOLDER/KIND.safetensors of each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from auricle.training.distributed import dist_context, exit_process


class Logits(nn.Module):
    """A tiny MN from waveform to logits, without dropout."""

    def __init__(self) -> None:
        super().__init__()
        from auricle.models.efficientat.config import MNConfig
        from auricle.models.efficientat.mn import MN

        self.encoder = MN(MNConfig(width=0.1, num_classes=5), seed=0)
        for module in self.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        return self.encoder(wave).logits


class OfStandardised(nn.Module):
    """A linear function of standardised features, of which some clips count."""

    def __init__(self) -> None:
        super().__init__()
        from auricle.methods.distillation.standardising import RunningStandardiser

        self.standardiser, self.linear = RunningStandardiser(6), nn.Linear(6, 5)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.linear(self.standardiser(features, (features[:, 0] > features[:, 1]).float()))


def network(kind: str = "small") -> nn.Module:
    if kind == "mn":
        return Logits().train()
    if kind == "standardised":
        torch.manual_seed(0)
        return OfStandardised()
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 6 * 6, 5), nn.BatchNorm1d(5)
    )
    net[1].running_mean.fill_(0.3)
    return net


def data(kind: str = "small") -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = {"mn": (8, 16000), "standardised": (8, 6)}.get(kind, (8, 1, 8, 8))
    return torch.randn(shape, generator=generator), torch.randn(8, 5, generator=generator)


def step(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    loss = (net(x) - y).square().mean()
    loss.backward()
    return loss.detach()


def main(folder: str, *kinds: str) -> None:
    torch.set_num_threads(1)
    with dist_context("cpu") as ranks:
        if kinds == ("die",) and ranks.rank == 1:
            raise RuntimeError("rank 1 has a bad day")
        for kind in kinds:
            net = network(kind)
            wrapped = ranks.wrap(net, unused=kind == "mn")
            x, y = (part.chunk(ranks.world)[ranks.rank] for part in data(kind))
            loss = ranks.mean({"loss": float(step(wrapped, x, y))})["loss"]
            if ranks.is_main:
                found = {f"grad.{name}": p.grad for name, p in net.named_parameters() if p.grad is not None}
                found |= {f"buffer.{name}": value.float() for name, value in net.named_buffers()}
                save_file({**found, "loss": torch.tensor(loss)}, Path(folder, f"{kind}.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
    exit_process(0)
