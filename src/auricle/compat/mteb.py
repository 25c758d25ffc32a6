"""mteb's evaluator (MAEB) for any encoder. Needs the extra ``[mteb]``.

    import mteb
    from auricle.compat.mteb import encoder

    mteb.evaluate(encoder("mn04_as"), mteb.get_benchmark("MAEB(v1, audio-only)"))

mteb writes its own result files, which its leaderboard reads. ``auricle evaluate --suite maeb`` keeps the scores in the results
store too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.options import from_plain
from auricle.evaluation.text_side import text_side
from auricle.inference.config import EncodeSettings, layer_texts
from auricle.inference.pipeline import as_encoder

if TYPE_CHECKING:
    from auricle.evaluation.suites.maeb.encoder import MaebEncoder
    from auricle.models.base import Encoder


def encoder(
    model: Encoder | str | Path,
    *,
    weights: str | Path | None = None,
    name: str = "",
    text: str = "",
    **options: Any,
) -> MaebEncoder:
    """Make a model of mteb of an encoder.

    Args:
        model: An Encoder, or what ``auricle.load`` takes: a published name, a weight file, a run folder, hf://owner/name.
        weights: A local file of a published name.
        name: ``owner/name`` on the leaderboard; "": the repository that it is from, else ``auricle/`` and the encoder's name.
        text: ``MODULE:NAME`` of a text side, for tasks with captions.
        options: Fields of ``EncodeSettings``: layers, pooling, precision, device, batch_size, workers.

    Raises:
        MissingExtra: mteb is not installed.
        AuricleError: The model cannot be loaded, or a setting is wrong.

    Example:
        mteb.evaluate(encoder("runs/first", name="anna/first"), mteb.get_tasks(["BeijingOpera"]))
    """
    from auricle.evaluation.suites.maeb.encoder import MaebEncoder

    loaded = as_encoder(model, weights)
    if "layers" in options:
        options["layers"] = layer_texts(options["layers"])
    settings = from_plain(EncodeSettings, options)
    return MaebEncoder(loaded, settings, name=name, side=text_side(text, loaded) if text else None)
