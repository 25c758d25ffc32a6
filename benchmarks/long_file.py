"""Is a day heard in bounded memory? ``python -m benchmarks.long_file [--hours 24] [--format flac|rf64] [--model NAME] [--embed]``

Generates a recording (32 kHz, 16 bit, mono: 24 hours are 5.5 GB as RF64, a plain WAV ends at 4 GiB), tags it in windows
in a process of its own, as ``auricle tag --window 10 --hop 10`` does, and prints peak resident memory and the real-time
factor. Without a weight file the network has random weights, which changes no cost. Exit code 1 above 700 MB.
With ``--embed`` the recording is embedded whole, as ``auricle embed`` does (one vector), by any encoder, a file too;
exit code 1 when that takes 400 MB more than the loaded network.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

RATE = 32000
MOST_MEGABYTES = 700
MOST_TO_EMBED = 400  # beside the program with its network loaded
FORMATS = {"flac": "FLAC", "rf64": "RF64"}


def generate(path: Path, hours: float, kind: str) -> None:
    """A minute of noise, bursts and tones, again and again at another level."""
    source = np.random.default_rng(0)
    minute = 0.05 * source.standard_normal(60 * RATE).astype(np.float32)
    minute[10 * RATE : 14 * RATE] += 0.4 * np.sin(2 * np.pi * 880 / RATE * np.arange(4 * RATE)).astype(np.float32)
    with soundfile.SoundFile(path, "w", RATE, 1, subtype="PCM_16", format=FORMATS[kind]) as file:
        for number in range(round(hours * 60)):
            file.write(minute * np.float32(0.3 + 0.6 * ((number * 7) % 11) / 11))


def tag_it(path: Path, model: str, weights: str, threads: int) -> dict[str, float]:
    """What the worker process does: one file in windows of ten seconds."""
    import torch

    from auricle.commands.complexity import network
    from auricle.core.devices import tune_allocator
    from auricle.hub.load import load
    from auricle.inference.tag_results import Failure
    from auricle.inference.tagger import Tagger
    from auricle.models.label_space import LabelSpace

    tune_allocator()
    torch.set_num_threads(threads)
    encoder = load(model, weights=weights) if weights else network(model)
    if encoder.info.label_space is None:
        encoder.set_label_space(LabelSpace.unnamed(encoder.num_classes(), "multilabel"))
    start = time.perf_counter()
    (outcome,) = Tagger(encoder, window=10.0, hop=10.0, device="cpu").iterate(path)
    spent = time.perf_counter() - start
    if isinstance(outcome, Failure):
        raise SystemExit(outcome.error)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    events = len(outcome.events or ())
    return {
        "hours": outcome.seconds / 3600,
        "windows": len(outcome.windows),
        "events": events,
        "seconds": spent,
        "peak_mb": peak,
        "real_time_factor": spent / outcome.seconds,
    }


def embed_it(path: Path, model: str, threads: int) -> dict[str, float]:
    """What the worker process does with ``--embed``: one vector of the whole recording."""
    import torch

    from auricle.commands.complexity import network
    from auricle.core.devices import tune_allocator
    from auricle.inference.embedder import embed

    tune_allocator()
    torch.set_num_threads(threads)
    encoder = network(model)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start = time.perf_counter()
    found = embed(path, encoder, device="cpu")
    spent = time.perf_counter() - start
    if found.failed:
        raise SystemExit(str(found.failed))
    return {
        "width": found.clip.shape[1],
        "seconds": spent,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "loaded_mb": before,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--format", default="flac", choices=tuple(FORMATS))
    parser.add_argument("--model", default="mn04_as")
    parser.add_argument("--weights", default="", help="published weight file of the model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--embed", action="store_true", help="one vector of the whole recording in place of tags")
    parser.add_argument("--worker", default="", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker and args.embed:
        print(json.dumps(embed_it(Path(args.worker), args.model, args.threads)))
        return 0
    if args.worker:
        print(json.dumps(tag_it(Path(args.worker), args.model, args.weights, args.threads)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"long.{'flac' if args.format == 'flac' else 'wav'}"
        generate(path, args.hours, args.format)
        print(f"{path.stat().st_size / 1e9:.2f} GB of {args.format} generated", file=sys.stderr)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.long_file", *sys.argv[1:], "--worker", str(path)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
    found = json.loads(done.stdout)
    if args.embed:
        print(
            f"{args.hours:g} h embedded by {args.model}: {found['width']} numbers in {found['seconds']:.0f} s "
            f"({3600 * args.hours / found['seconds']:.0f} times real time), peak {found['peak_mb']:.0f} MB resident, "
            f"{found['loaded_mb']:.0f} MB of it the program with its network loaded"
        )
        return int(found["peak_mb"] - found["loaded_mb"] > MOST_TO_EMBED)
    print(
        f"{found['hours']:.2f} h in {found['windows']} windows by {args.model}: {found['seconds']:.0f} s, real-time factor "
        f"{found['real_time_factor']:.5f} ({1 / found['real_time_factor']:.0f} times real time), "
        f"{found['events']} events, peak {found['peak_mb']:.0f} MB resident"
    )
    return int(found["peak_mb"] > MOST_MEGABYTES)


if __name__ == "__main__":
    sys.exit(main())
