"""Where the recordings are in a tar shard: the index beside it, or what the headers of its members say.

``NAME.tar`` has the index ``NAME.index.json``: the bytes of the shard, and offset, bytes, sample rate in hertz and number of
samples of every recording by its name in the shard. A shard without an index, such as one of another program, is read once
from header to header.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import NamedTuple

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.core.errors import AudioError, content_fault
from auricle.data.stores.tar.ranges import ByteRanges, MemberFile, open_ranges

SUFFIX = ".tar"
FORMAT = 1
HEADER = tarfile.BLOCKSIZE  # bytes before the content of a member
NAME_BYTES = 100  # at the beginning of a header; longer names are in a header of their own
SIZE_FIELD = slice(124, 135)  # octal digits


class ShardMember(NamedTuple):
    """A recording in a shard: where its bytes begin, how many they are, and its rate and length; 0 where these are not known."""

    offset: int
    size: int
    rate: int = 0
    num_samples: int = 0


@dataclass(frozen=True)
class ShardIndex:
    """The recordings of a shard.

    Attributes:
        size: Bytes of the shard.
        recordings: By their names in the shard.
        made_from: Hash of everything that the shard was made from; "" for a shard of another program.
        failed: (name, error) of the recordings that were left out.
    """

    size: int
    recordings: dict[str, ShardMember]
    made_from: str = ""
    failed: tuple[tuple[str, str], ...] = ()

    def to_json(self) -> str:
        """Return the text of the index file."""
        content = {
            "format": FORMAT,
            "size": self.size,
            "made_from": self.made_from,
            "recordings": self.recordings,
            "failed": self.failed,
        }
        return json.dumps(content, separators=(",", ":")) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> ShardIndex:
        """Read the text of the index file ``name``. Raises AudioError for one that is damaged, or of a newer auricle."""
        try:
            content = json.loads(text)
            if (format := int(content["format"])) > FORMAT:
                raise AudioError(f"{name} was written by a newer auricle (format {format}, this one knows {FORMAT})")
            members = {str(key): ShardMember(*map(int, place)) for key, place in content["recordings"].items()}
            failed = tuple((str(key), str(error)) for key, error in content["failed"])
            return cls(int(content["size"]), members, str(content["made_from"]), failed)
        except AudioError:
            raise
        except Exception as error:  # any value may have any type
            raise AudioError(
                f"{name} is damaged ({content_fault(error)}); 'auricle prepare shards' writes it again, and without an index a "
                "shard is read from header to header: delete it"
            ) from None


def index_name(shard: str) -> str:
    """Return the path or address of the index of a shard."""
    return shard.removesuffix(SUFFIX) + ".index.json"


def read_index(shard: ByteRanges) -> ShardIndex:
    """Return the recordings of a shard, from the index beside it, else from the headers of its members.

    Raises:
        AudioError: The index is damaged, or of another shard, or the shard itself is damaged.
    """
    name = index_name(shard.name)
    try:
        file = open_ranges(name)
    except AudioError:
        return scan_shard(shard)
    index = ShardIndex.from_json(file.read(0, file.size), name)
    if index.size != shard.size:
        raise AudioError(
            f"{shard.name} has {shard.size:,} bytes, and its index was written for {index.size:,}: one of them is not whole, or "
            "of another run; copy both again, or run 'auricle prepare shards' again"
        )
    return index


def scan_shard(shard: ByteRanges) -> ShardIndex:
    """Read the headers of all members of a shard. Raises AudioError for a damaged one."""
    recordings = {}
    file = io.BufferedReader(MemberFile(shard, 0, shard.size, shard.name), HEADER)
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            for member in archive:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in AUDIO_SUFFIXES:
                    recordings[member.name] = ShardMember(member.offset_data, member.size)
    except (tarfile.TarError, EOFError, ValueError) as error:
        if isinstance(error, AudioError):
            raise
        raise AudioError(f"{shard.name} is no whole tar file ({error}); copy or make it again") from None
    return ShardIndex(shard.size, recordings)


def check_header(header: bytes, shard: str, name: str, member: ShardMember) -> None:
    """Raise AudioError if the bytes before its content are not the header of this member: shard and index do not fit.

    Args:
        header: The ``HEADER`` bytes before the content.
        shard: Path or address of the shard, for the message.
        name: Name of the recording in the shard.
        member: What the index says of it.
    """
    if header[SIZE_FIELD] == b"%011o" % member.size and header[:NAME_BYTES].rstrip(b"\0") == name.encode():
        return  # the usual case, quick
    try:
        found = tarfile.TarInfo.frombuf(header, tarfile.ENCODING, "surrogateescape")
        fits = found.size == member.size and (len(name) >= NAME_BYTES or not name.isascii() or found.name == name)
    except tarfile.HeaderError:
        fits = False
    if not fits:
        raise AudioError(f"{shard} is damaged: '{name}' is not at byte {member.offset}, where the index has it")
