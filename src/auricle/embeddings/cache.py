"""The embedding cache: a clip is decoded and encoded once; every later probe, fold, seed and shot reads an array.

One safetensors file per (encoder, statistics, clips, settings, piece), where a piece is the encoder's output or one
block: the name is a hash of everything that changes a number, the metadata says the same in words, with the ids, the
failures, the size and time of every audio file, and a checksum. Files are renamed into place, so two processes at once
write the same file twice at worst. The batch size and the number of threads change numbers only in the last bits and
are not in the key.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.resample import RESAMPLERS
from auricle.core.devices import pick_device
from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, cache_dir, file_stamp, make_folder, replacing
from auricle.core.progress import progress_bar
from auricle.core.randomness import key_of
from auricle.data.manifest.manifest import Manifest
from auricle.inference.config import EmbedSettings
from auricle.inference.embedder import ClipEmbedding, Embedder, Embeddings, join_embeddings, vector_names
from auricle.models.base import Encoder

CODE_FORMAT = 2  # raise it when decoding, cutting, pooling or a front end changes its numbers


@dataclass
class EmbeddingCache:
    """``embed`` answers from ``folder`` where it can. ``computed`` counts clips that were encoded, ``notes`` what was
    odd."""

    folder: Path = field(default_factory=lambda: cache_dir() / "embeddings")
    computed: int = 0
    notes: list[str] = field(default_factory=list)

    def embed(
        self, manifest: Manifest, encoder: Encoder, settings: EmbedSettings, *, what: str = "embed", quiet: bool = True
    ) -> Embeddings:
        """Clip-level embeddings of the manifest; all missing pieces are computed in one pass. Touches no audio on a hit,
        but that of clips that could not be read: what was wrong (a library, a drive) may be right by now."""
        said, pieces = describe(manifest, encoder, settings), vector_names(encoder.info, settings)
        files = self._files(said, pieces)
        ready = {piece: rows for piece in pieces if (rows := self._read(files[piece], manifest)) is not None}
        missing = [piece for piece in pieces if piece not in ready]
        if again := {id for rows in ready.values() for id, row in rows.items() if row.failure}:
            repaired = self._compute(manifest.select(ids=again), encoder, settings, list(ready), what, True)
            for piece, rows in ready.items():
                rows |= {id: _only(result, piece) for id, result in repaired.items()}
                _write(files[piece], piece, rows, manifest, said)
        if missing:
            make_folder(self.folder, SET_ANOTHER)
            fresh = self._compute(manifest, encoder, settings, missing, what, quiet)
            for piece in missing:
                _write(files[piece], piece, fresh, manifest, said)
                ready[piece] = {id: _only(result, piece) for id, result in fresh.items()}
        return join_embeddings(manifest.ids, _joined(ready, manifest.ids), encoder.info, settings)

    def embed_each(self, manifest: Manifest, encoder: Encoder, settings: EmbedSettings) -> Embeddings:
        """The same with one entry per clip, for callers that ask for ever other selections of the same files."""
        said, pieces = describe(manifest, encoder, settings), vector_names(encoder.info, settings)
        single = {clip.id: replace(manifest, clips=(clip,)) for clip in manifest}
        files = {id: self._files(said | {"clips": clips_hash(one)}, pieces) for id, one in single.items()}
        ready: dict[str, dict[str, ClipEmbedding]] = {piece: {} for piece in pieces}
        for id, piece in ((id, piece) for id in single for piece in pieces):
            rows = self._read(files[id][piece], single[id]) or {}
            ready[piece] |= {name: row for name, row in rows.items() if not row.failure}
        rest = {id for id in single if any(id not in rows for rows in ready.values())}
        fresh = self._compute(manifest.select(ids=rest), encoder, settings, pieces, "embed", True) if rest else {}
        for id, piece in ((id, piece) for id in fresh for piece in pieces):
            _write(files[id][piece], piece, fresh, single[id], said | {"clips": clips_hash(single[id])})
            ready[piece][id] = _only(fresh[id], piece)
        return join_embeddings(manifest.ids, _joined(ready, manifest.ids), encoder.info, settings)

    def _files(self, said: dict[str, Any], pieces: Sequence[str]) -> dict[str, Path]:
        key = hash_of(said)
        return {piece: self.folder / key[:2] / f"{key}-{piece}.safetensors" for piece in pieces}

    def _compute(
        self,
        manifest: Manifest,
        encoder: Encoder,
        settings: EmbedSettings,
        pieces: Sequence[str],
        what: str,
        quiet: bool,
    ) -> dict[str, ClipEmbedding]:
        results = {}
        with progress_bar(total=len(manifest), what=what, quiet=quiet) as bar:
            for result in Embedder(encoder, settings=settings).iterate(manifest, names=pieces):
                results[result.id] = result
                bar.update()
        self.computed += sum(not result.failure for result in results.values())
        return results

    def _read(self, file: Path, manifest: Manifest) -> dict[str, ClipEmbedding] | None:
        """The rows of a cache file; None when it is absent, damaged (which is noted) or older than the audio."""
        if not file.exists():
            return None
        try:
            rows, index = _load(file)
        except Exception as error:  # whatever a damaged file provokes, the answer is the same
            self.notes.append(f"the cache file {file} is damaged ({str(error).splitlines()[0]}); computed again")
            return None
        seen = index["files"]
        changed = [id for id in manifest.ids if (now := _stamp(manifest, id)) and now != seen.get(id)]
        if changed:
            self.notes.append(
                f"{len(changed)} audio files changed since they were embedded ({changed[0]} …); computed again"
            )
            return None
        good = {id: ClipEmbedding(id, {index["piece"]: row}) for id, row in zip(index["ids"], rows)}
        return good | {id: ClipEmbedding(id, failure=words) for id, words in index["failed"].items()}


def cache_key(manifest: Manifest, encoder: Encoder, settings: EmbedSettings) -> str:
    """32 hex digits of everything that changes a number: how the files of an entry begin."""
    return hash_of(describe(manifest, encoder, settings))


def hash_of(said: dict[str, Any]) -> str:
    return f"{key_of(json.dumps(said, sort_keys=True)):032x}"


def describe(manifest: Manifest, encoder: Encoder, settings: EmbedSettings) -> dict[str, Any]:
    """What the key is made of, as JSON values."""
    return {
        "format": CODE_FORMAT,
        "encoder": encoder.fingerprint(),
        "norm_stats": list(encoder.statistics()),
        "front_end": encoder.info.front_end,
        "resampler": RESAMPLERS[encoder.front.resampler],
        "clips": clips_hash(manifest),
        "device": pick_device(settings.device).type,
        **settings.numbers(),
    }


def clips_hash(manifest: Manifest) -> str:
    """16 hex digits of which stretch of which file each clip is, in order; labels and folds do not change an
    embedding."""
    found = hashlib.sha256()
    root = Path(manifest.root).resolve()
    for clip in manifest:
        found.update(json.dumps([clip.id, str(root / (clip.path or "")), clip.start, clip.end]).encode())
    return found.hexdigest()[:16]


def stamps_hash(manifest: Manifest) -> str:
    """16 hex digits of the size and time of every audio file."""
    return hashlib.sha256(json.dumps([_stamp(manifest, id) for id in manifest.ids]).encode()).hexdigest()[:16]


def _write(file: Path, piece: str, results: dict[str, ClipEmbedding], manifest: Manifest, said: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    good = [results[id] for id in manifest.ids if not results[id].failure]
    rows = np.stack([r.vectors[piece] for r in good]) if good else np.zeros((0, 0), np.float32)
    index = {
        "piece": piece,
        "ids": [r.id for r in good],
        "failed": {id: results[id].failure for id in manifest.ids if results[id].failure},
        "files": {id: stamp for id in manifest.ids if (stamp := _stamp(manifest, id))},
        "key": said,
        "sha256": digest(rows),
    }
    with replacing(file) as temporary:
        save_file({"rows": np.ascontiguousarray(rows)}, temporary, metadata={"index": json.dumps(index)})


def _load(file: Path) -> tuple[np.ndarray, dict[str, Any]]:
    from safetensors import safe_open

    with safe_open(file, "numpy") as handle:
        rows, index = handle.get_tensor("rows"), json.loads(handle.metadata()["index"])
    if digest(rows) != index["sha256"]:
        raise ValueError("its checksum does not match")
    return rows, index


def digest(rows: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()


def _stamp(manifest: Manifest, id: str) -> list[int] | None:
    """Size and time of a clip's file; None when it is gone, which contradicts nothing."""
    try:
        return file_stamp(manifest.audio(manifest[id]))
    except AuricleError:
        return None


def _only(result: ClipEmbedding, piece: str) -> ClipEmbedding:
    return result if result.failure else ClipEmbedding(result.id, {piece: result.vectors[piece]})


def _joined(ready: dict[str, dict[str, ClipEmbedding]], ids: Sequence[str]) -> dict[str, ClipEmbedding]:
    """Pieces of each clip together; a clip that failed in one of them has failed."""
    joined = {}
    for id in ids:
        parts = [rows[id] for rows in ready.values()]
        failure = next((part.failure for part in parts if part.failure), "")
        joined[id] = ClipEmbedding(
            id, {name: row for part in parts for name, row in part.vectors.items()}, failure=failure
        )
    return joined
