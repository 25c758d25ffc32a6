"""What a stream costs: a share of a core, and its cost beside the network passes alone, in one run.

    python -m benchmarks.stream                     # mn04_as and mn10_as, 10 s of context, an answer every half second

Each round times, one after the other on one thread: a network pass on a spectrogram that is there; the same hop through ``Stream``
(front end, network, labels, events), from sound at the network's rate and resampled from 48 kHz; and the window as ``tag`` scores
it, with its whole front end. Processor time is counted, so that a neighbour that takes the core away changes little. The median of
the rounds is printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

import auricle
from auricle.core.devices import tune_allocator
from auricle.models.base import Encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.outputs import Spectrogram

WIDTHS = {"mn04_as": 0.4, "mn10_as": 1.0}
WINDOW, HOP, RATE = 10.0, 0.5, 48000
WARM = 70  # rounds before the first that counts: graphs are made after 16 to 64 calls


def network(width: float) -> Encoder:
    """An AudioSet tagger of a published shape with random weights: they do not change the cost."""
    classes = [(str(i), str(i)) for i in range(527)]
    return MN(MNConfig(width=width, num_classes=527), classes=classes, label_type="multilabel", seed=0).eval()


def processor_ms(work: Callable[[], object]) -> float:
    """Processor time of one call in milliseconds."""
    before = time.process_time()
    work()
    return 1000 * (time.process_time() - before)


def costs(name: str, rounds: int) -> None:
    """Print what one tagger costs."""
    tagger = auricle.Tagger(network(WIDTHS[name]), window=WINDOW, hop=HOP, threshold=0.99)  # random weights: no events
    draw, rate = np.random.default_rng(0), tagger.info.sample_rate
    streams = {hertz: auricle.Stream(tagger) for hertz in (rate, RATE)}
    chunks = {hertz: 0.1 * draw.standard_normal(round(HOP * hertz)).astype(np.float32) for hertz in streams}
    for hertz, stream in streams.items():
        for _ in range(round(WINDOW / HOP)):
            stream.push(chunks[hertz], sample_rate=hertz)
    window = 0.1 * draw.standard_normal((1, tagger.window)).astype(np.float32)
    front = tagger.encoder.front
    values = front(torch.from_numpy(window))
    spec = Spectrogram(values, torch.tensor([values.shape[2]]), front.hop_seconds, front.id)
    forms: dict[str, Callable[[], object]] = {
        "network": lambda: network_pass(tagger.encoder, spec),
        "stream": lambda: streams[rate].push(chunks[rate], sample_rate=rate),
        "stream, 48 kHz": lambda: streams[RATE].push(chunks[RATE], sample_rate=RATE),
        "window": lambda: tagger.wave_scores(window),
    }
    times: dict[str, list[float]] = {form: [] for form in forms}
    for round_ in range(rounds + WARM):
        for form, work in forms.items():
            spent = processor_ms(work)
            if round_ >= WARM:
                times[form].append(spent)
    middle = {form: statistics.median(values) for form, values in times.items()}
    print(f"{name}, an answer every {HOP:g} s about {WINDOW:g} s, processor time of one:")
    for form, spent in middle.items():
        share = 100 * spent / 1000 / HOP
        print(f"  {form:15} {spent:6.2f} ms  {spent / middle['network']:5.2f} network passes  {share:5.2f} % of a core")


@torch.inference_mode()
def network_pass(encoder: Encoder, spec: Spectrogram) -> dict[str, torch.Tensor]:
    return encoder.spec_logits_by_head(spec)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--model", choices=WIDTHS, help="this one alone, in this process")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_allocator()  # as the command does
    if args.model:
        costs(args.model, args.rounds)
        return
    for name in WIDTHS:  # each in a process of its own: a process makes few graphs
        subprocess.run(
            [sys.executable, "-m", "benchmarks.stream", "--model", name, "--rounds", str(args.rounds)], check=True
        )


if __name__ == "__main__":
    main()
