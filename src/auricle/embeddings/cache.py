"""The embedding cache: each clip is decoded and encoded once; later probes, folds, seeds and shots read its vectors.

The cache is one embedding store (``store.py``) for each encoder, its statistics, the settings and a vector (the encoder's
output, or one block). The store's name is a hash of everything that changes its numbers. The id of a row is the
file and the span of it that is read. So every selection of clips uses the rows of others, and only missing
clips are computed, in one pass for all vectors. Each row also holds size and modification time of the audio file. The batch
size and the number of threads change numbers only in the last bits and are not in the key.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.decode import AudioNote, note_texts
from auricle.audio.resample import RESAMPLERS
from auricle.core.console import ProgressBar, progress_bar
from auricle.core.devices import pick_device
from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, file_stamp, make_folder, writable_cache
from auricle.core.randomness import key_of
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.embeddings import SHARD_CLIPS, EmbeddingStore
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import ClipEmbedding, Embedder, Embeddings, vector_names
from auricle.inference.pipeline import PartDone
from auricle.models.base import Encoder

IN_THE_CACHE = Path()
CHANGED = "the file changed each time that it was read; embed it again when nothing writes to it"
READINGS = 3  # of a file that changes while it is read
CODE_FORMAT = 2  # raise it when decoding, cutting, pooling or a front end changes its numbers


@dataclass
class EmbeddingCache:
    """Returns embeddings of clips: from stores in ``folder``, and computes those that are missing.

    Attributes:
        folder: where the stores are; by default in the cache folder, or in a temporary one where that cannot be written.
        computed: number of clips that were encoded.
        notes: messages about damaged or changed files, whose embeddings were computed again, and about a temporary folder.
    """

    folder: Path = IN_THE_CACHE
    computed: int = 0
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)
        if self.folder == IN_THE_CACHE:
            cache, note = writable_cache()
            self.folder = cache / "embeddings"
            self.notes += [note] if note else []

    def embed(
        self,
        manifest: Manifest,
        encoder: Encoder,
        settings: EmbedSettings,
        *,
        vectors: Sequence[str] = (),
        what: str = "embed",
        quiet: bool = True,
    ) -> Embeddings:
        """Return clip-level embeddings of the manifest, in its order; what is missing is computed in one pass.

        Reads no audio on a hit. Clips that could not be read are tried again every time: the reason (a library, a drive)
        may be gone.

        Args:
            manifest: the clips.
            encoder: the encoder.
            settings: how clips become vectors.
            vectors: names of the vectors to join, such as "clip" and "layer0"; none: those of the settings.
            what: label of the progress bar.
            quiet: no progress bar.
        """
        stores = self._stores(manifest, encoder, settings, vectors or vector_names(encoder.info, settings))
        rows = _rows(manifest, settings)
        missing = {name: absent for name, store in stores.items() if (absent := self._missing(store, rows))}
        failed: dict[str, str] = {}
        unusual: list[AudioNote] = []
        if missing:
            wanted = manifest.select(ids=set().union(*missing.values()))
            embedder = Embedder(encoder, settings=settings)
            with progress_bar(total=len(wanted), what=what, quiet=quiet) as bar:
                stores_missing = {name: stores[name] for name in missing}
                failed = self._compute(embedder, wanted, stores_missing, rows, bar, unusual)
        self.notes += (text for text in note_texts(unusual) if text not in self.notes)
        ids = [id for id in manifest.ids if id not in failed]
        columns = [store.vectors([rows[id].key for id in ids]) for store in stores.values()] if ids else []
        return Embeddings(
            ids=tuple(ids),
            clip=np.concatenate(columns, axis=1) if columns else np.zeros((0, 0), np.float32),
            failed={id: failed[id] for id in manifest.ids if id in failed},
            layers=settings.block_indices(encoder.info.depth),
            widths=tuple(column.shape[1] for column in columns),
        )

    def _stores(
        self, manifest: Manifest, encoder: Encoder, settings: EmbedSettings, vectors: Sequence[str]
    ) -> dict[str, EmbeddingStore]:
        """Open or make the store of each vector. One that cannot be opened is noted and made anew."""
        make_folder(self.folder, SET_ANOTHER)
        encoding, stores = describe_encoding(encoder, settings), {}
        if settings.padding == "published":  # then the numbers of a clip depend on its neighbours in a batch
            encoding["clips"] = clips_hash(manifest)
        for name in vectors:
            description = encoding | {"vector": name}
            key = hash_of(description)
            folder = self.folder / key[:2] / f"{key}-{name}"
            try:
                stores[name] = EmbeddingStore.create(folder, description)
            except AuricleError as error:
                if not EmbeddingStore.is_store(folder):
                    raise
                self.notes.append(f"{error}; computed again")
                shutil.rmtree(folder)
                stores[name] = EmbeddingStore.create(folder, description)
            self.notes += stores[name].notes
        return stores

    def _missing(self, store: EmbeddingStore, rows: dict[str, CacheRow]) -> set[str]:
        """The ids of clips that the store lacks, or whose audio changed. A missing audio file does not count as changed."""
        keys = [row.key for row in rows.values()]
        self.notes += [f"{message}; computed again" for message in store.discard_damaged(keys)]
        stored = store.rows(keys)
        absent = {id for id, row in rows.items() if row.key not in stored}
        changed = [id for id in rows if id not in absent and rows[id].stamp not in ("", stored[rows[id].key].source)]
        if changed:
            self.notes.append(
                f"{len(changed)} audio files changed since they were embedded ({changed[0]} …); computed again"
            )
        return absent.union(changed)

    def _compute(
        self,
        embedder: Embedder,
        wanted: Manifest,
        stores: dict[str, EmbeddingStore],
        rows: dict[str, CacheRow],
        bar: ProgressBar,
        unusual: list[AudioNote],
    ) -> dict[str, str]:
        """Embed clips and append them to the stores; those whose file changed meanwhile are read again.

        Notes about unusual files are added to ``unusual``.

        Returns:
            {id: reason} of the clips that could not be embedded.
        """
        reasons: dict[str, str] = {}
        on_part = None if bar.disable else PartDone(bar.show_part)
        for reading in range(READINGS):
            results = embedder.iterate(wanted, names=list(stores), on_part=on_part)
            for part in self._appended(results, stores, rows):
                reasons |= {result.id: result.failure for result in part}
                unusual += (note for result in part for note in result.notes)
                for _ in part if reading == 0 else ():
                    bar.finish_step()
            changed = {id for id, reason in reasons.items() if reason == CHANGED}
            if not changed:
                break
            wanted = wanted.select(ids=changed)
            rows |= _rows(wanted, embedder.settings)
        return {id: reason for id, reason in reasons.items() if reason}

    def _appended(
        self, results: Iterable[ClipEmbedding], stores: dict[str, EmbeddingStore], rows: dict[str, CacheRow]
    ) -> Iterator[list[ClipEmbedding]]:
        """Append results to the stores, a shard at a time, and yield what was appended; also what there is on an error.

        A result whose file is not the one that was there before it was read becomes a failure, ``CHANGED``.
        """
        held: list[ClipEmbedding] = []

        def flush() -> None:
            held[:] = [ClipEmbedding(r.id, failure=CHANGED) if rows[r.id].changed() else r for r in held]
            good = [result for result in held if not result.failure]
            for name, store in stores.items():
                clips = [ClipEmbedding(rows[r.id].key, {name: r.vectors[name]}) for r in good]
                store.append(clips, {rows[r.id].key: rows[r.id].stamp for r in good}, replace=True)
            self.computed += len(good)

        try:
            for result in results:
                held.append(result)
                if len(held) == SHARD_CLIPS:
                    flush()
                    yield list(held)
                    held.clear()
        finally:
            flush()
        yield held


@dataclass(frozen=True)
class CacheRow:
    """The id of a clip in a store (file and span), its file, and the file's size and modification time."""

    key: str
    file: Path
    stamp: str

    def changed(self) -> bool:
        """Return True if the file is not the one that it was. One that was not there tells nothing."""
        return self.stamp not in ("", json.dumps(file_stamp(self.file)))


