"""Heads and label spaces: from an encoder's features to class scores, and from scores to decisions.

A ``Head`` is a module on what every encoder gives (``HeadInputs``), so it works on any family::

    head = make_head("linear", encoder, num_classes=2)
    detector = encoder.with_head(head, LabelSpace("multilabel", ("frog", "cricket")))

A ``LabelSpace`` describes the classes of the logits of a head. Both are saved in the weight file (``hub/weight_file.py``).
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import from_plain
from auricle.models.inputs import mean_over_time
from auricle.models.layers.init import keyed, linear_rule, transformer_rule
from auricle.models.layers.transformer import BlockStyle, Transformer

if TYPE_CHECKING:
    from auricle.models.base import Encoder

MAIN = "main"  # the head whose logits are ``EncoderOutput.logits``; the head of published files has this name
LabelKind = Literal["multiclass", "multilabel"]
MOST_INPUTS, MOST_CLASSES, MOST_LAYERS = 1 << 24, 1_000_000, 64  # of a head
HEAD_STD = 0.02  # of the weights of a new head
HEAD_NORM_EPS = 1e-5  # [finetuning 11](docs/specification/finetuning.md#s11)


@dataclass(frozen=True)
class LabelSpace:
    """The meaning of the logits of one head.

    Attributes:
        kind: "multiclass": exactly one class holds (softmax); "multilabel": each class holds or not (sigmoid).
        ids: the classes in the order of the logits, each once.
        names: display names in the same order; empty: the ids.
        background: ids of the classes that were trained as "none of these". They are never reported.
        scale, offset: per class; ``scale * logit + offset`` is the calibrated logit. Empty: no calibration.
        calibration_fitted_on: the data that scale and offset were fitted on.
        thresholds: per class, the minimum probability of a positive decision. Empty: 0.5 (multilabel) or none (multiclass).
        thresholds_fitted_on: the data that the thresholds were fitted on.
        named: False if the classes are unknown; the names are then "class 0", "class 1" and so on.
    """

    kind: LabelKind
    ids: tuple[str, ...]
    names: tuple[str, ...] = ()
    background: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    calibration_fitted_on: str = ""
    thresholds: tuple[float, ...] = ()
    thresholds_fitted_on: str = ""
    named: bool = True

    def __post_init__(self) -> None:
        for f in fields(self):
            if isinstance(getattr(self, f.name), list):
                object.__setattr__(self, f.name, tuple(getattr(self, f.name)))
        object.__setattr__(self, "names", self.names or self.ids)
        if self.kind not in get_args(LabelKind):
            raise AuricleError(f"a label space is multiclass or multilabel, not {self.kind!r}")
        if not self.ids or len(set(self.ids)) < len(self.ids):
            raise AuricleError("the classes of a label space are one or more, each once")
        for name in ("names", "scale", "offset", "thresholds"):
            values = getattr(self, name)
            if values and len(values) != len(self):
                raise AuricleError(f"{len(self)} classes need as many {name}, not {len(values)}")
        if unknown := set(self.background) - set(self.ids):
            raise AuricleError(f"the background class '{min(unknown)}' is no class of this label space")
        if any(not 0 < s < math.inf for s in self.scale) or any(not math.isfinite(o) for o in self.offset):
            raise AuricleError("a calibration has positive scales and finite offsets")
        if any(not 0 <= t <= 1 for t in self.thresholds):
            raise AuricleError("a threshold is a probability between 0 and 1")

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def of(cls, classes: Sequence[tuple[str, str]], kind: LabelKind) -> LabelSpace:
        """Make the label space of (id, name) pairs in the order of the logits."""
        return cls(kind, tuple(str(id) for id, _ in classes), tuple(str(name) for _, name in classes))

    @classmethod
    def unnamed(cls, count: int, kind: LabelKind) -> LabelSpace:
        """Make the label space of ``count`` unknown classes."""
        ids = tuple(f"class {c}" for c in range(count))
        return cls(kind, ids, named=False)

    @property
    def classes(self) -> tuple[tuple[str, str], ...] | None:
        """(id, name) of each class in the order of the logits; None if they are unknown."""
        return tuple(zip(self.ids, self.names)) if self.named else None

    @property
    def reported(self) -> tuple[int, ...]:
        """Indices of the classes that are reported: all but the background."""
        return tuple(c for c, id in enumerate(self.ids) if id not in self.background)

    def spelt_as(self, labels: Iterable[str]) -> tuple[str, ...]:
        """Return the classes in the order of the logits as these labels write them: ids where all are ids, else names."""
        return self.ids if set(labels) <= set(self.ids) else self.names

    def probabilities(self, logits: Tensor) -> Tensor:
        """Compute calibrated probabilities.

        Args:
            logits: (..., C) as the head gives them.

        Returns:
            (..., C) float32, of the background classes too.
        """
        self._check_width(logits)
        logits = logits.float()
        if self.scale:
            logits = logits * logits.new_tensor(self.scale)
        if self.offset:
            logits = logits + logits.new_tensor(self.offset)
        return logits.softmax(-1) if self.kind == "multiclass" else logits.sigmoid()

    def decide(self, logits: Tensor) -> Tensor:
        """Decide which classes hold.

        Args:
            logits: (..., C) as the head gives them.

        Returns:
            (..., C) bool, never True for a background class. Multiclass: at most one, the likeliest of all classes if it
            is no background class and reaches its threshold.
        """
        probabilities = self.probabilities(logits)
        default = 0.0 if self.kind == "multiclass" else 0.5
        decided = probabilities >= probabilities.new_tensor(self.thresholds or (default,))
        if self.kind == "multiclass":
            best = probabilities.argmax(-1, keepdim=True)
            decided = decided & torch.zeros_like(decided).scatter(-1, best, True)
        reported = torch.zeros(len(self), dtype=torch.bool, device=logits.device)
        reported[list(self.reported)] = True
        return decided & reported

    def calibrated(self, scale: Sequence[float], offset: Sequence[float], *, fitted_on: str) -> LabelSpace:
        """Return this label space with another calibration; thresholds, which were fitted before it, are dropped."""
        return replace(
            self,
            scale=tuple(map(float, scale)),
            offset=tuple(map(float, offset)),
            calibration_fitted_on=fitted_on,
            thresholds=(),
            thresholds_fitted_on="",
        )

    def uncalibrated(self) -> LabelSpace:
        """Return this label space without calibration and thresholds."""
        return replace(self, scale=(), offset=(), calibration_fitted_on="", thresholds=(), thresholds_fitted_on="")

    def with_thresholds(self, thresholds: Sequence[float], *, fitted_on: str) -> LabelSpace:
        """Return this label space with other thresholds (probabilities after calibration)."""
        return replace(self, thresholds=tuple(map(float, thresholds)), thresholds_fitted_on=fitted_on)

    def as_json(self) -> dict[str, Any]:
        """Return JSON values that ``from_json`` reads."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LabelSpace:
        """Read what ``as_json`` wrote; fields of a newer version are left out.

        Raises:
            AuricleError: for values that are no label space.
        """
        if not isinstance(values, dict):
            raise AuricleError(f"a label space is a mapping, not {reprlib.repr(values)}")
        known = {f.name for f in fields(cls)}
        return from_plain(cls, {name: value for name, value in values.items() if name in known}, "the label space")

    def _check_width(self, logits: Tensor) -> None:
        if logits.shape[-1] != len(self):
            raise AuricleError(f"this label space has {len(self)} classes, the logits have {logits.shape[-1]}")


