"""``auricle.embed``: files, a folder or a manifest in, embeddings out, for any encoder. Broken files are named, not
fatal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.audio import decode
from auricle.core.devices import pick_device
from auricle.core.errors import AuricleError
from auricle.core.options import from_plain
from auricle.core.progress import progress_bar
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.inference.batching import Heard, heard_batches, padded
from auricle.inference.coercion import Model, as_encoder, as_manifest
from auricle.inference.embed_config import EmbedSettings, layer_texts
from auricle.inference.spans import cut_into_windows
from auricle.models.base import Encoder, preserve_train_mode
from auricle.models.inputs import mean_over_time
from auricle.models.outputs import EncoderOutput, Spectrogram

# A recording of hours as one clip, in bounded memory: for encoders whose chunks do not see each other.
#
# The sound is decoded, turned into a spectrogram and encoded a minute or so at a time. The pieces are whole chunks of the
# spectrogram of the whole recording, so what comes out is what encoding it in one call gives, but for rounding.

PIECE_SECONDS = 60.0
CONTEXT = 2  # frames on either side that a front end's window may reach into (of 25 ms, in steps of 10 ms)


def encoded_pieces(waves: Iterable[np.ndarray], encoder: Encoder, **options: Any) -> Iterator[EncoderOutput]:
    """Consecutive waves (n,) of one recording -> one Encoded (batch 1) per piece; times count from its beginning.

    ``options`` are those of ``Encoder.encode``.
    """
    for spec, start in spectrograms(waves, encoder):
        out = encoder.encode(spec, **options)
        yield replace(out, times=out.times + start * spec.hop_seconds)


def spectrograms(waves: Iterable[np.ndarray], encoder: Encoder) -> Iterator[tuple[Spectrogram, int]]:
    """(spectrogram, its first frame) of each piece. Frames at a cut see the sound on both sides of it."""
    front, chunk = encoder.front, int(encoder.info.chunk_frames or 0)
    frames = chunk * max(1, round(PIECE_SECONDS / (chunk * front.hop_seconds)))
    hop = round(front.hop_seconds * front.sample_rate)
    held, first = np.zeros(0, np.float32), 0
    for wave in waves:
        held = np.concatenate([held, wave])
        before = CONTEXT if first else 0
        while len(held) > (needed := (before + frames + CONTEXT + 1) * hop):
            yield _cut(encoder, held[:needed], before, before + frames), first
            held = held[(before + frames - CONTEXT) * hop :]
            before, first = CONTEXT, first + frames
    before = CONTEXT if first else 0
    if (
        not first or front.num_frames(len(held)) - before >= encoder.least_frames
    ):  # else one call leaves them out as well
        yield _cut(encoder, held, before, None), first


def _cut(encoder: Encoder, held: np.ndarray, begin: int, end: int | None) -> Spectrogram:
    """Frames ``begin`` to ``end`` (None: to the last) of the spectrogram of (n,) samples."""
    spec = encoder.frontend(torch.from_numpy(held)[None].to(encoder.norm_stats.device))
    values = spec.values[:, :, begin:end]
    return replace(spec, values=values, lengths=torch.full_like(spec.lengths, values.shape[2]))


class RunningPool:
    """Pooling over time, added up piece by piece: the same numbers as pooling all frames at once, but for rounding."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | Any = 0.0
        self.squares: Tensor | Any = 0.0
        self.largest: Tensor | None = None

    def add(self, frames: Tensor) -> None:
        """(T, D), T at least 1."""
        frames, n = frames.double(), len(frames)
        mean, total = frames.mean(0), self.count + n
        apart = mean - self.mean
        self.squares = self.squares + (frames - mean).square().sum(0) + apart.square() * (self.count * n / total)
        self.mean, self.count = self.mean + apart * (n / total), total
        largest = frames.amax(0)
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)

    def pooled(self, pooling: str) -> np.ndarray:
        """(D,), or (2D,) for mean_std; "clip" is the mean."""
        assert self.largest is not None
        deviation = (self.squares / max(1, self.count - 1)).sqrt()
        vectors = {"max": self.largest, "mean_max": self.mean + self.largest}
        vectors["mean_std"] = torch.cat([self.mean, deviation])
        return vectors.get(pooling, self.mean).float().cpu().numpy()


