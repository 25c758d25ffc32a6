"""A small run with all that a report can show: a tiny M2D trained for a few steps on tones, a snapshot, evaluations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from auricle.commands.pretrain import pretrain
from auricle.core.options import with_values
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.evaluation.runner import evaluate
from auricle.evaluation.tasks import Task
from auricle.hub.load import load
from auricle.methods.m2d.config import M2DPretrain
from helpers.sounds import tone, write_sound

CLASSES = ("high", "low", "<middle> & more")
PITCH = {"high": 2000.0, "low": 150.0, "<middle> & more": 700.0}


def make_sounds(folder: Path, per_class: int = 8) -> Path:
    """Tones of three pitches in two folds; two of them carry a wrong label, so that there are mistakes."""
    clips = []
    for i in range(3 * per_class):
        name = CLASSES[i % 3]
        write_sound(folder / f"{i:02d}.wav", tone(0.6, hertz=PITCH[name] * (1 + 0.02 * i), seed=i))
        label = CLASSES[(i + 1) % 3] if i in (4, 11) else name
        clips.append(Clip(f"{i:02d}.wav", path=f"{i:02d}.wav", labels=(label,), fold=i // 3 % 2 + 1))
    write_manifest(Manifest(tuple(clips), folder), folder / "manifest.csv")
    return folder


def make_run(sounds: Path, out: Path, *, epochs: int = 3, evaluations: bool = True) -> Path:
    """Train (which keeps a few clips), evaluate."""
    config = replace(settings(sounds, epochs), out=str(out))
    pretrain(config, quiet=True)
    if evaluations:
        for probe in ("logistic", "knn-vote"):
            task = Task(str(sounds), seconds=0.6, name="tones")
            found = evaluate(load(out), task, probe, few_shot=probe == "logistic", command="auricle evaluate …")
            found.save(out / "evaluations" / f"{probe}.json")
    return out


def settings(sounds: Path, epochs: int) -> M2DPretrain:
    model = {"input_size": "80x40", "patch_size": "16x8", "embed_dim": 16, "depth": 2, "num_heads": 2}
    predictor = {"decoder_embed_dim": 16, "decoder_depth": 1, "decoder_num_heads": 2}
    steps = {
        "epochs": epochs,
        "warmup_epochs": 0.5,
        "batch_size": 4,
        "lr": 1e-3,
        "ema_decay_init": 0.9,
        "ema_decay": 0.99,
    }
    machine = {"workers": 0, "precision": "float32", "device": "cpu", "log_interval": 1, "health_interval": 4}
    small = {**model, **predictor, **steps, **machine}
    return with_values(M2DPretrain("m2d", str(sounds)), small)
