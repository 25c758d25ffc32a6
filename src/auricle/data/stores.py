"""Stored log-mel spectrograms: ``.npy`` files, (F, N) or (1, F, N), float32 or float16, read through memory maps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from auricle.data.manifest import Manifest
from auricle.errors import AudioError, AuricleError

SETTINGS = "prepare.json"


def open_array(path: Path) -> np.ndarray:
    """(F, N) memory map; nothing is read until it is sliced. Raises AudioError for a file that is not one."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise AudioError(f"{path} is not a readable .npy spectrogram: {error}") from None
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or 0 in array.shape or array.dtype not in (np.float32, np.float16):
        raise AudioError(
            f"{path}: expected (F, N) or (1, F, N) of float32 or float16, found {array.shape} {array.dtype}"
        )
    return array


def front_end_of(manifest: Manifest) -> str:
    """Id of the front end that made the stored spectrograms. Raises AuricleError where no prepare.json says it."""
    path = manifest.root / SETTINGS
    try:
        return str(json.loads(path.read_text())["settings"]["front_end"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AuricleError(
            f"{path} does not say how the spectrograms were made ({type(error).__name__}); "
            "'auricle prepare' writes it, or name the front end yourself"
        ) from None
