"""Folders of stored log-mel spectrograms: ``.npy`` files of (F, N) or (1, F, N), float32 or float16, and their card.

The card ``prepare.json`` holds the settings that a folder was made with, so that no others are mixed into it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AudioError, AuricleError, content_fault
from auricle.core.io import is_left_over, replacing, write_text, writing
from auricle.data.manifest.manifest import Manifest

# ---- the card of a folder

SETTINGS = "prepare.json"
FORMAT = 1
HALF = (
    "store half precision: half the size on disk; rounding error at most 0.004 (a thousandth of a standard deviation)"
)
HALF_ERROR = 2**-8  # half the spacing of float16 from 8 to 16; log-mel of sound in [-1, 1] lies in [-15.95, 7]
DEFAULTS = {"dtype": "float32"}  # of settings that older cards do not hold


def claim_folder(out: Path, settings: dict[str, Any], journal: Path | None = None) -> tuple[str, ...]:
    """Write the card of a new folder, or check that an earlier run used the same settings, and remove its incomplete files.

    Args:
        out: The folder.
        settings: What decides the values in it.
        journal: A file in the folder or above that keeps a copy of the settings, from which a damaged card is written anew.

    Returns:
        A note if the card was damaged and has been written anew.

    Raises:
        AuricleError: The folder was made with other settings, or holds something else.
    """
    notes = _restore_card(out / SETTINGS, journal) if journal and journal.is_file() else ()
    if (out / SETTINGS).is_file():
        check_settings(out, settings)
        clear_leftovers(out)
    elif out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise AuricleError(f"{out} exists and is not a prepared folder; name a new or an empty folder")
    else:
        write_card(out, settings)
    if journal and _copied_settings(out / SETTINGS, journal) is None:
        _copy_settings(out / SETTINGS, settings, journal)
    return notes


def _copy_of(card: Path, journal: Path) -> str:
    """Return the key of the copy of a card in the journal."""
    return f"settings of {card.relative_to(journal.parent).as_posix()}"


def _restore_card(card: Path, journal: Path) -> tuple[str, ...]:
    """Write a card that is damaged or missing anew from the journal's copy, where there is one."""
    what = f"{card} is missing"
    if card.is_file():
        try:
            read_card(card)
            return ()
        except DamagedCard as error:
            what = error.what
    settings = _copied_settings(card, journal)
    if settings is None:
        return ()
    write_card(card.parent, settings)
    return (f"{what}; it is written anew from {journal.name}",)


def _copied_settings(card: Path, journal: Path) -> dict[str, Any] | None:
    """Return the settings in a journal; None where it has none."""
    key = _copy_of(card, journal)
    try:
        with journal.open(encoding="utf-8", errors="replace") as file:
            copy = next((line for line in file if key in line), "")
        return dict(json.loads(copy)[key])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _copy_settings(card: Path, settings: dict[str, Any], journal: Path) -> None:
    with writing(journal), journal.open("a", encoding="utf-8") as file:
        file.write("\n" + json.dumps({_copy_of(card, journal): settings}) + "\n")