OUTPUT = "clip"  # the piece that is the encoder's own output; the others are "layer0", "layer1", …


@dataclass(frozen=True)
class Embeddings:
    """ids in the manifest's order, without those in ``failed`` {id: what is wrong}.

    clip (n, D) float32; with layers, their pooled outputs joined in the order asked for (``widths`` says how wide each
    is). frames and times: one (T, D) and one (T,) array per clip (seconds from the start of the clip), or None at level
    clip.
    """

    ids: tuple[str, ...]
    clip: np.ndarray
    frames: tuple[np.ndarray, ...] | None = None
    times: tuple[np.ndarray, ...] | None = None
    failed: dict[str, str] = field(default_factory=dict)
    layers: tuple[int, ...] = ()
    widths: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def layer(self, index: int) -> np.ndarray:
        """(n, D) of one of the blocks that were asked for."""
        if index not in self.layers:
            raise AuricleError(
                f"block {index} was not asked for; there are {', '.join(map(str, self.layers)) or 'none'}"
            )
        start = sum(self.widths[: self.layers.index(index)])
        return self.clip[:, start : start + self.widths[self.layers.index(index)]]


@dataclass(frozen=True)
class ClipEmbedding:
    """What one clip gave: pooled pieces {name: (D,)}, frames (T, D) and times (T,) if asked for; or the words why
    not."""

    id: str
    pieces: dict[str, np.ndarray] = field(default_factory=dict)
    frames: np.ndarray | None = None
    times: np.ndarray | None = None
    failure: str = ""


def embed(
    source: Manifest | str | Path | Sequence[str | Path],
    model: Model,
    *,
    settings: EmbedSettings | None = None,
    level: str = "clip",
    window: float = 0.0,
    hop: float = 0.0,
    quiet: bool = True,
    **options: Any,
) -> Embeddings:
    """Embeddings of every clip of ``source``: files, a folder, a table or a Manifest.

    model     an Encoder, or what ``auricle.load`` takes; several of them make an ensemble, features side by side
    window    seconds: every recording in windows of this length, ``hop`` seconds apart (0: half a window), each a clip
              of its own; 0: whole
    level     "clip": one vector per clip; "frames": also the features over time, with their times
    options   fields of EmbedSettings, when ``settings`` is not given: seconds, layers, pooling, precision, batch_size,
              …

    Files that cannot be read are in ``failed``. Raises AuricleError for a wrong source, model or setting.
    """
    encoder, manifest = as_encoder(model), as_manifest(source)
    manifest = cut_into_windows(manifest, window, hop) if window or hop else manifest
    chosen = settings or _settings(options)
    pieces = pieces_of(encoder, chosen)
    found = embed_clips(manifest, encoder, chosen, pieces, frames=_wants_frames(level))
    bar = progress_bar(total=len(manifest), what="embed", quiet=quiet)
    results = {}
    for result in found:
        results[result.id] = result
        bar.update()
    bar.close()
    return gathered(manifest.ids, results, encoder, chosen)


def _settings(options: dict[str, Any]) -> EmbedSettings:
    given = {name: value for name, value in options.items() if value is not None and name != "layers"}
    return from_plain(EmbedSettings, {**given, "layers": layer_texts(options.get("layers"))}, "the call of embed")


