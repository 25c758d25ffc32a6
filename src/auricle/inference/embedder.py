"""Embeddings of any audio, with any encoder: ``Embedder`` and ``auricle.embed``.

A clip's embedding is made of named vectors: "clip", the encoder's own output, or one per block, "layer0", "layer1", ….
All of them come from one pass through the encoder. A broken file is named in ``failed`` and the others are embedded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor

from auricle.audio.decode import note_texts
from auricle.audio.sources import AudioSource, as_list, find_audio, is_one, is_path
from auricle.core.console import number_of, progress_bar
from auricle.core.errors import AuricleError
from auricle.core.options import from_plain
from auricle.core.parallel import prefetch
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.shards import CLIP, LOGITS, ClipEmbedding
from auricle.inference import pipeline
from auricle.inference.chunks import RunningPool, encode_in_parts, pool
from auricle.inference.coercion import as_manifest, check_window, cut_into_windows, window_spans
from auricle.inference.config import LEVELS, EmbedOptions, EmbedSettings, layer_texts
from auricle.inference.pipeline import (
    LoadedAudio,
    Model,
    OnPart,
    PartDone,
    Session,
    batches_by_length,
    clip_sources,
    failure_of,
    padded,
    part_of,
)
from auricle.models.info import EncoderInfo
from auricle.models.outputs import EncoderOutput

ROWS_SHOWN = 10


@dataclass(frozen=True)
class Embeddings:
    """Embeddings of clips, in the order of the source; prints as a table.

    Attributes:
        ids: of the clips, without those in ``failed`` {id: error message}.
        clip: (n, D) float32; with layers, their pooled outputs joined in the order asked for (``widths``: D of each).
        frames, times: one (T, D) and one (T,) array per clip (seconds from the start of the clip); None at level clip.
        notes: what is unusual about the files.
    """

    ids: tuple[str, ...]
    clip: np.ndarray
    frames: tuple[np.ndarray, ...] | None = None
    times: tuple[np.ndarray, ...] | None = None
    failed: dict[str, str] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def layer(self, index: int) -> np.ndarray:
        """Return (n, D) of one of the blocks that were asked for."""
        if index not in self.layers:
            raise AuricleError(
                f"block {index} was not asked for; there are {', '.join(map(str, self.layers)) or 'none'}"
            )
        start = sum(self.widths[: self.layers.index(index)])
        return self.clip[:, start : start + self.widths[self.layers.index(index)]]

    def __str__(self) -> str:
        rows = [f"{number_of(len(self), 'clip')}, {self.clip.shape[1]} numbers per vector"]
        for i, id in enumerate(self.ids[:ROWS_SHOWN]):
            frames = "" if self.frames is None else f"  {len(self.frames[i])} frames"
            rows.append(f"  {id}{frames}  norm {np.linalg.norm(self.clip[i]):.4g}")
        rows += [f"  and {len(self) - ROWS_SHOWN} more"] if len(self) > ROWS_SHOWN else []
        return "\n".join([*rows, *(f"failed: {message}" for message in self.failed.values())])


class Embedder(Session):
    """An embedding session: made once, called many times, safe to share between threads.

    Args:
        model: an Encoder, or what ``auricle.load`` takes; several of them make an ensemble, features side by side.
        weights: a local file of a published name.
        settings: the settings as an object, in place of ``options``.
        level: "clip": one vector per clip; "frames": also the features over time, with their times.
        window, hop: seconds; every recording in windows of this length, this far apart (None: half a window), each a
            clip of its own; a window of None: the whole clip.
        options: fields of EmbedSettings.
            seconds: cut or zero-pad every clip to this length (None: as it is); crop: "start" or "random".
            layers: block indices or "all"; pooling: "clip", "mean", "mean_std", "max", "mean_max".
            precision, device, batch_size, workers, padding.

    Raises:
        AuricleError: for an unknown model or a wrong setting.

    Example:
        embedder = auricle.Embedder("mn10_as")
        vectors = embedder(["a.wav", "b.mp3"]).clip
    """

    def __init__(
        self,
        model: Model,
        *,
        weights: str | Path | None = None,
        settings: EmbedSettings | None = None,
        level: str = "clip",
        window: float | None = None,
        hop: float | None = None,
        **options: Unpack[EmbedOptions],
    ):
        if level not in LEVELS:
            raise AuricleError(f"level must be 'clip' or 'frames', got '{level}'")
        self.settings = settings or _settings(dict(options))
        self.level, self.hop = level, 0.0
        self.window: float | None = None
        if window or hop:
            self.window, self.hop = check_window(window, hop)
        super().__init__(model, weights, self.settings.device, self.settings.precision, self.settings.workers)
        self.names = vector_names(self.info, self.settings)

    def __call__(self, source: Any, *, sample_rate: int | None = None, quiet: bool = True) -> Embeddings:
        """Return the embeddings of every clip.

        Args:
            source: a file, a folder, a table, a Manifest; a waveform (S,) or (channels, S), a pair (waveform, rate), an entry
                of a Hugging Face data set, bytes, an open file; or a list of them.
            sample_rate: in hertz, of waveforms that come without a rate.
            quiet: no progress bar.

        Raises:
            AuricleError: for anything else, and for a waveform without a rate.
        """
        clips = self._clips(source, sample_rate)
        ids = clips.ids if isinstance(clips, Manifest) else [clip.name for _, clip in clips]
        results = {}
        with progress_bar(total=len(ids), what="embed", quiet=quiet) as bar:
            for result in self._results(clips, self.names, None if bar.disable else PartDone(bar.show_part)):
                results[result.id] = result
                bar.finish_step()
        return join_embeddings(ids, results, self.info, self.settings)

    def iterate(
        self,
        source: Any,
        *,
        sample_rate: int | None = None,
        names: Sequence[str] | None = None,
        on_part: OnPart | None = None,
    ) -> Iterator[ClipEmbedding]:
        """Yield one result per clip, in the order of their lengths (``id`` names the clip), each batch when it is ready.

        Args:
            source, sample_rate: as for a call.
            names: the vectors to compute: of ``vector_names``, and "logits" of the main head; None: ``vector_names``.
            on_part: called with a long recording and the seconds of it that are done, about once a minute of it.
        """
        yield from self._results(self._clips(source, sample_rate), names or self.names, on_part)

    def _results(
        self, clips: Manifest | list[tuple[float, AudioSource]], names: Sequence[str], on_part: OnPart | None
    ) -> Iterator[ClipEmbedding]:
        failed, batches = self.batches(clips)
        yield from failed
        for results in self.iterate_batches(batches, names=names, on_part=on_part):
            yield from results

    def batches(
        self, clips: Manifest | list[tuple[float, AudioSource]]
    ) -> tuple[list[ClipEmbedding], Iterator[list[AudioSource]]]:
        """Return the failures of clips that cannot be opened, and batches of the others, sorted by length."""
        failed: list[LoadedAudio] = []
        if isinstance(clips, Manifest):
            clips, failed = clip_sources(clips, self.info.sample_rate, self.settings, self.pool)
        failures = [ClipEmbedding(audio.source.name, failure=audio.error) for audio in failed]
        return failures, batches_by_length(clips, self.settings.batch_size)

    def iterate_batches(
        self,
        batches: Iterable[list[AudioSource]],
        *,
        names: Sequence[str] | None = None,
        on_part: OnPart | None = None,
    ) -> Iterator[list[ClipEmbedding]]:
        """Yield the results of each batch; those that follow are decoded meanwhile.

        Args:
            batches: as ``batches`` gives them.
            names, on_part: as for ``iterate``.
        """
        names = names or self.names
        longest = pipeline.BATCH_SECONDS if self.encoder.chunked else float("inf")
        for batch in self.load_ahead(batches, longest):
            results: list[ClipEmbedding] = []
            for audio in batch:
                if audio.error:
                    results.append(ClipEmbedding(audio.source.name, failure=audio.error))
                elif audio.blocks is not None:
                    results += self._embed([audio], names, on_part)
            whole = [audio for audio in batch if audio.waveform is not None]
            yield results + (self._embed(whole, names) if whole else [])

    def _clips(self, source: Any, sample_rate: int | None) -> Manifest | list[tuple[float, AudioSource]]:
        """The clips to embed, in windows if asked for: of files a manifest, of anything else (seconds, source)."""
        if isinstance(source, Manifest):
            return cut_into_windows(source, self.window, self.hop) if self.window else source
        one = is_one(source)
        items = [source] if one else as_list(source)
        if all(is_path(item) for item in items):
            manifest = as_manifest(source if one else items)
            return cut_into_windows(manifest, self.window, self.hop) if self.window else manifest
        return [clip for audio in find_audio(source if one else items, sample_rate) for clip in self._parts(audio)]

    def _parts(self, audio: AudioSource) -> Iterator[tuple[float, AudioSource]]:
        """(seconds, source) of a recording's windows, or of the part of it that the settings ask for."""
        rate, audio = self.info.sample_rate, replace(audio, strict=self.settings.strict)
        try:
            seconds = audio.length()
            if self.window or self.settings.seconds:
                audio = audio.at_rate(rate, self.encoder.front.resampler)
        except Exception:
            yield 0.0, audio  # decoding it gives the reason
            return
        spans = window_spans(seconds, self.window, self.hop) if self.window else [(0.0, seconds)]
        for start, end in spans:
            name = f"{audio.name}@{start:.12g}-{end:.12g}"
            clip = replace(audio, name=name, start=start, end=end) if self.window else audio
            yield self.settings.seconds or end - start, part_of(clip, end - start, rate, self.settings)

    def _embed(
        self, batch: list[LoadedAudio], names: Sequence[str], on_part: OnPart | None = None
    ) -> list[ClipEmbedding]:
        """Embed a batch; if the encoder refuses it, each clip by itself, so that one bad clip spoils no other."""
        first = batch[0]
        try:
            return (
                self._encode(batch, names) if first.waveform is not None else self._encode_long(first, names, on_part)
            )
        except Exception as error:
            failure = failure_of(first.source.name, error)
            if failure is None:
                raise
        if len(batch) == 1:
            return [ClipEmbedding(first.source.name, failure=failure)]
        return [result for audio in batch for result in self._embed([audio], names)]

    @torch.inference_mode()
    def _encode(self, batch: list[LoadedAudio], names: Sequence[str]) -> list[ClipEmbedding]:
        waves, samples = padded([audio.waveform for audio in batch if audio.waveform is not None])
        blocks = _block_indices(names)
        with self.autocast():
            wave, lengths = torch.from_numpy(waves).to(self.device), torch.from_numpy(samples).to(self.device)
            out = self.encoder(wave, lengths, layers=blocks or None, padding=self.settings.padding)
        pooled = {f"layer{i}": pool(x.frames, x.lengths, self.settings.pooling) for i, x in zip(blocks, out.layers)}
        if CLIP in names and self.settings.pooling == "clip":
            pooled[CLIP] = out.clip
        elif CLIP in names:
            pooled[CLIP] = pool(_frames_of(out), out.lengths, self.settings.pooling)
        if LOGITS in names:
            pooled[LOGITS] = _logits_of(out)
        arrays = {name: pooled[name].float().cpu().numpy() for name in names}
        frames = [_frames(out, i, blocks) if self.level == "frames" else (None, None) for i in range(len(batch))]
        _check_finite(batch, self.info, [*arrays.values(), *(values for values, _ in frames if values is not None)])
        return [
            ClipEmbedding(
                audio.source.name,
                {name: array[i] for name, array in arrays.items()},
                frames=frames[i][0],
                times=frames[i][1],
                notes=tuple(audio.notes),
            )
            for i, audio in enumerate(batch)
        ]

    @torch.inference_mode()
    def _encode_long(self, audio: LoadedAudio, names: Sequence[str], on_part: OnPart | None) -> list[ClipEmbedding]:
        """Embed one long recording as one clip, read and encoded part by part."""
        blocks, pools, parts = _block_indices(names), {name: RunningPool() for name in names}, []
        with self.autocast():
            options: dict[str, Any] = {"layers": blocks or None, "padding": self.settings.padding}
            for out in encode_in_parts(prefetch(audio.blocks or ()), self.encoder, **options):
                for i, layer in zip(blocks, out.layers):
                    pools[f"layer{i}"].add(layer.frames[0])
                if CLIP in names:
                    own = self.settings.pooling == "clip"
                    pools[CLIP].add(out.clip.expand(int(out.lengths[0]), -1) if own else _frames_of(out)[0])
                if LOGITS in names:
                    pools[LOGITS].add(_logits_of(out).expand(int(out.lengths[0]), -1))
                parts += [_frames(out, 0, blocks)] if self.level == "frames" else []
                if on_part is not None and len(out.times):
                    on_part(audio.source, float(out.times[-1]))
        vectors = {
            name: running.pooled("mean" if name == LOGITS else self.settings.pooling) for name, running in pools.items()
        }
        frames, times = (np.concatenate(arrays) for arrays in zip(*parts)) if parts else (None, None)
        _check_finite([audio], self.info, [*vectors.values(), *([] if frames is None else [frames])])
        return [ClipEmbedding(audio.source.name, vectors, frames, times, notes=tuple(audio.notes))]


