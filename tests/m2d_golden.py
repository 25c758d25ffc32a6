"""Builds our M2D objective with the weights of a golden file."""

from __future__ import annotations

import torch

from auricle.data.batch import Batch
from auricle.hub.convert.m2d import to_ours
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.objectives.config import M2DConfig
from auricle.objectives.m2d import M2D
from golden_files import under


def vit_config(meta: dict) -> ViTConfig:
    return ViTConfig(
        input_size="x".join(map(str, meta["input_size"])),
        patch_size="x".join(map(str, meta["patch_size"])),
        width=meta["embed_dim"],
        depth=meta["depth"],
        heads=meta["num_heads"],
    )


def predictor_config(meta: dict) -> PredictorConfig:
    return PredictorConfig(meta["decoder_embed_dim"], meta["decoder_depth"], meta["decoder_num_heads"])


def objective(tensors: dict, meta: dict, **changes) -> M2D:
    """Strictly loaded: every published tensor has a place of ours, and every one of ours is filled."""
    settings = {"mask_ratio": meta["mask_ratio"], "target_layers": tuple(meta.get("target_layers") or ()), **changes}
    built = M2D(vit_config(meta), predictor_config(meta), M2DConfig(**settings))
    state = to_ours(under(tensors, "w."))
    state.setdefault("online.norm_stats", built.online.norm_stats)
    built.load_state_dict(state)
    return built


def normalised_batch(built: M2D, x: torch.Tensor) -> Batch:
    """The golden inputs are normalised already: statistics (0, 1) leave them alone."""
    built.online.norm_stats = torch.tensor([0.0, 1.0])
    n = len(x)
    return Batch(
        lengths=torch.full((n,), x.shape[-1]),
        ids=tuple(map(str, range(n))),
        rate=16000,
        spec=x[:, 0],
        front_end=built.online.info.front_end,
        positions=tuple(range(n)),
    )
