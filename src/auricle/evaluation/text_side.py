"""The text side of an encoder: what zero-shot classification and retrieval need, and how it is named on a command line.

A text side is any object with ``encode_text(captions)`` (or ``embed_text``): a list of n captions to (n, E), a tensor or an array.
Sounds are the encoder's clip vectors (D,); where these are not in the space of the captions, the object also has
``project_audio(clips)``: (B, D) to (B, E). Cosine similarity compares them. ``MODULE:NAME`` names the object, or a class or
function that makes it of the encoder. No text encoder is part of Auricle.

Example:
    ::

        class Captions:
            def __init__(self, encoder): ...
            def encode_text(self, captions): return tokens_to_vectors(captions)      # (n, 512)
            def project_audio(self, clips): return clips @ PROJECTION                 # (B, 768) -> (B, 512)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.named import import_named
from auricle.metrics.retrieval import unit_length

if TYPE_CHECKING:
    from auricle.models.base import Encoder

NAMES = ("encode_text", "embed_text")


def text_side(name: str, encoder: Encoder) -> Any:
    """Return the text side of an encoder: the encoder itself where it has one, else the object that is named.

    Args:
        name: ``MODULE:NAME``; "" for the encoder's own.
        encoder: The encoder.

    Raises:
        AuricleError: There is none, it cannot be imported, or what makes it fails.
    """
    if not name:
        if _encode_text(encoder) is None:
            raise AuricleError(
                f"{encoder.info.name} has no text side: --text MODULE:NAME names an object with encode_text(captions), "
                "or a class that makes it of the encoder"
            )
        return encoder
    made = import_named(name, "text side", "my_clap:Captions")
    if isinstance(made, type) or _encode_text(made) is None:
        if not callable(made):
            raise AuricleError(f"{name} has no encode_text(captions) and is nothing that makes a text side")
        made = _called(made, encoder)
    if _encode_text(made) is None:
        raise AuricleError(f"{name} gave an object without encode_text(captions)")
    return made


def caption_vectors(side: Any, captions: Sequence[str]) -> np.ndarray:
    """Return unit vectors (n, E) of captions.

    Raises:
        AuricleError: The text side gave something else.
    """
    encode = _encode_text(side)
    assert encode is not None
    vectors = _array(_called(encode, list(captions)))
    if vectors.ndim != 2 or len(vectors) != len(captions):
        raise AuricleError(f"encode_text gave {vectors.shape} of {len(captions)} captions; expected (captions, width)")
    return _unit(vectors, "captions")


def sound_vectors(side: Any, clips: np.ndarray) -> np.ndarray:
    """Return unit vectors (n, E) of clip vectors (n, D), through ``project_audio`` where the text side has it."""
    project = getattr(side, "project_audio", None)
    if callable(project):
        import torch

        with torch.inference_mode():
            clips = _array(_called(project, torch.from_numpy(np.ascontiguousarray(clips, np.float32))))
    return _unit(np.asarray(clips), "sounds")


def similarity(sounds: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """Return cosine similarities (sounds, captions) of unit vectors.

    Raises:
        AuricleError: They have different widths.
    """
    if sounds.shape[1] != captions.shape[1]:
        raise AuricleError(
            f"sounds have {sounds.shape[1]} dimensions and captions {captions.shape[1]}: give the text side a "
            "project_audio(clips) that brings the encoder's clip vectors into the space of the captions"
        )
    return sounds @ captions.T


def _called(method: Callable[[Any], Any], values: Any) -> Any:
    """What a method or class of the user's gave. Raises AuricleError where it fails."""
    try:
        return method(values)
    except Exception as error:
        name = getattr(method, "__qualname__", repr(method))
        raise AuricleError(f"the text side failed: {name} raised {type(error).__name__}: {error}") from error


def _encode_text(side: Any) -> Callable[[list[str]], Any] | None:
    return next((method for name in NAMES if callable(method := getattr(side, name, None))), None)


def _array(values: Any) -> np.ndarray:
    detach = getattr(values, "detach", None)
    return np.asarray(detach().cpu().numpy() if callable(detach) else values, np.float64)


def _unit(vectors: np.ndarray, what: str) -> np.ndarray:
    vectors = np.asarray(vectors, np.float64)
    if not np.isfinite(vectors).all():
        raise AuricleError(f"the vectors of the {what} hold NaN or infinite values: nothing was scored")
    return unit_length(vectors)
