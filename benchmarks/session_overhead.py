"""What does a session add to network, front end and decoding? ``python -m benchmarks.session_overhead [--clock cpu]``

A 5-s file, again and again: by a ``Tagger`` and an ``Embedder``, by ``auricle.tag`` and ``auricle.embed`` with the same
encoder, and by the parts alone: decode the file at the encoder's rate, front end and network of the prepared encoder.
Rounds are interleaved; printed are medians and the median of the ratios within a round. Random weights: they change no
cost. On a machine that others use, ``--threads 1 --clock cpu`` counts processor time of all threads. Exit code 1 when a
session costs more than 1.1 times its parts.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch

import auricle
from auricle.audio.decode import read
from auricle.commands.complexity import network
from auricle.models.base import Encoder
from auricle.models.label_space import LabelSpace

MOST = 1.1  # times the parts
SECONDS = 5.0
WARM_UP = 20  # calls: by then the shape has its graph
MODELS = ("mn04_as", "mn10_as", "dymn10_as")
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def write_clip(path: Path, rate: int) -> Path:
    """Five seconds of noise at ``rate`` hertz, 16 bit."""
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(SECONDS * rate))
    soundfile.write(path, noise.astype(np.float32), rate, subtype="PCM_16")
    return path


def forms(encoder: Encoder, file: Path) -> dict[str, Callable[[], object]]:
    """The ways to score and to embed one file; "… parts" is what the others are compared with."""
    ready, info = encoder.for_inference(), encoder.info
    tagger, embedder = auricle.Tagger(encoder, device="cpu"), auricle.Embedder(encoder, device="cpu")

    def wave() -> torch.Tensor:
        return torch.from_numpy(read(file, rate=info.sample_rate, mono="mean", resampler=ready.front.resampler).wave)[
            None
        ]

    def tag_parts() -> object:
        with torch.inference_mode():
            return ready.logits(wave())

    def embed_parts() -> object:
        with torch.inference_mode():
            return ready(wave()).clip

    return {
        "tag parts": tag_parts,
        "Tagger": lambda: tagger(file),
        "auricle.tag": lambda: auricle.tag(file, encoder, device="cpu"),
        "embed parts": embed_parts,
        "Embedder": lambda: embedder(file),
        "auricle.embed": lambda: auricle.embed(file, encoder, device="cpu"),
    }


def measure(calls: dict[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each call in each round."""
    for call in calls.values():
        for _ in range(WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(clock() - start)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="published names")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", choices=tuple(CLOCKS), default="wall")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    slow = []
    print(f"| model | form | ms ({args.clock}, {args.threads} threads) | times the parts |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for model in args.models:
            encoder = network(model)
            if encoder.info.label_space is None:
                encoder.set_label_space(LabelSpace.unnamed(encoder.num_classes(), "multilabel"))
            file = write_clip(Path(folder) / f"{model}.wav", encoder.info.sample_rate)
            times = measure(forms(encoder, file), args.rounds, CLOCKS[args.clock])
            for name, seconds in times.items():
                parts = times["tag parts" if "ag" in name else "embed parts"]
                ratio = statistics.median(a / b for a, b in zip(seconds, parts))
                print(f"| {model} | {name} | {1000 * statistics.median(seconds):.1f} | {ratio:.3f} |")
                slow += [f"{model} {name}"] if name in ("Tagger", "Embedder") and ratio > MOST else []
    if slow:
        print(f"more than {MOST} times the parts: {', '.join(slow)}", file=sys.stderr)
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
