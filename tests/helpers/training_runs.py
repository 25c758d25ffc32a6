"""Small prepared data and small runs for the tests of the loop: spectrograms of tones, a tiny M2D."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from auricle.core.options import with_values
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.methods.m2d.config import M2DPretrain

FRAMES = 40


def prepared(folder: Path, clips: int = 24, frames: int = 60) -> Path:
    """A prepared folder as ``auricle prepare`` writes it, with keyed random log-mel."""
    source = np.random.Generator(np.random.Philox(key=7))
    rows = []
    for i in range(clips):
        values = source.normal(-7, 4, (1, 80, frames)).astype(np.float32)
        values[:, 10 * (i % 6) : 10 * (i % 6) + 10] += 8
        (folder / "lms").mkdir(parents=True, exist_ok=True)
        np.save(folder / "lms" / f"{i:03d}.npy", values)
        rows.append(
            Clip(
                f"{i:03d}.wav",
                store="lms",
                key=f"{i:03d}.npy",
                rate=16000,
                num_samples=frames * 160,
                labels=(f"band{i % 6}",),
            )
        )
    write_manifest(Manifest(tuple(rows), folder), folder / "manifest.csv")
    (folder / "prepare.json").write_text(json.dumps({"format": 1, "settings": {"front_end": "m2d-logmel/16k"}}))
    return folder


def config(source: Path, out: Path, **changes) -> M2DPretrain:
    """A run of seconds: width 16, two blocks, 5 x 5 patches."""
    small = dict(
        input_size=f"80x{FRAMES}", patch_size="16x8", embed_dim=16, depth=2, num_heads=2, decoder_embed_dim=16, decoder_depth=1,
        decoder_num_heads=2, epochs=3, warmup_epochs=1.0, batch_size=4, workers=0, precision="float32", log_interval=1,
        health_interval=4, ema_decay_init=0.9, ema_decay=0.99, lr=1e-3, device="cpu",
    )  # fmt: skip
    return with_values(M2DPretrain("m2d", str(source), str(out)), {**small, **changes})


def flags(source: Path, out: Path, **changes) -> list[str]:
    """The same as a command line."""
    from auricle.cli.flags import leaves

    made = config(source, out, **changes)
    words = ["pretrain", str(source), "--method", "m2d", "--out", str(out)]
    default = M2DPretrain("m2d", str(source), str(out))
    for item, *_ in leaves(M2DPretrain):
        value = flat(made)[item.name]
        if not item.metadata.get("positional") and item.name != "out" and value != flat(default)[item.name]:
            words += [f"--{item.name.replace('_', '-')}", str(value)]
    return words


def flat(config) -> dict:
    from dataclasses import fields, is_dataclass

    found = {}
    for field in fields(config):
        value = getattr(config, field.name)
        found.update(flat(value) if is_dataclass(value) else {field.name: value})
    return found
