"""What ``Tagger`` and ``Embedder`` share: from user input to decoded audio, in order, read ahead of the network.

    source -> blocks -> a whole waveform, or a stream of blocks of a long recording -> batches -> session -> answers

``LoadedAudio`` is what decoding an ``AudioSource`` gave, ``Session`` a prepared encoder with the threads that decode for it.
"""

from __future__ import annotations

import io
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import numpy as np

from auricle.audio.decode import AudioNote
from auricle.audio.resample import Resampler
from auricle.audio.sources import AudioSource
from auricle.audio.windows import SpanReader
from auricle.core.console import clock, printable
from auricle.core.devices import autocast, pick_device
from auricle.core.errors import AudioError, AuricleError, is_out_of_memory
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import ClipStore, StoredAudio, open_store, seconds_of
from auricle.inference.config import EmbedSettings
from auricle.models.base import Encoder
from auricle.models.ensemble import Ensemble

Model = Encoder | str | Path | Sequence["Encoder | str | Path"]
BATCH_SECONDS = 320.0  # most audio in one batch, padding included, so that long clips do not exhaust memory
BATCHES_AHEAD = 2  # decoded while the network is busy


# ---- the model
def as_encoder(model: Model, weights: str | Path | None = None) -> Encoder:
    """Return the encoder of a name, file or run folder (``auricle.load``), an ensemble of several, or an encoder as is.

    Args:
        weights: a local file of a published name.
    """
    if isinstance(model, Encoder):
        return model
    if isinstance(model, Iterable) and not isinstance(model, str):
        members = [as_encoder(member, weights) for member in model]
        return members[0] if len(members) == 1 else Ensemble(members)
    from auricle.hub.load import load

    return load(model, weights=weights)


