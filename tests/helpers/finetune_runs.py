"""Small labelled sounds and small fine-tuning runs: a tone or a noise, a tiny network of every family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from auricle.commands.finetune.finetune import finetune_run
from auricle.core.options import with_values
from auricle.hub.weight_file import save_encoder
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.description import describe
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.methods.supervised.labelled_clips.read import read_labelled
from auricle.models.label_space import LabelSpace
from auricle.training.distributed import DistContext
from helpers.encoders import FAMILIES
from helpers.sounds import tone, write_sound

RATE = 16000


def labelled_sounds(folder: Path, clips: int = 8, seconds: float = 0.6) -> Path:
    """``folder/tone/0.wav`` …, ``folder/noise/0.wav`` …: two classes that any network can tell apart."""
    for i in range(clips):
        write_sound(folder / "tone" / f"{i}.wav", tone(seconds, RATE, 300.0 + 40 * i, seed=i), RATE)
        noise = np.random.default_rng(100 + i).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)
        write_sound(folder / "noise" / f"{i}.wav", noise, RATE)
    return folder


def weight_file(folder: Path, family: str = "mn") -> Path:
    """A weight file of a toy network."""
    path = folder / f"{family.replace(' ', '-')}.safetensors"
    save_encoder(FAMILIES[family].make(), path)
    return path


def config(source: Path, out: Path, model: Path, **changes) -> FinetuneConfig:
    """A run of seconds."""
    small = dict(
        epochs=3, warmup_epochs=0.0, batch_size=4, workers=0, precision="float32", log_interval=1, lr=1e-2, device="cpu",
        valid_ratio=0.25,
    )  # fmt: skip
    return with_values(FinetuneConfig("supervised", str(source), str(out), model=str(model)), {**small, **changes})


def tone_detector(sounds: Path, folder: Path) -> Path:
    """The run folder of a detector of tones and noises: a teacher."""
    finetune_run(config(sounds, folder / "run", weight_file(folder, "m2d"), epochs=6), quiet=True)
    return folder / "run"


def understood(source: Path, **changes) -> tuple[Parts, LabelSpace, list[str]]:
    """What is read of a source: parts, label space, and the lines that describe them."""
    found = read_labelled(
        config(source, source, "mn04_as", **changes), DistContext(0, 1, torch.device("cpu"), quiet=True)
    )
    seconds = found.parts.seconds or 1.0
    lines = describe(found.parts, found.space.ids, seconds=seconds, space=found.space, reason=found.reason).lines()
    return found.parts, found.space, lines
