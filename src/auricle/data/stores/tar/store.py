"""Recordings inside tar shards as a ClipStore: of a shard only the bytes of a recording are read, or of a crop of a long one."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from auricle.audio.sources import NamedBytes
from auricle.core.errors import AudioError, nearest
from auricle.data.manifest.clip_table import TAR_SUFFIXES
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import StoredAudio
from auricle.data.stores.hdf5 import HDF5Audio
from auricle.data.stores.tar.index import HEADER, ShardIndex, check_header, read_index
from auricle.data.stores.tar.ranges import ByteRanges, MemberFile, is_address, open_ranges

OPEN_SHARDS = 128  # open at a time in a process
UNCOMPRESSED = (".wav", ".wave", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64")
WHOLE = 1 << 20  # bytes of a recording that is read whole: one read is quicker than the many of a decoder
WHOLE_UNCOMPRESSED = 1 << 17  # the same of WAV at an address: of a longer one fewer bytes are fetched


class OpenShard(NamedTuple):
    """A shard that can be read, and what is in it."""

    ranges: ByteRanges
    contents: ShardIndex


@dataclass(frozen=True)
class TarAudio:
    """Recordings inside tar shards: ``key`` of every clip in the shard ``store``, a path or an address that fsspec knows.

    Clips with a path are loose files, and clips in HDF5 files are read from these. Threads may share the store. Every process
    opens the shards for itself.
    """

    manifest: Manifest
    _shards: OrderedDict[tuple[int, str], OpenShard] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )
    _lock: Any = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _others: list[HDF5Audio] = field(default_factory=list, init=False, repr=False, compare=False)

    def open(self, clip: Clip) -> StoredAudio:
        """Open the recording of a clip; a small one is read."""
        store, key = str(clip.store), str(clip.key)
        if clip.path is not None or not store.lower().endswith(TAR_SUFFIXES):
            return self._other().open(clip)
        address = store if is_address(store) else os.path.join(self.manifest.root, store)
        shard = self._shard(address)
        member = shard.contents.recordings.get(key)
        if member is None:
            raise AudioError(f"{address} holds no '{key}'{nearest(key, list(shard.contents.recordings))}")
        check_header(shard.ranges.read(member.offset - HEADER, HEADER), address, key, member)
        name, far = f"{address}/{key}", is_address(address)
        if member.size <= (WHOLE_UNCOMPRESSED if far and key.lower().endswith(UNCOMPRESSED) else WHOLE):
            return StoredAudio(NamedBytes(shard.ranges.read(member.offset, member.size), name))
        return StoredAudio(cast(BinaryIO, MemberFile(shard.ranges, member.offset, member.size, name)))

    def _shard(self, address: str) -> OpenShard:
        at = (os.getpid(), address)
        with self._lock:
            if at in self._shards:
                self._shards.move_to_end(at)
                return self._shards[at]
        ranges = open_ranges(address)
        shard = OpenShard(ranges, read_index(ranges))
        with self._lock:
            self._shards[at] = shard
            while len(self._shards) > OPEN_SHARDS:
                self._shards.popitem(last=False)
        return shard

    def _other(self) -> HDF5Audio:
        if not self._others:
            self._others.append(HDF5Audio(self.manifest))
        return self._others[0]

    def __getstate__(self) -> dict[str, Any]:
        return {"manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in {
            "manifest": state["manifest"], "_shards": OrderedDict(), "_lock": threading.Lock(), "_others": [],
        }.items():  # fmt: skip
            object.__setattr__(self, name, value)


def shard_manifest(path: Path) -> Manifest:
    """Return the recordings in a shard as clips that are read from it. Raises AudioError for a damaged shard."""
    index = read_index(open_ranges(str(path)))
    clips = [
        Clip(name, store=path.name, key=name, rate=member.rate or None, num_samples=member.num_samples or None)
        for name, member in index.recordings.items()
    ]
    return Manifest(clips, path.parent)
