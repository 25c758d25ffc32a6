"""Convert user input (an encoder or its name, clips in any form) to the types used inside."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.models.base import Encoder
from auricle.models.ensemble import Ensemble

Model = Encoder | str | Path | Sequence["Encoder | str | Path"]


def as_encoder(model: Model) -> Encoder:
    if isinstance(model, Encoder):
        return model
    from auricle.hub.load import load

    if isinstance(model, Iterable) and not isinstance(model, str):
        return joined([as_encoder(member) for member in model])
    return load(model)


def joined(members: Sequence[Encoder]) -> Encoder:
    """Several encoders as an ensemble; one as it is."""
    return members[0] if len(members) == 1 else Ensemble(members)


def as_manifest(source: Manifest | str | Path | Sequence[str | Path]) -> Manifest:
    """A Manifest as it is; a folder, table or file read; of several sources one manifest, folders and tables spread
    out."""
    from auricle.data.manifest.formats import read_manifest
    from auricle.data.manifest.tables import TABLES

    if isinstance(source, Manifest):
        return source
    items = [source] if isinstance(source, (str, Path)) else list(source)
    if len(items) == 1:
        return read_manifest(items[0] if Path(items[0]).exists() or isinstance(source, (str, Path)) else items)
    notes: list[str] = []
    clips: dict[str, Clip] = {}  # a file named twice is embedded once
    for item in map(Path, items):
        if item.is_dir() or item.suffix.lower() in TABLES:
            inner = read_manifest(item)
            spread = (replace(c, id=f"{item}/{c.id}", path=c.path and str(inner.root / c.path)) for c in inner)
            clips |= {clip.id: clip for clip in spread}
            notes += inner.notes_but_leaks()
        else:
            clips[str(item)] = Clip(id=str(item), path=str(item))
    if not clips:
        raise AuricleError("no audio was named: give files, folders or tables")
    return Manifest(tuple(clips.values()), notes=tuple(notes))
