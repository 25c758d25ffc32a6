"""What is known of an encoder without looking inside: its description, and its parameters in groups."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from auricle.models.label_space import LabelKind, LabelSpace


@dataclass(frozen=True)
class EncoderInfo:
    """Description of an encoder: names, sizes, times and classes.

    Attributes:
        name: of these weights.
        family: of the architecture, a key of ``models.registry.FAMILIES``.
        front_end: id of the front end that computes the spectrograms.
        sample_rate: of the input waveforms, hertz.
        hop_seconds: spacing of ``EncoderOutput.frames``.
        frame_dim, clip_dim: size of a frame and of the clip embedding.
        token_dim: size of a token before stacking; None for families without tokens.
        head_names: the heads, the main one first; ``EncoderOutput.logits`` are the main head's.
        label_spaces: the classes of the logits of each head, in the order of ``head_names``; None if unknown.
        min_samples: the shortest waveform that is not zero-padded first.
        chunk_frames: maximum number of spectrogram frames that are encoded in one chunk; None: any number.
        depth: the number of blocks that ``layers`` may name.
        taps: the names that ``taps`` may hold.
        licence, source: of the weights.
    """

    name: str
    family: str
    front_end: str
    sample_rate: int
    hop_seconds: float
    frame_dim: int
    clip_dim: int
    token_dim: int | None = None
    head_names: tuple[str, ...] = ()
    label_spaces: tuple[LabelSpace | None, ...] = ()
    min_samples: int = 1
    chunk_frames: int | None = None
    depth: int = 0
    taps: tuple[str, ...] = ()
    licence: str = "not stated"
    source: str = ""

    @property
    def label_space(self) -> LabelSpace | None:
        """The label space of the main head; None without a head or if its classes are unknown."""
        return self.label_spaces[0] if self.label_spaces else None

    @property
    def classes(self) -> tuple[tuple[str, str], ...] | None:
        """(id, name) of the main head's classes in the order of the logits; None where they are not known."""
        return None if self.label_space is None else self.label_space.classes

    @property
    def label_type(self) -> LabelKind | None:
        """Whether the main head's classes exclude each other ("multiclass") or not ("multilabel"), if that is known."""
        return None if self.label_space is None else self.label_space.kind


@dataclass(frozen=True)
class LayerGroup:
    """Parameters of one stage of an encoder, by their names in ``named_parameters``."""

    name: str
    parameter_names: tuple[str, ...]
    parameters: tuple[nn.Parameter, ...] = field(repr=False)
