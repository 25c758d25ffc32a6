"""Write tar shards in the layout of webdataset ([its description](https://github.com/webdataset/webdataset#the-webdataset-format)).

A recording with the key ``a/b`` has the members ``a/b.flac`` (its encoded audio) and ``a/b.json`` (id, labels and what else the
manifest holds about its clips), and ``a/b.cls`` (the number of its class) where every recording has exactly one class. Members
have no time and no owner, so that equal sources give equal bytes. Shards are planned from the sizes of the files, before any is
read: each can be written by another process, and one that is finished is kept by a later run.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import soundfile

from auricle.audio.decode import AUDIO_SUFFIXES, AudioInfo, blocks, probe
from auricle.audio.sources import NamedBytes
from auricle.core.errors import AudioError, AuricleError
from auricle.core.io import check_unchanged, dumps, file_stamp, replacing, write_text
from auricle.core.randomness import key_of, order_of
from auricle.data.manifest.clip_table import DEFAULTS, Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.base import ClipStore, StoredAudio, open_store
from auricle.data.stores.conversion import keys_of
from auricle.data.stores.recordings import Recording, stamp_text
from auricle.data.stores.tar.index import SUFFIX, ShardIndex, ShardMember, index_name, read_index
from auricle.data.stores.tar.ranges import LocalRanges
from auricle.data.stores.tar.store import UNCOMPRESSED

FLAC_BITS = {"pcm_24": 24, "pcm_32": 24, "float": 24, "double": 24}  # by coding of the source; all others: 16
MOST_FLAC_CHANNELS = 8
LOSSY_RATIO = 6.0  # bytes of FLAC for a byte of MP3 at 128 kbit/s, about; FLAC of WAV has half the bytes
PLAIN_RATIO = 0.5


class ShardEntry(NamedTuple):
    """A recording and what a shard holds of it.

    Attributes:
        recording: Where it is now.
        key: Its name in the shard, without suffix.
        metadata: Text of the member ``.json``.
        label: Text of the member ``.cls``, or None.
    """

    recording: Recording
    key: str
    metadata: str
    label: str | None


@dataclass(frozen=True)
class ShardTask:
    """One shard to write: its name, such as ``train-000000.tar``, and its recordings in order."""

    name: str
    entries: tuple[ShardEntry, ...]


@dataclass(frozen=True)
class WrittenShard:
    """A shard that is finished.

    Attributes:
        name: Its name.
        size: Bytes.
        members: Its recordings: (recording, name in the shard, rate in hertz, number of samples).
        failed: (recording, error) of those that were left out.
        kept: An earlier run wrote it.
    """

    name: str
    size: int
    members: tuple[tuple[str, str, int, int], ...]
    failed: tuple[tuple[str, str], ...]
    kept: bool


# ---- which recordings go into which shard
def plan_shards(manifest: Manifest, sizes: Sequence[int], shard_size: int, *, shuffled: bool = True) -> list[ShardTask]:
    """Cut the recordings of a manifest into shards. Recordings of different splits are in different shards.

    Args:
        manifest: The clips.
        sizes: Bytes of every recording of ``shard_entries``, as far as they are known before it is encoded.
        shard_size: Bytes after which a shard is closed.
        shuffled: Bring the recordings into a drawn order, always the same, so that one shard holds all classes.

    Returns:
        The shards. One without room for a single recording holds just this one.
    """
    entries, splits = shard_entries(manifest)
    order = order_of(0, 0, len(entries)).tolist() if shuffled else range(len(entries))
    parts: dict[str, list[list[int]]] = defaultdict(list)
    room: dict[str, int] = {}
    for number in order:
        shards, split = parts[splits[number]], splits[number]
        if not shards or room[split] < sizes[number]:
            shards.append([])
            room[split] = shard_size
        shards[-1].append(number)
        room[split] -= sizes[number]
    return [
        ShardTask(f"{split}-{number:06d}{SUFFIX}", tuple(entries[i] for i in numbers))
        for split, shards in sorted(parts.items())
        for number, numbers in enumerate(shards)
    ]


def shard_entries(manifest: Manifest) -> tuple[list[ShardEntry], list[str]]:
    """Return every recording once, in the order of the first clips, with the name of the shards of its split."""
    clips: dict[Recording, list[Clip]] = defaultdict(list)
    for clip in manifest:
        clips[Recording(clip.path, clip.store, clip.key)].append(clip)
    keys = shard_keys([recording.name for recording in clips])
    labels = _class_numbers(manifest, clips.values())
    entries = [
        ShardEntry(recording, key, _metadata(recording, of_recording), label)
        for (recording, of_recording), key, label in zip(clips.items(), keys, labels)
    ]
    return entries, [_plain(of_recording[0].split or "clips") for of_recording in clips.values()]


def shard_keys(names: Sequence[str]) -> list[str]:
    """Return the key of every recording: its name without suffix, with ``_`` for each further dot, because webdataset ends a key
    at the first dot. Names that would share a key get a hash added."""
    stored = keys_of(tuple(names))
    plain = [_plain(stored[name].removesuffix(".npy")) for name in names]
    counts = Counter(key.lower() for key in plain)
    return [key if counts[key.lower()] == 1 else f"{key}-{key_of(name):032x}" for name, key in zip(names, plain)]


def _plain(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return folder + slash + name.replace(".", "_")


def _metadata(recording: Recording, clips: Sequence[Clip]) -> str:
    """The fields that the manifest sets for the clips of a recording, as JSON."""
    left_out = {"path", "store", "key", "rate", "num_samples"}
    values = [
        {
            field.name: getattr(clip, field.name)
            for field in fields(Clip)
            if field.name not in left_out and getattr(clip, field.name) != DEFAULTS.get(field.name)
        }
        for clip in clips
    ]
    whole = len(clips) == 1 and clips[0].start is None and clips[0].end is None
    return dumps(values[0] if whole else {"id": recording.name, "clips": values}, sort_keys=True)


def _class_numbers(manifest: Manifest, recordings: Iterable[Sequence[Clip]]) -> list[str | None]:
    """The class of every recording in the order of the logits; None for all, where one has not exactly one known class."""
    numbers = {name: str(number) for number, name in enumerate(manifest.label_classes())}
    labels = [{label for clip in clips for label in clip.labels} for clips in recordings]
    single = [numbers.get(next(iter(names))) if len(names) == 1 else None for names in labels]
    return [None] * len(labels) if None in single else single


def estimated_size(recording: Recording, size: int, encode: str) -> int:
    """Return about how many bytes a recording of ``size`` bytes has in a shard."""
    if encode == "keep":
        return size
    suffix = _suffix(recording)
    return round(size * (1.0 if suffix == ".flac" else PLAIN_RATIO if suffix in UNCOMPRESSED else LOSSY_RATIO))


def stored_size(manifest: Manifest, recording: Recording) -> int:
    """Return the bytes of a recording in an archive; 0 for one that cannot be opened."""
    try:
        file = open_store(manifest, "audio").open(Clip(recording.name, *recording)).file
    except AudioError:
        return 0
    assert isinstance(file, io.IOBase)
    return file.seek(0, io.SEEK_END)


def _suffix(recording: Recording) -> str:
    """The suffix of the audio of a recording; HDF5 files hold MP3."""
    suffix = PurePosixPath(str(recording.path or recording.key)).suffix.lower()
    return suffix if suffix in AUDIO_SUFFIXES else ".mp3" if recording.path is None else ".wav"


# ---- one shard
@dataclass(frozen=True)
class ShardWriter:
    """Writes one shard at a time. Can be sent to another process.

    Attributes:
        store: Opens the recordings.
        root: Folder that their paths start from.
        out: Folder of the shards.
        encode: ``keep`` copies the bytes of a file; ``flac`` encodes what is no FLAC file (``to_flac``).
        check: Decode every recording to its end and leave out those that are damaged. False reads headers alone.
    """

    store: ClipStore[StoredAudio]
    root: Path
    out: Path
    encode: str = "keep"
    check: bool = True

    def __call__(self, task: ShardTask) -> WrittenShard:
        """Write a shard and its index, unless an earlier run finished it from the same recordings.

        The index is written last: a shard without its index is not finished.

        Raises:
            AuricleError: The folder cannot be written.
        """
        path, made_from = self.out / task.name, self._made_from(task)
        index = self._finished(path, made_from)
        if index is not None:
            return _written(task, index, kept=True)
        failed: list[tuple[str, str]] = []
        members: dict[str, ShardMember] = {}
        with replacing(path) as temporary, tarfile.open(temporary, "w", format=tarfile.PAX_FORMAT) as shard:
            for entry in task.entries:
                try:
                    content, suffix, info = self._audio(entry.recording)
                except AudioError as error:
                    failed.append((entry.recording.name, str(error)))
                    continue
                offset = _add(shard, entry.key + suffix, content)
                members[entry.key + suffix] = ShardMember(offset, len(content), info.rate, info.num_samples)
                _add(shard, f"{entry.key}.json", entry.metadata.encode())
                if entry.label is not None:
                    _add(shard, f"{entry.key}.cls", entry.label.encode())
        index = ShardIndex(path.stat().st_size, members, made_from, tuple(failed))
        write_text(index_name(str(path)), index.to_json())
        return _written(task, index, kept=False)

    def _made_from(self, task: ShardTask) -> str:
        """Hash of all that decides the bytes of a shard; of the recordings size and time of change."""
        stamps = [stamp_text(file_stamp(entry.recording.file(self.root))) for entry in task.entries]
        values = [self.encode, self.check, task.entries, stamps]
        return hashlib.sha256(json.dumps(values).encode()).hexdigest()

    def _finished(self, path: Path, made_from: str) -> ShardIndex | None:
        try:
            index = read_index(LocalRanges(str(path)))
        except AudioError:
            return None
        return index if index.made_from == made_from else None

    def _audio(self, recording: Recording) -> tuple[bytes, str, AudioInfo]:
        """The bytes of a recording in the shard, their suffix, and what they are. Raises AudioError for one that is damaged."""
        file = recording.file(self.root)
        stamp = file_stamp(file)
        try:
            content = self._content(recording)
            info = probe(NamedBytes(content, recording.name))
            suffix = _suffix(recording)
            if self.encode == "flac" and not info.format.startswith("flac"):
                content, suffix = to_flac(content, info, recording.name), ".flac"
            elif self.check:
                for _ in blocks(NamedBytes(content, recording.name), mono="keep"):
                    pass
        except OSError as error:
            raise AudioError(f"{recording.name}: {error.strerror or error}") from None
        except MemoryError:
            raise AudioError(f"{recording.name}: needs more memory than there is") from None
        except AudioError:
            raise
        except AuricleError as error:  # only a spectrogram is stored
            raise AudioError(str(error)) from None
        check_unchanged(file, stamp)
        return content, suffix, info

    def _content(self, recording: Recording) -> bytes:
        file = self.store.open(Clip(recording.name, *recording)).file
        if isinstance(file, Path):
            if not file.is_file():
                raise AudioError(f"{recording.name}: no such file")
            return file.read_bytes()
        assert isinstance(file, io.IOBase)
        return file.read()


def lost_shard(task: ShardTask, reason: str) -> WrittenShard:
    """Return a shard that could not be written: all its recordings failed."""
    together = (
        "" if len(task.entries) == 1 else f" with {len(task.entries):,} recordings, of which one may be the reason"
    )
    failed = tuple((entry.recording.name, f"{entry.recording.name}: {reason}{together}") for entry in task.entries)
    return WrittenShard(task.name, 0, (), failed, kept=False)


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> int:
    """Add a member without time and owner; return where its content begins."""
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))
    return shard.offset - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _written(task: ShardTask, index: ShardIndex, kept: bool) -> WrittenShard:
    names = {PurePosixPath(name).with_suffix("").as_posix(): name for name in index.recordings}
    members = tuple(
        (entry.recording.name, name, index.recordings[name].rate, index.recordings[name].num_samples)
        for entry in task.entries
        if (name := names.get(entry.key)) is not None
    )
    return WrittenShard(task.name, index.size, members, index.failed, kept)


def to_flac(content: bytes, info: AudioInfo, name: str) -> bytes:
    """Encode a recording as FLAC of 16 bits, or of 24 where its samples have more; all channels, at its own rate.

    Integers of up to 24 bits keep their values. Samples outside [-1, 1] are cut.

    Raises:
        AudioError: The recording is damaged, or has more channels than FLAC knows.
    """
    if info.channels > MOST_FLAC_CHANNELS:
        raise AudioError(f"{name}: has {info.channels} channels; FLAC knows {MOST_FLAC_CHANNELS}: use --encode keep")
    bits = FLAC_BITS.get(info.format.rpartition("/")[2], 16)
    scale, shift = float(1 << (bits - 1)), 32 - bits
    encoded = io.BytesIO()
    with soundfile.SoundFile(encoded, "w", info.rate, info.channels, subtype=f"PCM_{bits}", format="FLAC") as file:
        for block in blocks(NamedBytes(content, name), mono="keep"):
            values = np.clip(np.rint(block.T.astype(np.float64) * scale), -scale, scale - 1).astype(np.int32)
            file.write(np.ascontiguousarray(values << shift))
    return encoded.getvalue()


# ---- all shards
def manifest_of_shards(manifest: Manifest, shards: Sequence[WrittenShard], place: str = "") -> Manifest:
    """Return the clips whose recordings are in the shards, read from there.

    Args:
        manifest: The clips, with their recordings where they were before.
        shards: The shards.
        place: What stands before the name of a shard: "" for the manifest's own folder, or an address that ends in ``/``.
    """
    found = {
        recording: (place + shard.name, name, rate, count)
        for shard in shards
        for recording, name, rate, count in shard.members
    }
    table = manifest.table
    places = [found.get(Recording(*row).name) for row in table.rows("path", "store", "key")]
    table = table.take(np.array([place is not None for place in places], bool))
    known = [place for place in places if place is not None]
    table = table.with_column("path", (None for _ in known))
    for i, name in enumerate(("store", "key", "rate", "num_samples")):
        table = table.with_column(name, (place[i] for place in known))
    return replace(manifest, clips=table)


def remove_other_shards(out: Path, shards: Sequence[WrittenShard]) -> None:
    """Remove the shards that an earlier run planned and this one did not, and those without a recording."""
    names = {shard.name for shard in shards if shard.members}
    for path in out.glob(f"*-{'[0-9]' * 6}{SUFFIX}"):
        if path.name not in names:
            path.unlink()
            Path(index_name(str(path))).unlink(missing_ok=True)
