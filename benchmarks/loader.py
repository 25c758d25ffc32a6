"""Clips per second that the loader delivers, from .npy, flac and mp3, against what a training step consumes.

python -m benchmarks.loader [--step-seconds 1.5 --batch 8] [--json]

Crops of 6.08 s (80x608 log-mel) from 10-s recordings; from audio the crop is decoded, resampled and made into log-mel in
the worker's place (the loop makes it on the device). ``--step-seconds`` is what ``benchmarks.pretrain_step`` measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from auricle.data.datasets.base import ClipDataset
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import ShuffledBatches
from auricle.data.manifest.manifest import Clip, Manifest

FRAMES, RATE, SECONDS, CLIPS = 608, 16000, 10, 48


def store(folder: Path) -> ClipDataset:
    source = np.random.Generator(np.random.Philox(key=1))
    for i in range(CLIPS):
        np.save(folder / f"{i}.npy", source.normal(-7, 4, (1, 80, SECONDS * 100 + 1)).astype(np.float32))
    clips = tuple(Clip(f"{i}", store=".", key=f"{i}.npy") for i in range(CLIPS))
    return Spectrograms(Manifest(clips, folder), FRAMES, front_end="m2d-logmel/16k")


def recordings(folder: Path, suffix: str) -> ClipDataset:
    source, rate = np.random.Generator(np.random.Philox(key=1)), 44100
    time_axis = np.arange(SECONDS * rate) / rate
    for i in range(CLIPS):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 40 * i) * time_axis) + 0.05 * source.normal(size=len(time_axis))
        soundfile.write(folder / f"{i}.{suffix}", wave, rate)
    names = (f"{i}.{suffix}" for i in range(CLIPS))
    clips = tuple(Clip(name, path=name, rate=rate, num_samples=SECONDS * rate) for name in names)
    return Waveforms(Manifest(clips, folder), RATE, (FRAMES - 1) / 100)


def clips_per_second(dataset: ClipDataset, workers: int, batch: int, batches: int) -> float:
    """After two batches to warm up."""
    loader = iter(make_loader(dataset, ShuffledBatches(CLIPS, batch), workers))
    for _ in itertools.islice(loader, 2 + workers):
        pass
    start = time.perf_counter()
    for _ in itertools.islice(loader, batches):
        pass
    return batch * batches / (time.perf_counter() - start)


def measure(batch: int, rounds: int) -> dict[str, list[float]]:
    """Interleaved rounds: clips per second by "source, workers"."""
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folders = {kind: Path(name) / kind for kind in ("npy", "flac", "mp3")}
        for folder in folders.values():
            folder.mkdir()
        sources = {kind: store(path) if kind == "npy" else recordings(path, kind) for kind, path in folders.items()}
        for _ in range(rounds):
            for kind, workers in itertools.product(sources, (0, 2)):
                rate = clips_per_second(sources[kind], workers, batch, 60 if kind == "npy" else 12)
                found.setdefault(f"{kind}, {workers} workers", []).append(rate)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-seconds", type=float, default=1.5, help="seconds of one training step of --batch clips")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    need = args.batch / args.step_seconds
    rows = measure(args.batch, args.rounds)
    if args.json:
        print(json.dumps({"need": need, "clips_per_second": rows}))
        return
    print(f"a step of {args.batch} clips in {args.step_seconds} s needs {need:.1f} clips/s")
    for name, rates in rows.items():
        median = statistics.median(rates)
        print(
            f"{name:<18}{median:8.0f} clips/s ({min(rates):.0f} to {max(rates):.0f})  {median / need:6.1f} times the need"
        )


if __name__ == "__main__":
    main()
