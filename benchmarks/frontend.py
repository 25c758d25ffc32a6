"""How fast is the log-mel front end? ``python -m benchmarks.frontend [--threads N] [--rounds N] [--device D]``

M2D's log-mel at 16 and 32 kHz over 10-s clips, batch 1 and 64, against the convolution form of the published program:
windowed sine and cosine kernels as a strided convolution, magnitude, power, mel matrix, log
([m2d 1.2](docs/specification/m2d.md#s1-2) point 4). Both forms take turns in every round, so that a busy machine slows both.
Speed is in times real time (seconds of sound per second), as median and range over the rounds. Exit code 1 when a case is slower
than the convolution.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from auricle.frontends.base import front_end
from auricle.frontends.framing import slaney_bank
from auricle.frontends.log_mel import EPS, LogMel, hann

CLIP_SECONDS = 10
BATCHES = (1, 64)
LARGEST_DIFFERENCE = 1e-3  # of the two forms on noise, in the log domain


@dataclass(frozen=True)
class Speed:
    """Times real time: median, slowest and fastest round."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:7.0f} ({self.low:.0f} to {self.high:.0f})"


@dataclass(frozen=True)
class Case:
    front_end: str
    batch: int
    ours: Speed
    convolution: Speed
    ratio: float  # median over the rounds of time by convolution / our time
    difference: float


class ConvolutionLogMel:
    """The published program's form of the same front end."""

    def __init__(self, front: LogMel, device: torch.device):
        self.hop, self.pad = front.hop_length, front.n_fft // 2
        n = torch.arange(front.n_fft, dtype=torch.float64)
        angle = 2 * math.pi / front.n_fft * torch.arange(front.n_fft // 2 + 1, dtype=torch.float64)[:, None] * n
        window = hann(front.n_fft, torch.device("cpu")).double()
        self.cosine = (angle.cos() * window).float()[:, None].to(device)
        self.sine = (angle.sin() * window).float()[:, None].to(device)
        self.bank = slaney_bank(front.sample_rate, front.n_fft, front.n_mels, front.fmin, device)

    def __call__(self, wave: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(wave[:, None], (self.pad, self.pad), mode="reflect")
        real = torch.nn.functional.conv1d(padded, self.cosine, stride=self.hop)
        imaginary = torch.nn.functional.conv1d(padded, self.sine, stride=self.hop)
        magnitude = torch.sqrt(real.square() + imaginary.square())
        return torch.log(self.bank @ magnitude.square() + EPS)


def measure(tag: str, batch: int, rounds: int, device: torch.device) -> Case:
    """Both forms in turn, ``rounds`` times after one warm-up."""
    ours = front_end(f"m2d-logmel/{tag}")
    theirs = ConvolutionLogMel(ours, device)
    noise = torch.randn(batch, CLIP_SECONDS * ours.sample_rate, generator=torch.Generator().manual_seed(0))
    wave = (0.1 * noise).to(device)
    difference = float((ours(wave) - theirs(wave)).abs().max())
    pairs = [(seconds(ours, wave), seconds(theirs, wave)) for _ in range(rounds)]
    sound = batch * CLIP_SECONDS
    ratio = statistics.median(slow / fast for fast, slow in pairs)
    fast, slow = (speed(sound, [pair[i] for pair in pairs]) for i in (0, 1))
    return Case(ours.id, batch, fast, slow, ratio, difference)


def seconds(form: Callable[[Tensor], Tensor], wave: Tensor) -> float:
    start = time.perf_counter()
    form(wave)
    if wave.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def speed(sound: float, times: list[float]) -> Speed:
    return Speed(sound / statistics.median(times), sound / max(times), sound / min(times))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of text")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    with torch.inference_mode():
        cases = [measure(t, b, args.rounds, torch.device(args.device)) for t in ("16k", "32k") for b in BATCHES]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if args.json:
        print(json.dumps({"threads": args.threads, "peak_rss_mb": peak, "cases": [asdict(case) for case in cases]}))
    else:
        print(table(cases, args.threads, args.device, peak))
    wrong = [case for case in cases if case.ratio < 1 or case.difference > LARGEST_DIFFERENCE]
    return int(bool(wrong))


def table(cases: list[Case], threads: int, device: str, peak: float) -> str:
    rows = [f"times real time on {device}, {threads} threads: median (slowest to fastest round)"]
    rows.append(f"{'front end':<16}{'batch':>5}  {'ours':<26}{'convolution':<26}{'faster':>7}{'difference':>12}")
    for case in cases:
        rows.append(
            f"{case.front_end:<16}{case.batch:>5}  {case.ours!s:<26}{case.convolution!s:<26}"
            f"{case.ratio:>6.1f}x{case.difference:>12.1e}"
        )
    best = max(cases, key=lambda case: case.ours.high)
    rows.append(
        f"peak: {best.ours.high:.0f} times real time ({best.front_end}, batch {best.batch}), {peak:.0f} MB resident"
    )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
