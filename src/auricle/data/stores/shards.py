"""One shard of an embedding store: a safetensors file with the embeddings of some clips.

Tensors, for n clips: ``vector/NAME`` (n, D) for each named vector; with features over time also ``frames`` (T, D) and
``times`` (T,), where T counts the frames of all clips together. In int8, ``scale/TENSOR`` (rows,) is what the whole numbers of
each row of a tensor are multiplied with: a row's largest absolute value over 127. The metadata ``shard`` is JSON: the ids and
sources of the clips, how many frames each has, and the SHA-256 of each tensor. A shard is written once and never changed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.decode import AudioNote
from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import replacing

CLIP, LOGITS = "clip", "logits"  # names of vectors: the encoder's own output, and the logits of its main head
VECTOR = "vector/"  # before the name of a vector
FRAMES, TIMES = "frames", "times"
SCALE = "scale/"  # before the name of a tensor of whole numbers
LARGEST_CODE = 127  # of int8; -128 is left out, so that a vector and its opposite have opposite codes
DTYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I8": np.dtype("i1"),
}  # of safetensors
CHECK_BYTES = 1 << 20  # read at a time for a checksum
LONGEST_HEADER = 1 << 30


@dataclass(frozen=True)
class ClipEmbedding:
    """The embedding of one clip: vectors {name: (D,)}, frames (T, D) and times (T,) if asked for; or an error message.

    ``notes`` say what is unusual about the file.
    """

    id: str
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    frames: np.ndarray | None = None
    times: np.ndarray | None = None
    failure: str = ""
    notes: tuple[AudioNote, ...] = ()


class DamagedShardError(AuricleError):
    """A shard is truncated, changed or missing."""


@dataclass(frozen=True)
class Tensor:
    """Where a tensor stands in the file: its type, shape, first byte, number of bytes and SHA-256."""

    dtype: np.dtype
    shape: tuple[int, ...]
    begin: int
    size: int
    sha256: str


@dataclass(frozen=True)
class Shard:
    """The header of a shard.

    Attributes:
        ids: of the clips, in the order of the rows.
        sources: what each clip was computed from, as a text that the writer chooses.
        counts: frames of each clip; zeros without features over time.
        names: of the vectors, in the order of the writer.
        tensors: by name.
    """

    path: Path
    ids: tuple[str, ...]
    sources: tuple[str, ...]
    counts: tuple[int, ...]
    names: tuple[str, ...]
    tensors: dict[str, Tensor]

    def widths(self) -> dict[str, int]:
        """Return the length of each named vector, and of "frames" if there are any."""
        widths = {name: self.tensors[VECTOR + name].shape[1] for name in self.names}
        return widths | ({FRAMES: self.tensors[FRAMES].shape[1]} if FRAMES in self.tensors else {})

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the tensors as read-only arrays that the system reads from the file when they are used."""
        try:
            content = np.memmap(self.path, np.uint8, "r")
        except (OSError, ValueError) as error:
            raise DamagedShardError(f"the shard {self.path} cannot be read ({error})") from None
        if any(tensor.begin + tensor.size > len(content) for tensor in self.tensors.values()):
            raise DamagedShardError(f"the shard {self.path} is damaged (it is too short)")
        return {
            name: content[t.begin : t.begin + t.size].view(t.dtype).reshape(t.shape) for name, t in self.tensors.items()
        }

    def check(self) -> None:
        """Compare every tensor with its checksum, a part of the file at a time. Raises DamagedShardError."""
        with open(self.path, "rb") as file:
            for name, tensor in self.tensors.items():
                file.seek(tensor.begin)
                digest, rest = hashlib.sha256(), tensor.size
                while rest and (block := file.read(min(rest, CHECK_BYTES))):
                    digest.update(block)
                    rest -= len(block)
                if digest.hexdigest() != tensor.sha256:
                    raise DamagedShardError(f"the shard {self.path} is damaged (the checksum of {name} does not match)")


