"""Labels of recordings of any length, with any encoder that has classes: ``Tagger`` and ``auricle.tag``.

Scores are the sigmoid of the calibrated logits (softmax where the classes exclude each other), in float32. A broken file
becomes a ``Failure`` and the others are tagged. A recording longer than ``TagSettings.whole`` is tagged in windows, so
that memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch

from auricle.audio.decode import note_texts
from auricle.audio.sources import AudioSource, audio_sources, find_audio
from auricle.audio.windows import Tail, covering, windows
from auricle.core.console import progress_bar
from auricle.core.errors import AudioError, AuricleError
from auricle.core.parallel import prefetch
from auricle.hub.run_folder import learnt_frames
from auricle.inference.config import EventSettings, TagOptions, TagSettings
from auricle.inference.events import FrameScores, join_frames
from auricle.inference.head_reader import Frames, HeadReader, Scores, chosen_by_head
from auricle.inference.pipeline import LoadedAudio, Model, Session, equal_length_batches, failure_of
from auricle.inference.tag_results import Failure, FileTags, Tags
from auricle.models.info import EncoderInfo
from auricle.models.local_layers import LocalLayers
from auricle.models.outputs import EncoderOutput, Spectrogram

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
            level: "frames": events are found in the scores of frames; "auto": so for runs that were trained on frames.
            strict: refuse a file whose header does not declare the length of what is there (False).
            window, hop: seconds; score windows of this length, this far apart (None: the whole recording; half a window).
            whole: seconds; longer recordings are tagged in windows of 10 s even without ``window`` (120).
            precision: "float32", "bf16" or "fp16".
            device: "auto", "cpu", "cuda", "cuda:1".
            batch_size: windows scored together (8); workers: threads that decode (2).
            threshold, hysteresis, median: when an event begins and ends, with ``window``; without ``threshold`` each class has
                its own where the label space of the tagger holds them, and they decide what is ``detected``.

    Attributes:
        readers: what turns the logits of each head into labels, by the head's name, the main one first.
        labels: the classes that the main head reports.

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
        spaces = {name: s for name, s in zip(self.info.head_names, self.info.label_spaces) if s is not None}
        if not spaces:
            raise AuricleError(
                f"{self.info.name} cannot tag: it gives features, or its file does not say what its outputs are; "
                "choose a tagger from 'auricle models list'"
            )
        self.window, self.hop = self.settings.window_samples(self.info.sample_rate)
        reported = chosen_by_head(spaces, self.settings.only)
        self.readers = {
            name: HeadReader(space, reported[name], self.settings, self.events) for name, space in spaces.items()
        }
        self.labels = next(iter(self.readers.values())).labels
        self.main = next(iter(self.readers))
        self.level = self._level(model)
        # one by one on a CPU: a shape that keeps coming gets a graph there, which is faster than a batch
        self.whole_batch = 1 if self.device.type == "cpu" else self.settings.batch_size
        self.together: dict[int, int] = {}  # number of recordings scored together, by their samples; see ``fix_graphs``

    def __call__(self, audio: Any, *, sample_rate: int | None = None, quiet: bool = True) -> Tags:
        """Return the most likely labels of every recording.

        Args:
            audio: a file, a folder, a waveform (S,) or (channels, S), a pair (waveform, rate), an entry of a Hugging Face data
                set, bytes, an open file; or a list of them.
            sample_rate: in hertz, of waveforms that come without a rate.
            quiet: no progress bar.

        Returns:
            Tags: ``results`` in the order of the sources (with ``window`` also a time line and events), and ``failed``, the files
            that could not be read. A model with several heads gives the answer of each in ``FileTags.heads``.

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
        longest = 0.0 if self.settings.window or self.level == "frames" else self.settings.whole
        strict = self.settings.strict
        sources = (replace(s, strict=strict) if strict else s for s in audio_sources(audio, sample_rate))
        batches = ([source] for source in sources)
        loaded = (batch[0] for batch in self.load_ahead(batches, longest))
        for batch in equal_length_batches(loaded, lambda samples: self.together.get(samples, self.whole_batch)):
            yield from self._outcomes(batch, on_windows)

    def probabilities(self, waves: np.ndarray) -> np.ndarray:
        """Return the calibrated score of every class of ``labels``: those of the first head but the background classes.

        Args:
            waves: (B, S) float32 at ``info.sample_rate`` hertz.

        Returns:
            (B, C) float32: softmax where exactly one class holds, else each class by itself.

        Raises:
            AuricleError: for scores that are not finite.
        """
        return next(iter(self.wave_scores(waves).values())).rows

    @torch.inference_mode()
    def wave_scores(self, waves: np.ndarray) -> dict[str, Scores]:
        """Return the scores of each head of waveforms (B, S). Raises AuricleError for scores that are not finite."""
        wave = torch.from_numpy(np.ascontiguousarray(waves)).to(self.device)
        with self.autocast():
            return self._read(self.encoder.logits_by_head(wave))

    @torch.inference_mode()
    def spectrogram_scores(self, spec: Spectrogram) -> dict[str, Scores]:
        """Return the scores of each head of spectrograms that the encoder's front end gave: as ``wave_scores`` of the waves.

        Raises:
            AuricleError: for scores that are not finite, and for a spectrogram of another front end.
        """
        with self.autocast():
            return self._read(self.encoder.spec_logits_by_head(spec))

    @torch.inference_mode()
    def map_scores(self, local: LocalLayers, maps: torch.Tensor) -> dict[str, Scores]:
        """Return the scores of each head of maps of the encoder's local layers. Raises as ``wave_scores``."""
        return self._read(local.logits(maps))

    def _read(self, logits: dict[str, torch.Tensor]) -> dict[str, Scores]:
        """The logits (B, C) of each head -> its scores."""
        if not logits or not all(_finite(values) for values in logits.values()):
            raise AuricleError(
                f"{self.info.name} gives no finite scores: its weights are damaged, or --precision is too coarse for it"
            )
        return {name: reader.scores(logits[name]) for name, reader in self.readers.items()}

    def _level(self, model: Model) -> str:
        """Return "frames" if events are found in frames, else "clip".

        Raises:
            AuricleError: frames are asked for and the encoder gives no scores of them.
        """
        level = self.settings.level
        if level == "auto":
            level = "frames" if learnt_frames(model) else "clip"
        if level == "frames":
            second = np.zeros((1, self.encoder.usable_samples(1.0)), np.float32)
            if self._encoded(second).frame_logits is None:
                raise AuricleError(
                    f"--level frames: {self.info.name} gives no scores of frames; leave it out, or train with "
                    "auricle finetune --level frames"
                )
        return level

    @torch.inference_mode()
    def _encoded(self, waves: np.ndarray) -> EncoderOutput:
        with self.autocast():
            return self.encoder(torch.from_numpy(np.ascontiguousarray(waves)).to(self.device))

    def _frame_scores(self, waves: np.ndarray) -> tuple[dict[str, Scores], list[FrameScores]]:
        """(B, S) -> the scores of the main head by windows, each class's highest over the frames, and by frames."""
        out, reader = self._encoded(waves), self.readers[self.main]
        logits = out.frame_logits
        if logits is None or not torch.isfinite(logits).all():
            raise AuricleError(f"{self.info.name} gives no finite scores of frames")
        times, lengths = out.times.cpu().numpy(), out.lengths.tolist()
        read = [reader.scores(rows[:length].float()) for rows, length in zip(logits, lengths)]
        best = [Scores(rows.max(0, keepdims=True), None if c is None else c.max(0, keepdims=True)) for rows, c in read]
        frames = [
            FrameScores(scores.rows if scores.compared is None else scores.compared, times[:length])
            for scores, length in zip(read, lengths)
        ]
        return {self.main: reader.join(best)}, frames

    def fix_graphs(self, together: Mapping[float, int]) -> None:
        """Let no number depend on what was tagged before: recordings of these lengths are computed by compiled graphs.

        Args:
            together: seconds of frequent lengths, and how many recordings of each are scored together on a CPU: a graph of
                several takes less time for each. A group that ends early is filled up, because the last bits of a result
                depend on the number. Windows have a graph in any case.
        """
        counts = {round(length * self.info.sample_rate): count for length, count in together.items()}
        shapes = {(self.settings.batch_size, self.window)} | {(count, samples) for samples, count in counts.items()}
        if self.encoder.fix_graphs(shapes) and self.device.type == "cpu":
            self.together = counts

    def _outcomes(self, batch: list[LoadedAudio], on_windows: OnWindows = None) -> list[FileTags | Failure]:
        """Outcomes of recordings of one length, or of a long or broken one; if a batch fails, of each by itself."""
        first = batch[0]
        if first.error:
            return [Failure(first.source.name, first.error)]
        try:
            if first.waveform is None:
                return [self._tag_windows(first, on_windows)]
            waves = [audio.waveform for audio in batch if audio.waveform is not None]
            check_length(first.source.name, len(waves[0]), self.info)
            seconds = len(waves[0]) / self.info.sample_rate
            missing = self.together.get(len(waves[0]), 1) - len(waves)
            scores = self.wave_scores(np.stack(waves + waves[:1] * missing))
            files = [audio.source.name for audio in batch]
            parts = {name: reader.whole(scores[name], files, seconds) for name, reader in self.readers.items()}
            return [
                _of_heads({name: part[i] for name, part in parts.items()}, note_texts(audio.notes))
                for i, audio in enumerate(batch)
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

        scores: list[dict[str, Scores]] = []
        frames: list[FrameScores] = []
        spans: list[tuple[int, int]] = []
        cut = windows(counted(prefetch(audio.blocks or ())), self.window, self.hop, self.tail)
        while batch := list(islice(cut, self.settings.batch_size)):
            check_length(audio.source.name, len(batch[0].wave), self.info)
            waves = np.stack([window.wave for window in batch])
            if self.level == "frames":
                of_windows, of_frames = self._frame_scores(waves)
                scores.append(of_windows)
                frames += of_frames
            else:
                scores.append(self.wave_scores(waves))
            spans += [(window.start, window.stop) for window in batch]
            if on_windows:
                on_windows(audio.source, batch[-1].stop / self.info.sample_rate)
        times = np.array(spans, dtype=np.float64).reshape(-1, 2) / self.info.sample_rate
        file, seconds = audio.source.name, total / self.info.sample_rate
        read = {self.main: self.readers[self.main]} if self.level == "frames" else self.readers
        joined = Frames(*join_frames(frames, times)) if frames else None
        parts = {
            name: reader.in_windows(reader.join([part[name] for part in scores]), times, file, seconds, joined)
            for name, reader in read.items()
        }
        return _of_heads(parts, note_texts(audio.notes))


def _finite(values: torch.Tensor) -> bool:
    """Whether all are finite: their sum is, unless one is not."""
    return math.isfinite(float(values.sum(dtype=torch.float64)))


def _of_heads(parts: dict[str, FileTags], notes: tuple[str, ...]) -> FileTags:
    """The answer of the first head, with those of all heads where there are several."""
    return replace(next(iter(parts.values())), notes=notes, heads=parts if len(parts) > 1 else {})


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


def check_length(name: str, samples: int, info: EncoderInfo) -> None:
    """Raise AudioError for less than one analysis window: its score would be one of zero padding."""
    if samples < info.min_samples:
        rate = info.sample_rate
        raise AudioError(
            f"{name}: {samples / rate:.4f} s is too short to tag; {info.name} needs at least "
            f"{info.min_samples / rate:.4f} s"
        )
