"""Waveforms and spectrograms of recordings of any length, for a time line that zooms.

One pass over a recording makes its ``Overview``: the lowest and the highest sample of every PEAK_SAMPLES, and a coarse
spectrogram. It is kept in a file, so that a long recording is decoded once. A part that is short enough is decoded itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from auricle.audio.decode import blocks, probe, read
from auricle.core.errors import AuricleError
from auricle.core.io import file_stamp, make_folder, replacing
from auricle.reports.drawing.media import levels, png_bytes
from auricle.serve.errors import Refusal
from auricle.serve.library import ServedRecording

BLOCK_SECONDS = 30.0
PEAK_SAMPLES = 512  # per pair of peaks
PEAKS_PER_COLUMN = 8  # at least, or the samples themselves are read: peaks do not begin where columns do
FINE_SECONDS = 90.0  # a part up to this long is decoded; of a longer one the overview is shown
BANDS = 96  # rows of a coarse spectrogram
COLUMN_SAMPLES = 4096  # of a coarse column; its value is the loudest of its frames
FRAME = 1024  # samples of a frame at rates up to 32 kHz; twice that above
MOST_FRAMES = 4  # per pixel column of a short part
DEPTH = 80.0  # decibels from the loudest band to the darkest colour
LIGHT = "fdfdfb d6e6f2 9cc4e1 559acb 0b66a8 153f69 10161d"  # from the paper of the page over its accent to its ink
DARK = (
    "15181c 1f1a3d 440f76 721f81 9e2f7f cd4071 f1605d fd9668 feca8d fcfdbf"  # magma, from the paper of the dark page on
)
FLOOR = 1e-10  # power


@dataclass(frozen=True)
class Overview:
    """A recording at a glance.

    Attributes:
        rate: hertz.
        samples: their number.
        peaks: (n, 2) float32, lowest and highest of each PEAK_SAMPLES samples.
        bands: (m, BANDS) float16 decibels of each COLUMN_SAMPLES samples, on the mel scale from 0 to half the rate.
    """

    rate: int
    samples: int
    peaks: np.ndarray
    bands: np.ndarray

    @property
    def seconds(self) -> float:
        return self.samples / self.rate

    @property
    def loudest(self) -> float:
        """Decibels of the loudest band."""
        return float(self.bands.max(initial=-100.0))


class Pictures:
    """Makes pictures; overviews are kept in ``folder``. Threads may share it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.stopping = False  # the server ends: overviews are not finished
        self._lock = threading.Lock()
        make_folder(folder)

    def waveform(
        self, recording: ServedRecording, start: float, end: float | None, columns: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the lowest and the highest sample of each column of a part, (columns,) each; fewer of a very short part.

        Args:
            start, end: seconds; None: the end of the recording.
            columns: number of equal parts.

        Raises:
            AudioError: the recording cannot be decoded.
        """
        overview = self.overview(recording)
        first, stop = _span(overview, start, end)
        if (stop - first) / columns >= PEAKS_PER_COLUMN * PEAK_SAMPLES:
            pairs = overview.peaks[first // PEAK_SAMPLES : -(-stop // PEAK_SAMPLES)]
            low, high = pairs[:, 0], pairs[:, 1]
        else:
            low = high = self._samples(recording, overview, first, stop)
        columns = max(1, min(columns, len(low)))
        edges = np.linspace(0, len(low), columns, endpoint=False).astype(int)
        if not len(low):
            return np.zeros(1, np.float32), np.zeros(1, np.float32)
        return np.minimum.reduceat(low, edges), np.maximum.reduceat(high, edges)

    def spectrogram(
        self, recording: ServedRecording, start: float, end: float | None, width: int, height: int, dark: bool
    ) -> bytes:
        """Return a PNG of a part: time from left to right, frequency upwards on the mel scale from 0 to half the rate.

        Colours are the same for every part of a recording: DEPTH decibels below its loudest band are the background.

        Raises:
            AudioError: the recording cannot be decoded.
        """
        overview = self.overview(recording)
        first, stop = _span(overview, start, end)
        if stop - first <= FINE_SECONDS * overview.rate:
            values = fine_bands(self._samples(recording, overview, first, stop), overview.rate, width, height)
        else:
            values = overview.bands[first // COLUMN_SAMPLES : -(-stop // COLUMN_SAMPLES)].astype(np.float32).T
        values = _resized(values, height, width)
        top = overview.loudest
        return png_bytes(levels(values[::-1], top - DEPTH, top), DARK if dark else LIGHT, 6)

    def overview(self, recording: ServedRecording) -> Overview:
        """Return the overview of a recording; it is made and kept the first time."""
        stamp = sha256(f"{recording.path}{file_stamp(recording.path)}".encode("utf-8", "surrogateescape")).hexdigest()
        file = self.folder / f"{recording.id}-{stamp[:12]}.npz"
        found = _read_overview(file)
        if found is None:
            with self._lock:  # several requests of one page want the same one
                found = _read_overview(file) or self._made(recording, file)
        return found

    def forget(self, id: str) -> None:
        """Remove what is kept of a recording."""
        for file in self.folder.glob(f"{id}-*.npz"):
            with suppress(OSError):
                file.unlink()

    def _made(self, recording: ServedRecording, file: Path) -> Overview:
        made = make_overview(recording.path, recording.rate, lambda: self.stopping)
        self.forget(recording.id)
        with (
            suppress(AuricleError),  # without room for it, it is made again for the next picture
            replacing(file, durable=False) as temporary,
            open(temporary, "wb") as stream,
        ):
            np.savez(stream, rate=made.rate, samples=made.samples, peaks=made.peaks, bands=made.bands)
        return made

    def _samples(self, recording: ServedRecording, overview: Overview, first: int, stop: int) -> np.ndarray:
        start, end = first / overview.rate, stop / overview.rate
        return read(recording.path, start=start, end=end, rate=overview.rate).wave


def make_overview(path: Path, rate: int | None = None, must_stop: Callable[[], bool] = lambda: False) -> Overview:
    """Make the overview of a file in one pass, in bounded memory.

    Args:
        path: the file.
        rate: its rate in hertz; None: read from its header.
        must_stop: asked after every BLOCK_SECONDS.

    Raises:
        AudioError: it cannot be decoded.
        Refusal: it had to stop.
    """
    rate = rate or probe(path).rate
    size = frame_size(rate)
    filters = mel_filters(rate, size, BANDS)
    peaks, bands = [], []
    rest = np.zeros(0, np.float32)
    samples = 0
    for block in blocks(path, seconds=BLOCK_SECONDS, rate=rate):
        if must_stop():
            raise Refusal(503, "the server is being stopped")
        samples += len(block)
        joined = np.concatenate([rest, block])
        whole = len(joined) - len(joined) % COLUMN_SAMPLES
        part, rest = joined[:whole], joined[whole:]
        peaks.append(_peaks(part))
        bands.append(_coarse(part, size, filters))
    if len(rest):
        peaks.append(_peaks(rest))
        bands.append(_coarse(np.pad(rest, (0, COLUMN_SAMPLES - len(rest))), size, filters))
    return Overview(rate, samples, np.concatenate(peaks), np.concatenate(bands).astype(np.float16))


def fine_bands(wave: np.ndarray, rate: int, columns: int, bands: int) -> np.ndarray:
    """Return the spectrogram (bands, columns) of a short wave (S,), in decibels."""
    size = frame_size(rate)
    columns = max(1, min(columns, len(wave)))
    per_column = max(1, min(MOST_FRAMES, round(len(wave) / columns / (size // 4))))
    count = columns * per_column
    padded = np.pad(wave, (size // 2, size // 2), "reflect" if len(wave) > size // 2 else "constant")
    starts = np.linspace(0, max(len(wave) - 1, 0), count).astype(int)
    filters = mel_filters(rate, size, bands)
    parts = [_decibels(padded, starts[i : i + 2048], size, filters) for i in range(0, count, 2048)]
    return np.concatenate(parts).reshape(columns, per_column, bands).max(1).T


def frame_size(rate: int) -> int:
    """Return the samples of a frame: 21 to 64 ms at usual rates."""
    return FRAME if rate <= 32000 else 2 * FRAME


def mel_filters(rate: int, size: int, bands: int) -> np.ndarray:
    """Return (bands, size // 2 + 1) weights: triangles, equally wide on the mel scale from 0 to half the rate.

    The scale is 2595 log10(1 + f / 700), that of HTK. A band that is narrower than the distance of two bins takes the
    nearest bin.
    """
    top = 2595 * np.log10(1 + rate / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, bands + 2) / 2595) - 1)
    bins = np.fft.rfftfreq(size, 1 / rate)
    rising = (bins - edges[:-2, None]) / np.maximum(edges[1:-1] - edges[:-2], 1e-9)[:, None]
    falling = (edges[2:, None] - bins) / np.maximum(edges[2:] - edges[1:-1], 1e-9)[:, None]
    weights = np.minimum(rising, falling).clip(0, None)
    empty = np.flatnonzero(weights.max(1) < 0.1)
    weights[empty, np.abs(bins - edges[1:-1][empty, None]).argmin(1)] = 1.0
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


def _coarse(part: np.ndarray, size: int, filters: np.ndarray) -> np.ndarray:
    """(n * COLUMN_SAMPLES,) -> (n, BANDS) decibels, the loudest frame of each column."""
    per_column = COLUMN_SAMPLES // size
    starts = np.arange(0, len(part), size)
    if not len(starts):
        return np.zeros((0, len(filters)), np.float32)
    return _decibels(part, starts, size, filters).reshape(-1, per_column, len(filters)).max(1)


def _decibels(wave: np.ndarray, starts: np.ndarray, size: int, filters: np.ndarray) -> np.ndarray:
    """(n, bands) decibels of the frames that begin at ``starts``."""
    frames = wave[starts[:, None] + np.arange(size)] * np.hanning(size).astype(np.float32)
    power = np.square(np.abs(np.fft.rfft(frames, axis=1))).astype(np.float32) / size
    return 10 * np.log10(power @ filters.T + FLOOR)


def _peaks(part: np.ndarray) -> np.ndarray:
    """(S,) -> (n, 2) lowest and highest of each PEAK_SAMPLES samples, the last ones fewer."""
    if not len(part):
        return np.zeros((0, 2), np.float32)
    edges = np.arange(0, len(part), PEAK_SAMPLES)
    return np.stack([np.minimum.reduceat(part, edges), np.maximum.reduceat(part, edges)], axis=1)


def _span(overview: Overview, start: float, end: float | None) -> tuple[int, int]:
    """First sample and the one after the last of a part; at least one sample, inside the recording."""
    stop = overview.samples if end is None else min(round(end * overview.rate), overview.samples)
    first = min(round(start * overview.rate), max(overview.samples - 1, 0))
    return first, max(stop, first + 1)


def _resized(values: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Bring (F, T) to (rows, columns): nearest rows; a column that stands for several takes the loudest."""
    values = values[np.arange(rows) * len(values) // rows]
    have = values.shape[1]
    if have <= columns:
        return values[:, np.arange(columns) * have // columns]
    return np.maximum.reduceat(values, np.arange(columns) * have // columns, axis=1)


def _read_overview(file: Path) -> Overview | None:
    try:
        with np.load(file) as kept:
            return Overview(int(kept["rate"]), int(kept["samples"]), kept["peaks"], kept["bands"])
    except (OSError, ValueError, KeyError, EOFError):  # not there, or damaged: it is made again
        return None