def gathered(
    ids: Sequence[str], results: dict[str, ClipEmbedding], encoder: Encoder, settings: EmbedSettings
) -> Embeddings:
    """Per-clip results as one Embeddings, in the order of ``ids``."""
    good = [results[id] for id in ids if not results[id].failure]
    pieces = pieces_of(encoder, settings)
    columns = {piece: np.stack([r.pieces[piece] for r in good]) for piece in pieces} if good else {}
    frames = [r.frames for r in good if r.frames is not None]
    times = [r.times for r in good if r.times is not None]
    return Embeddings(
        ids=tuple(r.id for r in good),
        clip=np.concatenate(list(columns.values()), axis=1) if columns else np.zeros((0, 0), np.float32),
        frames=tuple(frames) or None,
        times=tuple(times) or None,
        failed={id: results[id].failure for id in ids if results[id].failure},
        layers=settings.block_indices(encoder.info.depth),
        widths=tuple(column.shape[1] for column in columns.values()),
    )


def pieces_of(encoder: Encoder, settings: EmbedSettings) -> tuple[str, ...]:
    """Names of the vectors a clip's embedding is made of: the encoder's output, or one per block."""
    blocks = settings.block_indices(encoder.info.depth)
    if settings.layers and not blocks:
        raise AuricleError(f"{encoder.info.name} has no blocks: leave --layers out")
    return tuple(f"layer{i}" for i in blocks) or (OUTPUT,)


def embed_clips(
    manifest: Manifest, encoder: Encoder, settings: EmbedSettings, pieces: Sequence[str], *, frames: bool = False
) -> Iterator[ClipEmbedding]:
    """One result per clip, in an order of our own (by length). All ``pieces`` come from one pass through the encoder,
    which is moved to the device and left in the mode (training or evaluation) it came in."""
    with preserve_train_mode(encoder):
        ready = encoder.to(pick_device(settings.device)).for_inference()
        rate, resampler = ready.info.sample_rate, ready.front.resampler
        for batch in heard_batches(manifest, rate, settings, resampler, leave_long=ready.chunked):
            good = [heard for heard in batch if heard.wave is not None]
            yield from (ClipEmbedding(h.clip.id, failure=h.failure) for h in batch if h.failure)
            left = [heard.clip for heard in batch if heard.wave is None and not heard.failure]
            yield from (_long_or_say(manifest, clip, ready, settings, pieces, frames) for clip in left)
            if good:
                yield from _encode_or_say(good, ready, settings, pieces, frames)


def _encode_or_say(
    batch: list[Heard], encoder: Encoder, settings: EmbedSettings, pieces: Sequence[str], frames: bool
) -> list[ClipEmbedding]:
    """The batch encoded; if the encoder refuses it, each clip by itself, so that one bad clip spoils no other."""
    try:
        return _encode(batch, encoder, settings, pieces, frames)
    except AuricleError as error:
        if len(batch) == 1:
            return [ClipEmbedding(batch[0].clip.id, failure=str(error))]
        return [result for one in batch for result in _encode_or_say([one], encoder, settings, pieces, frames)]


