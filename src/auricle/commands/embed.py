"""Embeddings of any audio to one file with an index. What is finished is kept in parts, so a stopped run is
continued."""

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
from auricle.inference.embed_config import LEVELS, EmbedSettings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Clip, Manifest
    from auricle.inference.embedder import ClipEmbedding, Embeddings
    from auricle.models.base import Encoder


# The files of ``auricle embed``: the array, its index, and the parts of an unfinished run.
#
# At level "frames" the rows of all clips follow each other; the index says where each clip's rows start and how many
# there are, and the times (seconds from the start of the clip) stand in NAME.times.npy, the npz's ``times`` or the
# Parquet's ``time``.


def index_file(out: Path) -> Path:
    return out.with_name(f"{out.name}.index.json")


def times_file(out: Path) -> Path:
    """Beside a .npy of frames."""
    return out.with_name(f"{out.stem}.times.npy")


def read_index(out: Path) -> dict[str, Any] | None:
    """The index of a finished output; None when either of the two files is not there."""
    file = index_file(out)
    return json.loads(file.read_text(encoding="utf-8")) if out.is_file() and file.is_file() else None


def write_output(out: Path, found: Embeddings, made_from: dict[str, Any]) -> None:
    """The array first, the index last: an output with an index is whole."""
    rows, counts = _rows(found)
    times = np.concatenate(found.times) if found.times else None
    before = read_index(out)
    if before and before["made_from"].get("level") == "frames":
        times_file(out).unlink(missing_ok=True)
    index_file(out).unlink(missing_ok=True)
    {".npy": _write_npy, ".npz": _write_npz, ".parquet": _write_parquet}[out.suffix.lower()](
        out, found, rows, counts, times
    )
    starts = np.cumsum([0, *counts[:-1]])
    clips = [{"id": id, "row": int(row), "rows": int(n)} for id, row, n in zip(found.ids, starts, counts)]
    index = {"width": int(rows.shape[1]), "clips": clips, "failed": found.failed, "made_from": made_from}
    write_text(index_file(out), json.dumps(index, indent=1))


def _rows(found: Embeddings) -> tuple[np.ndarray, list[int]]:
    """(rows, D) of all clips and how many rows each has."""
    if found.frames is None:
        return found.clip, [1] * len(found)
    return np.concatenate(found.frames), [len(frames) for frames in found.frames]


def _write_npy(out: Path, found: Embeddings, rows: np.ndarray, counts: list[int], times: np.ndarray | None) -> None:
    for path, array in ((out, rows), (times_file(out), times)):
        if array is None:
            continue
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.save(file, array)


def _write_npz(out: Path, found: Embeddings, rows: np.ndarray, counts: list[int], times: np.ndarray | None) -> None:
    arrays = {"ids": np.array(found.ids), "embeddings": rows}
    arrays |= {} if times is None else {"times": times, "counts": np.array(counts)}
    with replacing(out) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_parquet(out: Path, found: Embeddings, rows: np.ndarray, counts: list[int], times: np.ndarray | None) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("writing Parquet", "data") from None
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
    columns = {"id": pa.array(np.repeat(np.array(found.ids, dtype=object), counts)), "embedding": vectors}
    with replacing(out) as temporary:
        parquet.write_table(pa.table(columns | ({} if times is None else {"time": pa.array(times)})), temporary)


def write_part(file: Path, results: Sequence[ClipEmbedding]) -> None:
    """Some finished clips in one safetensors file."""
    from safetensors.numpy import save_file

    tensors: dict[str, np.ndarray] = {}
    for i, result in enumerate(results):
        tensors |= {f"{i}/piece/{name}": row for name, row in result.pieces.items()}
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
    pieces: list[dict[str, np.ndarray]] = [{} for _ in ids]
    for name, value in tensors.items():
        number, kind, *rest = name.split("/")
        if kind == "piece":
            pieces[int(number)][rest[0]] = value
    return [
        ClipEmbedding(id, pieces[i], tensors.get(f"{i}/frames"), tensors.get(f"{i}/times")) for i, id in enumerate(ids)
    ]


SUFFIXES = (".npy", ".npz", ".parquet")
STDIN = "-"
GO_ON = "run the same command again to go on"
PART_CLIPS = 256  # clips per finished part: what a kill can lose


@dataclass(frozen=True)
class EmbedConfig:
    """What to embed, with which encoder, how, and where it goes."""

    source: tuple[str, ...] = argument("audio files, folders, tables, or - for standard input", many=True)
    out: str = option(help="file to write: .npy, .npz or .parquet; its index stands beside it as NAME.index.json")
    model: str = option("", "encoder: a published name, a weight file or a run folder")
    ensemble: tuple[str, ...] = option((), "several taggers instead of --model; their features stand side by side")
    level: str = option(
        "clip", "clip: one vector per clip; frames: features over time, with their times", choices=LEVELS
    )
    window: float = option(0.0, "a vector for every window of this many seconds; 0: one for the whole clip")
    hop: float = option(0.0, "seconds between the starts of two windows; 0: half a window")
    settings: EmbedSettings = field(default_factory=EmbedSettings)
    weights: str | None = option(None, "local weight file of a published model name")
    overwrite: bool = option(False, "replace an output that other settings or clips made")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("window", "hop"), 0)
        if bool(self.model) == bool(self.ensemble):
            raise AuricleError("say with which encoder: --model NAME, or --ensemble NAME NAME …")
        if self.ensemble and self.weights:
            raise AuricleError("--weights belongs to --model; in --ensemble name the files themselves")
        if self.hop and not self.window:
            raise AuricleError("--hop says how far windows are apart: give --window too")
        if Path(self.out).suffix.lower() not in SUFFIXES:
            raise AuricleError(f"--out {self.out}: the name must end in {', '.join(SUFFIXES)}")


