"""The contract of every network that turns sound into features.

Inference, evaluation, export and serving use only this contract: they have no branch per family.
Shapes: B batch, S samples, F mel bins, T frames, N patches, D width, C classes.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import FrontEnd, front_end
from auricle.models.heads.base import LONGEST_NAME, MAIN, Head, HeadInputs, is_head_name
from auricle.models.heads.make import make_head
from auricle.models.inference_copy import MAKING, EncoderVersion, fingerprint_of, sharing_copy
from auricle.models.info import EncoderInfo, LayerGroup
from auricle.models.inputs import LayerChoice, Padding, check_padding, check_wave, chosen_layers, zero_padded
from auricle.models.label_space import LabelKind, LabelSpace
from auricle.models.local_layers import LocalLayers
from auricle.models.outputs import CoreOutput, EncoderOutput, Spectrogram
from auricle.models.pretrained import PretrainedMethods

HOP_TOLERANCE = 0.01  # of the distance of frames, by which a distance that is asked for may be off


class Encoder(PretrainedMethods, nn.Module):
    """Base of every family.

    A family sets ``info`` and implements ``_encode``, ``_core``, ``_architecture``, ``_stages``, ``frame_times`` and
    ``frame_lengths``; one with a head of its own (published layouts) also ``_native_classes`` and ``_drop_native_head``.
    ``params_without_grad`` names parameters that no gradient reaches by design. ``trains_frame_logits`` is False where an
    objective reads no logits of frames in training: families whose own head takes long for them leave them out there.
    """

    info: EncoderInfo
    params_without_grad: frozenset[str] = frozenset()
    trains_frame_logits: bool = True
    made_for_inference: bool = False  # whether ``for_inference`` made it
    one_pass: bool = False  # in training, whether all chunks of a batch run through the blocks together
    heads: nn.ModuleDict  # those of ``with_head``; a family's own head stands beside them
    norm_stats: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("norm_stats", torch.tensor([0.0, 1.0]))
        self.heads = nn.ModuleDict()

    # ------------------------------------------------------------------------------------------- from sound to features
    def forward(
        self, wave: Tensor, lengths: Tensor | None = None, *, sample_rate: int | None = None, **options: Any
    ) -> EncoderOutput:
        """Encode a batch of waveforms.

        Args:
            wave: (B, S) samples in [-1, 1] at ``info.sample_rate``.
            lengths: (B,) samples of each clip; None: all of them.
            sample_rate: if set, checked against ``info.sample_rate`` (hertz).
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

    def frontend(
        self,
        wave: Tensor,
        lengths: Tensor | None = None,
        *,
        padding: Padding = "exact",
        key: BatchKey | None = None,
    ) -> Spectrogram:
        """Compute the spectrograms of a batch of waveforms, always in float32.

        Args:
            wave: (B, S) at ``info.sample_rate``; shorter than ``info.min_samples``: zero-padded up to that.
            lengths: (B,) samples of each clip; None: all of them.
            padding: "exact" reflects each clip at its own end; "published" encodes the zero-padded batch as the original does.
            key: random draws of the batch, for families that augment in training.
        """
        check_padding(padding)
        wave, lengths = check_wave(wave, lengths)
        if padding == "published":
            lengths = torch.full_like(lengths, wave.shape[1])
        return self.spectrogram(*zero_padded(wave, lengths, self.info.min_samples))

    def spectrogram(self, wave: Tensor, lengths: Tensor) -> Spectrogram:
        """Apply the front end to (B, S) with clips of (B,) samples, none shorter than the front end needs."""
        front = self.front
        return Spectrogram(front(wave, lengths), front.num_frames(lengths), front.hop_seconds, front.id)

    def check_spec(self, spec: Spectrogram) -> None:
        """Raise AuricleError if the spectrogram is not what this network takes."""
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
        """Encode a batch of spectrograms.

        Args:
            spec: spectrograms of this encoder's front end.
            layers: blocks whose outputs are returned: None, "all" or 0-based indices.
            taps: names of internal maps to return, of ``info.taps``.
            padding: "exact": each clip comes out as if it had been alone; "published": the zero-padded batch as the
                original program treats it.
            ids_keep: (B, K) indices of the only tokens to encode, for families with tokens.
            key: random draws of the batch, for families that hide patches in training.
        """
        self.check_spec(spec)
        check_padding(padding)
        chosen = chosen_layers(layers, self.info.depth)
        wanted = (*chosen, *self._head_layers())
        out = self._encode(spec, layers=wanted, taps=tuple(taps), padding=padding, ids_keep=ids_keep, key=key)
        return self._with_logits(out, len(chosen)) if self.info.head_names else out

    def core(self, values: Tensor, mask: Tensor | None = None) -> CoreOutput:
        """Compute features and logits by tensor operations only, so that it can be compiled and exported.

        Equal to ``encode`` of the same spectrograms within 1e-5.

        Args:
            values: (B, F, T) as the front end gives them, not normalised.
            mask: (B, T) bool, True where a frame is a clip's own; these come first in each row. None: all of them.
        """
        return self.core_by_head(values, mask)[0]

    def core_by_head(self, values: Tensor, mask: Tensor | None = None) -> tuple[CoreOutput, dict[str, Tensor]]:
        """Compute what ``core`` does, and the logits (B, C) of every head by its name, in one pass."""
        lengths, blocks = None if mask is None else mask.sum(1), self._head_layers()
        out, layers = self._core(values, lengths, blocks)
        if lengths is None:
            lengths = torch.full((values.shape[0],), values.shape[2], device=values.device)
        own_lengths = tuple(self.layer_lengths(block, lengths) for block in blocks)
        frame_lengths = self.frame_lengths(lengths) if len(self.heads) else lengths  # no other head reads them
        logits = self._logits_by_head(out.logits, HeadInputs(out.clip, out.frames, frame_lengths, layers, own_lengths))
        main = logits[self.info.head_names[0]] if logits else None
        return out._replace(logits=main), logits

    def _logits_by_head(self, native: Tensor | None, inputs: HeadInputs) -> dict[str, Tensor]:
        """The logits of every head by its name.

        Args:
            native: (B, C) of the head of the family's own layout.
            inputs: of all other heads; the layers of ``_head_layers``, of which each head reads its own.
        """
        logits, start = {}, 0
        for name in self.info.head_names:
            if name not in self.heads:
                assert native is not None
                logits[name] = native
                continue
            head = self._head(name)
            own = slice(start, start + len(head.layers))
            start = own.stop
            logits[name] = head(inputs._replace(layers=inputs.layers[own], layer_lengths=inputs.layer_lengths[own]))
        return logits

    def logits(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor | None:
        """Compute only the main head's logits (B, C) of waveforms (B, S); a family may leave out all other work."""
        return self(wave, lengths).logits

    def logits_by_head(self, wave: Tensor) -> dict[str, Tensor]:
        """Compute the logits (B, C) of every head, by its name, of waveforms (B, S), in one pass."""
        if len(self.info.head_names) > 1:
            return self(wave).head_logits
        logits = self.logits(wave)
        return {} if logits is None else {self.info.head_names[0]: logits}

    def spec_logits(self, spec: Spectrogram) -> Tensor | None:
        """Compute only the main head's logits (B, C) of spectrograms; a family may leave out all other work."""
        return self.encode(spec).logits

    def spec_logits_by_head(self, spec: Spectrogram) -> dict[str, Tensor]:
        """Compute the logits (B, C) of every head of spectrograms, for those who hold them: as ``logits_by_head``."""
        if len(self.info.head_names) > 1:
            return self.encode(spec).head_logits
        logits = self.spec_logits(spec)
        return {} if logits is None else {self.info.head_names[0]: logits}

    def local_layers(self) -> LocalLayers | None:
        """Return the inference form in two parts, of which the first sees a few frames; None where it has no such parts."""
        return None

    def fix_graphs(self, shapes: Collection[tuple[int, int]]) -> bool:
        """Compute waveforms (B, S) of these shapes by compiled graphs, and others without, whatever was computed before.

        Otherwise a shape gets its graph when it has come often, and the last bits of a result depend on how often.

        Returns:
            False for an encoder without graphs, which does nothing.
        """
        return False

    @property
    def one_front_end(self) -> bool:
        """Whether everything is computed from one spectrogram, that of ``front``."""
        return True

    @property
    def normalises_once(self) -> bool:
        """Whether a spectrogram that ``normalise`` has normalised may be given in place of one that is not."""
        return self.norm_stats.dtype == torch.float32  # a network in half precision has its own type of values

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
        """The number of spectrogram frames below which nothing comes out."""
        return 1

    @property
    def core_takes_mask(self) -> bool:
        """Whether ``core`` takes clips of several lengths, with a mask."""
        return True

    @property
    def most_graph_frames(self) -> int | None:
        """The number of spectrogram frames up to which an exported ``core`` takes any number; None: no limit.

        0: the number is fixed when it is exported.
        """
        return None

    @property
    def exact_frames(self) -> int | None:
        """The only number of spectrogram frames that the network takes; None: any number."""
        return None

    def usable_samples(self, seconds: float) -> int:
        """Return how many samples a trial of the network takes: ``seconds`` of them, or those of ``exact_frames``."""
        if self.exact_frames is None:
            return max(self.info.min_samples, round(seconds * self.info.sample_rate))
        return self.front.samples_for(self.exact_frames)

    def frame_times(self, count: int) -> Tensor:
        """Return the centres of the first ``count`` frames, (count,) seconds."""
        raise NotImplementedError

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        """Return the valid frames of clips with (B,) ``lengths`` spectrogram frames: (B,)."""
        raise NotImplementedError

    def layer_lengths(self, block: int, lengths: Tensor) -> Tensor:
        """Return the valid frames of a block, of clips with (B,) ``lengths`` spectrogram frames: (B,)."""
        return self.frame_lengths(lengths)

    def layer_dims(self) -> tuple[int, ...]:
        """Return the width of the frames of every block; empty for families without blocks. It encodes one short clip."""
        silence = torch.zeros(1, self.info.min_samples, device=self.norm_stats.device)
        with torch.no_grad():
            layers = sharing_copy(self.without_head()).eval()(silence, layers="all").layers
        return tuple(layer.frames.shape[2] for layer in layers)

    # ------------------------------------------------------------------------------------------------- heads and labels
    def with_head(self, head: Head, label_space: LabelSpace | None = None, *, name: str = MAIN) -> Encoder:
        """Return a copy with another head: the encoder's weights are copied, ``head`` itself becomes a part of the copy.

        Args:
            head: a new head, for example of ``models.heads.make_head``.
            label_space: what its logits mean; None: unnamed classes that do not exclude each other.
            name: of the head. A head of that name is replaced, other heads stay. The logits of the main head, "main" or
                else the first one, are ``EncoderOutput.logits``; those of all heads are ``EncoderOutput.head_logits``.

        Raises:
            AuricleError: if head and label space have different numbers of classes, the head reads a block that is not there, or
                the name is none.
        """
        if self.made_for_inference:
            raise AuricleError("this copy of the encoder is for inference; put the head on the encoder itself")
        if not is_head_name(name):
            raise AuricleError(
                f"{name!r} is no name of a head: up to {LONGEST_NAME} printable characters, no dot, no word of Python's"
            )
        space = label_space or LabelSpace.unnamed(head.num_classes, "multilabel")
        if len(space) != head.num_classes:
            raise AuricleError(f"the head has {head.num_classes} classes, the label space {len(space)}")
        if any(not 0 <= block < self.info.depth for block in head.layers):
            raise AuricleError(f"the head reads the blocks {head.layers}, {self.info.name} has {self.info.depth}")
        twin = copy.deepcopy(self)
        if name == MAIN and twin._native_classes() is not None:
            twin._drop_native_head()
        twin.heads[name] = head.train(self.training).to(self.norm_stats.device)
        spaces = {**dict(zip(self.info.head_names, self.info.label_spaces)), name: space}
        names = sorted(spaces, key=lambda other: other != MAIN)
        twin.info = replace(twin.info, head_names=tuple(names), label_spaces=tuple(spaces[other] for other in names))
        return twin

    def with_classes(
        self,
        num_classes: int,
        *,
        classes: Sequence[tuple[str, str]] | None = None,
        label_type: LabelKind = "multilabel",
        seed: int = 0,
    ) -> Encoder:
        """Return a copy for other classes, with a new last layer of the family's own head, or a new linear head.

        Args:
            num_classes: the number of logits.
            classes: (id, name) in the order of the logits, if they are known.
            label_type: whether the classes exclude each other ("multiclass") or not.
            seed: of the new weights.
        """
        space = LabelSpace.unnamed(num_classes, label_type) if classes is None else LabelSpace.of(classes, label_type)
        return self.with_head(make_head("linear", self, num_classes, seed=seed), space)

    def without_head(self) -> Self:
        """Return a copy without any head; all weights are shared, not copied."""
        return self.with_only_heads()

    def with_only_heads(self, *names: str) -> Self:
        """Return a copy that keeps the heads with these names alone; all weights are shared, not copied."""
        twin = copy.copy(self)
        kept = nn.ModuleDict({name: head for name, head in self.heads.items() if name in names})
        twin._buffers, twin._modules = dict(self._buffers), {**self._modules, "heads": kept}
        if twin._native_classes() is not None and MAIN not in names:
            twin._drop_native_head()
        spaces = {name: space for name, space in zip(self.info.head_names, self.info.label_spaces) if name in names}
        twin.info = replace(twin.info, head_names=tuple(spaces), label_spaces=tuple(spaces.values()))
        return twin

    def set_label_space(self, space: LabelSpace | None, head: str | None = None) -> None:
        """Set the classes of the logits of a head (None: unknown).

        Args:
            space: its number of classes must be that of the head.
            head: a name of ``info.head_names``; None: the main head.

        Raises:
            AuricleError: without such a head, and for another number of classes.
        """
        names = self.info.head_names
        if not names or (head is not None and head not in names):
            raise AuricleError(
                f"{self.info.name} has no head {head or MAIN!r}; its heads: {', '.join(names) or 'none'}"
            )
        which = 0 if head is None else names.index(head)
        if space is not None and len(space) != self.num_classes(names[which]):
            raise AuricleError(
                f"the head {names[which]!r} has {self.num_classes(names[which])} classes, the label space {len(space)}"
            )
        spaces = list(self.info.label_spaces)
        spaces[which] = space
        self.info = replace(self.info, label_spaces=tuple(spaces))

    def num_classes(self, head: str | None = None) -> int | None:
        """Return how many classes a head has (None: the main head); None if this encoder has no such head."""
        name = head or (self.info.head_names or (MAIN,))[0]
        return self._head(name).num_classes if name in self.heads else self._native_classes() if name == MAIN else None

    def _with_logits(self, out: EncoderOutput, layers: int) -> EncoderOutput:
        """``out`` of a family with the logits of all heads, and its first ``layers`` layers."""
        if not len(self.heads):
            assert out.logits is not None
            return replace(out, head_logits={self.info.head_names[0]: out.logits}, layers=out.layers[:layers])
        if out.frames is None:
            raise AuricleError(
                f"the head of {self.info.name} reads whole frames, of which a part of the tokens has none"
            )
        read = out.layers[layers:]
        blocks, lengths = tuple(layer.frames for layer in read), tuple(layer.lengths for layer in read)
        logits = self._logits_by_head(out.logits, HeadInputs(out.clip, out.frames, out.lengths, blocks, lengths))
        main = self.info.head_names[0]
        frame_logits = self._head(main).per_frame(out.frames) if main in self.heads else out.frame_logits
        return replace(
            out, logits=logits[main], frame_logits=frame_logits, head_logits=logits, layers=out.layers[:layers]
        )

    def _head(self, name: str) -> Head:
        head = self.heads[name]
        assert isinstance(head, Head)
        return head

    def _head_layers(self) -> tuple[int, ...]:
        """The blocks that the heads read, head by head in the order of ``info.head_names``."""
        own = [self._head(name) for name in self.info.head_names if name in self.heads]
        return tuple(block for head in own for block in head.layers)

    # -------------------------------------------------------------------------------------------------- forms and copies
    def for_inference(self) -> Encoder:
        """Return the form of this encoder that is fastest for inference, in evaluation mode.

        The copy is made once, and again after this encoder has changed (see ``models/inference_copy.py``). Its results
        are equal within 1e-5 and its fingerprint is the same. It cannot be trained, may share memory with this encoder
        and may be shared between threads. To change the device, move the encoder, not the copy.
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

    def with_stats(self, mean: float, std: float) -> Encoder:
        """Return a copy that normalises with other statistics.

        All weights are shared, not copied, and with them the modes that ``train`` and ``eval`` set.
        """
        if not std > 0:
            raise AuricleError(f"the standard deviation must be positive, not {std}")
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)
        twin._buffers["norm_stats"] = torch.tensor([float(mean), float(std)], device=self.norm_stats.device)
        return twin

    def normalise(self, values: Tensor) -> Tensor:
        """Compute (x - mean) / std with this encoder's statistics, float32."""
        mean, std = self.norm_stats
        return (values - mean) / std

    def statistics(self) -> tuple[float, float]:
        """Return mean and standard deviation of the spectrograms that this encoder expects."""
        mean, std = self.norm_stats.tolist()
        return mean, std

    def layer_groups(self) -> list[LayerGroup]:
        """Return all parameters in groups from the input to the heads: each parameter in exactly one group.

        For layer-wise learning rates, freezing, gradual unfreezing and reports.
        """
        stages = [*self._stages(), ("head", ("heads.",))]
        members: dict[str, list[str]] = {name: [] for name, _ in stages}
        parameters = dict(self.named_parameters())
        for parameter in parameters:
            members[next(name for name, prefixes in stages if parameter.startswith(prefixes))].append(parameter)
        return [
            LayerGroup(name, tuple(names), tuple(parameters[n] for n in names))
            for name, names in members.items()
            if names
        ]

    # --------------------------------------------------------------------------------------------------------- training
    def augment_in_training(
        self, *, mel_edges: tuple[int, int] = (1, 1), mask_ratio: float = 0.0, published_mask: bool = False
    ) -> None:
        """Set the augmentations that only the family itself can make. They are drawn from ``key`` in training mode.

        Args:
            mel_edges: hertz by which the lowest and the highest edge of the mel bank vary; (1, 1): fixed. Families with
                another front end ignore it.
            mask_ratio: share of the patches that are hidden (structured patch-out); 0: none.
            published_mask: hide those patches that the original program hides.

        Raises:
            AuricleError: patches are to be hidden, and the family has none.
        """
        if mask_ratio:
            raise AuricleError(f"{self.info.name} cannot hide patches in training; leave --training-mask out")

    def with_duration(self, frames: int) -> Encoder:
        """Return a copy that encodes up to ``frames`` spectrogram frames in one chunk; families without chunks: itself."""
        if self.chunked:
            raise AuricleError(f"{self.info.name} has chunks of a fixed length; leave --one-chunk out")
        return self

    def with_front_end(self, id: str) -> Encoder:
        """Return a copy that takes the spectrograms of another front end with the same frames and bands.

        All weights are shared, not copied. The statistics stay: ``with_stats`` sets those of the new spectrograms.

        Raises:
            AuricleError: the family has one front end alone, or the frames or bands differ.
        """
        raise AuricleError(f"{self.info.name} takes '{self.info.front_end}' spectrograms alone; leave --front-end out")

    def with_fmax(self, fmax: int) -> Encoder:
        """Return a copy whose mel bank ends at ``fmax`` hertz, for families whose front end has such an edge.

        Raises:
            AuricleError: the family has no such edge, or the front end cannot have this one.
        """
        raise AuricleError(f"the mel bank of {self.info.name} is fixed; leave --fmax out")

    def with_frame_hop(self, seconds: float) -> Encoder:
        """Return a copy with the same weights whose frames are ``seconds`` apart, for families whose strides can change.

        Frames that are finer than those of training are features that the weights were not trained for: train on, or measure.

        Raises:
            AuricleError: the family has one distance of frames alone, or cannot have this one.

        Example:
            fine = auricle.load("mn04_as").with_frame_hop(0.16)
            print(fine.info.hop_seconds, fine(torch.zeros(1, 32000)).times[:3])
        """
        if abs(seconds - self.info.hop_seconds) <= HOP_TOLERANCE * self.info.hop_seconds:
            return self
        raise AuricleError(
            f"the frames of {self.info.name} are {self.info.hop_seconds:g} s apart; MN and DyMN alone can have other "
            "distances: leave --frame-hop out"
        )

    def set_temperature(self, temperature: float) -> None:
        """Set the temperature of dynamic convolutions; families without them ignore it."""

    def training_passes(self, lengths: Tensor, frames: int) -> int:
        """Return how often ``encode`` runs through the blocks in training with ``one_pass``; most families do once.

        Args:
            lengths: (B,) valid frames of the spectrograms.
            frames: of the padded batch.
        """
        return 1

    def prepare_training(self) -> None:
        """Make training on the present device as fast as it can be: layout in memory, other functions for the same results.

        No parameter changes, and results by rounding alone; most families do nothing.
        """

    def freeze_embed(self) -> None:
        """Keep what comes before the blocks as it is in training."""
        for parameter in self.layer_groups()[0].parameters:
            parameter.requires_grad_(False)

    # --------------------------------------------------------------------------------------------------------- identity
    def architecture(self) -> dict[str, Any]:
        """Return JSON values from which ``models.registry.build`` makes the same network again (weights aside)."""
        heads = {name: self._head(name).settings() for name in self.info.head_names if name in self.heads}
        return self._architecture() | ({"heads": heads} if heads else {})

    def fingerprint(self) -> str:
        """Return 16 hex digits of a SHA-256 over architecture and tensors: equal for equal encoders, on any machine."""
        return fingerprint_of(self.architecture(), self.state_dict())

    def update_info(self, **changes: Any) -> None:
        """Replace fields of ``info`` (name, licence, source)."""
        self.info = replace(self.info, **changes)

    # ---------------------------------------------------------------------------------------- what a family implements
    def _encode(
        self,
        spec: Spectrogram,
        *,
        layers: tuple[int, ...],
        taps: tuple[str, ...],
        padding: Padding,
        ids_keep: Tensor | None,
        key: BatchKey | None,
    ) -> EncoderOutput:
        """``encode`` with 0-based ``layers``, without the heads of ``with_head``."""
        raise NotImplementedError

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        """``core`` with valid frames (B,) (None: all), and the frames of the blocks ``layers``."""
        raise NotImplementedError

    def _architecture(self) -> dict[str, Any]:
        """``architecture`` without the heads of ``with_head``."""
        raise NotImplementedError

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        """From the input to the head: names of groups, and how the names of their parameters begin."""
        raise NotImplementedError

    def _native_classes(self) -> int | None:
        """How many classes the head of the family's own layout has; None without one."""
        return None

    def _drop_native_head(self) -> None:
        """Remove it; ``info.clip_dim`` follows."""
        raise NotImplementedError

    def _inference_copy(self) -> Encoder:
        """What ``for_inference`` returns, made now; a family with a faster form overrides this."""
        return sharing_copy(self)

    # ------------------------------------------------------------------------------------------------------ nn.Module's
    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, without the cached copy for inference."""
        return {name: value for name, value in self.__dict__.items() if name != "_for_inference"}

    def _apply(self, fn, recurse=True):
        stats = self.norm_stats
        super()._apply(fn, recurse)
        self.norm_stats = stats.to(self.norm_stats.device)  # moves with the module, stays float32
        version, _ = self.__dict__.get("_for_inference", (None, None))
        if version is not None and not version.is_current(self):
            del self.__dict__["_for_inference"]  # the memory of the old tensors is free at once
        return self
