"""The forms of a fine-tuning step that ``benchmarks.finetune_step`` compares, each served by a process of its own.

mn10: 10-s waveforms, log-mel, MN of width 1.0, float32. vitb: log-mel spectrograms 80x608, ViT-B with a linear layer on the mean
of its tokens, bf16 autocast. Cross-entropy of ten classes, clipping and AdamW in all of them; nothing is augmented.
"""

from __future__ import annotations

import argparse
import tempfile

import torch
from torch import nn
from torch.nn import functional

from auricle.core.devices import tune_allocator
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.hub.load import load_untrained
from auricle.methods.config import TrainConfig
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.objective import Supervised
from auricle.models.base import Encoder
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.training.optimizers import TrainingLength
from benchmarks.plain import efficientat_plain, m2d_plain
from benchmarks.pretrain_forms import Step, common_arguments, serve, trainer_of

CLASSES, SECONDS, RATE = 10, 10.0, 32000
SIZE, PATCH = (80, 608), (16, 16)
PRECISION = {"mn10": "float32", "vitb": "bf16"}
LR = 1e-4


class Task:
    """What all forms train on: by step number inputs and labels; length and settings of the run."""

    def __init__(self, args: argparse.Namespace):
        self.network, self.batch, self.device = args.network, args.batch, args.device
        rounds = max(2, args.rounds + 1)
        self.config = TrainConfig(
            batch_size=args.batch, max_updates=rounds, warmup_updates=1, lr=LR, precision=PRECISION[self.network]
        )
        self.folder = tempfile.TemporaryDirectory()  # of the run; goes with the process
        self.plan = TrainingLength.of(rounds, self.config)

    def inputs(self, step: int) -> torch.Tensor:
        """Waveforms (B, S), or spectrograms (B, F, T)."""
        generator = torch.Generator().manual_seed(step)
        shape = (int(SECONDS * RATE),) if self.network == "mn10" else SIZE
        return 0.1 * torch.randn(self.batch, *shape, generator=generator)

    def labels(self, step: int) -> torch.Tensor:
        """(B, C) of 0 and 1, one class a clip."""
        places = (torch.arange(self.batch) + step) % CLASSES
        return functional.one_hot(places, CLASSES).float()

    def key(self, step: int) -> BatchKey:
        return BatchKey(self.config.seed, step, tuple(range(self.batch)))


class PlainMN(nn.Module):
    """Log-mel and network of plain/efficientat_plain.py, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.mel, self.network = efficientat_plain.LogMel(), efficientat_plain.MN(CLASSES, 1.0)

    def forward(self, wave: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            values = self.mel(wave)
        return self.network(values[:, None])[0]


class PlainViT(nn.Module):
    """The encoder of plain/m2d_plain.py with a linear layer on the mean of its patch tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.body = m2d_plain.M2D(SIZE, PATCH, decoder_embed_dim=4, decoder_depth=0, decoder_num_heads=1)
        del self.body.target_blocks, self.body.target_norm
        self.head = nn.Linear(768, CLASSES)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.head(self.body.encode(self.body.embed(values[:, None]))[:, 1:].mean(1))


def plain_form(task: Task) -> Step:
    """A plain loop: forward, cross-entropy, backward, clipping, AdamW."""
    torch.manual_seed(0)
    model = (PlainMN() if task.network == "mn10" else PlainViT()).to(task.device).train()
    optimizer = m2d_plain.make_optimizer(model, LR)
    half = PRECISION[task.network] == "bf16"

    def step(number: int) -> float:
        inputs, labels = task.inputs(number).to(task.device), task.labels(number).to(task.device)
        with torch.autocast(task.device, dtype=torch.bfloat16, enabled=half):
            logits = model(inputs)
        loss = functional.cross_entropy(logits.float(), labels)
        value = loss.item()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], task.config.clip_grad or 3.0)
        optimizer.step()
        return value

    return step


def encoder_of(network: str) -> Encoder:
    if network == "mn10":
        return load_untrained("mn10_as").with_classes(CLASSES, label_type="multiclass")  # type: ignore[attr-defined]
    encoder = M2DEncoder(ViTConfig("80x608", "16x16"), stats=(0.0, 1.0))
    return encoder.with_classes(CLASSES, pools="tokens", label_type="multiclass")


def auricle_form(task: Task) -> Step:
    """Auricle's own objective in its own loop: ``Trainer.train_batch``."""
    tune_allocator()
    encoder = encoder_of(task.network)
    objective = Supervised(encoder, LearningConfig(), AugmentConfig(fmin_range=1, fmax_range=1), lr=LR)
    trainer = trainer_of(objective, task)
    objective.train()

    def step(number: int) -> float:
        inputs, wave = task.inputs(number), task.network == "mn10"
        batch = Batch(
            lengths=torch.full((task.batch,), inputs.shape[-1]),
            ids=tuple(map(str, range(task.batch))),
            rate=RATE if wave else 16000,
            audio=inputs if wave else None,
            spec=None if wave else inputs,
            front_end=None if wave else encoder.info.front_end,
            labels=task.labels(number),
            epoch=number,
            positions=tuple(range(task.batch)),
        )
        done = trainer.train_batch(batch, task.plan.at(number))
        assert done is not None
        return float(done["loss"])

    return step


FORMS = {"plain": plain_form, "auricle": auricle_form}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that both sides of the pipe know."""
    parser.add_argument("--network", default="mn10", choices=tuple(PRECISION))
    common_arguments(parser, batch=16, rounds=6)


if __name__ == "__main__":
    serve(FORMS, Task, add_arguments)
