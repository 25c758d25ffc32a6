"""How long clips are, where the manifest does not say: from the files' headers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from auricle.audio.decode.decode import probe
from auricle.core.errors import AudioError, AuricleError
from auricle.core.progress import progress_bar
from auricle.data.manifest.manifest import Clip, Manifest


def with_lengths(manifest: Manifest, quiet: bool = False) -> Manifest:
    """The manifest with num_samples (and rate) of every clip. Files that cannot be opened are left out, with a note.

    Raises AuricleError when no file can be opened.
    """
    unknown = sum(map(_unknown, manifest))
    if not unknown:
        return manifest
    clips, failed = [], []
    with progress_bar(total=unknown, what="reading lengths", quiet=quiet) as bar:
        for clip in manifest:
            try:
                clips.append(_measured(manifest, clip, bar) if _unknown(clip) else clip)
            except AudioError as error:
                failed.append(str(error))
    if not clips:
        raise AuricleError(f"none of the {len(manifest)} files can be opened; the first: {failed[0]}")
    note = (
        f"{len(failed)} of {len(manifest)} files cannot be opened and are left out; the first: {failed[0]}"
        if failed
        else ""
    )
    return replace(manifest, clips=tuple(clips), notes=(*manifest.notes, note) if note else manifest.notes)


def _unknown(clip: Clip) -> bool:
    span = clip.start is not None or clip.end is not None
    return clip.num_samples is None or (span and clip.rate is None)


def _measured(manifest: Manifest, clip: Clip, bar: Any) -> Clip:
    bar.update()
    info = probe(manifest.audio(clip))
    return replace(clip, rate=info.rate, num_samples=info.num_samples)
