"""The synthetic corpus: audio files of procedural sounds with a manifest, for machines without audio data.

A clip depends only on (seed, class, index, rate, seconds), not on the number of clips or workers or the other classes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError, nearest
from auricle.core.io import replacing, write_text
from auricle.core.parallel import parallel_map
from auricle.core.randomness import RandomKey
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.synthetic import SOUNDS
from auricle.data.synthetic.scene import make_recording

CLASSES = tuple(SOUNDS)
MIN_SECONDS, MIN_RATE = 0.5, 8000


@dataclass(frozen=True)
class ClipRecipe:
    """The settings that determine the samples of a clip.

    Attributes:
        seed: seed of the corpus.
        rate: sample rate, hertz.
        seconds: length of a clip.
    """

    seed: int = 0
    rate: int = 16000
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.rate < MIN_RATE:
            raise AuricleError(f"rate is {self.rate} Hz; synthetic sounds need at least {MIN_RATE} Hz")
        if not MIN_SECONDS <= self.seconds <= 3600:
            raise AuricleError(f"seconds is {self.seconds}; expected {MIN_SECONDS} to 3600")

    @property
    def num_samples(self) -> int:
        return round(self.seconds * self.rate)


def synthesise(name: str, index: int, recipe: ClipRecipe) -> np.ndarray:
    """Generate a clip.

    Args:
        name: class of the clip.
        index: number of the clip within its class.
        recipe: seed, rate and length.

    Returns:
        Waveform (S,), float32 in [-1, 1].

    Raises:
        AuricleError: for an unknown class.
    """
    if name not in SOUNDS:
        raise AuricleError(f"unknown synthetic class '{name}'{nearest(name, CLASSES)}")
    rng = RandomKey(recipe.seed, position=index).of(f"synthetic/{name}")
    return make_recording(rng, name, recipe.rate, recipe.seconds)


def make_corpus(
    out: Path | str,
    *,
    clips_per_class: int = 40,
    seconds: float = 3.0,
    rate: int = 16000,
    seed: int = 0,
    folds: int = 5,
    classes: Sequence[str] | None = None,
    workers: int = 0,
    quiet: bool = False,
) -> Path:
    """Write a corpus: ``out/<class>/<class>-0000.flac`` … and ``out/manifest.csv``.

    Existing files are not written again, so an interrupted run can be repeated.

    Args:
        out: folder of the corpus.
        clips_per_class: number of clips of each class.
        seconds: length of a clip.
        rate: sample rate, hertz.
        seed: seed of the corpus.
        folds: number of folds; the clips of a class are distributed evenly over folds 1 to ``folds``.
        classes: names of classes; None: all.
        workers: number of processes; 0: this process.
        quiet: no progress bar.

    Returns:
        Path of the manifest.

    Raises:
        AuricleError: for unknown classes or invalid numbers, and if the folder holds other files or another corpus.
    """
    out, recipe = Path(out), ClipRecipe(seed, rate, seconds)
    names = _check_classes(classes, clips_per_class, folds)
    _check_folder(out, recipe)
    items = [(name, index) for index in range(clips_per_class) for name in names]
    missing = [item for item in items if not (out / _path(*item)).exists()]
    with progress_bar(total=len(missing), what="synthesise", quiet=quiet or not missing) as bar:
        for _ in _write_clips(out, recipe, missing, workers):
            bar.update()
    clips = tuple(_clip(recipe, name, index, folds) for name, index in sorted(items))
    return write_manifest(Manifest(clips, root=out), out / "manifest.csv")


def _check_classes(classes: Sequence[str] | None, clips_per_class: int, folds: int) -> tuple[str, ...]:
    names = CLASSES if classes is None else tuple(dict.fromkeys(classes))
    for name in names:
        if name not in SOUNDS:
            raise AuricleError(f"unknown synthetic class '{name}'{nearest(name, CLASSES)}")
    if not names or clips_per_class < 1 or folds < 1:
        raise AuricleError(
            f"{len(names)} classes, {clips_per_class} clips per class, {folds} folds: expected at least one of each"
        )
    return names


def _check_folder(out: Path, recipe: ClipRecipe) -> None:
    """Write the recipe to ``out/synthetic.json``. Raise AuricleError if the folder holds other files or another corpus."""
    path, expected = out / "synthetic.json", json.dumps(asdict(recipe))
    if path.exists():
        existing = path.read_text(encoding="utf-8")
        if existing != expected:
            raise AuricleError(
                f"{out} holds a synthetic corpus made with {existing}, not {expected}; choose another folder"
            )
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuricleError(f"{out} exists and is not a synthetic corpus; choose a new or empty folder")
    else:
        write_text(path, expected)


def _write_clips(out: Path, recipe: ClipRecipe, items: Sequence[tuple[str, int]], workers: int) -> Iterable[None]:
    """Write clips in parallel; yield once per clip."""
    return parallel_map(partial(_write_clip, out, recipe), items, workers if len(items) > 1 else 1)


def _write_clip(out: Path, recipe: ClipRecipe, item: tuple[str, int]) -> None:
    import soundfile

    with replacing(out / _path(*item)) as part:
        soundfile.write(part, synthesise(*item, recipe), recipe.rate, format="FLAC", subtype="PCM_16")


def _path(name: str, index: int) -> str:
    return f"{name}/{name}-{index:04d}.flac"


def _clip(recipe: ClipRecipe, name: str, index: int, folds: int) -> Clip:
    path = _path(name, index)
    return Clip(
        id=path, path=path, labels=(name,), fold=1 + index % folds, rate=recipe.rate, num_samples=recipe.num_samples
    )
