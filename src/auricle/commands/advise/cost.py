"""Estimate the cost of a proposed run: memory and operations are counted, time is extrapolated from them or measured."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.advise.rules import ACTIVATIONS, COPIES, USABLE_MEMORY
from auricle.models.m2d.config import PredictorConfig, ViTConfig

if TYPE_CHECKING:
    from auricle.methods.m2d.config import ViTPretrain

GIB = 2**30
MB = 10**6
BYTES_TRAINED, BYTES_FROZEN = 16, 4  # weight, gradient and two moments in float32; a weight alone


@dataclass(frozen=True)
class Shape:
    """What decides the cost of a step: the networks, the ratio of hidden patches, and whether there is a teacher."""

    model: ViTConfig
    predictor: PredictorConfig
    mask_ratio: float
    teacher: bool

    @property
    def tokens(self) -> tuple[int, int]:
        """Tokens of one crop, and how many of them the encoder sees."""
        rows, columns = self.model.grid
        return rows * columns, int(rows * columns * (1 - self.mask_ratio))


def stack_flops(tokens: int, width: int, depth: int) -> float:
    """Count the operations (two per multiply-add) of the forward pass of a transformer stack on one clip."""
    return depth * (24.0 * tokens * width**2 + 4.0 * tokens**2 * width)


def training_flops(shape: Shape) -> float:
    """Count the operations of one clip in one step.

    Student and predictor run forward and backward (three times the forward pass), target encoder and teacher forward.
    """
    tokens, visible = shape.tokens
    model, head = shape.model, shape.predictor
    student = stack_flops(visible + 1, model.embed_dim, model.depth)
    student += stack_flops(tokens + 1, head.decoder_embed_dim, head.decoder_depth)
    target = stack_flops(tokens - visible + 1, model.embed_dim, model.depth)
    return 3 * student + target + (stack_flops(tokens + 1, model.embed_dim, model.depth) if shape.teacher else 0.0)


def state_bytes(shape: Shape) -> float:
    """Return the bytes of weights, gradients and optimiser state."""
    model, head = shape.model, shape.predictor
    encoder = stack_parameters(model.embed_dim, model.depth)
    trained = (
        encoder
        + stack_parameters(head.decoder_embed_dim, head.decoder_depth)
        + 2 * model.embed_dim * head.decoder_embed_dim
    )
    linear = (model.grid[0] * model.embed_dim) ** 2 if shape.teacher else 0
    return BYTES_TRAINED * (trained + linear) + BYTES_FROZEN * encoder * (2 if shape.teacher else 1)


def stack_parameters(width: int, depth: int) -> int:
    return depth * (12 * width**2 + 13 * width)


def clip_bytes(shape: Shape) -> float:
    """Return the bytes of activations per clip of a step in bf16, measured for ViT-B at the published sizes."""
    return ACTIVATIONS[shape.model.input_size, shape.model.patch_size] * MB


def step_bytes(shape: Shape, batch: int) -> float:
    return state_bytes(shape) + COPIES * MB + batch * clip_bytes(shape)


def fitting_batch(shape: Shape, memory_gib: float) -> int:
    """Return how many clips fit into the memory of a GPU; 0 if not even one does."""
    free = USABLE_MEMORY * memory_gib * GIB - step_bytes(shape, 0)
    return max(0, int(free // clip_bytes(shape)))


def extrapolated_seconds(shape: Shape, clips: int, epochs: int, gpus: int, tflops: float) -> float:
    """Return the seconds of the whole run, from counted operations at ``tflops`` sustained on each GPU."""
    return training_flops(shape) * clips * epochs / (gpus * tflops * 1e12)


def measured(config: ViTPretrain, steps: int = 3) -> tuple[float, float, str]:
    """Measure a micro-step of the real networks on this machine, on noise: bytes, seconds, and the device and precision."""
    from auricle.training.run import dry_run

    with tempfile.TemporaryDirectory() as folder:
        make_noise(Path(folder), config)
        assert config.train.batch_size is not None
        needed = 2 * config.train.batch_size * config.train.accum_iter
        data = replace(config.data, noise_ratio=0.0, crops=replace(config.data.crops, min_ds_size=needed))
        estimate = dry_run(replace(config, source=folder, resume=None, data=data), steps)
    return float(estimate.memory), estimate.seconds_per_micro_step, f"{estimate.device} in {estimate.precision}"


def make_noise(folder: Path, config: ViTPretrain) -> None:
    """Write a prepared folder of two clips of keyed noise."""
    import numpy as np

    from auricle.core.randomness import RandomKey
    from auricle.data.manifest.formats import write_manifest
    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.data.stores.npy import write_array

    bins = int(config.model.input_size.split("x")[0])
    for i in range(2):
        values = RandomKey(0, 0, i).of("advice").normal(-7, 4, (bins, config.crop_frames)).astype(np.float32)
        write_array(folder / f"{i}.npy", values)
    write_manifest(
        Manifest(tuple(Clip(str(i), store=".", key=f"{i}.npy") for i in range(2)), folder), folder / "manifest.csv"
    )
    card = {"settings": {"front_end": config.model.front_end}}
    (folder / "prepare.json").write_text(json.dumps(card))
