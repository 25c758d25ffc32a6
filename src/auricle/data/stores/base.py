"""The ClipStore contract: open the audio or the spectrogram of a clip of a manifest, or read its length from the header."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol, TypeVar, overload

import numpy as np

from auricle.audio.decode import AudioInfo, Decoded, File, probe, read
from auricle.audio.resample import Resampler
from auricle.core.console import progress_bar
from auricle.core.errors import AudioError, AuricleError
from auricle.data.manifest.clip_table import ARCHIVES, TAR_SUFFIXES, ClipTable
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.npy import open_array


@dataclass(frozen=True)
class StoredAudio:
    """The encoded audio of a clip's recording.

    Attributes:
        file: The file that holds it, or its bytes where it is a part of an archive.
    """

    file: File

    def info(self) -> AudioInfo:
        """Return rate and length from the header. Raises AudioError for a file that is no audio."""
        return probe(self.file)

    def read(
        self, start: float = 0.0, end: float | None = None, *, rate: int, resampler: Resampler = "soxr"
    ) -> Decoded:
        """Decode a part of the recording, mixed down to mono.

        Args:
            start: First second of the part.
            end: Where the part ends, in seconds; None: at the end of the recording.
            rate: Sample rate of the result in hertz.
            resampler: Resampling filter.

        Returns:
            Waveform (S,) float32 at ``rate``, and facts about the file.

        Raises:
            AudioError: The file cannot be used.
        """
        return read(self.file, start=start, end=end, rate=rate, mono="mean", resampler=resampler)


@dataclass(frozen=True)
class StoredSpectrogram:
    """The stored log-mel spectrogram of a clip, not normalised.

    Attributes:
        values: (F, N) float32 or float16; a memory map where the file allows it, so that only what is sliced is read.
    """

    values: np.ndarray


Stored = TypeVar("Stored", covariant=True)


class ClipStore(Protocol[Stored]):
    """Opens clips by columns of the manifest: ``path``, or ``store`` (a folder or archive) and ``key`` inside it.

    A store can be sent to another process. Reading a clip again gives the same values.
    """

    def open(self, clip: Clip) -> Stored:
        """Open one clip.

        Raises:
            AudioError: The stored file is missing or damaged; another clip can replace it.
            AuricleError: The manifest does not hold where the clip is stored.
        """


@dataclass(frozen=True)
class AudioFiles:
    """Recordings as loose files: ``path`` of every clip, relative to the manifest's root."""

    manifest: Manifest

    def open(self, clip: Clip) -> StoredAudio:
        """Open the recording of a clip; nothing is read yet."""
        return StoredAudio(self.manifest.audio(clip))


@dataclass(frozen=True)
class SpectrogramFiles:
    """Spectrograms as ``.npy`` files: ``key`` of every clip in the folder ``store``. Of an ``.npz`` its ``arr_0``."""

    manifest: Manifest

    def open(self, clip: Clip) -> StoredSpectrogram:
        """Open the spectrogram of a clip as a memory map."""
        return StoredSpectrogram(open_array(self.manifest.spectrogram(clip)))


@overload
def open_store(manifest: Manifest, kind: Literal["audio"]) -> ClipStore[StoredAudio]: ...


@overload
def open_store(manifest: Manifest, kind: Literal["spectrogram"]) -> ClipStore[StoredSpectrogram]: ...


def open_store(manifest: Manifest, kind: str) -> ClipStore[StoredAudio] | ClipStore[StoredSpectrogram]:
    """Return the store of a manifest's recordings (files, or archives of them) or of its spectrograms.

    Args:
        manifest: The clips.
        kind: ``"audio"`` or ``"spectrogram"``.

    Example:
        >>> store = open_store(manifest, "audio")
        >>> waveform = store.open(manifest["a.wav"]).read(0.0, 2.0, rate=16000).wave
    """
    if kind != "audio":
        return SpectrogramFiles(manifest)
    stores = [(store or "").lower() for store in manifest.table.distinct("store")]
    if any(store.endswith(TAR_SUFFIXES) for store in stores):
        from auricle.data.stores.tar.store import TarAudio

        return TarAudio(manifest)
    if any(store.endswith(ARCHIVES) for store in stores):
        from auricle.data.stores.hdf5 import HDF5Audio

        return HDF5Audio(manifest)
    return AudioFiles(manifest)


def archive_manifest(path: Path) -> Manifest:
    """Return the recordings in an HDF5 file or a tar shard as clips that are read from it; ids are their names.

    Raises:
        AudioError: The archive is missing or damaged.
    """
    if path.name.lower().endswith(TAR_SUFFIXES):
        from auricle.data.stores.tar.store import shard_manifest

        return shard_manifest(path)
    from auricle.data.stores.hdf5 import hdf5_manifest

    return hdf5_manifest(path)


# ---- lengths that a manifest lacks, from the headers of the files
def with_lengths(manifest: Manifest, quiet: bool = False) -> Manifest:
    """Fill in ``num_samples`` and ``rate`` of every clip.

    Args:
        manifest: The clips.
        quiet: True shows no progress.

    Returns:
        The manifest without the clips whose files cannot be opened; a note counts them.

    Raises:
        AuricleError: No file can be opened.
    """
    unknown = _unknown(manifest.table)
    if not unknown.any():
        return manifest
    store = open_store(manifest, "audio")
    clips: list[Clip] = []
    failed: list[str] = []
    with progress_bar(total=int(unknown.sum()), what="reading lengths", quiet=quiet) as bar:
        for clip, measure in zip(manifest, unknown.tolist()):
            if measure:
                bar.update()
                try:
                    info = store.open(clip).info()
                except AudioError as error:
                    failed.append(str(error))
                    continue
                clip = replace(clip, rate=info.rate, num_samples=info.num_samples)
            clips.append(clip)
    if not clips:
        raise AuricleError(f"none of the {len(manifest)} files can be opened; the first: {failed[0]}")
    if not failed:
        return replace(manifest, clips=clips)
    note = f"{len(failed)} of {len(manifest)} files cannot be opened and are left out; the first: {failed[0]}"
    return replace(manifest, clips=clips, notes=(*manifest.notes, note))


def _unknown(table: ClipTable) -> np.ndarray:
    """(N,) True for clips without a length, and for parts of a recording without its rate."""
    part = ~(np.isnan(table.numbers("start")) & np.isnan(table.numbers("end")))
    return (table.numbers("num_samples") < 0) | (part & (table.numbers("rate") < 0))


def seconds_of(store: ClipStore[StoredAudio], clip: Clip) -> float | str:
    """Return the length of a clip, from the manifest or the header of its recording, or the message of the error."""
    try:
        if clip.seconds is not None:
            return clip.seconds
        return store.open(clip).info().seconds - (clip.start or 0.0)
    except AuricleError as error:
        return str(error)
