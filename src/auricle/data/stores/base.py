"""The ClipStore contract: open the audio or the spectrogram of a clip of a manifest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, TypeVar, overload

import numpy as np

from auricle.audio.decode import AudioInfo, Decoded, File, probe, read
from auricle.audio.resample import Resampler
from auricle.data.manifest.clip_table import ARCHIVES
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
    if any((store or "").lower().endswith(ARCHIVES) for store in manifest.table.distinct("store")):
        from auricle.data.stores.hdf5 import HDF5Audio

        return HDF5Audio(manifest)
    return AudioFiles(manifest)