class HeadInputs(NamedTuple):
    """What a head reads of a batch: clip (B, Dc), frames (B, T, D), lengths (B,) valid frames, and the frames of the
    blocks in ``Head.layers``, each (B, T', D')."""

    clip: Tensor
    frames: Tensor
    lengths: Tensor
    layers: tuple[Tensor, ...] = ()


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
        sizes = 1 <= input_dim <= MOST_INPUTS and 1 <= num_classes <= MOST_CLASSES
        if not sizes or reads not in ("clip", "frames"):
            raise AuricleError(
                f"a head has 1 to {MOST_INPUTS:,} inputs and 1 to {MOST_CLASSES:,} classes and reads clip or frames: not "
                f"{input_dim}, {num_classes} and {reads!r}"
            )
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


class LinearHead(VectorHead):
    """One linear layer. ``uniform`` draws its weights as PyTorch does: uniform within 1 / sqrt(input_dim)."""

    kind = "linear"

    def __init__(self, input_dim: int, num_classes: int, reads: str = "clip", *, uniform: bool = False, seed: int = 0):
        super().__init__(input_dim, num_classes, reads)
        self.linear = nn.Linear(input_dim, num_classes)
        keyed(self, seed, linear_rule if uniform else head_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        return self.linear(x.to(self.linear.weight.dtype)).float()


class MLPHead(VectorHead):
    """Linear, GELU, dropout, linear."""

    kind = "mlp"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "clip",
        *,
        hidden_dim: int = 512,
        dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(input_dim, num_classes, reads)
        if not 1 <= hidden_dim <= MOST_INPUTS or not 0 <= dropout < 1:
            raise AuricleError(
                f"an mlp head needs 1 <= hidden_dim <= {MOST_INPUTS:,} and 0 <= dropout < 1, not {hidden_dim} and {dropout}"
            )
        self.hidden_dim = hidden_dim
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden_dim, num_classes)
        keyed(self, seed, head_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        return self.fc2(self.dropout(nn.functional.gelu(self.fc1(x.to(self.fc1.weight.dtype))))).float()

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"hidden_dim": self.hidden_dim, "dropout": self.dropout.p}


