"""Labels of recordings of any length, with any encoder that has classes: ``Tagger`` and ``auricle.tag``.

Scores are the sigmoid of the calibrated logits (softmax where the classes exclude each other), in float32. A broken file
becomes a ``Failure`` and the others are tagged. A recording longer than ``TagSettings.whole`` is tagged in windows, so
that memory stays bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from auricle.audio.decode import note_texts
from auricle.audio.sources import AudioSource, audio_sources, find_audio
from auricle.audio.windows import Tail, covering, windows
from auricle.core.console import progress_bar
from auricle.core.errors import AudioError, AuricleError, nearest
from auricle.core.parallel import prefetch
from auricle.inference.config import EventSettings, TagOptions, TagSettings
from auricle.inference.detection import Detection
from auricle.inference.events import Event, find_events
from auricle.inference.pipeline import LoadedAudio, Model, Session, equal_length_batches, failure_of
from auricle.inference.tag_results import Failure, FileTags, Tag, Tags, WindowTags
from auricle.models.info import EncoderInfo
from auricle.models.label_space import LabelSpace

OnWindows = Callable[[AudioSource, float], None] | None


class Tagger(Session):
    """A tagging session: made once, called many times, safe to share between threads.

    Args:
        model: an Encoder with classes, or what ``auricle.load`` takes; several of them make an ensemble.
        weights: a local file of a published name.
        settings, events: the settings as objects, in place of ``options``.
        tail: how the end of a recording is cut into windows (``audio.windows``).
        options: fields of TagSettings and EventSettings.
            top_k: labels per recording and window (10); only: the labels to report; min_score: least score of those.
            strict: refuse a file whose header does not declare the length of what is there (False).
            window, hop: seconds; score windows of this length, this far apart (None: the whole recording; half a window).
            whole: seconds; longer recordings are tagged in windows of 10 s even without ``window`` (120).
            precision: "float32", "bf16" or "fp16".
            device: "auto", "cpu", "cuda", "cuda:1".
            batch_size: windows scored together (8); workers: threads that decode (2).
            threshold, hysteresis, median: when an event begins and ends, with ``window``; without ``threshold`` each class has
                its own where the label space of the tagger holds them, and they decide what is ``detected``.

    Raises:
        AuricleError: for an unknown model or setting, and for an encoder without classes.

    Example:
        tagger = auricle.Tagger("mn04_as", window=10, hop=5)
        print(tagger("night.flac"))
        tags = tagger(waveform, sample_rate=48000).results[0].tags
        both = tagger([(waveform, 48000), {"array": waveform, "sampling_rate": 44100}]).results
    """

    def __init__(
        self,
        model: Model,
        *,
        weights: str | Path | None = None,
        settings: TagSettings | None = None,
        events: EventSettings | None = None,
        tail: Tail = covering,
        **options: Unpack[TagOptions],
    ):
        chosen, chosen_events = _settings(dict(options))
        self.settings, self.events, self.tail = settings or chosen, events or chosen_events, tail
        super().__init__(model, weights, self.settings.device, self.settings.precision, self.settings.workers)
        space = self.info.label_space
        if space is None:
            raise AuricleError(
                f"{self.info.name} cannot tag: it gives features, or its file does not say what its outputs are; "
                "choose a tagger from 'auricle models list'"
            )
        self.window, self.hop = self.settings.window_samples(self.info.sample_rate)
        self.label_space, self.reported = space, chosen_classes(space, self.settings.only)
        self.labels = tuple(space.names[c] for c in self.reported)
        self.detection = Detection.of(space, self.reported, self.events.threshold)
        # one by one on a CPU: a shape that keeps coming gets a graph there, which is faster than a batch
        self.whole_batch = 1 if self.device.type == "cpu" else self.settings.batch_size

    def __call__(self, audio: Any, *, sample_rate: int | None = None, quiet: bool = True) -> Tags:
        """Return the most likely labels of every recording.

        Args:
            audio: a file, a folder, a waveform (S,) or (channels, S), a pair (waveform, rate), an entry of a Hugging Face data
                set, bytes, an open file; or a list of them.
            sample_rate: in hertz, of waveforms that come without a rate.
            quiet: no progress bar.

        Returns:
            Tags: ``results`` in the order of the sources (with ``window`` also a time line and events), and ``failed``, the files
            that could not be read.

        Raises:
            AuricleError: for anything else, and for a waveform without a rate.
        """
        sources = find_audio(audio, sample_rate)
        outcomes = list(progress_bar(self.iterate(sources), total=len(sources), what="tag", quiet=quiet))
        results = tuple(outcome for outcome in outcomes if isinstance(outcome, FileTags))
        return Tags(self.info.name, results, tuple(outcome for outcome in outcomes if isinstance(outcome, Failure)))

    def iterate(
        self,
        audio: Any,
        *,
        sample_rate: int | None = None,
        on_windows: OnWindows = None,
    ) -> Iterator[FileTags | Failure]:
        """Yield one outcome per recording, in order, each as soon as it is finished.

        Args:
            audio, sample_rate: as for a call; an iterable of recordings is read as it is needed.
            on_windows: called with a recording and the seconds of it that are done, every few windows.
        """
        longest = 0.0 if self.settings.window else self.settings.whole
        strict = self.settings.strict
        sources = (replace(s, strict=strict) if strict else s for s in audio_sources(audio, sample_rate))
        batches = ([source] for source in sources)
        loaded = (batch[0] for batch in self.load_ahead(batches, longest))
        for batch in equal_length_batches(loaded, self.whole_batch):
            yield from self._outcomes(batch, on_windows)

    @torch.inference_mode()
    def probabilities(self, waves: np.ndarray) -> np.ndarray:
        """Return the calibrated score of every class of ``labels``: all but the background classes.

        Args:
            waves: (B, S) float32 at ``info.sample_rate`` hertz.

        Returns:
            (B, C) float32: softmax where exactly one class holds, else each class by itself.

        Raises:
            AuricleError: for scores that are not finite.
        """
        return self._all_probabilities(waves)[:, self.reported].cpu().numpy()

    def _all_probabilities(self, waves: np.ndarray) -> torch.Tensor:
        """(B, S) -> (B, C) of all classes, background included."""
        wave = torch.from_numpy(np.ascontiguousarray(waves)).to(self.device)
        with self.autocast():
            logits = self.encoder.logits(wave)
        if logits is None or not torch.isfinite(logits).all():
            raise AuricleError(
                f"{self.info.name} gives no finite scores: its weights are damaged, or --precision is too coarse for it"
            )
        return self.label_space.probabilities(logits)

    @torch.inference_mode()
    def _scored(self, waves: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, S) -> (B, C) scores of the labels, and what thresholds are compared with; None without thresholds."""
        if self.detection is None:
            return self.probabilities(waves), None
        probabilities = self._all_probabilities(waves).cpu().numpy()
        return probabilities[:, self.reported], self.detection.scores(probabilities)

    def _outcomes(self, batch: list[LoadedAudio], on_windows: OnWindows = None) -> list[FileTags | Failure]:
        """Outcomes of recordings of one length, or of a long or broken one; if a batch fails, of each by itself."""
        first = batch[0]
        if first.error:
            return [Failure(first.source.name, first.error)]
        try:
            if first.waveform is None:
                return [self._tag_windows(first, on_windows)]
            waves = [audio.waveform for audio in batch if audio.waveform is not None]
            _check_length(first.source.name, len(waves[0]), self.info)
            seconds = len(waves[0]) / self.info.sample_rate
            scores, compared = self._scored(waves[0][None] if len(waves) == 1 else np.stack(waves))
            return [
                FileTags(a.source.name, seconds, self._top(row), notes=note_texts(a.notes), detected=detected)
                for a, row, detected in zip(batch, scores, self._detected(compared, len(scores)))
            ]
        except Exception as error:
            failure = failure_of(first.source.name, error)
            if failure is None:
                raise
        if len(batch) == 1:
            name = first.source.name
            return [Failure(name, failure if failure.startswith(name) else f"{name}: {failure}")]
        return [outcome for audio in batch for outcome in self._outcomes([audio])]

    def _tag_windows(self, audio: LoadedAudio, on_windows: OnWindows) -> FileTags:
        """Score a recording window by window; the next block is decoded meanwhile."""
        total = 0

        def counted(blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
            nonlocal total
            for block in blocks:
                total += len(block)
                yield block

        scores, spans = [np.zeros((0, len(self.labels)), np.float32)], []
        compared: list[np.ndarray] = []
        cut = windows(counted(prefetch(audio.blocks or ())), self.window, self.hop, self.tail)
        while batch := list(islice(cut, self.settings.batch_size)):
            _check_length(audio.source.name, len(batch[0].wave), self.info)
            rows, rows_compared = self._scored(np.stack([window.wave for window in batch]))
            scores.append(rows)
            compared += [] if rows_compared is None else [rows_compared]
            spans += [(window.start, window.stop) for window in batch]
            if on_windows:
                on_windows(audio.source, batch[-1].stop / self.info.sample_rate)
        rows = np.concatenate(scores[1:] or scores)
        times = np.array(spans, dtype=np.float64).reshape(-1, 2) / self.info.sample_rate
        lines = np.concatenate(compared or scores[:1]) if self.detection else rows
        thresholds = self.detection.thresholds if self.detection else None
        found = find_events(lines, times, self.labels, self.events, thresholds)
        events = tuple(e for e in found if e.score >= self.settings.min_score)
        detected = self._detected(lines if self.detection else None, len(rows))
        return FileTags(
            audio.source.name,
            total / self.info.sample_rate,
            self._top(rows.max(0)) if len(rows) else (),
            tuple(
                WindowTags(float(start), float(end), self._top(row), tags)
                for (start, end), row, tags in zip(times, rows, detected)
            ),
            events,
            note_texts(audio.notes),
            _labels_of(events) if self.detection else None,
        )

    def _detected(self, compared: np.ndarray | None, count: int) -> Iterator[tuple[Tag, ...] | None]:
        """Yield the detected labels of each of ``count`` rows (C,), the highest score first; None without thresholds."""
        if self.detection is None or compared is None:
            yield from repeat(None, count)
            return
        least = np.maximum(self.detection.thresholds, np.float32(self.settings.min_score))
        for row in compared:
            reached = np.flatnonzero(row >= least)
            yield tuple(Tag(self.labels[c], float(row[c])) for c in reached[np.argsort(-row[reached], kind="stable")])

    def _top(self, scores: np.ndarray) -> tuple[Tag, ...]:
        """(C,) -> the ``top_k`` likeliest, by score; equal scores in the order of the classes."""
        best = np.argsort(-scores, kind="stable")[: self.settings.top_k]
        return tuple(Tag(self.labels[c], float(scores[c])) for c in best if scores[c] >= self.settings.min_score)


def tag(
    audio: Any,
    model: Model,
    *,
    sample_rate: int | None = None,
    weights: str | Path | None = None,
    quiet: bool = True,
    **options: Unpack[TagOptions],
) -> Tags:
    """Return the most likely labels of every recording: one call of a ``Tagger``, which takes the same options.

    Args:
        audio: a file, a folder, a waveform (S,) or (channels, S), a pair (waveform, rate), an entry of a Hugging Face data set,
            the bytes of a file or an open file; or a list of them. As ``audio.sources.audio_sources`` takes them.
        model: an Encoder with classes, or what ``auricle.load`` takes; several of them make an ensemble.
        sample_rate: in hertz, of waveforms that come without a rate.
        weights: a local file of a published name.
        quiet: no progress bar.
        options: as for ``Tagger``: top_k, window, hop, precision, threshold, …

    Returns:
        Tags: ``results`` in the order of the sources, and ``failed``, the files that could not be read.

    Raises:
        AuricleError: for an unknown model or setting, and for an encoder without classes.

    Example:
        print(auricle.tag("metro.wav", "mn04_as", top_k=3))
    """
    return Tagger(model, weights=weights, **options)(audio, sample_rate=sample_rate, quiet=quiet)


def chosen_classes(space: LabelSpace, only: Sequence[str]) -> list[int]:
    """Return the indices of the classes to report: all but the background, or those with a name or id in ``only``.

    Raises:
        AuricleError: for a label that the tagger does not have, with similar ones.
    """
    if not only:
        return list(space.reported)
    chosen: set[int] = set()
    for label in only:
        names = {label.casefold(), label.strip().casefold()}
        classes = {c for c in space.reported if {space.ids[c].casefold(), space.names[c].casefold()} & names}
        if not classes:
            known = [space.names[c] for c in space.reported]
            raise AuricleError(f"--only: this tagger has no label '{label}'{nearest(label, known)}")
        chosen |= classes
    return sorted(chosen)


def _labels_of(events: Sequence[Event]) -> tuple[Tag, ...]:
    """The labels of events with their highest scores, the highest first."""
    best: dict[str, float] = {}
    for event in events:
        best[event.label] = max(event.score, best.get(event.label, 0.0))
    return tuple(Tag(label, score) for label, score in sorted(best.items(), key=lambda item: -item[1]))


def _settings(options: dict[str, Any]) -> tuple[TagSettings, EventSettings]:
    known, of_events = ({field.name for field in fields(kind)} for kind in (TagSettings, EventSettings))
    unknown = options.keys() - known - of_events
    if unknown:
        raise AuricleError(f"tag has no option {', '.join(sorted(unknown))}; see TagSettings and EventSettings")
    explicit = {name: value for name, value in options.items() if value is not None}
    return (
        TagSettings(**{name: explicit[name] for name in explicit.keys() & known}),
        EventSettings(**{name: explicit[name] for name in explicit.keys() & of_events}),
    )


def _check_length(name: str, samples: int, info: EncoderInfo) -> None:
    """Raise AudioError for less than one analysis window: its score would be one of zero padding."""
    if samples < info.min_samples:
        rate = info.sample_rate
        raise AudioError(
            f"{name}: {samples / rate:.4f} s is too short to tag; {info.name} needs at least "
            f"{info.min_samples / rate:.4f} s"
        )
