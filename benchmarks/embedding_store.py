"""Does embedding many clips stay in bounded memory? ``python -m benchmarks.embedding_store [--clips 20000] [--out npy]``

Generates short recordings (0.1 s, 16 kHz), embeds them with ``auricle embed`` and a small M2D in a process of its own, and
prints CPU seconds, peak resident memory, the same after the first shard, and the size of the output. Exit code 1 when the
memory grows by more than a shard (64 MB).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
SECONDS = 0.1
FOLDERS = 100
MOST_GROWTH = 64  # megabytes: what a shard may hold
SUFFIXES = {"npy": ".npy", "npz": ".npz", "parquet": ".parquet", "store": ""}


def generate(folder: Path, clips: int) -> None:
    """Write noise at different levels, in FOLDERS folders."""
    source = np.random.default_rng(0)
    noise = source.standard_normal(RATE).astype(np.float32) * 0.1
    for number in range(clips):
        file = folder / f"{number % FOLDERS:02d}" / f"{number:06d}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        start = int(source.integers(len(noise) - round(SECONDS * RATE)))
        soundfile.write(file, noise[start : start + round(SECONDS * RATE)], RATE)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def embed_it(folder: Path, model: Path, out: Path) -> dict[str, float]:
    """What the worker process does; memory is read after the first shard and at the end."""
    from auricle.commands.embed import EmbedConfig, embed
    from auricle.data.stores.embeddings import EmbeddingStore

    append, after_first = EmbeddingStore.append, []

    def watched(self, *args, **options):
        appended = append(self, *args, **options)
        after_first.append(peak_megabytes())
        return appended

    EmbeddingStore.append = watched  # type: ignore[method-assign]
    result = embed(EmbedConfig(source=(str(folder),), model=str(model), out=str(out)), quiet=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "clips": result.clips,
        "width": result.width,
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "first_megabytes": after_first[0],
        "shards_megabytes": after_first[-1],
        "peak_megabytes": peak_megabytes(),
    }


def measure(clips: int, out: str) -> dict[str, float]:
    """Embed generated clips in a process of its own, and return what it measured."""
    from auricle.hub.weight_file import save_encoder
    from auricle.models.m2d.config import ViTConfig
    from auricle.models.m2d.encoder import M2DEncoder

    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), Path(name) / "encoder.safetensors"
        config = ViTConfig(input_size="80x16", patch_size="16x16", embed_dim=192, depth=1, num_heads=3)
        save_encoder(M2DEncoder(config), model)
        generate(folder / "clips", clips)
        target = folder / f"embeddings{SUFFIXES[out]}"
        arguments = ["--worker", str(folder / "clips"), str(model), str(target)]
        command = [sys.executable, "-m", "benchmarks.embedding_store", *arguments]
        answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        return json.loads(answer.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--out", choices=tuple(SUFFIXES), default="npy")
    parser.add_argument("--worker", nargs=3, metavar=("FOLDER", "MODEL", "OUT"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(json.dumps(embed_it(*map(Path, args.worker))))
        return 0
    found = measure(args.clips, args.out)
    growth = found["peak_megabytes"] - found["first_megabytes"]
    size = found["clips"] * found["width"] * 4 / 2**20
    print(f"{found['clips']} clips to {args.out}: {found['cpu_seconds']:.0f} s CPU, {size:.0f} MB of vectors")
    print(
        f"peak memory {found['first_megabytes']:.0f} MB after the first shard, {found['peak_megabytes']:.0f} MB in all"
    )
    print(f"grew by {growth:.0f} MB (at most {MOST_GROWTH})")
    return int(growth > MOST_GROWTH)


if __name__ == "__main__":
    sys.exit(main())