def embed(
    source: Any,
    model: Model,
    *,
    sample_rate: int | None = None,
    weights: str | Path | None = None,
    settings: EmbedSettings | None = None,
    level: str = "clip",
    window: float | None = None,
    hop: float | None = None,
    quiet: bool = True,
    **options: Unpack[EmbedOptions],
) -> Embeddings:
    """Return the embeddings of every clip: one call of an ``Embedder``, which takes the same options.

    Args:
        source: a file, a folder, a table, a Manifest, a waveform, (waveform, rate), an entry of a Hugging Face data set, the
            bytes of a file or an open file; or a list of them. As ``audio.sources.audio_sources`` takes them.
        model: an Encoder, or what ``auricle.load`` takes; several of them make an ensemble, features side by side.
        sample_rate: in hertz, of waveforms that come without a rate.
        weights, settings, level, window, hop, options: as for ``Embedder``.
        quiet: no progress bar.

    Returns:
        Embeddings: ids, vectors, with ``level="frames"`` also frames and times; ``failed``: files that cannot be read.

    Raises:
        AuricleError: for a wrong source, model or setting.

    Example:
        vectors = auricle.embed(["a.wav", "b.mp3"], "mn10_as").clip
    """
    session = Embedder(model, weights=weights, settings=settings, level=level, window=window, hop=hop, **options)
    return session(source, sample_rate=sample_rate, quiet=quiet)


