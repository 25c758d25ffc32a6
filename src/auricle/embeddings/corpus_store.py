"""Fill an embedding store from a corpus: with the clips that it lacks, wherever the work runs, and with shares that are made apart.

NAME                          the store
NAME.shards/shard-03-of-16    the store of a share (``--shard 3/16``); the name ends in ``.part`` until each clip was tried
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from auricle.audio.decode import AudioNote, note_texts
from auricle.core.console import progress_bar
from auricle.core.errors import AuricleError
from auricle.core.executors.base import LocalExecutor, MakeWorker
from auricle.core.executors.config import CorpusSettings, CorpusShard
from auricle.core.io import writing
from auricle.core.locks import held
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.embeddings.cache import source_text
from auricle.inference.corpus.embed_worker import embed_batches, embed_manifest
from auricle.inference.embedder import Embedder
from auricle.inference.pipeline import PartDone

PART = ".part"  # after the name of the store of a share that is not whole
STORE_CLIPS = 256  # clips per file of a store; a killed run loses at most so many


@dataclass(frozen=True)
class CorpusEmbedding:
    """How the clips of a corpus are embedded.

    Attributes:
        embedder: of this process; it opens the clips and makes the batches.
        corpus: where the batches are worked on, and which share of the clips.
        make: makes the worker of another process.
        names: the vectors to compute, as of ``Embedder.iterate``.
        quiet: no progress bar.
    """

    embedder: Embedder
    corpus: CorpusSettings
    make: MakeWorker[Any, Any]
    names: Sequence[str] | None = None
    quiet: bool = False


@dataclass(frozen=True)
class FilledStore:
    """A store of which every clip was tried.

    Attributes:
        folder: of the store.
        clips: number of clips that it holds of the corpus, or of the share of it.
        kept: number of clips that were there before.
        failed: {id: message}, in the order of the clips.
        widths: as of ``EmbeddingStore.widths``.
        notes: what is unusual about the store and the files.
    """

    folder: Path
    clips: int
    kept: int
    failed: dict[str, str]
    widths: dict[str, int]
    notes: tuple[str, ...]


def fill_store(
    out: Path, description: Mapping[str, Any], manifest: Manifest, embedding: CorpusEmbedding, *, dtype: str = "float32"
) -> FilledStore:
    """Append the clips that a store lacks, or whose audio changed; those of a share to the store of the share.

    What the stores of finished shares hold is taken from there.

    Args:
        out: folder of the store.
        description, dtype: as of ``EmbeddingStore.create``.
        manifest: the clips.
        embedding: how and where they are embedded.

    Raises:
        AuricleError: for a store, or a share, that was made from something else, and for a share that another process makes.
    """
    shard = embedding.corpus.share
    if shard is None:
        store = EmbeddingStore.create(out, description, dtype=dtype)
        notes = (*store.notes, *store.discard_damaged())
        take_shards(shards_of(out), manifest, store)
        return _fill(store, manifest, embedding, notes)
    whole = shards_of(out) / shard.folder
    what = f"--shard {shard.number}/{shard.count} of --out {out}"
    with held(whole.with_name(f"{shard.folder}.lock"), what, "wait until it has finished"):
        folder = whole if whole.exists() else whole.with_name(f"{shard.folder}{PART}")
        store = EmbeddingStore.create(folder, description, dtype=dtype)
        notes = (*store.notes, *store.discard_damaged())
        filled = _fill(store, share_of(manifest, shard), embedding, notes)
        if folder != whole:
            with writing(whole):
                folder.rename(whole)
    return FilledStore(whole, filled.clips, filled.kept, filled.failed, filled.widths, filled.notes)


def _fill(store: EmbeddingStore, manifest: Manifest, embedding: CorpusEmbedding, notes: tuple[str, ...]) -> FilledStore:
    kept, failed, file_notes = append_clips(manifest, store, embedding)
    clips = len(manifest) - len(failed)
    return FilledStore(store.folder, clips, kept, failed, store.widths(), (*notes, *file_notes))


def append_clips(
    manifest: Manifest, store: EmbeddingStore, embedding: CorpusEmbedding
) -> tuple[int, dict[str, str], tuple[str, ...]]:
    """Embed the clips that the store lacks or whose audio changed, file by file; clips that failed are tried again.

    Args:
        manifest, store: the clips, and where they go.
        embedding: how and where they are embedded.

    Returns:
        The number of clips that were there before, the messages of those that failed, in the order of the clips, and notes
        about files that are unusual.
    """
    sources = _sources(manifest)
    present = store.rows(sources)
    missing = {id for id, source in sources.items() if id not in present or source not in ("", present[id].source)}
    rest = manifest.select(ids=missing)
    failed: dict[str, str] = {}
    notes: list[AudioNote] = []
    try:
        with progress_bar(total=len(rest), what="embed", quiet=embedding.quiet) as bar:
            on_part = None if bar.disable else PartDone(bar.show_part)
            executor = embedding.corpus.make_executor(len(rest), embedding.embedder.device.type)
            make = embedding.make
            if isinstance(executor, LocalExecutor):
                make = partial(embed_batches, embedding.embedder, embedding.names)
            results = embed_manifest(rest, embedding.embedder, executor, make, on_part)
            for result in store.append_in_shards(results, sources, replace=True, shard_clips=STORE_CLIPS):
                if result.failure:
                    failed[result.id] = result.failure
                notes.extend(result.notes)
                bar.finish_step()
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            "stopped; the finished clips were saved: run the same command again to continue"
        ) from None
    return len(manifest) - len(rest), {id: failed[id] for id in rest.ids if id in failed}, note_texts(notes)


def _sources(manifest: Manifest) -> dict[str, str]:
    """Return by id what each clip is computed from; "" for one in an archive."""
    return {clip.id: source_text(manifest, clip) if clip.path else "" for clip in manifest}


# ---- shares
def shards_of(out: Path) -> Path:
    """Return the folder that holds the stores of shares of an output."""
    return out.with_name(f"{out.name}.shards")


def share_of(manifest: Manifest, shard: CorpusShard) -> Manifest:
    """Return the clips of a share. The windows of one recording are in one share."""
    return manifest.select(ids={clip.id for clip in manifest if shard.holds(clip.path or f"{clip.store}/{clip.key}")})


def take_shards(
    shards: Path, manifest: Manifest, store: EmbeddingStore, description: Mapping[str, Any] | None = None
) -> None:
    """Append what the stores of finished shares hold of these clips and of the files as they are now.

    Args:
        shards: of ``shards_of``.
        manifest: the clips.
        store: takes them.
        description: of the stores of shares; None: that of the store.

    Raises:
        AuricleError: for a store that was made with another encoder or other settings.
    """
    wanted = _sources(manifest) if shards.is_dir() else {}
    for folder in sorted(shards.glob("shard-*-of-*")):
        if folder.suffix == PART or not folder.is_dir():
            continue
        shard = EmbeddingStore.open(folder)
        if (
            shard.description != (store.description if description is None else description)
            or shard.dtype != store.dtype
        ):
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
