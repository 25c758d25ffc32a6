"""What a stream of MN may keep of the window before: the share of the layers kept exactly, and the error of keeping more.

    python -m benchmarks.stream_reuse --weights ../shared/weights/mn04_as_mAP_432.pt --audio ../shared/data/audio \\
        ../shared/data/esc10/audio

Layers before the first squeeze-and-excitation see a few frames, and ``auricle stream`` computes them once. Behind it the gates are
averages over the window, so that the columns of the window before do not fit the gates of this one. A stream that kept them all the
same (approximate reuse) would use for each column the gates of the window in which it was computed, up to 19 hops ago. Here windows
are scored with all gates of the window so many hops before, and compared with the exact scores.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import auricle
from auricle.audio.decode import read
from auricle.core.devices import tune_allocator
from auricle.models.efficientat.local import LocalPart
from auricle.models.efficientat.mn import MN, InvertedResidual, SqueezeExcite
from benchmarks.stream import WIDTHS, network, processor_ms

WINDOW, HOP, RATE = 10.0, 0.5, 32000
AGES = (1, 5, 10, 19)  # hops
DETECTED = 0.3


class Gates:
    """Replaces the gates of a network by those of another call. ``now`` maps each module to its gate in the last exact call."""

    def __init__(self, encoder: MN):
        self.now: dict[torch.nn.Module, Tensor] = {}
        self.given: dict[torch.nn.Module, Tensor] | None = None
        for module in encoder.modules():
            if isinstance(module, SqueezeExcite):
                module.forward = self._of(module)  # type: ignore[method-assign]

    def _of(self, module: SqueezeExcite) -> Callable[[Tensor], Tensor]:
        def forward(x: Tensor) -> Tensor:
            if self.given is None:
                self.now[module] = torch.sigmoid(module.fc2(torch.relu(module.fc1(x.mean((2, 3))))))
            gate = self.now[module] if self.given is None else self.given[module]
            return x * gate[:, :, None, None]

        return forward


@torch.inference_mode()
def errors(encoder: MN, wave: np.ndarray) -> None:
    """Print how far scores with older gates are from the exact ones."""
    gates, size, hop = Gates(encoder), round(WINDOW * RATE), round(HOP * RATE)
    kept: list[dict[torch.nn.Module, Tensor]] = []
    difference: dict[int, list[float]] = {age: [] for age in AGES}
    first: dict[int, int] = dict.fromkeys(AGES, 0)
    crossed: dict[int, int] = dict.fromkeys(AGES, 0)
    detected = windows = 0
    for start in range(0, len(wave) - size + 1, hop):
        values = encoder.normalise(encoder.front(torch.from_numpy(wave[None, start : start + size])))
        gates.given, gates.now = None, {}
        exact = encoder.class_scores(values).sigmoid()[0]
        kept.append(gates.now)
        if len(kept) <= max(AGES):
            continue
        windows, detected = windows + 1, detected + int((exact >= DETECTED).sum())
        for age in AGES:
            gates.given = kept[-1 - age]
            other = encoder.class_scores(values).sigmoid()[0]
            difference[age].append(float((other - exact).abs().max()))
            first[age] += int(other.argmax() != exact.argmax())
            crossed[age] += int(((other >= DETECTED) != (exact >= DETECTED)).sum())
    print(f"{windows} windows, {detected} scores of {DETECTED} or more")
    print(
        "| gates of so many hops before | largest error of a score: median | 95 % | most | other first label | other side of 0.3 |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for age in AGES:
        values = np.array(difference[age])
        most, other = f"{np.quantile(values, 0.95):.3f} | {values.max():.3f}", f"{100 * first[age] / windows:.1f} %"
        print(f"| {age} | {np.median(values):.3f} | {most} | {other} | {crossed[age]} |")


@torch.inference_mode()
def share(name: str) -> None:
    """Print what the layers cost that are kept exactly, modules as they are, without graphs."""
    encoder = network(WIDTHS[name]).for_inference()
    assert isinstance(encoder, MN)
    stages = list(encoder.stages())
    cut = next(i for i, stage in enumerate(stages) if isinstance(stage, InvertedResidual) and stage.gate is not None)
    before, after = (
        LocalPart(stages[:cut], None, f"{name} before"),
        LocalPart(stages[cut:], encoder.classifier, f"{name} after"),
    )
    values = torch.randn(1, 1, encoder.front.n_mels, 1000)
    maps = before(values)
    spent: dict[str, list[float]] = {"before": [], "after": []}
    for round_ in range(90):
        for part, work in (("before", lambda: before(values)), ("after", lambda: after(maps))):
            took = processor_ms(work)
            if round_ >= 50:
                spent[part].append(took)
    first, rest = (statistics.median(spent[part]) for part in ("before", "after"))
    print(
        f"{name}: before the first squeeze-and-excitation {first:.2f} ms, {100 * first / (first + rest):.0f} % of a pass"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, help="of mn04_as")
    parser.add_argument("--audio", nargs="+", required=True, help="folders of recordings, which are joined")
    parser.add_argument("--seconds", type=float, default=120.0, help="of them")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tune_allocator()
    for name in WIDTHS:
        share(name)
    paths = [
        path for folder in args.audio for path in sorted(Path(folder).iterdir()) if path.suffix in (".wav", ".ogg")
    ]
    waves: list[np.ndarray] = []
    for path in paths[:: max(1, len(paths) // 40)]:
        wave = read(path, rate=RATE).wave
        waves.append(wave if wave.ndim == 1 else wave.mean(0))
        if sum(map(len, waves)) > args.seconds * RATE:
            break
    encoder = auricle.load("mn04_as", weights=args.weights)
    assert isinstance(encoder, MN)
    began = time.monotonic()
    errors(encoder.eval(), np.concatenate(waves).astype(np.float32))
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
