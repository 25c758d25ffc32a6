"""Make a new head for an encoder, and build one from its settings."""

from __future__ import annotations

import reprlib
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.models.heads.attentive import AttentiveHead
from auricle.models.heads.base import Head
from auricle.models.heads.gated_layers import GatedLayersHead
from auricle.models.heads.transformer import TransformerHead
from auricle.models.heads.vector import LinearHead, MLPHead, NormLinearHead, PrototypeHead
from auricle.models.inputs import LayerChoice, chosen_layers

if TYPE_CHECKING:
    from auricle.models.base import Encoder


KINDS: tuple[type[Head], ...] = (
    LinearHead,
    MLPHead,
    NormLinearHead,
    PrototypeHead,
    AttentiveHead,
    GatedLayersHead,
    TransformerHead,
)
HEADS: dict[str, type[Head]] = {head.kind: head for head in KINDS}


def make_head(kind: str, encoder: Encoder, num_classes: int, *, reads: str = "clip", **options: Any) -> Head:
    """Make a new head that fits ``encoder``, for ``Encoder.with_head``.

    Args:
        kind: a name in ``HEADS``.
        encoder: the encoder that the head will stand on; a head that it has already is not looked at.
        num_classes: the number of logits.
        reads: "clip" (the clip embedding) or "frames" (the mean over time of the logits of every frame). "attentive" and
            "transformer" always read the frames, "gated-layers" the blocks.
        options: further arguments of the head: ``uniform`` of "linear", ``hidden_dim`` and ``dropout`` of "mlp", ``hidden``
            and ``dropout`` of "norm-linear", ``per_class`` of "attentive", ``layers`` (default: all blocks) and ``scores`` of
            "gated-layers", ``depth``, ``num_heads`` and ``token_dim`` of "transformer", ``seed``.

    Raises:
        AuricleError: for an unknown kind, and for "gated-layers" on an encoder without blocks.
    """
    bare = encoder.without_head()
    if kind == GatedLayersHead.kind:
        return _gated_layers(bare, num_classes, **options)
    if kind == TransformerHead.kind:
        options.setdefault("token_dim", bare.info.token_dim)
    if kind in (TransformerHead.kind, AttentiveHead.kind):
        reads = "frames"
    input_dim = bare.info.clip_dim if reads == "clip" else bare.info.frame_dim
    return _head_class(kind)(input_dim=input_dim, num_classes=num_classes, reads=reads, **options)  # type: ignore[call-arg]


def _gated_layers(encoder: Encoder, num_classes: int, *, layers: LayerChoice = "all", **options: Any) -> Head:
    dims = encoder.layer_dims()
    chosen = chosen_layers(layers, len(dims))
    if not chosen:
        raise AuricleError(f"a gated-layers head reads blocks, and {encoder.info.name} has none; use another head")
    return GatedLayersHead(chosen, [dims[block] for block in chosen], num_classes, **options)


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