class NormLinearHead(VectorHead):
    """EVAR's head: batch norm without scale and shift, then linear layers with ReLU, and dropout between hidden layers.

    The weights are normal with standard deviation 0.01, the biases 0 ([finetuning 4.2](docs/specification/finetuning.md#s4-2)).
    """

    kind = "norm-linear"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "clip",
        *,
        hidden: Sequence[int] = (),
        dropout: float = 0.5,
        seed: int = 0,
    ):
        super().__init__(input_dim, num_classes, reads)
        self.hidden, self.dropout = tuple(hidden), dropout
        if len(self.hidden) > MOST_LAYERS or not all(1 <= size <= MOST_INPUTS for size in self.hidden):
            raise AuricleError(
                f"a norm-linear head has up to {MOST_LAYERS} hidden layers of 1 to {MOST_INPUTS:,} units"
            )
        self.norm = nn.BatchNorm1d(input_dim, affine=False)
        layers: list[nn.Module] = []
        for place, (narrow, wide) in enumerate(zip((input_dim, *self.hidden), self.hidden)):
            layers += [*([nn.Dropout(dropout)] if place else []), nn.Linear(narrow, wide), nn.ReLU()]
        if len(self.hidden) > 0:
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear((input_dim, *self.hidden)[-1], num_classes))
        self.mlp = nn.Sequential(*layers)
        keyed(self, seed, evar_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., C). In training, the statistics of the batch; a batch of one uses the running ones."""
        x = x.to(next(self.mlp.parameters()).dtype)
        flat = x.reshape(-1, x.shape[-1])
        if self.training and (len(flat) > 1 or not isinstance(self.norm, nn.BatchNorm1d)):
            normal = self.norm(flat)
        else:
            normal = nn.functional.batch_norm(flat, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps)
        return self.mlp(normal.view(x.shape)).float()

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"hidden": list(self.hidden), "dropout": self.dropout}


def evar_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Initialise a linear layer: weights normal with standard deviation 0.01, biases zero.

    See [finetuning 4.2](docs/specification/finetuning.md#s4-2).
    """
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.normal_(parameter, std=0.01, generator=generator)