@torch.inference_mode()
def _encode(
    batch: list[Heard], encoder: Encoder, settings: EmbedSettings, pieces: Sequence[str], frames: bool
) -> list[ClipEmbedding]:
    device = encoder.norm_stats.device
    wave, lengths = (torch.from_numpy(x).to(device) for x in padded([h.wave for h in batch if h.wave is not None]))
    indices = _block_indices(pieces)
    with torch.autocast(device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        out = encoder(wave, lengths, layers=indices or None, padding=settings.padding)
    pooled = {piece: x.float().cpu().numpy() for piece, x in _pooled(out, indices, pieces, settings.pooling).items()}
    rows = [{piece: x[i] for piece, x in pooled.items()} for i in range(len(batch))]
    if not frames:
        return [ClipEmbedding(h.clip.id, row) for h, row in zip(batch, rows)]
    return [ClipEmbedding(h.clip.id, row, *_frames(out, i, indices)) for i, (h, row) in enumerate(zip(batch, rows))]


def _long_or_say(
    manifest: Manifest, clip: Clip, encoder: Encoder, settings: EmbedSettings, pieces: Sequence[str], frames: bool
) -> ClipEmbedding:
    try:
        return _encode_long(manifest, clip, encoder, settings, pieces, frames)
    except AuricleError as error:
        return ClipEmbedding(clip.id, failure=str(error))


@torch.inference_mode()
def _encode_long(
    manifest: Manifest, clip: Clip, encoder: Encoder, settings: EmbedSettings, pieces: Sequence[str], frames: bool
) -> ClipEmbedding:
    """A long recording as one clip, read and encoded piece by piece."""
    indices = _block_indices(pieces)
    tallies, kept = {piece: RunningPool() for piece in pieces}, []
    waves = decode.blocks(manifest.audio(clip), rate=encoder.info.sample_rate, resampler=encoder.front.resampler)
    with torch.autocast(encoder.norm_stats.device.type, torch.bfloat16, enabled=settings.precision == "bfloat16"):
        for out in encoded_pieces(waves, encoder, layers=indices or None, padding=settings.padding):
            for piece, layer in zip((f"layer{i}" for i in indices), out.layers):
                tallies[piece].add(layer.frames[0])
            if OUTPUT in pieces:
                whole = out.clip.expand(int(out.lengths[0]), -1) if settings.pooling == "clip" else _features(out)[0]
                tallies[OUTPUT].add(whole)
            kept += [_frames(out, 0, indices)] if frames else []
    row = {piece: tally.pooled(settings.pooling) for piece, tally in tallies.items()}
    features, times = (np.concatenate(parts) for parts in zip(*kept)) if frames else (None, None)
    return ClipEmbedding(clip.id, row, features, times)


def _block_indices(pieces: Sequence[str]) -> tuple[int, ...]:
    return tuple(int(piece.removeprefix("layer")) for piece in pieces if piece != OUTPUT)


def _pooled(out: EncoderOutput, blocks: tuple[int, ...], pieces: Sequence[str], pooling: str) -> dict[str, Tensor]:
    pooled = {f"layer{i}": pool(layer.frames, layer.lengths, pooling) for i, layer in zip(blocks, out.layers)}
    if OUTPUT in pieces and pooling == "clip":
        pooled[OUTPUT] = out.clip
    elif OUTPUT in pieces:
        pooled[OUTPUT] = pool(_features(out), out.lengths, pooling)
    return {piece: pooled[piece] for piece in pieces}


def _features(out: EncoderOutput) -> Tensor:
    if out.frames is None:
        raise AuricleError("this encoder gives no features over time; use --pooling clip and --level clip")
    return out.frames


def _frames(out: EncoderOutput, i: int, blocks: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """(T, D) and (T,) of clip i: the encoder's frames, or its blocks' joined (they share one time grid)."""
    if not blocks:
        n = int(out.lengths[i])
        return _features(out)[i, :n].float().cpu().numpy(), out.times[:n].cpu().numpy()
    n = int(out.layers[0].lengths[i])
    if any(len(layer.times) != len(out.layers[0].times) for layer in out.layers):
        raise AuricleError("these blocks have different frame rates; ask for one block at a time at --level frames")
    frames = torch.cat([layer.frames[i, :n] for layer in out.layers], dim=1)
    return frames.float().cpu().numpy(), out.layers[0].times[:n].cpu().numpy()


def pool(frames: Tensor, lengths: Tensor, pooling: str) -> Tensor:
    """(B, T, D), (B,) valid frames -> (B, D), or (B, 2D) for mean_std. "clip" of a block is the mean of its frames."""
    mean = mean_over_time(frames, lengths)
    if pooling in ("clip", "mean"):
        return mean
    valid = (torch.arange(frames.shape[1], device=frames.device) < lengths[:, None])[..., None]
    if pooling == "mean_std":
        square = ((frames - mean[:, None]).square() * valid).sum(1) / (lengths[:, None] - 1).clamp(min=1)
        return torch.cat([mean, square.sqrt()], dim=1)
    largest = frames.masked_fill(~valid, float("-inf")).amax(1)
    return largest if pooling == "max" else mean + largest


def _wants_frames(level: str) -> bool:
    if level not in ("clip", "frames"):
        raise AuricleError(f"level must be 'clip' or 'frames', got '{level}'")
    return level == "frames"
