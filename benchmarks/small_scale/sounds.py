"""Sounds of the small-scale comparison: one pool without labels to learn from, two tasks to be probed on.

honest: ESC-10 folds 1 to 3 and digits of speakers 1 to 4; probed by training on the same clips with their labels, tested
on folds 4 and 5 and speakers 5 and 6, and, to choose settings by, on each training fold and speaker with the others'
labels. inner: the same without the test part, for looking around. search: folds 1 and 2, speakers 1 to 3; tested on fold
3 and speaker 4. all: every clip is in the pool (transductive), probed as honest. synthetic: the pool is a synthetic
corpus, probed as honest and on its own classes. Clips shorter than a second are repeated up to it: padded silence would
make every objective trivial.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from auricle.audio.decode import read
from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.core.console import progress_bar
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.synthetic.corpus import make_corpus
from auricle.evaluation.tasks import Task

RATE, SHORTEST = 16000, 1.0  # hertz, seconds
INNER = " cv"  # ends the name of a task within the training part
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


@dataclass(frozen=True)
class Part:
    """Folds and speakers that train, and those that are tested."""

    train: tuple[tuple[int, ...], tuple[str, ...]]
    test: tuple[tuple[int, ...], tuple[str, ...]]


HONEST = Part(((1, 2, 3), SPEAKERS[:4]), ((4, 5), SPEAKERS[4:]))
PARTS = {
    "search": Part(((1, 2), SPEAKERS[:3]), ((3,), SPEAKERS[3:4])),
    "inner": HONEST,
    "honest": HONEST,
    "all": HONEST,
    "synthetic": HONEST,
}
CLIPS_PER_CLASS = 50  # of the synthetic corpus


def esc10(shared: Path) -> Manifest:
    return read_manifest(shared / "data/esc10/audio", labels=str(shared / "data/esc10/meta.csv"))


def digits(shared: Path) -> Manifest:
    labels = str(shared / "data/fsdd/meta.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own split leaks speakers; it is not used
        return read_manifest(shared / "data/fsdd/audio", labels=labels, label_column="digit", group_column="speaker")


def place_of(clip: Clip) -> int | str | None:
    """What decides the part of a clip: its fold (ESC-10), its speaker (digits)."""
    return clip.group if clip.group in SPEAKERS else clip.fold


def tasks(shared: Path, part: str, out: Path) -> dict[str, Task]:
    """Each task twice, as tables that say all: tested on what the part keeps for it, and ("cv") every training fold or
    speaker held out once, which is what settings are chosen by."""
    chosen, found = PARTS[part], {}
    for number, (name, manifest) in enumerate((("ESC-10", esc10(shared)), ("digits", digits(shared)))):
        sides = dict.fromkeys(chosen.train[number], "train") | dict.fromkeys(chosen.test[number], "test")
        clips = [clip for clip in manifest if place_of(clip) in sides]
        split = tuple(replace(clip, split=sides[place_of(clip)], fold=None) for clip in clips)
        table = write_manifest(replace(manifest, clips=split), out / f"{name}-{part}.csv")
        found[name] = Task(str(table), split_by="split", name=name)
        held = {place: fold for fold, place in enumerate(chosen.train[number], 1)}
        inner = tuple(replace(clip, fold=held[place_of(clip)], split=None) for clip in clips if place_of(clip) in held)
        table = write_manifest(replace(manifest, clips=inner), out / f"{name}-{part}-cv.csv")
        found[name + INNER] = Task(str(table), split_by="folds", name=name + INNER)
    if part == "inner":
        return {name: task for name, task in found.items() if name.endswith(INNER)}
    if part == "synthetic":
        found["synthetic"] = Task(str(pool_audio(shared, part, out) / "manifest.csv"), name="synthetic")
    return found


def pool(shared: Path, part: str, out: Path) -> Path:
    """A prepared folder of everything that is learnt from; made once."""
    audio = pool_audio(shared, part, out)
    return prepare(PrepareConfig(str(audio), str(out / audio.name.replace("pool", "prepared")))).out


def pool_audio(shared: Path, part: str, out: Path) -> Path:
    """The sounds themselves; made once."""
    audio = out / f"pool-{'honest' if part == 'inner' else part}"
    if not (audio / "complete").is_file():
        audio.mkdir(parents=True, exist_ok=True)
        if part == "synthetic":
            make_corpus(audio, clips_per_class=CLIPS_PER_CLASS, quiet=True)
        else:
            write_pool(shared, part, audio)
        (audio / "complete").touch()
    return audio


def write_pool(shared: Path, part: str, audio: Path) -> None:
    for number, manifest in enumerate((esc10(shared), digits(shared))):
        places = PARTS[part].train[number]
        clips = [clip for clip in manifest if part == "all" or place_of(clip) in places]
        for clip in progress_bar(clips, total=len(clips), what="pool"):
            write_repeated(manifest, clip, audio)


def write_repeated(manifest: Manifest, clip: Clip, folder: Path) -> None:
    """One clip as a WAV file at 16 kHz, repeated until it is a second long."""
    wave = read(manifest.audio(clip), rate=RATE).wave
    wave = np.tile(wave, -(-int(SHORTEST * RATE) // len(wave)))
    soundfile.write(folder / f"{Path(clip.id).stem}.wav", wave, RATE)