def head_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Initialise a new head: weights from a truncated normal, biases zero."""
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.trunc_normal_(parameter, std=HEAD_STD, generator=generator)


class TransformerHead(Head):
    """A transformer on the frames: its output at a learnt token, which starts as zero, goes through a linear layer.

    The blocks are pre-norm, without positions and dropout ([finetuning 11](docs/specification/finetuning.md#s11)).

    Args:
        input_dim: size of a frame.
        num_classes: the number of logits.
        reads: "frames"; there is no other choice.
        token_dim: size of a token; a frame is cut into input_dim / token_dim tokens (the patches that M2D stacks).
        depth, num_heads: of the transformer. Its inner width is that of a token.
        seed: of the weights.
    """

    kind = "transformer"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "frames",
        *,
        token_dim: int | None = None,
        depth: int = 4,
        num_heads: int = 1,
        seed: int = 0,
    ):
        super().__init__()
        width = token_dim or input_dim
        sizes = 1 <= width <= input_dim <= MOST_INPUTS and 1 <= num_classes <= MOST_CLASSES
        blocks = 1 <= depth <= MOST_LAYERS and 1 <= num_heads <= width
        if not sizes or not blocks or input_dim % width or width % num_heads or reads != "frames":
            raise AuricleError(
                f"a transformer head reads frames, cuts them into whole tokens, and has 1 to {MOST_LAYERS} blocks whose heads "
                f"share the width of a token evenly: not {reads}, {input_dim} and {width}, {depth} and {num_heads}"
            )
        self.input_dim, self.num_classes, self.token_dim = input_dim, num_classes, width
        self.depth, self.num_heads = depth, num_heads
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer = Transformer(width, depth, num_heads, BlockStyle(hidden=width, eps=HEAD_NORM_EPS))
        self.linear = nn.Linear(width, num_classes)
        keyed(self.transformer, seed, transformer_rule, prefix="heads.transformer")
        keyed(self.linear, seed, linear_rule, prefix="heads.linear")

    def forward(self, inputs: HeadInputs) -> Tensor:
        frames = inputs.frames.to(self.linear.weight.dtype)
        if frames.shape[-1] != self.input_dim:
            raise AuricleError(f"this head reads {self.input_dim} values, the encoder's frames have {frames.shape[-1]}")
        tokens = frames.unflatten(2, (-1, self.token_dim)).flatten(1, 2)
        valid = torch.arange(frames.shape[1], device=frames.device) < inputs.lengths[:, None]
        mask = nn.functional.pad(valid.repeat_interleave(self.input_dim // self.token_dim, 1), (1, 0), value=True)
        x = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.linear(self.transformer(x, mask)[:, 0]).float()

    def per_frame(self, frames: Tensor) -> None:
        return None

    def settings(self) -> dict[str, Any]:
        sizes = {"input_dim": self.input_dim, "num_classes": self.num_classes, "token_dim": self.token_dim}
        return {"kind": self.kind, **sizes, "depth": self.depth, "num_heads": self.num_heads}


HEADS: dict[str, type[Head]] = {head.kind: head for head in (LinearHead, MLPHead, NormLinearHead, TransformerHead)}


def make_head(kind: str, encoder: Encoder, num_classes: int, *, reads: str = "clip", **options: Any) -> Head:
    """Make a new head that fits ``encoder``, for ``Encoder.with_head``.

    Args:
        kind: a name in ``HEADS``: "linear", "mlp", "norm-linear" or "transformer".
        encoder: the encoder that the head will stand on; a head that it has already is not looked at.
        num_classes: the number of logits.
        reads: "clip" (the clip embedding) or "frames" (the mean over time of the logits of every frame). A transformer
            always reads the frames.
        options: further arguments of the head: ``uniform`` of "linear", ``hidden_dim`` and ``dropout`` of "mlp", ``hidden``
            and ``dropout`` of "norm-linear", ``depth``, ``num_heads`` and ``token_dim`` of "transformer", ``seed``.

    Raises:
        AuricleError: for an unknown kind.
    """
    info = encoder.without_head().info
    if kind == TransformerHead.kind:
        options.setdefault("token_dim", info.token_dim)
        reads = "frames"
    input_dim = info.clip_dim if reads == "clip" else info.frame_dim
    return _head_class(kind)(input_dim=input_dim, num_classes=num_classes, reads=reads, **options)  # type: ignore[call-arg]


def build_head(settings: dict[str, Any]) -> Head:
    """Build the head that ``Head.settings()`` describes, with initial weights.

    Raises:
        AuricleError: for an unknown kind, and for settings that a head of this kind does not have.
    """
    if not isinstance(settings, dict):
        raise AuricleError(f"a head is described by a mapping, not by {reprlib.repr(settings)}")
    options = dict(settings)
    kind = _head_class(options.pop("kind", "none"))
    try:
        return kind(**options)
    except TypeError as error:
        raise AuricleError(
            f"{reprlib.repr(options)} are not the settings of a head of the kind '{kind.kind}' ({error}); a newer version "
            "wrote this file?"
        ) from None


def _head_class(kind: str) -> type[Head]:
    known = HEADS.get(kind) if isinstance(kind, str) else None
    if known is None:
        raise AuricleError(f"unknown head '{kind}'{nearest(str(kind), tuple(HEADS))}; a newer version wrote this file?")
    return known