def vector_names(info: EncoderInfo, settings: EmbedSettings) -> tuple[str, ...]:
    """Return the names of the vectors that make a clip's embedding: the encoder's output, or one per block."""
    blocks = settings.block_indices(info.depth)
    if settings.layers and not blocks:
        raise AuricleError(f"{info.name} has no blocks: leave --layers out")
    return tuple(f"layer{i}" for i in blocks) or (CLIP,)


def join_embeddings(
    ids: Sequence[str], results: dict[str, ClipEmbedding], info: EncoderInfo, settings: EmbedSettings
) -> Embeddings:
    """Join the results of clips to one Embeddings, in the order of ``ids``."""
    good = [results[id] for id in ids if not results[id].failure]
    columns = [np.stack([r.vectors[name] for r in good]) for name in vector_names(info, settings)] if good else []
    frames = [r.frames for r in good if r.frames is not None]
    times = [r.times for r in good if r.times is not None]
    return Embeddings(
        ids=tuple(r.id for r in good),
        clip=np.concatenate(columns, axis=1) if columns else np.zeros((0, 0), np.float32),
        frames=tuple(frames) or None,
        times=tuple(times) or None,
        failed={id: results[id].failure for id in ids if results[id].failure},
        layers=settings.block_indices(info.depth),
        widths=tuple(column.shape[1] for column in columns),
        notes=note_texts(note for id in ids for note in results[id].notes),
    )


