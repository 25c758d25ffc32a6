"""The synthetic corpus: real audio files of procedural sounds with a manifest, for places with no audio.

A clip is a function of (seed, class, index, rate, seconds) alone: neither the number of clips or workers nor the choice
of classes changes it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.core.io import replacing, write_text
from auricle.core.parallel import parallel_map
from auricle.core.progress import progress_bar
from auricle.core.randomness import RandomKey
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.synthetic import SOUNDS
from auricle.data.synthetic.scene import recording

CLASSES = tuple(SOUNDS)
MIN_SECONDS, MIN_RATE = 0.5, 8000


@dataclass(frozen=True)
class Recipe:
    """What decides the samples of every clip of a corpus: seed, rate in hertz, length in seconds."""

    seed: int = 0
    rate: int = 16000
    seconds: float = 3.0

    def __post_init__(self) -> None:
        if self.rate < MIN_RATE:
            raise AuricleError(f"rate is {self.rate} Hz; synthetic sounds need at least {MIN_RATE} Hz")
        if not MIN_SECONDS <= self.seconds <= 3600:
            raise AuricleError(f"clips of {self.seconds} s were asked for; give {MIN_SECONDS} to 3600 s")

    @property
    def num_samples(self) -> int:
        return round(self.seconds * self.rate)


def synthesise(name: str, index: int, recipe: Recipe) -> np.ndarray:
    """(S,) float32 in [-1, 1]: the ``index``-th clip of class ``name``. Raises AuricleError for an unknown class."""
    if name not in SOUNDS:
        raise AuricleError(f"unknown synthetic class '{name}'{nearest(name, CLASSES)}")
    source = RandomKey(recipe.seed, position=index).of(f"synthetic/{name}")
    return recording(source, name, recipe.rate, recipe.seconds)


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
    """Write ``out/<class>/<class>-0000.flac`` … and ``out/manifest.csv``, whose path is returned.

    Every class has the same number of clips in every fold (1 to ``folds``), give or take one. Files already there are
    kept, so a killed run goes on where it was. ``workers`` processes share the work; 0 does it in this one.
    Raises AuricleError for unknown classes, impossible numbers, a folder that holds something else, and one made with
    another seed, rate or length.
    """
    out, recipe = Path(out), Recipe(seed, rate, seconds)
    names = _checked(classes, clips_per_class, folds)
    _claim(out, recipe)
    items = [(name, index) for index in range(clips_per_class) for name in names]
    missing = [item for item in items if not (out / _path(*item)).exists()]
    with progress_bar(total=len(missing), what="synthesise", quiet=quiet or not missing) as bar:
        for _ in _written(out, recipe, missing, workers):
            bar.update()
    clips = tuple(_clip(recipe, name, index, folds) for name, index in sorted(items))
    return write_manifest(Manifest(clips, root=out), out / "manifest.csv")


def _checked(classes: Sequence[str] | None, clips_per_class: int, folds: int) -> tuple[str, ...]:
    names = CLASSES if classes is None else tuple(dict.fromkeys(classes))
    for name in names:
        if name not in SOUNDS:
            raise AuricleError(f"unknown synthetic class '{name}'{nearest(name, CLASSES)}")
    if not names or clips_per_class < 1 or folds < 1:
        raise AuricleError(
            f"{len(names)} classes of {clips_per_class} clips in {folds} folds were asked for; give at least one each"
        )
    return names


def _claim(out: Path, recipe: Recipe) -> None:
    """Note the recipe in ``out/synthetic.json``; refuse a folder that holds another one's clips, or something else."""
    note, wanted = out / "synthetic.json", json.dumps(asdict(recipe))
    if note.exists():
        found = note.read_text(encoding="utf-8")
        if found != wanted:
            raise AuricleError(f"{out} holds a synthetic corpus made with {found}, not {wanted}; choose another folder")
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuricleError(f"{out} exists and is no synthetic corpus; choose a new or empty folder")
    else:
        write_text(note, wanted)


def _written(out: Path, recipe: Recipe, items: Sequence[tuple[str, int]], workers: int) -> Iterable[None]:
    """Writes the clips; yields once per clip."""
    return parallel_map(partial(_write_clip, out, recipe), items, workers if len(items) > 1 else 1)


def _write_clip(out: Path, recipe: Recipe, item: tuple[str, int]) -> None:
    import soundfile

    with replacing(out / _path(*item)) as part:
        soundfile.write(part, synthesise(*item, recipe), recipe.rate, format="FLAC", subtype="PCM_16")


def _path(name: str, index: int) -> str:
    return f"{name}/{name}-{index:04d}.flac"


def _clip(recipe: Recipe, name: str, index: int, folds: int) -> Clip:
    where = _path(name, index)
    return Clip(
        id=where, path=where, labels=(name,), fold=1 + index % folds, rate=recipe.rate, num_samples=recipe.num_samples
    )