class Session:
    """An encoder prepared for inference on one device, and threads that decode. Threads may share it.

    Attributes:
        info: what the encoder is: name, sample_rate, classes, …
        encoder: the prepared encoder, with the weights that the model has now.
    """

    def __init__(self, model: Model, weights: str | Path | None, device: str, precision: str, workers: int):
        self.device = pick_device(device)
        encoder = as_encoder(model, weights)
        if encoder.norm_stats.device != self.device:  # moving nothing still costs milliseconds
            encoder = encoder.to(self.device)
        self.encoder = encoder.for_inference()
        self.info = self.encoder.info
        self.precision = "float32" if precision == "auto" else precision
        self.pool = ThreadPoolExecutor(workers, thread_name_prefix="auricle-decode")

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass in the chosen precision."""
        return autocast(self.precision, self.device)

    def load_ahead(
        self, batches: Iterable[Sequence[AudioSource]], longest: float = math.inf
    ) -> Iterator[list[LoadedAudio]]:
        """Yield the decoded sources of each batch at the encoder's rate, in order; later batches are decoded meanwhile.

        Args:
            longest: seconds; a longer recording comes as a stream of blocks.
        """
        yield from load_ahead(batches, self.pool, self.info.sample_rate, self.encoder.front.resampler, longest)


# ---- decoding
@dataclass(frozen=True, eq=False)
class LoadedAudio:
    """A decoded source: its waveform (S,), or blocks (n,) of a long one, or an error message.

    ``notes`` are about the file; those about the samples of a stream are there behind its last block.
    """

    source: AudioSource
    waveform: np.ndarray | None = None
    blocks: Iterator[np.ndarray] | None = None
    error: str = ""
    notes: list[AudioNote] = field(default_factory=list)


def load_audio(
    source: AudioSource, rate: int, resampler: Resampler, longest: float, spans: SpanReader | None = None
) -> LoadedAudio:
    """Decode a source at ``rate`` hertz; one of more than ``longest`` seconds only as far as needed to see that.

    Args:
        spans: reads the source if it is one of many spans of a file.
    """
    notes: list[AudioNote] = []
    try:
        if spans is not None:
            return LoadedAudio(source, spans.read(source, notes), notes=notes)
        if math.isinf(longest) or source.seconds is not None or source.start or source.end is not None:
            return LoadedAudio(source, source.read(rate, resampler, notes), notes=notes)
        stream = source.blocks(rate, resampler, notes)
        begin: list[np.ndarray] = []
        samples = 0
        for block in stream:
            begin.append(block)
            samples += len(block)
            if samples > longest * rate:
                return LoadedAudio(source, blocks=chain(begin, stream), notes=notes)
        return LoadedAudio(source, begin[0] if len(begin) == 1 else np.concatenate(begin), notes=notes)
    except Exception as error:  # whatever a library raises about one recording, the others are read
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        return LoadedAudio(source, error=failure_of(source.name, error) or f"{source.name}: cannot be read ({reason})")


def failure_of(name: str, error: Exception) -> str | None:
    """Return why a recording could not be processed; None for a fault of this program."""
    if isinstance(error, AuricleError):
        return str(error)
    if is_out_of_memory(error):
        return f"{name}: needs more memory than there is; read it in windows (--window)"
    return None


def load_ahead(
    batches: Iterable[Sequence[AudioSource]],
    pool: ThreadPoolExecutor,
    rate: int,
    resampler: Resampler,
    longest: float = math.inf,
) -> Iterator[list[LoadedAudio]]:
    """Decode batches of sources in the threads of ``pool`` and yield them in order, BATCHES_AHEAD ahead of the caller."""
    batches = iter(batches)
    first = list(islice(batches, 2))
    if [len(batch) for batch in first] == [1]:  # a single source: another thread would only cost the hand-over
        yield [load_audio(first[0][0], rate, resampler, longest)]
        return
    waiting: deque[list[Future[LoadedAudio]]] = deque()
    readers: dict[Path, SpanReader] = {}
    try:
        for batch in chain(first, batches):
            readers = _span_readers(batch, readers, rate, resampler)
            spans = [readers.get(source.content) if isinstance(source.content, Path) else None for source in batch]
            futures = [pool.submit(load_audio, s, rate, resampler, longest, r) for s, r in zip(batch, spans)]
            waiting.append(futures)
            if len(waiting) > BATCHES_AHEAD:
                yield [future.result() for future in waiting.popleft()]
        while waiting:
            yield [future.result() for future in waiting.popleft()]
    finally:
        for future in chain.from_iterable(waiting):
            future.cancel()


def _span_readers(
    batch: Sequence[AudioSource], readers: dict[Path, SpanReader], rate: int, resampler: Resampler
) -> dict[Path, SpanReader]:
    """Readers of the files of which the batch holds several spans, or which the batch before it read."""
    files = Counter(s.content for s in batch if isinstance(s.content, Path) and s.end is not None and s.seconds is None)
    return {
        file: readers.get(file) or SpanReader(file, rate, resampler, strict=batch[0].strict)
        for file, count in files.items()
        if count > 1 or file in readers
    }


def equal_length_batches(
    loaded: Iterable[LoadedAudio], batch_size: Callable[[int], int]
) -> Iterator[list[LoadedAudio]]:
    """Group neighbours whose waveforms have one length; anything else is a batch of its own.

    Args:
        batch_size: called with the samples of a waveform, returns how many of them make a batch at most.
    """
    batch: list[LoadedAudio] = []
    for audio in loaded:
        if batch and (audio.waveform is None or len(audio.waveform) != len(batch[0].waveform)):  # type: ignore[arg-type]
            yield batch
            batch = []
        batch.append(audio)
        if audio.waveform is None or len(batch) >= batch_size(len(audio.waveform)):
            yield batch
            batch = []
    if batch:
        yield batch


# ---- the clips of a manifest
def clip_batches(
    manifest: Manifest, rate: int, settings: EmbedSettings, resampler: Resampler = "soxr", *, in_order: bool = False
) -> Iterator[list[LoadedAudio]]:
    """Yield decoded batches of clips of similar length, cut as the settings say.

    Args:
        rate, resampler: the encoder's.
        in_order: keep the order of the manifest, and clips of one length always ``batch_size`` together.
    """
    with ThreadPoolExecutor(settings.workers) as pool:
        sources, failed = clip_sources(manifest, rate, settings, pool)
        if failed:
            yield failed
        most = math.inf if in_order and settings.seconds else None
        batches = batches_by_length(sources, settings.batch_size, most, in_order=in_order)
        yield from load_ahead(batches, pool, rate, resampler)


def clip_sources(
    manifest: Manifest, rate: int, settings: EmbedSettings, pool: ThreadPoolExecutor
) -> tuple[list[tuple[float, AudioSource]], list[LoadedAudio]]:
    """Return (seconds, source) of each clip, and the clips that cannot be opened.

    Headers are read in the threads of ``pool``; with a fixed length and for a single clip no file is opened.
    """
    lengths: Iterable[float | str]
    store = open_store(manifest, "audio")
    if settings.seconds is not None and settings.crop == "start":
        lengths = repeat(settings.seconds, len(manifest))
    elif len(manifest) == 1 and settings.crop == "start":
        lengths = [0.0]  # nothing to sort: decoding finds the length
    else:
        lengths = pool.map(lambda clip: seconds_of(store, clip), manifest)
    sources, failed = [], []
    for clip, seconds in zip(manifest, lengths):
        try:
            if isinstance(seconds, str):
                raise AudioError(seconds)
            whole = replace(source_of(manifest, store, clip), strict=settings.strict)
            sources.append((seconds, part_of(whole, seconds, rate, settings)))
        except AuricleError as error:
            failed.append(LoadedAudio(AudioSource(clip.id, b""), error=str(error)))
    return sources, failed


def source_of(manifest: Manifest, store: ClipStore[StoredAudio], clip: Clip) -> AudioSource:
    """Return the recording of a clip. What is in an archive is read from it when it is decoded.

    Raises:
        AuricleError: only the clip's spectrogram is stored.
    """
    content: Path | Callable[[], bytes]
    if clip.path is None and clip.in_archive:
        content = partial(encoded_bytes, store, clip)
    else:
        content = manifest.audio(clip)
    return AudioSource(clip.id, content, start=clip.start or 0.0, end=clip.end)


def encoded_bytes(store: ClipStore[StoredAudio], clip: Clip) -> bytes:
    """Return the encoded audio of a clip in an archive. Raises AudioError where it cannot be read."""
    file = store.open(clip).file
    assert isinstance(file, io.IOBase)
    return file.getvalue() if isinstance(file, io.BytesIO) else file.read()


def part_of(source: AudioSource, length: float, rate: int, settings: EmbedSettings) -> AudioSource:
    """The part of a source of ``length`` seconds that is read; a random part starts uniformly, keyed by the source's name."""
    start, end, seconds = source.start, source.end, settings.seconds
    if seconds is None:
        return source
    spare, rounding = 0.0, 0.0
    if settings.crop == "random":
        end = start + length
        rounding = 2 / rate  # a start that is rounded up must not cost the last sample
        spare = max(0.0, length - seconds)
    start += spare * float(RandomKey(settings.crop_seed).of(f"crop/{source.name}").random()) if spare else 0.0
    limit = start + seconds + rounding
    return replace(source, start=start, end=limit if end is None else min(limit, end), seconds=seconds)


