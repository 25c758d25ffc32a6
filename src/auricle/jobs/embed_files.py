"""The files of ``auricle embed``: the array, its index, and the parts of an unfinished run.

At level "frames" the rows of all clips follow each other; the index says where each clip's rows start and how many
there are, and the times (seconds from the start of the clip) stand in NAME.times.npy, the npz's ``times`` or the
Parquet's ``time``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.atomic import replacing, write_text
from auricle.errors import MissingExtra
from auricle.inference.embed import ClipEmbedding, Embeddings


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