def write_card(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings that determine the values of a store, and the largest rounding error of stored log-mel."""
    card: dict[str, Any] = {"format": FORMAT, "settings": settings}
    if "front_end" in settings:
        card["largest_error"] = HALF_ERROR if settings.get("dtype") == "float16" else 0.0
    write_text(out / SETTINGS, json.dumps(card, indent=1) + "\n")


def check_settings(out: Path, settings: dict[str, Any]) -> None:
    """Raise AuricleError, naming the differences, when a folder was made with other settings."""
    old = read_card(out / SETTINGS)
    changed = [f"{name} was {old.get(name)}, now {value}" for name, value in settings.items() if old.get(name) != value]
    if changed:
        raise AuricleError(
            f"{out} was prepared with other settings: {'; '.join(changed)}; use those, or name a new folder"
        )


class DamagedCard(AuricleError):
    """A card that cannot be read. ``what`` says which, without advice."""

    def __init__(self, path: Path, error: Exception):
        self.what = f"{path} is damaged ({content_fault(error)})"
        super().__init__(
            f"{self.what}; the command that prepared the folder writes it anew where done.jsonl has a copy, otherwise "
            "prepare into a new folder"
        )


def read_card(path: Path) -> dict[str, Any]:
    """Return the settings of a card. Raises AuricleError for a damaged one and for one of a newer auricle."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        format, settings = int(stored.get("format", FORMAT)), dict(stored["settings"])
    except Exception as error:  # any value may have any type, and any depth
        raise DamagedCard(path, error) from None
    if format > FORMAT:
        raise AuricleError(f"{path} was written by a newer auricle (format {format}, this one knows {FORMAT})")
    return {**DEFAULTS, **settings}


def clear_leftovers(out: Path) -> None:
    """Remove the incomplete files of killed runs; those of runs that go on, here or on another machine, stay."""
    for leftover in out.rglob(".*.tmp"):
        if is_left_over(leftover.name):
            leftover.unlink(missing_ok=True)


# ---- arrays
def open_array(path: Path) -> np.ndarray:
    """Open a stored spectrogram.

    Args:
        path: A ``.npy`` file, or an ``.npz`` whose ``arr_0`` is read whole.

    Returns:
        (F, N) memory map; nothing is read until it is sliced.

    Raises:
        AudioError: The file is missing or is no spectrogram.
    """
    if path.suffix == ".npz":
        return check_spectrogram(open_npz(path, ("arr_0",))[0], path)
    try:
        array = _memory_map(path)
    except Exception as error:  # NumPy's reader of headers raises many kinds
        raise AudioError(f"{path} is not a readable .npy spectrogram: {error or type(error).__name__}") from None
    return check_spectrogram(array, path)


def _memory_map(path: Path) -> np.ndarray:
    """Open a file, with a second attempt: NumPy parses each header as Python source, and in CPython 3.11 that fails once in many
    thousand times (issue 106905, "AST constructor recursion depth mismatch"). The second attempt succeeds."""
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except SystemError:
        return np.load(path, mmap_mode="r", allow_pickle=False)


def check_spectrogram(array: np.ndarray, path: Path) -> np.ndarray:
    """Return (A, B) of an array (A, B) or (1, A, B). Raises AudioError for other shapes and types."""
    if array.ndim == 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim != 2 or 0 in array.shape or array.dtype not in (np.float32, np.float16):
        raise AudioError(
            f"{path}: expected (F, N) or (1, F, N) of float32 or float16, found {array.shape} {array.dtype}"
        )
    return array


def open_npz(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    """Read the arrays of these names. Raises AudioError for a file that does not hold them."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = [file[name] for name in names]
        if not all(isinstance(array, np.ndarray) for array in arrays):  # of another content NumPy gives the bytes
            raise ValueError("not all of them are arrays")
        return arrays
    except Exception as error:  # of NumPy, of zipfile and of its decompressors
        raise AudioError(
            f"{path} is not a readable .npz with {', '.join(names)}: {error or type(error).__name__}"
        ) from None


def is_complete(path: Path) -> bool:
    """Return True if a stored spectrogram exists with all its values (a power cut can leave a file without content)."""
    try:
        open_array(path)
    except AudioError:
        return False
    return True


def write_array(path: Path, values: np.ndarray, dtype: str = "float32") -> None:
    """Write (F, N) as a file of (1, F, N), under a temporary name until it is complete."""
    with replacing(path, durable=False) as temporary, temporary.open("wb") as file:
        np.save(file, values[None].astype(dtype, copy=False))


def front_end_of(manifest: Manifest) -> str:
    """Return the id of the front end that made the stored spectrograms of a manifest.

    It is read from the ``prepare.json`` of the manifest's folder, else of the nearest folder above the first spectrogram.

    Raises:
        AuricleError: No ``prepare.json`` holds it.
    """
    path = card_of(manifest)
    if path is None:
        raise AuricleError(
            f"{manifest.root / SETTINGS} does not say how the spectrograms were made (there is none); "
            "'auricle prepare' writes it, or name the front end yourself"
        )
    try:
        return str(read_card(path)["front_end"])
    except KeyError:
        raise AuricleError(f"{path} does not say which front end made the spectrograms; prepare them anew") from None


def card_of(manifest: Manifest) -> Path | None:
    """Return the ``prepare.json`` of a manifest's spectrograms; None where there is none."""
    return next((path for folder in _folders(manifest) if (path := folder / SETTINGS).is_file()), None)


def _folders(manifest: Manifest) -> Iterator[Path]:
    """The manifest's folder, then those above its first spectrogram."""
    yield manifest.root
    if manifest.clips and manifest.clips[0].has_spectrogram:
        yield from manifest.spectrogram(manifest.clips[0]).parents
