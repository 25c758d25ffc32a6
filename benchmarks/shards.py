"""Crops from tar shards against the same crops from loose files: FLAC, MP3 and WAV.

    python -m benchmarks.shards [--clips 60] [--rounds 7] [--seconds 2] [--json]

Recordings of 10 s at 32 kHz. In every round each crop is read from the loose file, the shard on the disk and the shard at an
address (``file://``, its blocks already in the cache), one after the other, so that a busy machine slows all of them down. A
figure is the sum over the clips of the quickest reading of each; files are in the memory of the system, as after the first epoch.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile

from auricle.commands.prepare.shards import ShardsConfig, prepare_shards
from auricle.data.datasets.base import SampleIndex
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.formats import read_manifest
from auricle.data.stores.base import with_lengths

RATE, SECONDS = 32000, 10


def write_recordings(folder: Path, suffix: str, clips: int) -> None:
    """Write tones in noise."""
    folder.mkdir(parents=True)
    source, time_axis = np.random.default_rng(1), np.arange(SECONDS * RATE) / RATE
    for i in range(clips):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 40 * i) * time_axis) + 0.02 * source.normal(size=len(time_axis))
        soundfile.write(folder / f"{i}.{suffix}", wave, RATE)


def sources(folder: Path, suffix: str, clips: int, seconds: float) -> dict[str, Waveforms]:
    """The same clips from loose files, from shards, and from shards at an address."""
    write_recordings(folder / suffix, suffix, clips)
    manifests = {"loose": with_lengths(read_manifest(folder / suffix), quiet=True)}
    for name, url in (("shards", None), ("address", f"file://{folder}/{suffix} address")):
        out = folder / f"{suffix} {name}"
        prepare_shards(ShardsConfig(str(folder / suffix), str(out), shard_size="10MB", url=url, workers=0, quiet=True))
        manifests[name] = read_manifest(out)
    return {name: Waveforms(manifest, RATE, seconds) for name, manifest in manifests.items()}


def measure(datasets: dict[str, Waveforms], rounds: int) -> dict[str, float]:
    """Milliseconds a crop: the mean over the clips of the quickest reading of each."""
    best: dict[str, dict[int, float]] = defaultdict(dict)
    for turn in range(rounds + 1):
        for number in range(len(datasets["loose"])):
            crops = []
            for name, dataset in datasets.items():
                start = time.perf_counter()
                crops.append(dataset[SampleIndex(0, number, number)].crop.values)
                taken = time.perf_counter() - start
                if turn:  # the first fills the caches
                    best[name][number] = min(taken, best[name].get(number, taken))
            assert all(np.array_equal(crop, crops[0]) for crop in crops)
    return {name: 1000 * float(np.mean(list(times.values()))) for name, times in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a crop")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as name:
        os.environ["AURICLE_CACHE"] = f"{name}/cache"
        for suffix in ("flac", "mp3", "wav"):
            found[suffix] = measure(sources(Path(name), suffix, args.clips, args.seconds), args.rounds)
    if args.json:
        print(json.dumps(found))
        return
    print("| format | loose ms | shard ms | address ms | shard / loose |\n| --- | --- | --- | --- | --- |")
    for suffix, times in found.items():
        row = [f"{times[name]:.2f}" for name in ("loose", "shards", "address")]
        print(f"| {suffix} | {' | '.join(row)} | {times['shards'] / times['loose']:.2f} |")


if __name__ == "__main__":
    main()
