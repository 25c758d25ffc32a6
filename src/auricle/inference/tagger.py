"""``auricle.tag``: recordings of any length in, labels out, for any encoder that has classes.

Scores are the sigmoid of the logits (softmax where the classes exclude each other), computed in float32. Broken files
are named, not fatal; a recording longer than ``TagSettings.whole`` is heard in windows, so memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.audio.decode import blocks
from auricle.audio.windows import Tail, Window, covering, windows
from auricle.core.devices import pick_device
from auricle.core.errors import AudioError, AuricleError
from auricle.core.parallel import ahead
from auricle.core.progress import progress_bar
from auricle.frontends.base import front_end
from auricle.hub.load import load
from auricle.inference.coercion import Model, joined
from auricle.inference.events import find_events
from auricle.inference.sources import AudioSource, find_sounds
from auricle.inference.tag_config import EventSettings, TagSettings
from auricle.inference.tag_results import Failure, FileTags, Tag, Tags, WindowTags
from auricle.models.base import Encoder, EncoderInfo, preserve_train_mode

BLOCK_SECONDS = 30.0  # decoded at a time
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def tag(
    files: str | Path | Sequence[str | Path],
    model: Model,
    *,
    weights: str | Path | None = None,
    quiet: bool = True,
    **options: Any,
) -> Tags:
    """The most likely labels of every recording.

    files     a file, a folder, or a list of them
    model     an Encoder with classes, or what ``auricle.load`` takes; several of them make an ensemble
    weights   a local file of a published name
    options   fields of TagSettings and EventSettings: top_k, window, hop, precision, threshold, …

    With ``window`` (seconds) also a time line and events. Files that cannot be read are in ``failed``. Raises
    AuricleError for an unknown model or setting, and for an encoder without classes.
    """
    encoder = tagger(model, weights)
    settings, events = _settings(options)
    sounds = find_sounds([files] if isinstance(files, (str, Path)) else files)
    outcomes = list(
        progress_bar(tag_each(sounds, encoder, settings, events), total=len(sounds), what="tag", quiet=quiet)
    )
    return gathered(encoder.info.name, outcomes)


def gathered(model: str, outcomes: Iterable[FileTags | Failure]) -> Tags:
    found = list(outcomes)
    good = tuple(outcome for outcome in found if isinstance(outcome, FileTags))
    return Tags(model, good, tuple(outcome for outcome in found if isinstance(outcome, Failure)))


def _settings(options: dict[str, Any]) -> tuple[TagSettings, EventSettings]:
    ours = {field.name for field in fields(EventSettings)}
    rest = {name: value for name, value in options.items() if name not in ours}
    unknown = rest.keys() - {field.name for field in fields(TagSettings)}
    if unknown:
        raise AuricleError(f"tag has no option {', '.join(sorted(unknown))}; see TagSettings and EventSettings")
    given = {name: value for name, value in rest.items() if value is not None}
    return TagSettings(**given), EventSettings(**{name: options[name] for name in options.keys() & ours})


def tagger(model: Model, weights: str | Path | None = None) -> Encoder:
    """The encoder (an ensemble of several) as it stands. Raises AuricleError when it has no classes to tell."""
    if isinstance(model, Iterable) and not isinstance(model, str):
        encoder = joined([tagger(member) for member in model])
    else:
        encoder = model if isinstance(model, Encoder) else load(model, weights=weights)
    if encoder.info.label_type is None:
        raise AuricleError(
            f"{encoder.info.name} cannot tag: it gives features, or its file does not say what its outputs are; "
            "choose a tagger from 'auricle models list'"
        )
    return encoder


def tag_each(
    sounds: Sequence[AudioSource],
    encoder: Encoder,
    settings: TagSettings,
    events: EventSettings,
    *,
    tail: Tail = covering,
) -> Iterator[FileTags | Failure]:
    """One outcome per sound, in order, each as soon as it is finished; the next stretch is decoded meanwhile. ``encoder``
    is left in the mode it came in.

    Raises AuricleError for windows of less than a sample.
    """
    settings.samples(encoder.info.sample_rate)
    with preserve_train_mode(encoder):
        scorer = Scorer(encoder, settings)
        heard = ahead(_heard(sounds, encoder.info, settings, tail))
        for sound, pieces in groupby(heard, key=attrgetter("sound")):
            try:
                yield _outcome(sound, pieces, scorer, settings, events)
            except AuricleError as error:
                yield Failure(sound.name, str(error))


# ---- from a sound to windows
@dataclass(frozen=True, eq=False)
class Piece:
    """Some windows of a sound: spans (n, 2) in samples, waves (n, S). The first piece of a sound heard in windows has
    none, and the last says how many samples there were in ``total``."""

    sound: AudioSource
    spans: tuple[tuple[int, int], ...] = ()
    waves: np.ndarray | None = None
    windowed: bool = False
    total: int = 0
    error: str = ""


def _heard(sounds: Sequence[AudioSource], info: EncoderInfo, settings: TagSettings, tail: Tail) -> Iterator[Piece]:
    for sound in sounds:
        try:
            yield from _pieces(sound, info, settings, tail)
        except AuricleError as error:
            yield Piece(sound, error=str(error))


def _pieces(sound: AudioSource, info: EncoderInfo, settings: TagSettings, tail: Tail) -> Iterator[Piece]:
    """The sound whole, or in windows when they are asked for or it is long."""
    stream: Iterator[np.ndarray] = blocks(
        sound.open(), seconds=BLOCK_SECONDS, rate=info.sample_rate, resampler=front_end(info.front_end).resampler
    )
    if not settings.window:
        begin: list[np.ndarray] = []
        length = 0
        for block in stream:
            begin, length = [*begin, block], length + len(block)
            if length > settings.whole * info.sample_rate:
                break
        else:
            yield _whole(sound, np.concatenate(begin), info)
            return
        stream = chain(begin, stream)
    yield Piece(sound, windowed=True)
    counted = Counted(stream)
    cut = windows(counted, *settings.samples(info.sample_rate), tail)
    while batch := list(islice(cut, settings.batch_size)):
        yield _piece(sound, batch, info)
    yield Piece(sound, windowed=True, total=counted.total)


class Counted:
    """A stream of blocks (n,), and how many samples went by."""

    def __init__(self, stream: Iterable[np.ndarray]):
        self.stream, self.total = stream, 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self.stream:
            self.total += len(block)
            yield block


def _piece(sound: AudioSource, batch: Sequence[Window], info: EncoderInfo) -> Piece:
    waves = np.stack([window.wave for window in batch])
    _check_length(sound, waves.shape[1], info)
    return Piece(sound, tuple((window.start, window.stop) for window in batch), waves, windowed=True)


def _whole(sound: AudioSource, wave: np.ndarray, info: EncoderInfo) -> Piece:
    _check_length(sound, len(wave), info)
    return Piece(sound, ((0, len(wave)),), wave[None], total=len(wave))


def _check_length(sound: AudioSource, samples: int, info: EncoderInfo) -> None:
    """Less than one analysis window would be a score of zero padding."""
    if samples < info.min_samples:
        rate = info.sample_rate
        raise AudioError(
            f"{sound.name}: {samples / rate:.4f} s is too short to tag; {info.name} hears "
            f"{info.min_samples / rate:.4f} s at least"
        )


# ---- from windows to answers
class Scorer:
    """(B, S) waves -> (B, C) float32 probabilities, with a copy of the encoder made ready for inference."""

    def __init__(self, encoder: Encoder, settings: TagSettings):
        self.device = pick_device(settings.device)
        self.encoder = encoder.to(self.device).for_inference()
        self.dtype = DTYPES.get(settings.precision)
        self.info = encoder.info
        self.labels: tuple[str, ...] = tuple(name for _, name in self.info.classes or ())

    @torch.inference_mode()
    def __call__(self, waves: np.ndarray) -> np.ndarray:
        wave = torch.from_numpy(np.ascontiguousarray(waves)).to(self.device)
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype is not None):
            logits = self.encoder.logits(wave)
        if logits is None or not torch.isfinite(logits).all():
            raise AuricleError(
                f"{self.info.name} gives no finite scores: its weights are damaged, or --precision is too coarse for it"
            )
        self.labels = self.labels or tuple(f"class {c}" for c in range(logits.shape[1]))
        return probabilities(logits.float(), self.info).cpu().numpy()


def probabilities(logits: torch.Tensor, info: EncoderInfo) -> torch.Tensor:
    """(B, C) -> (B, C): softmax where exactly one class holds, else each class by itself."""
    return logits.softmax(1) if info.label_type == "multiclass" else logits.sigmoid()


def _outcome(
    sound: AudioSource, pieces: Iterable[Piece], scorer: Scorer, settings: TagSettings, events: EventSettings
) -> FileTags | Failure:
    scores: list[np.ndarray] = []
    spans: list[tuple[int, int]] = []
    windowed, total = False, 0
    for piece in pieces:
        if piece.error:
            return Failure(sound.name, piece.error)
        windowed, total = windowed or piece.windowed, piece.total
        if piece.waves is not None:
            scores.append(scorer(piece.waves))
            spans.extend(piece.spans)
    found = np.concatenate(scores) if scores else np.zeros((0, len(scorer.labels)), np.float32)
    times = np.array(spans, dtype=np.float64).reshape(-1, 2) / scorer.info.sample_rate
    labels, top_k = scorer.labels, settings.top_k
    best = top(found.max(0), labels, top_k) if len(found) else ()
    plain = FileTags(sound.name, total / scorer.info.sample_rate, best)
    if not windowed:
        return plain
    line = tuple(WindowTags(float(a), float(b), top(row, labels, top_k)) for (a, b), row in zip(times, found))
    return replace(plain, windows=line, events=find_events(found, times, labels, events))


def top(scores: np.ndarray, labels: Sequence[str], count: int) -> tuple[Tag, ...]:
    """(C,) -> the ``count`` likeliest, by score; equal scores in the order of the classes."""
    return tuple(Tag(labels[c], float(scores[c])) for c in np.argsort(-scores, kind="stable")[:count])
