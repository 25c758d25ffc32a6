"""Builds our M2D objective with the weights of a golden file."""

from __future__ import annotations

import torch

from auricle.data.batch import Batch
from auricle.hub.convert.m2d import to_ours
from auricle.methods.m2d.config import M2DASConfig, M2DConfig, M2DSConfig, M2DXConfig
from auricle.methods.m2d.objective import M2D, M2DD2V, MaskedObjective
from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from helpers.golden_files import under


def vit_config(meta: dict) -> ViTConfig:
    return ViTConfig(
        input_size="x".join(map(str, meta["input_size"])),
        patch_size="x".join(map(str, meta["patch_size"])),
        embed_dim=meta["embed_dim"],
        depth=meta["depth"],
        num_heads=meta["num_heads"],
    )


def predictor_config(meta: dict) -> PredictorConfig:
    return PredictorConfig(meta["decoder_embed_dim"], meta["decoder_depth"], meta["decoder_num_heads"])


def objective(tensors: dict, meta: dict, **changes) -> M2D:
    """Strictly loaded: every published tensor has a place of ours, and every one of ours is filled."""
    settings = {"mask_ratio": meta["mask_ratio"], "target_layers": tuple(meta.get("target_layers") or ()), **changes}
    return loaded(M2D(vit_config(meta), predictor_config(meta), M2DConfig(**settings)), tensors)


def relative(tensors: dict, meta: dict, **changes) -> MaskedObjective:
    """The same for the relatives of M2D: what ``meta["kind"]`` says."""
    sizes, kind = (vit_config(meta), predictor_config(meta)), meta["kind"]
    masks = {"mask_ratio": meta["mask_ratio"], **changes}
    if kind == "mae":
        return loaded(MsmMae(*sizes, MsmMaeConfig(**masks)), tensors)
    if kind == "d2v":
        return loaded(M2DD2V(*sizes, M2DConfig(**masks)), tensors)
    losses = {**masks, "loss_m2d": meta["loss_m2d"], "loss_off": meta["loss_off"]}
    width = meta["off_emb_dim"]
    if kind == "m2d_as":
        return loaded(M2DAS(*sizes, M2DASConfig(**losses), width), tensors)
    if kind == "m2d_s":
        return loaded(M2DS(*sizes, M2DSConfig(**losses), width), tensors)
    return loaded(M2DX(*sizes, M2DXConfig(**losses), features=width), tensors)


def loaded(built: MaskedObjective, tensors: dict) -> MaskedObjective:
    state = to_ours(under(tensors, "w."))
    state.setdefault("online.norm_stats", built.online.norm_stats)
    built.load_state_dict(state)
    return built


def normalised_batch(built: MaskedObjective, x: torch.Tensor, **others) -> Batch:
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
        **others,
    )