def _settings(options: dict[str, Any]) -> EmbedSettings:
    explicit = {name: value for name, value in options.items() if value is not None and name != "layers"}
    return from_plain(EmbedSettings, {**explicit, "layers": layer_texts(options.get("layers"))}, "the call of embed")


def _block_indices(names: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(name.removeprefix("layer")) for name in names if name not in (CLIP, LOGITS))


def _check_finite(batch: list[LoadedAudio], info: EncoderInfo, arrays: list[np.ndarray]) -> None:
    """Raise AuricleError, with the name of the (first) clip, for numbers that are not finite."""
    if not all(np.isfinite(array).all() for array in arrays):
        raise AuricleError(
            f"{batch[0].source.name}: {info.name} gives no finite embedding: a sample is far too large, the weights are "
            "damaged, or --precision is too coarse"
        )


def _logits_of(out: EncoderOutput) -> Tensor:
    if out.logits is None:
        raise AuricleError("this encoder has no classes, so that it gives no logits")
    return out.logits


def _frames_of(out: EncoderOutput) -> Tensor:
    if out.frames is None:
        raise AuricleError("this encoder gives no features over time; use --pooling clip and --level clip")
    return out.frames


def _frames(out: EncoderOutput, i: int, blocks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(T, D) and (T,) of clip i: the encoder's frames, or its blocks' joined (they share one time grid)."""
    if not blocks:
        n = int(out.lengths[i])
        return _frames_of(out)[i, :n].float().cpu().numpy(), out.times[:n].cpu().numpy()
    n = int(out.layers[0].lengths[i])
    if any(len(layer.times) != len(out.layers[0].times) for layer in out.layers):
        raise AuricleError("these blocks have different frame rates; ask for one block at a time at --level frames")
    frames = torch.cat([layer.frames[i, :n] for layer in out.layers], dim=1)
    return frames.float().cpu().numpy(), out.layers[0].times[:n].cpu().numpy()
