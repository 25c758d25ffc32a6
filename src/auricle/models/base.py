"""The contract of every network that turns sound into features.

Inference, evaluation, export and serving know only this file: they have no branch per family.
Shapes: B batch, S samples, F mel bins, T frames, N patches, D width, C classes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import FrontEnd, front_end
from auricle.models.inference_copy import MAKING, EncoderVersion, sharing_copy

# What every encoder asks of its input before it looks at it: words for what cannot be, padding for what is too short.

Padding = Literal["exact", "published"]


def check_wave(wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, S) float32 and (B,) int64 lengths, or AuricleError saying what was found and what to do."""
    if not isinstance(wave, Tensor):
        raise AuricleError(f"expected a tensor (B, S), got {type(wave).__name__}; torch.from_numpy(array) makes one")
    if wave.ndim != 2:
        raise AuricleError(
            f"expected a waveform (B, S), got shape {tuple(wave.shape)}; use wave[None] for a single clip"
        )
    if wave.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise AuricleError(
            f"expected float32 samples in [-1, 1], got {wave.dtype}; convert with wave.float() and scale"
        )
    if wave.shape[0] == 0 or wave.shape[1] == 0:
        raise AuricleError(f"the waveform is empty (shape {tuple(wave.shape)}); at least one sample is needed")
    if not _all_finite(wave):
        raise AuricleError("the waveform holds NaN or infinite samples; repair or drop the clip")
    if lengths is None:
        lengths = torch.full((wave.shape[0],), wave.shape[1], device=wave.device)
    lengths = torch.as_tensor(lengths, device=wave.device).long()
    if lengths.shape != (wave.shape[0],) or lengths.min() < 1 or lengths.max() > wave.shape[1]:
        raise AuricleError(f"lengths must be ({wave.shape[0]},) between 1 and {wave.shape[1]}, got {lengths.tolist()}")
    return wave.float(), lengths


def check_padding(padding: str) -> None:
    """Raises AuricleError for what is neither "exact" nor "published"."""
    if padding not in get_args(Padding):
        raise AuricleError(f"padding is one of {', '.join(get_args(Padding))}, not {padding!r}")


def check_ids_keep(ids_keep: Tensor, clips: int, tokens: int) -> Tensor:
    """``ids_keep`` as int64. Raises AuricleError unless it is (B, K), K at least 1, of token indices below ``tokens``."""
    whole = not ids_keep.is_floating_point() and ids_keep.dtype != torch.bool
    if ids_keep.ndim != 2 or len(ids_keep) != clips or ids_keep.shape[1] < 1 or not whole:
        raise AuricleError(
            f"ids_keep must be ({clips}, K) whole numbers, K at least 1, got {tuple(ids_keep.shape)} {ids_keep.dtype}"
        )
    if ids_keep.min() < 0 or ids_keep.max() >= tokens:
        raise AuricleError(
            f"ids_keep names tokens {int(ids_keep.min())} to {int(ids_keep.max())}; there are 0 to {tokens - 1}"
        )
    return ids_keep.long()


