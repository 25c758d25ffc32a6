"""The base class of MN and DyMN as encoders: 17 stages and a head.

Stages: 0 the stem, 1 to 15 the blocks, 16 the last unit Y (B, D, F', T'). Frames are Y averaged over frequency,
``clip`` averages both axes, ``logits`` are the head's ([efficientat 2.4](docs/specification/efficientat.md#s2-4)). ``layers``
counts blocks 1 to 15 and the last unit as 0 to 15, each averaged over frequency. The receptive field of a column is several
hundred mel frames, that is, seconds of context.

Clips may have any length; they are not divided into chunks. Waveforms shorter than ``min_samples`` are zero-padded. Clips of
equal length in a batch are encoded together, so padding does not affect the result; in training and with
``padding="published"`` the whole zero-padded batch is encoded at once. With a total stride of s, column t of a stage is
centred on mel frame s t, that is, on sample s t hop + 1/2 (pre-emphasis shifts by half a sample); with the published strides,
s is 32.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import as_plain
from auricle.frontends.base import front_end
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.frontends.spec_augment import MelAugment, training_mel
from auricle.models.base import HOP_TOLERANCE, Encoder
from auricle.models.efficientat.config import FRAME_STRIDES, HEADS, DyMNConfig, MNConfig, total_stride
from auricle.models.efficientat.onednn import Graphs
from auricle.models.heads.base import MAIN
from auricle.models.info import EncoderInfo
from auricle.models.inputs import Padding, by_length, check_wave, zero_padded
from auricle.models.label_space import LabelKind, LabelSpace
from auricle.models.outputs import CoreOutput, EncoderOutput, LayerOutput, Spectrogram

# ---- outputs of chosen modules, collected during one call


@contextmanager
def capturing(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """``with capturing({"b5": block}) as taps: network(x)`` leaves each module's output in ``taps``.

    Only calls of this thread are seen, so that a served encoder may be shared between threads.
    """
    taps: dict[str, Tensor] = {}
    owner = threading.get_ident()

    def keep(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            if threading.get_ident() == owner:
                taps[name] = output

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield taps
    finally:
        for handle in handles:
            handle.remove()


# ---- heads: from the last feature map (B, D, F, T) to class scores, of the clip and of every column


class MobileNetHead(nn.Sequential):
    """Global average, linear, hardswish, dropout, linear. Per frame: average over frequency only, the same layers."""

    def __init__(self, inputs: int, hidden: int, classes: int, dropout: float):
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(inputs, hidden),
            nn.Hardswish(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def per_frame(self, y: Tensor) -> Tensor:
        columns = y.mean(2).transpose(1, 2)
        for layer in list(self)[2:]:
            columns = layer(columns)
        return columns


class FullyConvolutionalHead(nn.Sequential):
    """1x1 convolution to the classes, batch norm (PyTorch's default eps and momentum), global average."""

    def __init__(self, inputs: int, classes: int):
        super().__init__(nn.Conv2d(inputs, classes, 1, bias=False), nn.BatchNorm2d(classes), nn.AdaptiveAvgPool2d(1))

    def forward(self, y: Tensor) -> Tensor:
        return super().forward(y).flatten(1)

    def per_frame(self, y: Tensor) -> Tensor:
        return self[1](self[0](y)).mean(2).transpose(1, 2)


class AttentionPoolingHead(nn.Module):
    """Per head and class, an average over time weighted by a sigmoid attention; heads joined by learned weights."""

    def __init__(self, inputs: int, classes: int, heads: int):
        super().__init__()
        self.heads, self.classes = heads, classes
        self.subspace_proj = nn.Linear(inputs, 2 * heads * classes)
        self.head_weight = nn.Parameter(torch.full((1, heads, 1), 1.0 / heads))

    def parts(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """(B, D, F, T) -> attention, summing to 1 over time, and value, both (B, T, H, C)."""
        projected = self.subspace_proj(y.mean(2).transpose(1, 2))
        attention, value = projected.unflatten(2, (2, self.heads, self.classes)).unbind(2)
        attention = torch.sigmoid(attention).clamp(1e-7, 1.0 - 1e-7)
        return attention / attention.sum(1, keepdim=True), value

    def forward(self, y: Tensor) -> Tensor:
        attention, value = self.parts(y)
        return ((attention * value).sum(1) * self.head_weight).sum(1)

    def per_frame(self, y: Tensor) -> Tensor:
        """The values alone, joined over heads; how much each column counts is ``attention``."""
        return (self.parts(y)[1] * self.head_weight).sum(2)

    def attention(self, y: Tensor) -> Tensor:
        """(B, T, C): the attention of every column, joined over heads like the values."""
        return (self.parts(y)[0] * self.head_weight).sum(2)


def build_head(config: MNConfig, inputs: int) -> MobileNetHead | FullyConvolutionalHead | AttentionPoolingHead:
    """The head of a configuration, on maps with ``inputs`` channels."""
    if config.head == HEADS[0]:
        return MobileNetHead(inputs, config.last_width, config.num_classes, config.dropout)
    if config.head == HEADS[1]:
        return FullyConvolutionalHead(inputs, config.num_classes)
    return AttentionPoolingHead(inputs, config.num_classes, config.num_heads)


STAGES = 17
Classes = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Request:
    """The stages and taps that one call of ``encode`` returns in addition to the frames."""

    stages: tuple[int, ...]
    taps: tuple[str, ...]


class EfficientAT(Encoder):
    """Base of MN and DyMN. A subclass has ``config``, ``classifier``, and implements ``stages`` and ``strides``.

    ``augment`` is the augmentation that ``frontend`` applies in training mode if it gets a ``key``; None: no augmentation.
    """

    config: MNConfig | DyMNConfig
    classifier: nn.Module | None
    augment: MelAugment | None = None
    origin: str | None = None  # fingerprint of the network that a folded one was made from
    graphs: Graphs | None = None  # of a folded network: compiled graphs for frequent shapes

    def stages(self) -> Sequence[nn.Module]:
        """Return the 17 stages in order."""
        raise NotImplementedError

    def strides(self) -> Sequence[int]:
        """Return the stride of each stage."""
        raise NotImplementedError

    def augment_in_training(
        self, *, mel_edges: tuple[int, int] = (1, 1), mask_ratio: float = 0.0, published_mask: bool = False
    ) -> None:
        super().augment_in_training(mask_ratio=mask_ratio)
        self.augment = MelAugment(*mel_edges)

    def with_fmax(self, fmax: int) -> EfficientAT:
        front = self.front
        assert isinstance(front, EfficientATMel)
        twin = copy.deepcopy(self)
        twin.config = replace(self.settings(), front_end=replace(front, fmax=fmax).id)
        twin.update_info(front_end=twin.config.front_end)
        return twin

    def with_frame_hop(self, seconds: float) -> EfficientAT:
        """Return a copy with other strides, as ``Encoder.with_frame_hop``: those of late blocks become 1 first.

        The published networks with strides 2221 and 2211 have these strides
        ([efficientat 2.1](docs/specification/efficientat.md#s2-1)). Bands are finer too.
        """
        if abs(seconds - self.info.hop_seconds) <= HOP_TOLERANCE * self.info.hop_seconds:
            return self
        configs = [replace(self.settings(), strides=strides) for strides in FRAME_STRIDES]
        hops = {round(total_stride(config.shapes) * self.front.hop_seconds, 9): config for config in reversed(configs)}
        near = min(hops, key=lambda hop: abs(hop - seconds))
        if abs(near - seconds) > HOP_TOLERANCE * near:
            raise AuricleError(
                f"--frame-hop {seconds:g}: the frames of {self.info.name} can be "
                f"{', '.join(f'{hop:g}' for hop in sorted(hops, reverse=True))} s apart"
            )
        return self.with_strides(hops[near].strides)

    def with_strides(self, strides: tuple[int, ...]) -> EfficientAT:
        """Return a copy with the same weights whose blocks 2, 4, 7 and 13 have these strides.

        Raises:
            AuricleError: squeeze-and-excitation along frequency or time ties the weights to their strides.
        """
        config = replace(self.settings(), strides=strides)
        if config.strides == self.config.strides:
            return self
        if set(getattr(config, "squeeze_letters", "")) & set("ft"):
            raise AuricleError(
                f"{self.info.name} squeezes along frequency or time, so that its weights belong to its strides; leave "
                "--frame-hop out"
            )
        named: dict[str, Any] = {"seed": None, "name": self.info.name, "classifier": self.classifier is not None}
        twin = type(self)(config, **named)  # type: ignore[call-arg]
        twin.heads = copy.deepcopy(self.heads)
        twin.to(self.norm_stats.device)
        twin.load_state_dict(self.state_dict())
        twin.augment = self.augment
        twin.info = replace(self.info, hop_seconds=twin.info.hop_seconds)
        return twin.train(self.training)

    def squeezes(self) -> dict[str, nn.Module]:
        """Return the first linear layer of each squeeze-and-excitation module by name ("se4" …), for HEAR embeddings."""
        return {}

    def settings(self) -> MNConfig | DyMNConfig:
        """Return the current config."""
        return self.config

    def fingerprint(self) -> str:
        return self.origin or super().fingerprint()

    def with_stats(self, mean: float, std: float) -> Encoder:
        twin = super().with_stats(mean, std)
        twin.origin = None  # type: ignore[assignment]  # the original network had other statistics
        return twin

    def _inference_copy(self) -> Encoder:
        from auricle.models.efficientat.folding import folded

        return folded(self)

    def _architecture(self) -> dict[str, Any]:
        classifier = {} if self.classifier is not None else {"classifier": False}
        return {"family": self.info.family, "config": as_plain(self.settings()), **classifier}

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        paths = {module: path for path, module in self.named_modules()}
        names = ["stem", *(f"block{i}" for i in range(1, STAGES - 1)), "last"]
        stages = [(name, (paths[stage] + ".",)) for name, stage in zip(names, self.stages())]
        return [*stages, ("head", ("classifier.", "heads."))]

    def _native_classes(self) -> int | None:
        return None if self.classifier is None else self.settings().num_classes

    def _drop_native_head(self) -> None:
        self._modules["classifier"] = None
        self.update_info(taps=self._tap_names())

    def with_classes(
        self, num_classes: int, *, classes: Classes | None = None, label_type: LabelKind = "multilabel", seed: int = 0
    ) -> EfficientAT:
        """Return a copy for other classes, with a new last layer (a new head if it is not an MLP), initialised by ``seed``."""
        config = replace(self.settings(), num_classes=num_classes)
        options: dict[str, Any] = {"seed": seed, "name": self.info.name, "classes": classes, "label_type": label_type}
        twin = type(self)(config, **options)  # type: ignore[call-arg]
        new = "classifier.5." if isinstance(self.classifier, MobileNetHead) else "classifier."
        unchanged = {name: value for name, value in self.state_dict().items() if not name.startswith((new, "heads."))}
        twin.load_state_dict({**twin.state_dict(), **unchanged})
        twin.update_info(licence=self.info.licence, source=self.info.source)
        return twin.train(self.training)

    def describe(
        self, family: str, name: str, front_id: str, width: int, classes: Classes | None, label_type: LabelKind
    ) -> None:
        """Set ``info``; ``width`` is the number of channels of Y."""
        front, count = front_end(front_id), self._native_classes()
        spaces: tuple[LabelSpace, ...] = ()
        if count is not None:
            known = LabelSpace.unnamed(count, label_type) if classes is None else LabelSpace.of(classes, label_type)
            spaces = (known,)
        self.info = EncoderInfo(
            name=name,
            family=family,
            front_end=front.id,
            sample_rate=front.sample_rate,
            hop_seconds=front.hop_seconds * self.spacing(STAGES - 1),
            frame_dim=width,
            clip_dim=width,
            head_names=(MAIN,) if spaces else (),
            label_spaces=spaces,
            min_samples=front.min_samples,
            depth=STAGES - 1,
            taps=self._tap_names(),
        )

    def _tap_names(self) -> tuple[str, ...]:
        return ("mel", *(f"b{i}" for i in range(STAGES)), *self.squeezes(), "clf1", *self._head_taps())

    def _head_taps(self) -> tuple[str, ...]:
        if self.classifier is None:
            return ()
        if isinstance(self.classifier, AttentionPoolingHead):
            return ("attention", "logits")
        return ("clf2", "logits") if isinstance(self.classifier, MobileNetHead) else ("logits",)

    # ---- training and export
    def trunk(self, values: Tensor) -> Tensor:
        """Compute the last feature map: (B, F, T) -> Y (B, D, F', T')."""
        return self._maps(values, ())[0]

    def class_scores(self, values: Tensor) -> Tensor:
        """Compute only the logits of the classifier: normalised (B, F, T) -> (B, C)."""
        assert self.classifier is not None
        return self.classifier(self.trunk(values))

    @property
    def core_takes_mask(self) -> bool:
        return False

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        if lengths is not None:
            raise AuricleError(
                f"{self.info.name} is convolutional and does not support a mask: use clips of one length"
            )
        y, maps = self._maps(self.normalise(values), tuple(block + 1 for block in layers))
        logits = None if self.classifier is None else self.classifier(y).float()
        frames = [over_frequency(maps[block + 1]) for block in layers]
        return CoreOutput(over_frequency(y), y.mean((2, 3)).float(), logits), tuple(frames)

    def _maps(self, values: Tensor, wanted: Sequence[int]) -> tuple[Tensor, dict[int, Tensor]]:
        """Return Y and the feature maps of the wanted stages."""
        x, maps = values.unsqueeze(1).to(next(self.parameters()).dtype), {}
        for index, stage in enumerate(self.stages()):
            x = stage(x)
            if index in wanted:
                maps[index] = x
        return x, maps

    # ---- the encoder contract
    def frontend(
        self, wave: Tensor, lengths: Tensor | None = None, *, padding: Padding = "exact", key: Any = None
    ) -> Spectrogram:
        """Compute the mel spectrogram as ``Encoder.frontend``; in training mode, with ``key`` and ``augment``, augment it."""
        if not (self.training and key is not None and self.augment is not None):
            return super().frontend(wave, lengths, padding=padding)
        wave, lengths = check_wave(wave, lengths)
        front = self.front
        assert isinstance(front, EfficientATMel)
        wave, lengths = zero_padded(wave, lengths, front.min_samples)
        values = training_mel(front, wave, self.augment, key)
        return Spectrogram(values, front.num_frames(lengths), front.hop_seconds, front.id)

    def _encode(
        self,
        spec: Spectrogram,
        *,
        layers: tuple[int, ...],
        taps: tuple[str, ...],
        padding: Padding,
        ids_keep: Tensor | None,
        key: Any,
    ) -> EncoderOutput:
        if ids_keep is not None:
            raise AuricleError(f"{self.info.name} is convolutional: it has no tokens to keep")
        request = Request(tuple(block + 1 for block in layers), self._check_taps(taps))
        values = spec.values if spec.normalised else self.normalise(spec.values)
        if padding == "published" or self.training:
            return self._encode_batch(values, request, spec.lengths)
        return by_length(values, spec.lengths, lambda group: self._encode_batch(group, request))

    def logits(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor | None:
        return self.spec_logits(self.frontend(wave, lengths))

    def spec_logits(self, spec: Spectrogram) -> Tensor | None:
        native = self.info.head_names[:1] == (MAIN,) and MAIN not in self.heads
        whole = spec.values.shape[2]
        if self.training or not native or any(length != whole for length in spec.lengths.tolist()):
            return self.encode(spec).logits
        self.check_spec(spec)
        values = spec.values if spec.normalised else self.normalise(spec.values)
        return (self.graphs(self, values) if self.graphs else self.class_scores(values)).float()

    def fix_graphs(self, shapes: Collection[tuple[int, int]]) -> bool:
        if self.graphs is None:
            return False
        frames = {(batch, self.front.num_frames(samples)) for batch, samples in shapes}
        self.graphs.fixed = {(batch, self.front.n_mels, count) for batch, count in frames}
        return True

    def _check_taps(self, taps: Sequence[str]) -> tuple[str, ...]:
        for name in taps:
            if name not in self.info.taps:
                raise AuricleError(f"{self.info.name} has no tap '{name}'{nearest(name, self.info.taps)}")
        return tuple(taps)

    def _encode_batch(self, values: Tensor, request: Request, lengths: Tensor | None = None) -> EncoderOutput:
        """Encode (b, F, T) at once; ``lengths`` (b,) are the numbers of valid frames (None: all)."""
        if lengths is None:
            lengths = torch.full((len(values),), values.shape[2], device=values.device)
        modules = self.squeezes() | ({"clf2": self.classifier[3]} if isinstance(self.classifier, MobileNetHead) else {})
        modules = {name: module for name, module in modules.items() if name in request.taps}
        tapped = [int(name[1:]) for name in request.taps if name[1:].isdigit()]
        with capturing(modules) as captured:
            y, maps = self._maps(values, {*request.stages, *tapped, STAGES - 1})  # type: ignore[arg-type]
            logits = None if self.classifier is None else self.classifier(y)
        last = self._layer(y, STAGES - 1, lengths)
        clip = y.mean((2, 3)).float()
        available = captured | {f"b{i}": x for i, x in maps.items()} | {"mel": values, "clf1": clip}
        available |= {} if logits is None else {"logits": logits}
        if "attention" in request.taps and isinstance(self.classifier, AttentionPoolingHead):
            available["attention"] = self.classifier.attention(y)
        return EncoderOutput(
            frames=last.frames,
            times=last.times,
            lengths=last.lengths,
            clip=clip,
            logits=None if logits is None else logits.float(),
            frame_logits=self._frame_logits(y),
            layers=tuple(self._layer(maps[i], i, lengths) for i in request.stages),
            taps={name: available[name].float() for name in request.taps},
        )

    def _frame_logits(self, y: Tensor) -> Tensor | None:
        """(B, T', C) of the family's own head; None in training where nobody reads them."""
        if self.classifier is None or (self.training and not self.trains_frame_logits):
            return None
        return self.classifier.per_frame(y).float()  # type: ignore[operator]

    def _layer(self, x: Tensor, stage: int, lengths: Tensor) -> LayerOutput:
        """Average a feature map (B, C, F', T') over frequency to frames (B, T', C)."""
        return LayerOutput(over_frequency(x), self._times(stage, x.shape[3]), self._lengths(stage, lengths))

    def _times(self, stage: int, count: int) -> Tensor:
        index = torch.arange(count, device=self.norm_stats.device)
        return index * (self.spacing(stage) * self.front.hop_seconds) + self.front.frame_time(0)

    def _lengths(self, stage: int, lengths: Tensor) -> Tensor:
        return (lengths - 1).div(self.spacing(stage), rounding_mode="floor") + 1

    def frame_times(self, count: int) -> Tensor:
        return self._times(STAGES - 1, count)

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        return self._lengths(STAGES - 1, lengths)

    def layer_lengths(self, block: int, lengths: Tensor) -> Tensor:
        return self._lengths(block + 1, lengths)

    def spacing(self, stage: int) -> int:
        """Return the number of mel frames between two columns of a stage."""
        product = 1
        for stride in list(self.strides())[: stage + 1]:
            product *= stride
        return product


def over_frequency(x: Tensor) -> Tensor:
    """Average a map (B, C, F', T') over frequency: (B, T', C) float32."""
    return x.mean(2).transpose(1, 2).float()
