"""What every head is: a module on the features of an encoder, that gives class scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.inputs import mean_over_time

MAIN = "main"  # the head whose logits are ``EncoderOutput.logits``; the head of published files has this name
MOST_INPUTS, MOST_CLASSES, MOST_LAYERS = 1 << 24, 1_000_000, 64  # of a head
HEAD_STD = 0.02  # of the weights of a new head
COSINE_SCALE = 10.0  # of a new head on cosine similarities ([Gidaris, 2018](https://arxiv.org/abs/1804.09458))
LONGEST_NAME = 100  # characters of the name of a head


def is_head_name(name: object) -> bool:
    """Return True if a head may have this name: modules of PyTorch have no dots in theirs, nor the names of their methods."""
    if not isinstance(name, str) or not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        return False
    return "." not in name and not hasattr(nn.ModuleDict(), name)


class HeadInputs(NamedTuple):
    """What a head reads of a batch.

    Attributes:
        clip: (B, Dc).
        frames: (B, T, D), of which ``lengths`` (B,) are valid.
        layers: the frames of the blocks in ``Head.layers``, each (B, T', D').
        layer_lengths: their valid frames, each (B,).
    """

    clip: Tensor
    frames: Tensor
    lengths: Tensor
    layers: tuple[Tensor, ...] = ()
    layer_lengths: tuple[Tensor, ...] = ()

    @classmethod
    def of_vectors(
        cls, clip: Tensor, layers: Sequence[Tensor] = (), *, frames: Tensor | None = None, lengths: Tensor | None = None
    ) -> HeadInputs:
        """Make the inputs of a head from stored features, so that it gives logits without the encoder.

        A vector is a clip of one frame; its mean over time is the vector itself. So a head gives the logits that it gives
        behind the encoder, if the vectors are those of an ``Embedder`` with ``pooling="clip"``.

        Args:
            clip: (B, Dc) clip embeddings.
            layers: for each block in ``Head.layers``, in that order, its mean over time (B, D').
            frames: (B, T, D) features over time for a head that reads frames; None: the clip embedding is the only frame.
            lengths: (B,) valid frames; None: all of them.

        Example:
            logits = head(HeadInputs.of_vectors(clip, layers))
        """
        frames = clip[:, None] if frames is None else frames
        if lengths is None:
            lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
        one = torch.ones(len(clip), dtype=torch.long, device=clip.device)
        return cls(clip, frames, lengths, tuple(layer[:, None] for layer in layers), tuple(one for _ in layers))


class Head(nn.Module):
    """Base of the heads. ``layers`` are the 0-based blocks that a head reads beside clip and frames."""

    kind: str
    num_classes: int
    layers: tuple[int, ...] = ()

    def forward(self, inputs: HeadInputs) -> Tensor:
        """Compute logits (B, C), float32."""
        raise NotImplementedError

    def per_frame(self, frames: Tensor) -> Tensor | None:
        """Compute logits (B, T, C) of frames (B, T, D); None for a head that has none."""
        raise NotImplementedError

    def settings(self) -> dict[str, Any]:
        """Return the arguments that build this head again, as JSON values."""
        raise NotImplementedError


class VectorHead(Head):
    """A head that turns one vector into logits: the clip, or each frame with the mean over the valid frames.

    ``per_frame`` exists where frames are as wide as what the head reads.
    """

    def __init__(self, input_dim: int, num_classes: int, reads: str = "clip"):
        super().__init__()
        check_sizes(input_dim, num_classes)
        if reads not in ("clip", "frames"):
            raise AuricleError(f"a head reads clip or frames, not {reads!r}")
        self.input_dim, self.num_classes, self.reads = input_dim, num_classes, reads

    def vector_logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., C)."""
        raise NotImplementedError

    def forward(self, inputs: HeadInputs) -> Tensor:
        read = inputs.clip if self.reads == "clip" else inputs.frames
        if read.shape[-1] != self.input_dim:
            raise AuricleError(
                f"this head reads {self.input_dim} values, the encoder's {self.reads} have {read.shape[-1]}"
            )
        logits = self.vector_logits(read)
        return logits if self.reads == "clip" else mean_over_time(logits, inputs.lengths)

    def per_frame(self, frames: Tensor) -> Tensor | None:
        return self.vector_logits(frames) if frames.shape[-1] == self.input_dim else None

    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "input_dim": self.input_dim, "num_classes": self.num_classes, "reads": self.reads}


def check_sizes(input_dim: int, num_classes: int) -> None:
    """Raise AuricleError unless a head may have so many inputs and classes."""
    if not 1 <= input_dim <= MOST_INPUTS or not 1 <= num_classes <= MOST_CLASSES:
        raise AuricleError(
            f"a head has 1 to {MOST_INPUTS:,} inputs and 1 to {MOST_CLASSES:,} classes, not {input_dim} and {num_classes}"
        )


def head_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Initialise a new head: weights from a truncated normal, biases zero."""
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.trunc_normal_(parameter, std=HEAD_STD, generator=generator)


class Standardise(nn.Module):
    """(x - mean) / std with the statistics of the features that a head was fitted on; at first nothing changes.

    Args:
        dim: the number of features.
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("input_mean", torch.zeros(dim))
        self.register_buffer("input_std", torch.ones(dim))

    @torch.no_grad()
    def set(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics, each (D,). A feature that never changes (std 0) is not divided.

        Raises:
            AuricleError: for another number of features, and for values that are no mean and standard deviation.
        """
        mean, std = checked_stats(mean, std, len(self.input_mean))
        self.input_mean.copy_(mean)
        self.input_std.copy_(std)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D), float32."""
        return (x.float() - self.input_mean.float()) / self.input_std.float()


def checked_stats(mean: Tensor, std: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation (D,), with 1 for a standard deviation of 0.

    Raises:
        AuricleError: as ``Standardise.set``.
    """
    mean, std = torch.as_tensor(mean), torch.as_tensor(std)
    if mean.shape != (dim,) or std.shape != (dim,):
        raise AuricleError(
            f"this head reads {dim} features, the statistics are of {tuple(mean.shape)} and {tuple(std.shape)}"
        )
    if not torch.isfinite(mean).all() or not torch.isfinite(std).all() or (std < 0).any():
        raise AuricleError("the statistics of features are finite numbers, and no standard deviation is negative")
    return mean, torch.where(std == 0, torch.ones_like(std), std)


def cosine(x: Tensor, prototypes: Tensor) -> Tensor:
    """Compute cosine similarities of (..., D) with (C, D): (..., C)."""
    return nn.functional.linear(nn.functional.normalize(x, dim=-1), nn.functional.normalize(prototypes, dim=-1))