def zero_padded(wave: Tensor, lengths: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """(B, S), (B,) with every clip at least ``least`` samples long; what followed a short clip in its row becomes zero."""
    if not (lengths < least).any():
        return wave, lengths
    wave = wave * (torch.arange(wave.shape[1], device=wave.device) < lengths[:, None])
    return nn.functional.pad(wave, (0, max(0, least - wave.shape[1]))), lengths.clamp(min=least)


def _all_finite(wave: Tensor) -> bool:
    """One pass in the usual case: a sum is finite only when every term is, but finite terms may overflow."""
    return bool(torch.isfinite(wave.sum(dtype=torch.float32))) or bool(torch.isfinite(wave).all())


LayerChoice = Literal["all"] | Sequence[int] | None


@dataclass(frozen=True)
class EncoderInfo:
    """What anybody needs to know of an encoder without looking inside.

    hop_seconds is the spacing of ``EncoderOutput.frames``; min_samples the shortest input that is not zero-padded first;
    chunk_frames the spectrogram frames encoded in one piece (None: any length); depth the number of blocks that
    ``layers`` may name; taps the names that ``taps`` may hold.
    """

    name: str
    family: str
    front_end: str
    sample_rate: int
    hop_seconds: float
    frame_dim: int
    clip_dim: int
    token_dim: int | None = None
    classes: tuple[tuple[str, str], ...] | None = None  # (id, name) in the order of the logits
    label_type: Literal["multilabel", "multiclass"] | None = None
    min_samples: int = 1
    chunk_frames: int | None = None
    depth: int = 0
    taps: tuple[str, ...] = ()
    licence: str = "not stated"
    source: str = ""


@dataclass(frozen=True)
class Spectrogram:
    """values (B, F, T) float32, not normalised; lengths (B,) valid frames; the front end that made it."""

    values: Tensor
    lengths: Tensor
    hop_seconds: float
    front_end: str
    normalised: bool = False


@dataclass(frozen=True)
class LayerOutput:
    """Output of one block: frames (B, T, D'), times (T,) seconds, lengths (B,) valid frames."""

    frames: Tensor
    times: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder says of a batch; everything float32.

    frames (B, T, Df) stacked per-time-step features, or None with ``ids_keep``; times (T,) seconds, the true centres;
    lengths (B,) valid frames, at least 1; clip (B, Dc), the mean of the valid frames unless the head says otherwise;
    logits (B, C) and frame_logits (B, T, C) or None; tokens (B, N, D) before stacking, in the family's order, or None;
    layers: one Layer per block asked for; taps: raw internal maps by the family's names.
    """

    frames: Tensor | None
    times: Tensor
    lengths: Tensor
    clip: Tensor
    logits: Tensor | None = None
    frame_logits: Tensor | None = None
    tokens: Tensor | None = None
    layers: tuple[LayerOutput, ...] = ()
    taps: dict[str, Tensor] = field(default_factory=dict)


class Encoder(nn.Module):
    """Base of every family. A family sets ``info`` and implements ``encode``, ``core`` and ``architecture``.

    ``params_without_grad`` names parameters that no gradient reaches by design (the contract test leaves them out).
    """

    info: EncoderInfo
    params_without_grad: frozenset[str] = frozenset()
    made_for_inference: bool = False  # whether ``for_inference`` made it
    norm_stats: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("norm_stats", torch.tensor([0.0, 1.0]))

    @property
    def front(self) -> FrontEnd:
        """The front end, a pure function of the waveform (its constants are cached, not rebuilt per call)."""
        return front_end(self.info.front_end)

    @property
    def chunked(self) -> bool:
        """Whether a long spectrogram is cut into chunks of ``info.chunk_frames`` frames that do not see each other."""
        return self.info.chunk_frames is not None

    @property
    def least_frames(self) -> int:
        """Spectrogram frames below which nothing comes out."""
        return 1

    def frontend(
        self,
        wave: Tensor,
        lengths: Tensor | None = None,
        *,
        padding: Padding = "exact",
        key: BatchKey | None = None,
    ) -> Spectrogram:
        """(B, S) float32 at ``info.sample_rate`` -> Spec. Always float32.

        ``padding="exact"`` lets the front end reflect at each clip's own end; ``"published"`` treats the zero-padded
        batch as one piece. Waves shorter than ``info.min_samples`` are zero-padded up to it.
        """
        check_padding(padding)
        wave, lengths = check_wave(wave, lengths)
        if padding == "published":
            lengths = torch.full_like(lengths, wave.shape[1])
        return self.spectrogram(*zero_padded(wave, lengths, self.info.min_samples))

    def spectrogram(self, wave: Tensor, lengths: Tensor) -> Spectrogram:
        """The front end on (B, S) with clips of (B,) samples, none shorter than what it needs."""
        front = self.front
        with torch.autocast(wave.device.type, enabled=False):
            values = front(wave, lengths)
        return Spectrogram(values, front.num_frames(lengths), front.hop_seconds, front.id)

    def check_spec(self, spec: Spectrogram) -> None:
        """Raises AuricleError when the spectrogram is not what this network takes."""
        if spec.front_end != self.info.front_end:
            raise AuricleError(
                f"{self.info.name} expects '{self.info.front_end}', the spectrogram is '{spec.front_end}'"
            )

    def encode(
        self,
        spec: Spectrogram,
        *,
        layers: LayerChoice = None,
        taps: Sequence[str] = (),
        padding: Padding = "exact",
        ids_keep: Tensor | None = None,
        key: BatchKey | None = None,
    ) -> EncoderOutput:
        """Spec -> Encoded. ``layers``: None, "all" or 0-based block indices; ``ids_keep`` (B, K): visible token indices."""
        raise NotImplementedError

    def forward(
        self, wave: Tensor, lengths: Tensor | None = None, *, sample_rate: int | None = None, **options: Any
    ) -> EncoderOutput:
        """Encode a batch of waveforms.

        Args:
            wave: (B, S) samples in [-1, 1] at ``info.sample_rate``.
            lengths: (B,) samples of each clip; None: all of them.
            sample_rate: if given, checked against ``info.sample_rate`` (hertz).
            options: those of ``encode``.

        Raises:
            AuricleError: for another sample rate, and for input that is no waveform.
        """
        if sample_rate is not None and sample_rate != self.info.sample_rate:
            raise AuricleError(
                f"the audio is at {sample_rate} Hz but {self.info.name} expects {self.info.sample_rate} Hz; "
                "resample it first"
            )
        padding = options.get("padding", "exact")
        return self.encode(self.frontend(wave, lengths, padding=padding, key=options.get("key")), **options)

    def logits(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor | None:
        """(B, S) -> (B, C) float32, the ``logits`` of a call; a family may leave out what only the rest needs."""
        return self(wave, lengths).logits

    def core(self, values: Tensor, key_mask: Tensor | None = None) -> Any:
        """Tensors in, tensors out, no data-dependent Python: what is trained, compiled and exported."""
        raise NotImplementedError

    def architecture(self) -> dict[str, Any]:
        """JSON values from which ``hub`` builds the same network again (weights aside)."""
        raise NotImplementedError

    def normalise(self, values: Tensor) -> Tensor:
        """(x - mean) / std with this encoder's statistics, float32."""
        mean, std = self.norm_stats
        return (values - mean) / std

    def statistics(self) -> tuple[float, float]:
        """Mean and deviation of the spectrograms that this encoder expects."""
        mean, std = self.norm_stats.tolist()
        return mean, std

    def with_stats(self, mean: float, std: float) -> Encoder:
        """A copy that normalises with other statistics; all weights are shared, not copied, and with them the modes that
        ``train`` and ``eval`` set."""
        if not std > 0:
            raise AuricleError(f"the standard deviation must be positive, not {std}")
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)
        twin._buffers["norm_stats"] = torch.tensor([float(mean), float(std)], device=self.norm_stats.device)
        return twin

    def for_inference(self) -> Encoder:
        """Return the form of this encoder that is fastest for inference, in evaluation mode.

        It is made once and kept, and made anew once this encoder has changed (``models/inference_copy.py`` says how
        that is seen). It gives the same results within 1e-5, has the same fingerprint, cannot be trained, may share
        memory with this encoder, and may be shared between threads. Move the encoder, not the result, to another device.
        """
        if self.made_for_inference:
            return self
        with MAKING:
            version, ready = self.__dict__.get("_for_inference", (None, None))
            if ready is None or not version.is_current(self):
                version = EncoderVersion.of(self)
                with torch.no_grad():
                    ready = self._inference_copy().eval()
                ready.made_for_inference = True
                self.__dict__["_for_inference"] = (version, ready)
            return ready

    def _inference_copy(self) -> Encoder:
        """What ``for_inference`` returns, made now; a family with a faster form overrides this."""
        return sharing_copy(self)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles take along: everything but the kept copy for inference."""
        return {name: value for name, value in self.__dict__.items() if name != "_for_inference"}

    def fingerprint(self) -> str:
        """16 hex digits of a SHA-256 over configuration and every tensor: equal for equal encoders, on any machine."""
        digest = hashlib.sha256(json.dumps(self.architecture(), sort_keys=True).encode())
        for name, value in sorted(self.state_dict().items()):
            digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
            digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
        return digest.hexdigest()[:16]

    def update_info(self, **changes: Any) -> None:
        """Replace fields of ``info`` (name, licence, source)."""
        self.info = replace(self.info, **changes)

    def _apply(self, fn, recurse=True):
        stats = self.norm_stats
        super()._apply(fn, recurse)
        self.norm_stats = stats.to(self.norm_stats.device)  # moves with the module, stays float32
        version, _ = self.__dict__.get("_for_inference", (None, None))
        if version is not None and not version.is_current(self):
            del self.__dict__["_for_inference"]  # the memory of the old tensors is free at once
        return self


def chosen_layers(layers: LayerChoice, depth: int) -> tuple[int, ...]:
    """0-based block indices in the order asked for; negatives count from the end.

    Raises AuricleError for an index outside the network.
    """
    if layers is None:
        return ()
    wanted = range(depth) if isinstance(layers, str) and layers == "all" else layers
    try:
        indices = [operator.index(i) for i in wanted]
    except TypeError:
        indices = [depth]  # no index at all
    if any(not -depth <= i < depth for i in indices):
        raise AuricleError(
            f"layers must be None, 'all' or block indices between {-depth} and {depth - 1}, got {layers!r}"
        )
    return tuple(i % depth for i in indices)


def mean_over_time(frames: Tensor, lengths: Tensor) -> Tensor:
    """(B, T, D), (B,) -> (B, D): the mean of each clip's valid frames."""
    valid = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
    return (frames * valid[..., None]).sum(1) / lengths[:, None].to(frames.dtype)


# Training or evaluation: the mode of every module, noted and given back.


@contextmanager
def preserve_train_mode(module: nn.Module) -> Iterator[None]:
    """Whatever is done inside, afterwards every part of ``module`` is in the mode that it was in."""
    modes = {part: part.training for part in module.modules()}
    try:
        yield
    finally:
        for part, training in modes.items():
            part.training = training
