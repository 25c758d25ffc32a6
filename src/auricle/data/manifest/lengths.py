"""Read the lengths of clips that the manifest lacks from the files' headers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auricle.core.console import progress_bar
from auricle.core.errors import AudioError, AuricleError
from auricle.data.manifest.clip_table import Clip, ClipTable
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import ClipStore, StoredAudio, open_store


def with_lengths(manifest: Manifest, quiet: bool = False) -> Manifest:
    """Fill in ``num_samples`` and ``rate`` of every clip.

    Args:
        manifest: The clips.
        quiet: True shows no progress.

    Returns:
        The manifest without the clips whose files cannot be opened; a note counts them.

    Raises:
        AuricleError: No file can be opened.
    """
    unknown = _unknown(manifest.table)
    if not unknown.any():
        return manifest
    store = open_store(manifest, "audio")
    clips: list[Clip] = []
    failed: list[str] = []
    with progress_bar(total=int(unknown.sum()), what="reading lengths", quiet=quiet) as bar:
        for clip, measure in zip(manifest, unknown.tolist()):
            if measure:
                bar.update()
                try:
                    info = store.open(clip).info()
                except AudioError as error:
                    failed.append(str(error))
                    continue
                clip = replace(clip, rate=info.rate, num_samples=info.num_samples)
            clips.append(clip)
    if not clips:
        raise AuricleError(f"none of the {len(manifest)} files can be opened; the first: {failed[0]}")
    if not failed:
        return replace(manifest, clips=clips)
    note = f"{len(failed)} of {len(manifest)} files cannot be opened and are left out; the first: {failed[0]}"
    return replace(manifest, clips=clips, notes=(*manifest.notes, note))


def _unknown(table: ClipTable) -> np.ndarray:
    """(N,) True for clips without a length, and for parts of a recording without its rate."""
    part = ~(np.isnan(table.numbers("start")) & np.isnan(table.numbers("end")))
    return (table.numbers("num_samples") < 0) | (part & (table.numbers("rate") < 0))


def seconds_of(store: ClipStore[StoredAudio], clip: Clip) -> float | str:
    """Return the length of a clip, from the manifest or the header of its recording, or the message of the error."""
    try:
        if clip.seconds is not None:
            return clip.seconds
        return store.open(clip).info().seconds - (clip.start or 0.0)
    except AuricleError as error:
        return str(error)
