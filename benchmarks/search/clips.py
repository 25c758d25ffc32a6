"""The clips that are searched: ESC-10 (400) and 200 of each spoken digit (2,000), with the encoders that embed them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

import auricle
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.models.base import Encoder
from auricle.models.log_mel_stats import LogMelStats
from benchmarks.detectors.settings import MODEL, WEIGHTS
from benchmarks.small_scale.sounds import digits, esc10

PER_DIGIT = 200
SMALL, LOG_MEL = "small encoder", "log-mel"


def two_thousand_digits(shared: Path) -> Manifest:
    """The same 200 clips of each digit every time, drawn from all 300."""
    manifest, source, chosen = digits(shared), np.random.default_rng(0), list[Clip]()
    for digit in sorted({clip.labels[0] for clip in manifest}):
        clips = sorted((clip for clip in manifest if clip.labels[0] == digit), key=lambda clip: clip.id)
        chosen += [clips[i] for i in np.sort(source.permutation(len(clips))[:PER_DIGIT])]
    return replace(manifest, clips=tuple(chosen))


def classes_by_path(shared: Path) -> dict[str, str]:
    """Absolute path -> class, of all 2,400 clips; digits are "0" to "9"."""
    found = {}
    for manifest in (esc10(shared), two_thousand_digits(shared)):
        found.update({str(Path(manifest.audio(clip)).resolve()): clip.labels[0] for clip in manifest})
    return found


def encoders(shared: Path, small: str | None) -> dict[str, Encoder]:
    """The encoders by the name that tables call them; the small one where its run folder is given."""
    found: dict[str, Encoder] = {MODEL: auricle.load(MODEL, weights=shared / WEIGHTS)}
    if small:
        found[SMALL] = auricle.load(small)
    return {**found, LOG_MEL: LogMelStats()}