def write_shard(path: Path, clips: Sequence[ClipEmbedding], sources: Sequence[str], dtype: np.dtype) -> Shard:
    """Write a shard, completely or not at all, and return its header.

    Args:
        clips: at least one; all with the same named vectors, and all or none with frames.
        sources: one per clip.
        dtype: of vectors and frames; times keep their own.
    """
    from safetensors.numpy import save_file

    tensors = dict[str, np.ndarray]()
    for name in clips[0].vectors:
        tensors |= _encoded(VECTOR + name, np.stack([clip.vectors[name] for clip in clips]), dtype)
    frames = [clip.frames for clip in clips if clip.frames is not None]
    times = [clip.times for clip in clips if clip.times is not None]
    if frames:
        tensors |= _encoded(FRAMES, np.concatenate(frames), dtype) | {TIMES: np.concatenate(times)}
    tensors = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    header = {
        "ids": [clip.id for clip in clips],
        "sources": list(sources),
        "counts": [len(array) for array in frames] or [0] * len(clips),
        "names": list(clips[0].vectors),
        "sha256": {name: hashlib.sha256(array.data).hexdigest() for name, array in tensors.items()},
    }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"shard": json.dumps(header)})
    return read_shard(path)


def _encoded(name: str, values: np.ndarray, dtype: np.dtype) -> dict[str, np.ndarray]:
    """Return the tensors that hold values (n, D) in a dtype: one, and for int8 also the scale of each row."""
    if dtype != np.int8:
        return {name: values.astype(dtype, copy=False)}
    codes, scales = int8_codes(values)
    return {name: codes, SCALE + name: scales}


def int8_codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Round rows to whole numbers with one scale each.

    Args:
        values: (n, D).

    Returns:
        codes (n, D) int8 from -127 to 127, scales (n,) float32: codes x scales are close to the values.
    """
    largest = np.abs(values).max(1, initial=0.0).astype(np.float32)
    scales = np.where(largest > 0, largest / np.float32(LARGEST_CODE), np.float32(1))
    codes = np.clip(np.rint(values / scales[:, None]), -LARGEST_CODE, LARGEST_CODE)
    return codes.astype(np.int8), scales


def values_of(arrays: Mapping[str, np.ndarray], name: str, rows: Any) -> np.ndarray:
    """Return rows (n, D) of a tensor of ``Shard.arrays``, whole numbers multiplied with their scales.

    Args:
        arrays: of one shard.
        name: of the tensor, such as "vector/clip".
        rows: an index, a slice or an array of indices of rows.
    """
    values, scales = arrays[name][rows], arrays.get(SCALE + name)
    return values if scales is None else values * scales[rows][..., None]


def read_shard(path: Path) -> Shard:
    """Read the header of a shard; no tensor is read. Raises DamagedShardError for a file that is no complete shard."""
    try:
        with open(path, "rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LONGEST_HEADER:
                raise ValueError("it has no header")
            header: dict[str, Any] = json.loads(file.read(length))
        about = json.loads(header.pop("__metadata__")["shard"])
        tensors = {
            name: Tensor(
                DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
                8 + length + entry["data_offsets"][0],
                entry["data_offsets"][1] - entry["data_offsets"][0],
                about["sha256"][name],
            )
            for name, entry in header.items()
        }
        if path.stat().st_size != max(tensor.begin + tensor.size for tensor in tensors.values()):
            raise ValueError("its length is wrong")
        ids, sources, counts, names = (tuple(about[name]) for name in ("ids", "sources", "counts", "names"))
        whole = len(ids) == len(sources) == len(counts) and all(type(count) is int and count >= 0 for count in counts)
        if not whole or not all(isinstance(text, str) for text in (*ids, *sources, *names)):
            raise ValueError("its lists of clips do not fit each other")
        return Shard(path, ids, sources, counts, names, tensors)
    except OSError as error:
        raise DamagedShardError(f"the shard {path} cannot be read ({error.strerror or error})") from None
    except Exception as error:  # any part of a header may have any type
        reason = content_fault(error)
        raise DamagedShardError(f"the shard {path} is damaged ({reason})") from None