def _rows(manifest: Manifest, settings: EmbedSettings) -> dict[str, CacheRow]:
    root = Path(manifest.root).resolve()
    drawn = settings.seconds is not None and settings.crop == "random"  # the draw is keyed by the clip's id
    rows = {}
    for clip in manifest:
        file = root / (clip.path or "")
        key = json.dumps([str(file), clip.start, clip.end, *([clip.id] if drawn else [])])
        stamp = file_stamp(file) if clip.path is not None else None
        rows[clip.id] = CacheRow(key, file, json.dumps(stamp) if stamp else "")
    return rows


def cache_key(manifest: Manifest, encoder: Encoder, settings: EmbedSettings) -> str:
    """Return a hash (32 hexadecimal digits) of everything that determines the embeddings of these clips."""
    return hash_of(describe(manifest, encoder, settings))


def hash_of(description: dict[str, Any]) -> str:
    """Return 32 hexadecimal digits of JSON values."""
    return f"{key_of(json.dumps(description, sort_keys=True)):032x}"


def describe(manifest: Manifest, encoder: Encoder, settings: EmbedSettings) -> dict[str, Any]:
    """Return everything that determines the embeddings of these clips, as JSON values."""
    return describe_encoding(encoder, settings) | {"clips": clips_hash(manifest)}


def describe_encoding(encoder: Encoder, settings: EmbedSettings) -> dict[str, Any]:
    """Return everything that determines the embedding of one clip, except the chosen blocks, as JSON values."""
    return {
        "format": CODE_FORMAT,
        "encoder": encoder.fingerprint(),
        "norm_stats": list(encoder.statistics()),
        "front_end": encoder.info.front_end,
        "resampler": RESAMPLERS[encoder.front.resampler],
        "device": pick_device(settings.device).type,
        **settings.numbers(),
    }


def clips_hash(manifest: Manifest) -> str:
    """Return a hash (16 hexadecimal digits) of the file and span of every clip, in order; labels do not change it."""
    digest = hashlib.sha256()
    root = Path(manifest.root).resolve()
    for clip in manifest:
        digest.update(json.dumps([clip.id, str(root / (clip.path or _inside(clip))), clip.start, clip.end]).encode())
    return digest.hexdigest()[:16]


def stamps_hash(manifest: Manifest) -> str:
    """Return a hash (16 hexadecimal digits) of size and modification time of every audio file."""
    return hashlib.sha256(json.dumps([_stamp(manifest, clip) for clip in manifest]).encode()).hexdigest()[:16]


def source_text(manifest: Manifest, clip: Clip) -> str:
    """Return what a clip is read from, as JSON: path, start, end, size and time of the file; "" if the file is gone."""
    stamp = _stamp(manifest, clip)
    if not stamp:
        return ""
    place = str(manifest.holder(clip).resolve())
    return json.dumps([place if clip.path else f"{place}/{clip.key}", clip.start, clip.end, *stamp])


def _inside(clip: Clip) -> str:
    """The place of a recording in its archive; "" for a clip that is in none."""
    return f"{clip.store}/{clip.key}" if clip.in_archive else ""


def _stamp(manifest: Manifest, clip: Clip) -> list[int] | None:
    """The size and time of a clip's file; None when it is gone."""
    try:
        return file_stamp(manifest.holder(clip))
    except AuricleError:
        return None
