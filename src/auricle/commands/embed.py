"""Write embeddings of any audio to one file with an index: ``auricle embed``.

Finished clips are saved in parts beside the output, so that the same command continues a run that was stopped.
At level "frames" the rows of all clips follow each other; the index holds the first row and the number of rows of each
clip. The times (seconds from the start of the clip) are in NAME.times.npy, in ``times`` of an npz or ``time`` of a Parquet.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import make_folder, replacing, write_text
from auricle.core.options import argument, check_choices, check_ranges, option
from auricle.inference.config import LEVELS, EmbedSettings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.inference.embedder import ClipEmbedding, Embedder, Embeddings

SUFFIXES = (".npy", ".npz", ".parquet")
STDIN = "-"
PART_CLIPS = 256  # clips per finished part: what a kill can lose


@dataclass(frozen=True)
class EmbedConfig:
    """What to embed, with which encoder, how, and the output."""

    source: tuple[str, ...] = argument("audio files, folders, tables, or - for standard input", many=True)
    out: str = option(help="file to write: .npy, .npz or .parquet; its index is beside it as NAME.index.json")
    model: str = option("", "encoder: a published name, a weight file or a run folder")
    ensemble: tuple[str, ...] = option(
        (), "several taggers instead of --model; their features stand side by side", advanced=True
    )
    level: str = option(
        "clip", "clip: one vector per clip; frames: features over time, with their times", choices=LEVELS
    )
    window: float | None = option(
        None,
        "a vector for every window of this many seconds, or none: one for the whole clip",
        words={"none": None},
        old={0.0: None},
    )
    hop: float | None = option(
        None, "seconds between the starts of two windows, or auto: half a window", words={"auto": None}, old={0.0: None}
    )
    settings: EmbedSettings = field(default_factory=EmbedSettings)
    weights: str | None = option(None, "local weight file of a published name", advanced=True)
    overwrite: bool = option(False, "replace an output that other settings or clips made")

    def __post_init__(self) -> None:
        object.__setattr__(self, "window", self.window or None)  # 0 was "none" in the first edition
        object.__setattr__(self, "hop", self.hop or None)
        check_choices(self)
        check_ranges(self, tuple(name for name in ("window", "hop") if getattr(self, name) is not None), 0)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("name the encoder: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.hop and not self.window:
            raise AuricleError("--hop is the distance between windows: give --window too")
        if Path(self.out).suffix.lower() not in SUFFIXES:
            raise AuricleError(f"--out {self.out}: the name must end in {', '.join(SUFFIXES)}")


@dataclass(frozen=True)
class EmbedResult:
    """What was written: the output and its index, the number of clips (``kept``: finished by an earlier run), the length
    of a vector, and the failures {id: error message}."""

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
    """Embed every clip that can be read. A finished output of the same clips and settings is left as it is.

    Raises:
        AuricleError: for a wrong source, model or setting, and for an output that was made from something else.
    """
    from auricle.inference.embedder import Embedder, join_embeddings

    model = config.model or config.ensemble
    with _manifest(config) as manifest:
        embedder = Embedder(model, weights=config.weights, settings=config.settings, level=config.level)
        out, notes = Path(config.out), manifest.notes_but_leaks()
        make_folder(out.parent, "choose another --out")
        made_from = _made_from(manifest, embedder, config)
        before = read_index(out)
        if before and before["made_from"] == made_from:
            clips = len(before["clips"])
            return EmbedResult(out, index_file(out), clips, clips, before["width"], before["failed"], notes)
        if out.exists() and not config.overwrite:
            raise AuricleError(
                f"{out} exists and was made from other clips or settings; choose another --out, or --overwrite"
            )
        parts = Parts(out.with_name(f"{out.name}.parts"), made_from)
        finished = parts.read()
        results = finished | _embed(manifest, embedder, parts, finished, quiet)
    embeddings = join_embeddings(manifest.ids, results, embedder.info, config.settings)
    if not embeddings.ids:
        raise AuricleError(
            f"none of the {len(manifest)} clips could be read; the first: {next(iter(embeddings.failed.values()))}"
        )
    write_output(out, embeddings, made_from)
    parts.remove()
    width = (embeddings.frames[0] if embeddings.frames else embeddings.clip).shape[1]
    return EmbedResult(out, index_file(out), len(embeddings), len(finished), width, embeddings.failed, notes)


@contextmanager
def _manifest(config: EmbedConfig) -> Iterator[Manifest]:
    """The clips to embed, in windows if asked for. Standard input becomes a temporary file."""
    from auricle.inference.coercion import as_manifest, cut_into_windows

    def named(clip: Clip) -> Clip:
        return replace(clip, id=STDIN) if clip.path and manifest.audio(clip) == file else clip

    with TemporaryDirectory() as folder:
        file = Path(folder) / "standard input"
        if STDIN in config.source:
            file.write_bytes(sys.stdin.buffer.read())
        manifest = as_manifest([str(file) if name == STDIN else name for name in config.source])
        if STDIN in config.source:
            manifest = replace(manifest, clips=tuple(named(clip) for clip in manifest))
        yield cut_into_windows(manifest, config.window, config.hop) if config.window else manifest


def _made_from(manifest: Manifest, embedder: Embedder, config: EmbedConfig) -> dict[str, Any]:
    """Everything that decides the output, as JSON values."""
    from auricle.embeddings.cache import describe, stamps_hash

    description = describe(manifest, embedder.encoder, config.settings) | {"files": stamps_hash(manifest)}
    return description | {
        "level": config.level,
        "layers": list(config.settings.layers),
        "model": embedder.info.name,
    }


def _embed(
    manifest: Manifest, embedder: Embedder, parts: Parts, finished: dict[str, ClipEmbedding], quiet: bool
) -> dict[str, ClipEmbedding]:
    """Results of the clips that are not finished, saved part by part as they come; the next run tries failures again."""
    from auricle.core.progress import progress_bar

    results: dict[str, ClipEmbedding] = {}
    unsaved: list[ClipEmbedding] = []
    rest = manifest.select(ids={id for id in manifest.ids if id not in finished})
    try:
        with progress_bar(total=len(rest), what="embed", quiet=quiet) as bar:
            for result in embedder.iterate(rest):
                results[result.id] = result
                unsaved.append(result)
                bar.update()
                if len(unsaved) == PART_CLIPS:
                    parts.save([result for result in unsaved if not result.failure])
                    unsaved = []
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; every {PART_CLIPS} finished clips were saved: run the same command again to continue"
        ) from None
    return results


# ---- the output: the array and its index
def index_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.index.json")


def times_file(out: Path) -> Path:
    """The times of a .npy of frames."""
    return out.with_name(f"{out.stem}.times.npy")


def read_index(out: Path) -> dict[str, Any] | None:
    """Return the index of a finished output; None when one of the two files does not exist."""
    file = index_file(out)
    return json.loads(file.read_text(encoding="utf-8")) if out.is_file() and file.is_file() else None


def write_output(out: Path, embeddings: Embeddings, made_from: dict[str, Any]) -> None:
    """Write the array first and the index last: an output with an index is complete."""
    if embeddings.frames is None:
        rows, counts = embeddings.clip, [1] * len(embeddings)
    else:
        rows, counts = np.concatenate(embeddings.frames), [len(frames) for frames in embeddings.frames]
    times = np.concatenate(embeddings.times) if embeddings.times else None
    before = read_index(out)
    if before and before["made_from"].get("level") == "frames":
        times_file(out).unlink(missing_ok=True)
    index_file(out).unlink(missing_ok=True)
    write = {".npy": _write_npy, ".npz": _write_npz, ".parquet": _write_parquet}[out.suffix.lower()]
    write(out, embeddings.ids, rows, counts, times)
    starts = np.cumsum([0, *counts[:-1]])
    clips = [{"id": id, "row": int(row), "rows": int(n)} for id, row, n in zip(embeddings.ids, starts, counts)]
    index = {"width": int(rows.shape[1]), "clips": clips, "failed": embeddings.failed, "made_from": made_from}
    write_text(index_file(out), json.dumps(index, indent=1))


def _write_npy(out: Path, ids: Sequence[str], rows: np.ndarray, counts: list[int], times: np.ndarray | None) -> None:
    for path, array in ((out, rows), (times_file(out), times)):
        if array is not None:
            with replacing(path) as temporary, open(temporary, "wb") as file:
                np.save(file, array)


def _write_npz(out: Path, ids: Sequence[str], rows: np.ndarray, counts: list[int], times: np.ndarray | None) -> None:
    arrays = {"ids": np.array(ids), "embeddings": rows}
    arrays |= {} if times is None else {"times": times, "counts": np.array(counts)}
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_parquet(
    out: Path, ids: Sequence[str], rows: np.ndarray, counts: list[int], times: np.ndarray | None
) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("writing Parquet", "data") from None
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    columns = {"id": pa.array(np.repeat(np.array(ids, dtype=object), counts)), "embedding": vectors}
    with replacing(out) as temporary:
        parquet.write_table(pa.table(columns | ({} if times is None else {"time": pa.array(times)})), temporary)


# ---- the parts of an unfinished output
@dataclass(frozen=True)
class Parts:
    """A folder of safetensors files with finished clips, and everything that decides their values."""

    folder: Path
    made_from: dict[str, Any]

    def read(self) -> dict[str, ClipEmbedding]:
        """Return what an earlier run with the same settings finished; parts of other settings are removed."""
        settings = self.folder / "settings.json"
        if not settings.is_file() or json.loads(settings.read_text(encoding="utf-8")) != self.made_from:
            self.remove()
            return {}
        return {r.id: r for part in sorted(self.folder.glob("part-*.safetensors")) for r in read_part(part)}

    def save(self, results: list[ClipEmbedding]) -> None:
        settings = self.folder / "settings.json"
        if not settings.exists():
            write_text(settings, json.dumps(self.made_from))
        write_part(self.folder / f"part-{len(list(self.folder.glob('part-*'))):05d}.safetensors", results)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def write_part(file: Path, results: Sequence[ClipEmbedding]) -> None:
    """Write some finished clips to one safetensors file."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    for i, result in enumerate(results):
        tensors |= {f"{i}/piece/{name}": vector for name, vector in result.vectors.items()}
        if result.frames is not None and result.times is not None:
            tensors |= {f"{i}/frames": result.frames, f"{i}/times": result.times}
    ids = json.dumps([result.id for result in results])
    with replacing(file) as temporary:
        save_file({k: np.ascontiguousarray(v) for k, v in tensors.items()}, temporary, metadata={"ids": ids})


def read_part(file: Path) -> list[ClipEmbedding]:
    """The inverse of ``write_part``."""
    from safetensors import safe_open

    from auricle.inference.embedder import ClipEmbedding

    with safe_open(file, "numpy") as handle:
        ids = json.loads(handle.metadata()["ids"])
        tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    vectors: list[dict[str, np.ndarray]] = [{} for _ in ids]
    for name, value in tensors.items():
        number, kind, *rest = name.split("/")
        if kind == "piece":
            vectors[int(number)][rest[0]] = value
    return [
        ClipEmbedding(id, vectors[i], tensors.get(f"{i}/frames"), tensors.get(f"{i}/times")) for i, id in enumerate(ids)
    ]