def batches_by_length(
    sources: Iterable[tuple[float, AudioSource]], batch_size: int, most: float | None = None, *, in_order: bool = False
) -> Iterator[list[AudioSource]]:
    """Group (seconds, source): at most ``batch_size``, and ``most`` (BATCH_SECONDS) with padding, short ones first.

    Lengths that differ by less than a microsecond are one, so that windows of a recording stay in order.
    """
    most = BATCH_SECONDS if most is None else most
    batch: list[AudioSource] = []
    longest = 0.0
    for seconds, source in sources if in_order else sorted(sources, key=lambda pair: round(pair[0], 6)):
        if batch and (len(batch) == batch_size or (len(batch) + 1) * max(longest, seconds) > most):
            yield batch
            batch, longest = [], 0.0
        batch.append(source)
        longest = max(longest, seconds)
    if batch:
        yield batch


def padded(waves: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Stack waves (S_i,) to (B, S), zero-padded at the end, and return their lengths (B,) too."""
    lengths = np.array([len(wave) for wave in waves])
    batch = np.zeros((len(waves), lengths.max()), np.float32)
    for row, wave in zip(batch, waves):
        row[: len(wave)] = wave
    return batch, lengths


# ---- progress within a long recording
LONG_SECONDS = 30.0  # of a recording, from which on its progress is shown

OnPart = Callable[[AudioSource, float], None]  # called with a recording and the seconds of it that are done


class PartDone:
    """Calls ``show`` with the share (0 to 1) of a recording that is done, and a text about it.

    Args:
        show: such as the method of a progress bar.
    """

    def __init__(self, show: Callable[[float, str], None]):
        self.show = show
        self.lengths: dict[str, float] = {}

    def __call__(self, source: AudioSource, seconds: float) -> None:
        """Show that ``seconds`` of a recording are done."""
        if seconds < LONG_SECONDS:
            return
        if source.name not in self.lengths:
            self.lengths[source.name] = _length(source)
        length = self.lengths[source.name]
        of = f" of {clock(length)}" if length else ""
        name = printable(Path(source.place or source.name).name)
        self.show(seconds / length if length else 0.0, f"{name} {clock(seconds)}{of}")


def _length(source: AudioSource) -> float:
    """Seconds that the header of a recording declares; 0 if it cannot be read."""
    try:
        return source.length()
    except AuricleError:
        return 0.0
