"""Write embeddings of any audio to one file with an index, or to an embedding store: ``auricle embed``.

Finished clips are stored in an embedding store beside the output (FILE.parts), so that the same command continues a stopped
run; memory holds at most one shard of them. The file is written from that store. If the output is a
folder, it is the store itself, and the same command appends the clips that it lacks.
With ``--shard`` a share of the clips goes into a store in NAME.shards; the command without it takes what these stores hold.
At level "frames" the rows of all clips follow each other; the index holds the first row and the number of rows of each
clip. The times (seconds from the start of the clip) are in NAME.times.npy, in ``times`` of an npz or ``time`` of a Parquet.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from auricle.core.console import stdin_bytes
from auricle.core.errors import AuricleError
from auricle.core.executors.config import CorpusSettings
from auricle.core.io import make_folder, scratch_folder, write_text, writing
from auricle.core.locks import held
from auricle.core.options import argument, check_choices, check_ranges, option, paths_as_text
from auricle.inference.config import LEVELS, EmbedSettings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.data.stores.embeddings import EmbeddingStore
    from auricle.embeddings.arrays import Selection
    from auricle.embeddings.corpus_store import CorpusEmbedding
    from auricle.inference.embedder import Embedder

SUFFIXES = (".npy", ".npz", ".parquet")
STDIN = "-"


@dataclass(frozen=True)
class EmbedConfig:
    """Settings of ``auricle embed``: the clips, the encoder, and the output."""

    source: tuple[str, ...] = argument("audio files, folders, tables, or - for standard input", many=True)
    out: str = option(
        help="file to write: .npy, .npz or .parquet, its index beside it as NAME.index.json; or a folder, an embedding store"
    )
    model: str = option("", "encoder: a published name, a weight file or a run folder")
    weights: str | None = option(None, "local weight file of a published name")
    ensemble: tuple[str, ...] = option(
        (), "several taggers instead of --model; their features are concatenated", advanced=True
    )
    level: str = option(
        "clip", "clip: one vector per clip; frames: features over time, with their times", choices=LEVELS
    )
    window: float | None = option(
        None,
        "a vector for every window of this many seconds, or none: one for the whole clip",
        special={"none": None},
        old={0.0: None},
    )
    hop: float | None = option(
        None,
        "seconds between the starts of two windows, or auto: half a window",
        special={"auto": None},
        old={0.0: None},
    )
    frame_hop: float | None = option(
        None,
        "seconds between two frames of MN and DyMN (0.32, 0.16, 0.08, 0.04, 0.02), or auto: as the weights have it",
        special={"auto": None},
        advanced=True,
    )
    settings: EmbedSettings = field(default_factory=EmbedSettings)
    corpus: CorpusSettings = field(default_factory=CorpusSettings)
    overwrite: bool = option(False, "replace an output of other settings or clips")

    def __post_init__(self) -> None:
        paths_as_text(self)
        object.__setattr__(self, "window", self.window or None)  # 0 was "none" in the first edition
        object.__setattr__(self, "hop", self.hop or None)
        check_choices(self)
        check_ranges(self, tuple(name for name in ("window", "hop", "frame_hop") if getattr(self, name) is not None), 0)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("name the encoder: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.ensemble and self.frame_hop is not None:
            raise AuricleError("--frame-hop is about one encoder: name it with --model")
        if self.hop and not self.window:
            raise AuricleError("--hop is the distance between windows: give --window too")
        if not self.to_store and Path(self.out).suffix.lower() not in SUFFIXES:
            raise AuricleError(
                f"--out {self.out}: the name must end in {', '.join(SUFFIXES)}, or name a folder for an embedding store"
            )

    @property
    def to_store(self) -> bool:
        """True if the output is an embedding store: a folder, or a name without a suffix."""
        return self.out.endswith("/") or not Path(self.out).suffix or Path(self.out).is_dir()


@dataclass(frozen=True)
class EmbedResult:
    """The written output.

    Attributes:
        out: the file or the store.
        index: the file with the rows of each clip.
        clips: number of clips in the output.
        kept: number of clips that an earlier run finished.
        width: length of a vector.
        failed: {id: error message}.
    """

    out: Path
    index: Path
    clips: int
    kept: int
    width: int
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def as_json(result: EmbedResult) -> dict[str, Any]:
    return asdict(result) | {"out": str(result.out), "index": str(result.index)}


def embed(config: EmbedConfig, *, quiet: bool = False) -> EmbedResult:
    """Embed every clip that can be read. A finished output of the same clips and settings is not changed.

    Raises:
        AuricleError: for a wrong source, model or setting, and for an output of other clips or settings.
    """
    with _manifest(config) as manifest:  # before PyTorch is imported: a wrong source is said at once
        from auricle.core.devices import tune_allocator
        from auricle.inference.embedder import Embedder

        tune_allocator()
        model, weights = _open_model(config)
        embedder = Embedder(model, weights=weights, settings=config.settings, level=config.level)
        make_folder(Path(config.out).parent, "choose another --out")
        write = _to_store if config.to_store or config.corpus.share else _to_file
        return write(config, manifest, embedder, quiet)


def _open_model(config: EmbedConfig) -> tuple[Any, str | None]:
    """Return model and weights as ``Embedder`` takes them."""
    if config.frame_hop is None:
        return config.model or config.ensemble, config.weights
    from auricle.hub.load import load

    return load(config.model, weights=config.weights).with_frame_hop(config.frame_hop), None


def _embedding(config: EmbedConfig, embedder: Embedder, quiet: bool) -> CorpusEmbedding:
    """Return how and where the clips are embedded."""
    from auricle.embeddings.corpus_store import CorpusEmbedding
    from auricle.inference.corpus.embed_worker import make_embed_worker

    make = partial(make_embed_worker, partial(_open_model, config), config.settings, config.level, None)
    return CorpusEmbedding(embedder, config.corpus, make, quiet=quiet)


def _describe(config: EmbedConfig, manifest: Manifest, embedder: Embedder) -> dict[str, Any]:
    """Return what determines the vector of every clip, as JSON values."""
    from auricle.embeddings.cache import describe_encoding

    description = describe_encoding(embedder.encoder, config.settings) | _shape_of(config, embedder)
    return description | {"window": config.window, "hop": config.hop, "root": str(Path(manifest.root).resolve())}


def _to_store(config: EmbedConfig, manifest: Manifest, embedder: Embedder, quiet: bool) -> EmbedResult:
    """Append the clips that the store lacks, or whose audio changed; those of a share to a store of its own."""
    from auricle.data.stores.embeddings import INDEX, EmbeddingStore
    from auricle.embeddings.corpus_store import fill_store

    out, description = Path(config.out), _describe(config, manifest, embedder)
    whole = config.corpus.share is None
    replaced = EmbeddingStore.open(out) if whole and config.overwrite and EmbeddingStore.is_store(out) else None
    if replaced is not None and replaced.description != description:
        replaced.remove()
    filled = fill_store(out, description, manifest, _embedding(config, embedder, quiet))
    if whole and not filled.clips:
        raise _none_read(manifest, filled.failed)
    width = filled.widths.pop("frames", None) or sum(filled.widths.values())
    notes = (*manifest.notes_but_leaks(), *filled.notes)
    return EmbedResult(filled.folder, filled.folder / INDEX, filled.clips, filled.kept, width, filled.failed, notes)


def _to_file(config: EmbedConfig, manifest: Manifest, embedder: Embedder, quiet: bool) -> EmbedResult:
    """Embed into the store beside the file, then write the file from it. One process at a time makes a file."""
    out = Path(config.out)
    with held(
        out.with_name(f".{out.name}.lock"), f"--out {out}", "wait until it has finished, or choose another --out"
    ):
        return _make_file(config, manifest, embedder, quiet)


def _make_file(config: EmbedConfig, manifest: Manifest, embedder: Embedder, quiet: bool) -> EmbedResult:
    from auricle.embeddings.arrays import Selection, holds
    from auricle.embeddings.corpus_store import append_clips, shards_of, take_shards

    out, notes = Path(config.out), manifest.notes_but_leaks()
    made_from = _made_from(manifest, embedder, config)
    before = read_index(out)
    if before and before["made_from"] == made_from:
        clips = len(before["clips"])
        return EmbedResult(out, index_file(out), clips, clips, before["width"], before["failed"], notes)
    without_index = out.exists() and not before and not config.overwrite
    if out.exists() and not config.overwrite and not (without_index and _may_be_ours(config, manifest)):
        raise AuricleError(
            f"{out} exists and was made from other clips or settings; choose another --out, or --overwrite"
        )
    parts = _parts(out.with_name(f"{out.name}.parts"), made_from)
    take_shards(shards_of(out), manifest, parts, _describe(config, manifest, embedder))
    kept, failed, file_notes = append_clips(manifest, parts, _embedding(config, embedder, quiet))
    ids = [id for id in manifest.ids if id not in failed]
    if not ids:
        parts.remove()
        raise _none_read(manifest, failed)
    selection = Selection.of(parts, ids, over_time=config.level == "frames")
    if without_index and not holds(out, selection):
        raise AuricleError(
            f"{out} exists without its index and holds other numbers than these; choose another --out, or --overwrite "
            f"(the embeddings are kept in {parts.folder})"
        )
    write_output(out, selection, failed, made_from)
    parts.remove()
    return EmbedResult(out, index_file(out), len(ids), kept, selection.width, failed, (*notes, *file_notes))


def _may_be_ours(config: EmbedConfig, manifest: Manifest) -> bool:
    """False for a file without an index that this command cannot have written before it was killed."""
    from auricle.embeddings.arrays import read_rows

    rows = read_rows(Path(config.out))
    return rows is not None and rows.ndim == 2 and (config.level == "frames" or len(rows) <= len(manifest))


def _none_read(manifest: Manifest, failed: dict[str, str]) -> AuricleError:
    return AuricleError(f"none of the {len(manifest)} clips could be read; the first: {next(iter(failed.values()))}")


@contextmanager
def _manifest(config: EmbedConfig) -> Iterator[Manifest]:
    """Return the clips to embed, cut into windows if set. Standard input becomes a temporary file."""
    from auricle.inference.coercion import as_manifest, cut_into_windows

    def named(clip: Clip) -> Clip:
        return replace(clip, id=STDIN) if clip.path and manifest.audio(clip) == file else clip

    with TemporaryDirectory(dir=scratch_folder()) as folder:
        file = Path(folder) / "standard input"
        if STDIN in config.source:
            content = stdin_bytes()
            with writing(file):
                file.write_bytes(content)
        manifest = as_manifest([str(file) if name == STDIN else name for name in config.source])
        if STDIN in config.source:
            manifest = replace(manifest, clips=tuple(named(clip) for clip in manifest))
        yield cut_into_windows(manifest, config.window, config.hop) if config.window else manifest


def _made_from(manifest: Manifest, embedder: Embedder, config: EmbedConfig) -> dict[str, Any]:
    """Return everything that determines the output, as JSON values."""
    from auricle.embeddings.cache import describe, stamps_hash

    description = describe(manifest, embedder.encoder, config.settings) | {"files": stamps_hash(manifest)}
    return description | _shape_of(config, embedder)


def _shape_of(config: EmbedConfig, embedder: Embedder) -> dict[str, Any]:
    """Return the part of the description that determines the vectors."""
    shape = {"level": config.level, "layers": list(config.settings.layers), "model": embedder.info.name}
    return shape | ({"strict": True} if config.settings.strict else {})


def _parts(folder: Path, made_from: dict[str, Any]) -> EmbeddingStore:
    """Open the store of finished clips. One of other settings, or of the first edition, is deleted."""
    from auricle.data.stores.embeddings import EmbeddingStore

    if folder.exists():
        try:
            same = EmbeddingStore.open(folder).description == made_from
        except AuricleError:
            same = False
        if not same:
            shutil.rmtree(folder)
    store = EmbeddingStore.create(folder, made_from)
    store.discard_damaged()
    return store


# ---- the output: the array and its index
def index_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.index.json")


def read_index(out: Path) -> dict[str, Any] | None:
    """Return the index of a finished output; None when one of the two files does not exist, or the index is damaged."""
    try:
        index = json.loads(index_file(out).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    parts = {"made_from": dict, "clips": list, "width": int, "failed": dict}
    whole = isinstance(index, dict) and all(isinstance(index.get(name), kind) for name, kind in parts.items())
    return index if whole and out.is_file() else None


def write_output(out: Path, selection: Selection, failed: dict[str, str], made_from: dict[str, Any]) -> None:
    """Write the array first and the index last: an output with an index is complete."""
    from auricle.embeddings.arrays import times_file, write_arrays

    before = read_index(out)
    if before and before["made_from"].get("level") == "frames":
        times_file(out).unlink(missing_ok=True)
    index_file(out).unlink(missing_ok=True)
    write_arrays(out, selection)
    starts = accumulate(selection.counts, initial=0)
    clips = [{"id": id, "row": row, "rows": n} for id, row, n in zip(selection.ids, starts, selection.counts)]
    index = {"width": selection.width, "clips": clips, "failed": failed, "made_from": made_from}
    write_text(index_file(out), json.dumps(index, indent=1))
