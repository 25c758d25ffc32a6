"""How varied is the synthetic corpus? ``python -m benchmarks.synthetic_corpus [--sheet FILE.png]``

Writes the corpus, reads it back and scores logistic regression (standardised, C = 1, the manifest's folds) on the time
mean of log-mel, on mean and deviation, and with the modulation spectrum added (what only the order of frames can tell).
Exit code 1 when a score leaves its bounds: mean 40 to 85 %, mean and deviation below 95 %, every class above chance.
With ``--sheet`` it draws two clips of every class instead.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.synthetic.corpus import CLASSES, ClipRecipe, make_corpus, synthesise

MODULATION_EDGES = np.array([0.7, 1.5, 3, 6, 12, 24, 48])  # hertz, octaves
BAND_GROUPS = 8


def main() -> int:
    args = _arguments()
    if args.sheet:
        draw_sheet(args.sheet, ClipRecipe(args.seed, args.rate, args.seconds))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        manifest = make_corpus(
            Path(folder) / "corpus",
            clips_per_class=args.clips_per_class,
            seconds=args.seconds,
            rate=args.rate,
            seed=args.seed,
            workers=args.workers,
        )
        spent = time.perf_counter() - start
        clips = read_manifest(manifest)
        print(f"{len(clips)} clips of {args.seconds} s in {spent:.1f} s: {len(clips) / spent:.0f} clips/s")
        return report(clips, args.front_end)


def report(manifest: Manifest, front_end: str) -> int:
    """Print the three scores and the recall of every class; 1 if a score leaves its bounds, else 0."""
    labels = np.array([clip.labels[0] for clip in manifest])
    folds = np.array([clip.fold for clip in manifest])
    mean, deviation, modulation = features(manifest, front_end)
    right = {
        "mean": hits(mean, labels, folds),
        "mean+deviation": hits(np.hstack([mean, deviation]), labels, folds),
        "+modulation": hits(np.hstack([mean, deviation, modulation]), labels, folds),
    }
    print(f"\n{'%':16}" + "".join(f"{name:>16}" for name in right))
    for name in [*sorted(set(labels)), "all"]:
        chosen = (labels == name) | (name == "all")
        print(f"{name:16}" + "".join(f"{100 * hit[chosen].mean():16.1f}" for hit in right.values()))
    recall = [right["mean"][labels == name].mean() for name in set(labels)]
    fine = 0.40 <= right["mean"].mean() <= 0.85 and right["mean+deviation"].mean() < 0.95
    fine = fine and min(recall) > 2 / len(recall)
    print(f"\nwithin bounds: {'yes' if fine else 'NO'} (chance {100 / len(recall):.1f} %)")
    return 0 if fine else 1


def features(manifest: Manifest, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Time mean (n, F), time deviation (n, F) and modulation spectrum (n, 8 * 6) of the clips' log-mel."""
    from auricle.frontends.base import front_end

    front = front_end(name)
    spectra = [log_mel(front, manifest.audio(clip)) for clip in manifest]
    modulation = [modulations(spec, front.hop_seconds) for spec in spectra]
    return np.array([s.mean(1) for s in spectra]), np.array([s.std(1) for s in spectra]), np.array(modulation)


def log_mel(front, path: Path) -> np.ndarray:
    """(F, T) of one file at the front end's rate."""
    import torch

    from auricle.audio.decode import read

    wave = read(path, rate=front.sample_rate).wave
    return front(torch.from_numpy(wave)[None])[0].numpy()


def modulations(spec: np.ndarray, hop_seconds: float) -> np.ndarray:
    """(8 * 6,) log power of eight groups of bands in octaves of modulation frequency, 0.7 to 48 Hz."""
    groups = np.array([part.mean(0) for part in np.array_split(spec, BAND_GROUPS)])
    power = np.abs(np.fft.rfft(groups - groups.mean(1, keepdims=True))) ** 2
    octave = np.digitize(np.fft.rfftfreq(spec.shape[1], hop_seconds), MODULATION_EDGES)
    return np.log(np.concatenate([power[:, octave == k].mean(1) for k in range(1, len(MODULATION_EDGES))]) + 1e-6)


def hits(values: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """(n,) whether each clip is told right by a classifier trained on the other folds."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    return cross_val_predict(model, values, labels, cv=PredefinedSplit(folds)) == labels


def draw_sheet(path: Path, recipe: ClipRecipe) -> None:
    """Spectrograms of the first two clips of every class, each at the same loudness, on one colour scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 12.5), layout="constrained")
    axes = figure.subplots(-(-len(CLASSES) // 4), 4, sharex=True, sharey=True)
    for axis, name in zip(axes.flat, CLASSES):
        image = draw_class(axis, name, recipe)
    figure.supxlabel(f"seconds (two clips of {recipe.seconds:g} s each)")
    figure.supylabel("kHz (linear to 0.5, then logarithmic)")
    figure.colorbar(image, ax=axes, shrink=0.4, label="dB re the clip's loudest")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=66)


def draw_class(axis, name: str, recipe: ClipRecipe):
    """One panel: clips 0 and 1 of a class, one after the other."""
    from matplotlib.mlab import specgram

    for index in range(2):
        power, hertz, times = specgram(synthesise(name, index, recipe), NFFT=512, Fs=recipe.rate, noverlap=352)
        level = 10 * np.log10(power / power.max() + 1e-9)
        image = axis.pcolormesh(times + index * recipe.seconds, hertz / 1000, level, vmin=-70, vmax=0, cmap="magma")
    axis.axvline(recipe.seconds, color="white", linewidth=1)
    axis.set_yscale("symlog", linthresh=0.5, linscale=0.6)
    axis.set_ylim(0, min(8, recipe.rate / 2000))
    axis.set_yticks([0, 0.25, 0.5, 1, 2, 4, 8], ["0", "0.25", "0.5", "1", "2", "4", "8"])
    axis.set_title(name.replace("_", " "), fontsize=10)
    return image


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthetic_corpus", description=__doc__.split("\n")[0])
    parser.add_argument("--clips-per-class", type=int, default=40)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rate", type=int, default=16000, help="hertz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2, help="processes that make the clips")
    parser.add_argument("--front-end", default="m2d-logmel/16k", help="id of the log-mel")
    parser.add_argument("--sheet", type=Path, metavar="PNG", help="draw the spectrogram sheet to this file instead")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
