"""Shares of the clips of ``auricle embed``: which clips are in a share, and the union of the stores of finished shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.core.executors.config import CorpusShard
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.embeddings.cache import source_text

PART = ".part"  # after the name of the store of a share that is not whole


def shards_of(out: Path) -> Path:
    """Return the folder that holds the stores of shares of an output."""
    return out.with_name(f"{out.name}.shards")


def share_of(manifest: Manifest, shard: CorpusShard) -> Manifest:
    """Return the clips of a share. The windows of one recording are in one share."""
    return manifest.select(ids={clip.id for clip in manifest if shard.holds(clip.path or f"{clip.store}/{clip.key}")})


def take_shards(shards: Path, description: dict[str, Any], manifest: Manifest, store: EmbeddingStore) -> None:
    """Append what the stores of finished shares hold of these clips and of the files as they are now.

    Raises:
        AuricleError: for a store that was made with another encoder or other settings.
    """
    wanted = {clip.id: source_text(manifest, clip) for clip in manifest if clip.path} if shards.is_dir() else {}
    for folder in sorted(shards.glob("shard-*-of-*")):
        if folder.suffix == PART or not folder.is_dir():
            continue
        shard = EmbeddingStore.open(folder)
        if shard.description != description:
            raise AuricleError(
                f"{folder} was made with another encoder, other settings or in another folder; remove {shards}, or choose "
                "another --out"
            )
        shard.discard_damaged()
        present = store.rows(wanted)
        sources = {
            id: row.source
            for id, row in shard.rows(wanted).items()
            if row.source == wanted[id] and (id not in present or present[id].source != row.source)
        }
        for _ in store.append_in_shards((shard[id] for id in sources), sources, replace=True):
            pass
