"""Builds our MAE-AST network with the weights of a golden file."""

from __future__ import annotations

from auricle.hub.convert.mae_ast import to_ours
from auricle.models.mae_ast.config import MAEASTConfig
from auricle.models.mae_ast.encoder import MAEASTEncoder
from helpers.golden_files import under


def config_of(meta: dict, **changes) -> MAEASTConfig:
    said = meta["info"]["model"]
    settings = {
        "patch_size": f"{said['ast_kernel_size_chan']}x{said['ast_kernel_size_time']}",
        "embed_dim": said["encoder_embed_dim"],
        "depth": said["encoder_layers"],
        "num_heads": said["encoder_attention_heads"],
        "ffn_dim": said["encoder_ffn_embed_dim"],
        "decoder_embed_dim": said["decoder_embed_dim"],
        "decoder_depth": said["decoder_layers"],
        "max_token_length": said["max_token_length"],
        **dict.fromkeys(("dropout", "attention_dropout", "dropout_input", "encoder_layerdrop"), 0.0),
    }
    return MAEASTConfig(**{**settings, **changes})


def network(tensors: dict, meta: dict, **changes) -> MAEASTEncoder:
    """Strictly loaded: every published tensor has a place of ours, and every one of ours is filled."""
    built = MAEASTEncoder(config_of(meta, stored_positions=True, **changes))
    built.load_state_dict({**to_ours(under(tensors, "w.")), "norm_stats": built.norm_stats})
    return built.eval()
