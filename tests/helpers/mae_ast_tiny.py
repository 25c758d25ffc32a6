"""Tiny MAE-AST objectives and batches for tests: a second of smooth random log-mel per clip."""

from __future__ import annotations

import torch

from auricle.core.options import with_values
from auricle.data.batch import Batch
from auricle.frontends.fbank import KaldiFbank
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.methods.mae_ast.objective import MAEAST
from auricle.methods.registry import preset_values

STILL = dict.fromkeys(("dropout", "attention_dropout", "dropout_input", "encoder_layerdrop"), 0.0)
SMALL = dict(
    embed_dim=32, depth=2, num_heads=2, ffn_dim=64, decoder_embed_dim=32, decoder_depth=1, max_token_length=512
)


def tiny(name: str = "frame-random", seed: int = 0, **changes) -> MAEAST:
    """The objective of a preset at width 32, without dropout."""
    settings = with_values(
        MAEASTPretrain("mae-ast", "x"), {**preset_values("mae-ast", name), **SMALL, **STILL, **changes}
    )
    return MAEAST(settings.model, settings.objective, seed=seed)


def clips(count: int, frames: int = 98, seed: int = 0) -> torch.Tensor:
    """(B, 128, T) log-mel of about the usual level and spread, smooth in time and frequency."""
    coarse = torch.randn(count, 1, 8, max(2, frames // 12), generator=torch.Generator().manual_seed(seed))
    smooth = torch.nn.functional.interpolate(coarse, (128, frames), mode="bicubic", align_corners=True)
    return -6.0 + 4.5 * smooth[:, 0]


def batch(values: torch.Tensor, lengths: list[int] | None = None, epoch: int = 0, first: int = 0) -> Batch:
    n = len(values)
    return Batch(
        lengths=torch.tensor(lengths or [values.shape[2]] * n),
        ids=tuple(map(str, range(n))),
        rate=16000,
        spec=values,
        front_end=KaldiFbank().id,
        epoch=epoch,
        positions=tuple(range(first, first + n)),
    )