@dataclass(frozen=True)
class EmbedResult:
    """out and its index; clips written, of which ``kept`` were finished before; width D; failed {id: what is wrong}."""

    out: Path
    index: Path
    clips: int
    kept: int
    width: int
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


def embed(config: EmbedConfig, *, quiet: bool = False) -> EmbedResult:
    """Embed every clip that can be read. A finished output of the same clips and settings is left as it is.

    Raises AuricleError for a wrong source, model or setting, or an output that something else made.
    """
    with _heard(config) as manifest:
        return _embed(manifest, config, quiet)


@contextmanager
def _heard(config: EmbedConfig) -> Iterator[Manifest]:
    """The clips that are meant, in windows if asked for; standard input as a file for so long."""
    from auricle.inference.coercion import as_manifest
    from auricle.inference.spans import cut_into_windows

    with TemporaryDirectory() as folder:
        file = Path(folder) / "standard input"
        if STDIN in config.source:
            file.write_bytes(sys.stdin.buffer.read())
        manifest = as_manifest([str(file) if name == STDIN else name for name in config.source])
        manifest = replace(manifest, clips=tuple(_called(clip, manifest, file) for clip in manifest))
        yield cut_into_windows(manifest, config.window, config.hop) if config.window else manifest


def _called(clip: Clip, manifest: Manifest, file: Path) -> Clip:
    return replace(clip, id=STDIN) if clip.path and manifest.audio(clip) == file else clip


def _embed(manifest: Manifest, config: EmbedConfig, quiet: bool) -> EmbedResult:
    from auricle.hub.load import load
    from auricle.inference.coercion import as_encoder
    from auricle.inference.embedder import gathered

    encoder = as_encoder(config.ensemble) if config.ensemble else load(config.model, weights=config.weights)
    out = Path(config.out)
    make_folder(out.parent, "choose another --out")
    said, notes = _described(manifest, encoder, config), manifest.notes_but_leaks()
    before = read_index(out)
    if before and before["made_from"] == said:
        clips = len(before["clips"])
        return EmbedResult(out, index_file(out), clips, clips, before["width"], before["failed"], notes)
    if out.exists() and not config.overwrite:
        raise AuricleError(
            f"{out} exists and was made from other clips or settings; choose another --out, or --overwrite"
        )
    parts = _Parts(out.with_name(f"{out.name}.parts"), said)
    kept = parts.read()
    try:
        results = _embedded(manifest, encoder, config, parts, kept, quiet)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"stopped; of every {PART_CLIPS} clips those that are whole are kept: {GO_ON}"
        ) from None
    found = gathered(manifest.ids, results, encoder, config.settings)
    if not found.ids:
        raise AuricleError(
            f"none of the {len(manifest)} clips could be read; the first: {next(iter(found.failed.values()))}"
        )
    write_output(out, found, said)
    parts.remove()
    width = (found.frames[0] if found.frames else found.clip).shape[1]
    return EmbedResult(out, index_file(out), len(found), len(kept), width, found.failed, notes)


def _described(manifest: Manifest, encoder: Encoder, config: EmbedConfig) -> dict[str, Any]:
    """Everything that decides the output, as JSON values."""
    from auricle.embeddings.cache import describe, stamps_hash

    said = describe(manifest, encoder, config.settings) | {"files": stamps_hash(manifest)}
    return said | {"level": config.level, "layers": list(config.settings.layers), "model": encoder.info.name}


def _embedded(
    manifest: Manifest,
    encoder: Encoder,
    config: EmbedConfig,
    parts: _Parts,
    kept: dict[str, ClipEmbedding],
    quiet: bool,
) -> dict[str, ClipEmbedding]:
    """Results of all clips, saved part by part as they come; failures are tried again by the next run."""
    from auricle.core.progress import progress_bar
    from auricle.inference.embedder import embed_clips, pieces_of

    results: dict[str, ClipEmbedding] = {}
    rest = manifest.select(ids={id for id in manifest.ids if id not in kept})
    pieces, frames = pieces_of(encoder, config.settings), config.level == "frames"
    saved = 0
    with progress_bar(total=len(rest), what="embed", quiet=quiet) as bar:
        for result in embed_clips(rest, encoder, config.settings, pieces, frames=frames):
            results[result.id] = result
            bar.update()
            if len(results) - saved == PART_CLIPS:
                parts.save([r for r in list(results.values())[saved:] if not r.failure])
                saved = len(results)
    return kept | results


@dataclass(frozen=True)
class _Parts:
    """The unfinished output: a folder of safetensors files and the settings they were made with."""

    folder: Path
    said: dict[str, Any]

    def read(self) -> dict[str, ClipEmbedding]:
        """What an earlier run finished with the same settings; parts of other settings are removed."""

        settings = self.folder / "settings.json"
        if not settings.is_file() or json.loads(settings.read_text(encoding="utf-8")) != self.said:
            self.remove()
            return {}
        return {r.id: r for part in sorted(self.folder.glob("part-*.safetensors")) for r in read_part(part)}

    def save(self, results: list[ClipEmbedding]) -> None:
        from auricle.core.io import write_text

        settings = self.folder / "settings.json"
        if not settings.exists():
            write_text(settings, json.dumps(self.said))
        write_part(self.folder / f"part-{len(list(self.folder.glob('part-*'))):05d}.safetensors", results)

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def as_json(result: EmbedResult) -> dict[str, Any]:
    return asdict(result) | {"out": str(result.out), "index": str(result.index)}
