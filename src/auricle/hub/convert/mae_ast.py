"""Read and write the published MAE-AST layout (fairseq's) without fairseq ([mae_ast 10](docs/specification/mae_ast.md#s10)).

A checkpoint is a dictionary; ``cfg.model`` and ``cfg.task`` hold the settings as plain dictionaries, ``model`` the tensors.
The layout stores queries, keys and values separately, Auricle joins them. A position table of the file becomes a weight
only if it differs from the table that Auricle computes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import from_plain
from auricle.hub.weight_file import as_tensors, build_strictly, reading
from auricle.models.mae_ast.config import MAEASTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.mae_ast.encoder import MAEASTEncoder

# (pattern of published names, Auricle's names)
NAMES = (
    (r"^(encoder|decoder)\.layers\.", r"\1.blocks."),
    (r"^(encoder|decoder)\.layer_norm\.", r"\1.norm."),
    (r"\.self_attn\.out_proj\.", ".attn.proj."),
    (r"\.self_attn_layer_norm\.", ".norm1."),
    (r"\.final_layer_norm\.", ".norm2."),
    (r"\.(fc[12])\.", r".mlp.\1."),
    (r"^enc_sine_pos_embed\.pe$", "enc_positions"),
    (r"^dec_sine_pos_embed\.pe$", "dec_positions"),
)
PUBLISHED_NAMES = (  # the inverse
    (r"^(encoder|decoder)\.blocks\.", r"\1.layers."),
    (r"^(encoder|decoder)\.norm\.", r"\1.layer_norm."),
    (r"\.attn\.proj\.", ".self_attn.out_proj."),
    (r"\.norm1\.", ".self_attn_layer_norm."),
    (r"\.norm2\.", ".final_layer_norm."),
    (r"\.mlp\.(fc[12])\.", r".\1."),
    (r"^enc_positions$", "enc_sine_pos_embed.pe"),
    (r"^dec_positions$", "dec_sine_pos_embed.pe"),
)
PARTS = ("q", "k", "v")
SEPARATE = re.compile(r"^((?:encoder|decoder)\.layers\.\d+)\.self_attn\.([qkv])_proj\.(weight|bias)$")
JOINED = re.compile(r"^((?:encoder|decoder)\.blocks\.\d+)\.attn\.qkv\.(weight|bias)$")
TABLE_TOLERANCE = 5e-6  # of rows below 64: 1.9e-6 was measured between two processors
TABLES = ("enc_positions", "dec_positions")
MARKS = {"encoder_mask_emb", "post_extract_proj.weight"}  # names that every file holds

# (published setting, Auricle's, default if a file lacks it) ([mae_ast 2.1](docs/specification/mae_ast.md#s2-1))
SETTINGS = (
    ("encoder_embed_dim", "embed_dim", 768),
    ("encoder_layers", "depth", 12),
    ("encoder_attention_heads", "num_heads", 12),
    ("encoder_ffn_embed_dim", "ffn_dim", 3072),
    ("decoder_embed_dim", "decoder_embed_dim", 768),
    ("decoder_layers", "decoder_depth", 2),
    ("layer_norm_first", "layer_norm_first", False),
    ("use_post_enc_proj", "use_post_enc_proj", False),
    ("dropout", "dropout", 0.1),
    ("attention_dropout", "attention_dropout", 0.1),
    ("activation_dropout", "activation_dropout", 0.0),
    ("dropout_input", "dropout_input", 0.0),
    ("encoder_layerdrop", "encoder_layerdrop", 0.0),
    ("decoder_layerdrop", "decoder_layerdrop", 0.0),
    ("enc_sine_pos", "enc_sine_pos", False),
    ("dec_sine_pos", "dec_sine_pos", False),
    ("max_token_length", "max_token_length", 48000),
)
KERNEL = ("ast_kernel_size_chan", "ast_kernel_size_time")
STRIDE = ("ast_kernel_stride_chan", "ast_kernel_stride_time")
# settings that must have these values for Auricle's network to be the same
MODEL_RULES = {"activation_fn": "gelu", "enc_conv_pos": False, "dec_conv_pos": False}
TASK_RULES = {"feature_type": "fbank", "deltas": False, "sample_rate": 16000}
# settings without effect on a trained network: the defaults of the original
UNUSED = {
    "feature_grad_mult": 1.0,
    "random_mask_prob": 0.75,
    "mask_length": 10,
    "mask_selection": "static",
    "mask_other": 0,
    "no_mask_overlap": False,
    "mask_min_space": 0,
    "conv_pos": 128,
    "conv_pos_groups": 16,
    "checkpoint_activations": False,
}
TASK_UNUSED = {"data": "", "normalize": False, "feature_rate": 100, "random_crop": True, "mask_type": "random_mask"}
EMPTY: dict[str, Any] = {
    "criterion": None,
    "optimizer_history": [],
    "task_state": {},
    "extra_state": {},
    "last_optimizer_state": {},
}


# ---- names
def to_ours(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors as in Auricle's network and join queries, keys and values; other names stay.

    Raises:
        AuricleError: if one of queries, keys and values is missing.
    """
    import torch

    ours: dict[str, Tensor] = {}
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in published.items():
        if match := SEPARATE.match(name):
            parts.setdefault(f"{match[1]}.attn.qkv.{match[3]}", {})[match[2]] = value
        else:
            ours[_renamed(name, NAMES)] = value[0] if name.endswith("_sine_pos_embed.pe") else value
    for name, by_part in parts.items():
        if missing := [part for part in PARTS if part not in by_part]:
            raise AuricleError(
                f"{name.replace('.attn.qkv.', '.self_attn.')}: no {missing[0]}_proj; the file is truncated"
            )
        ours[_renamed(name, NAMES)] = torch.cat([by_part[part] for part in PARTS])
    return ours


def to_published(ours: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename and split tensors of Auricle's network as in the published layout; the inverse of ``to_ours``."""
    published: dict[str, Tensor] = {}
    for name, value in ours.items():
        if match := JOINED.match(name):
            layer = match[1].replace(".blocks.", ".layers.")
            for part, weight in zip(PARTS, value.chunk(3)):
                published[f"{layer}.self_attn.{part}_proj.{match[2]}"] = weight.clone()
        else:
            published[_renamed(name, PUBLISHED_NAMES)] = value[None] if name in TABLES else value
    return published


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for old, new in table:
        name = re.sub(old, new, name)
    return name


# ---- reading
def is_published(content: Any) -> bool:
    """Return True if the contents of a pickle are a MAE-AST checkpoint."""
    tensors = content.get("model") if isinstance(content, dict) else None
    return isinstance(tensors, dict) and tensors.keys() >= MARKS


def build(content: Mapping[str, Any], path: Path, *, name: str = "") -> MAEASTEncoder:
    """Build the encoder of a checkpoint in evaluation mode."""
    import torch

    from auricle.models.mae_ast.encoder import MAEASTEncoder

    with reading(path):
        ours = to_ours(as_tensors(content["model"], path))
        config = infer_config(content, ours, path)
        if not config.stored_positions:
            ours = {key: value for key, value in ours.items() if key not in TABLES}
        encoder = build_strictly(
            lambda: MAEASTEncoder(config, seed=None, name=name or path.stem),
            ours,
            path,
            own={"norm_stats": torch.tensor([0.0, 1.0])},
        )
    encoder.update_info(source=path.name)
    return encoder


def infer_config(content: Mapping[str, Any], ours: Mapping[str, Tensor], path: Path) -> MAEASTConfig:
    """Read the config from the settings of a checkpoint and check it against the tensors. Unknown settings are ignored.

    Raises:
        AuricleError: if Auricle lacks a setting's value, or settings and tensors disagree.
    """
    model, task = (_settings(content, part, path) for part in ("model", "task"))
    _check_rules(model, MODEL_RULES, path)
    _check_rules(task, TASK_RULES, path)
    kernel, stride = ([int(_setting(model, field, 16)) for field in fields] for fields in (KERNEL, STRIDE))
    if kernel != stride:
        raise AuricleError(f"{path}: tokens of {kernel} (mel bins, frames) every {stride} overlap; Auricle's do not")
    settings: dict[str, Any] = {own: _setting(model, field, default) for field, own, default in SETTINGS}
    expected = [table for table, used in zip(TABLES, (settings["enc_sine_pos"], settings["dec_sine_pos"])) if used]
    if missing := [table for table in expected if table not in ours]:
        raise AuricleError(
            f"{path} has no position table {_renamed(missing[0], PUBLISHED_NAMES)}, which its settings require"
        )
    tables = [ours[table] for table in expected]
    if tables:
        settings["max_token_length"] = min(len(table) for table in tables)
    _check_depth(settings, ours, path)
    patch, bins = f"{kernel[0]}x{kernel[1]}", int(_setting(task, "feature_dim", 128))
    stored = bool(tables) and not all(map(_computed, tables))
    values = {"patch_size": patch, "n_mels": bins, **settings, "stored_positions": stored}
    return from_plain(MAEASTConfig, values, f"{path}, in its settings,")


def _settings(content: Mapping[str, Any], part: str, path: Path) -> Mapping[str, Any]:
    cfg = content.get("cfg")
    settings = cfg.get(part) if isinstance(cfg, Mapping) else None
    if not isinstance(settings, Mapping):
        raise AuricleError(f"{path} has no cfg.{part}, which describes its network; the file is incomplete")
    return settings


def _setting(settings: Mapping[str, Any], field: str, default: Any) -> Any:
    value = settings.get(field)
    return default if value is None else value


def _check_rules(settings: Mapping[str, Any], rules: Mapping[str, Any], path: Path) -> None:
    for field, expected in rules.items():
        value = _setting(settings, field, expected)
        if value != expected:
            raise AuricleError(f"{path}: {field} is {value!r}; Auricle supports only {expected!r}")


def _check_depth(settings: Mapping[str, Any], ours: Mapping[str, Tensor], path: Path) -> None:
    """Raise AuricleError if settings and tensors disagree on the number of layers."""
    for stack, depth in (("encoder", settings["depth"]), ("decoder", settings["decoder_depth"])):
        numbers = {int(match[1]) for name in ours if (match := re.match(rf"{stack}\.blocks\.([0-9]{{1,4}})\.", name))}
        if len(numbers) != depth or numbers != set(range(depth)):
            raise AuricleError(
                f"{path}: its settings state {depth} {stack} layers, its tensors hold {len(numbers)}; "
                "the file is damaged, or its settings belong to another network"
            )


def _computed(table: Tensor) -> bool:
    """Return True if a position table (tokens, D) equals the computed one (a table in half precision does not).

    Processors differ in the last digit of an angle, which is 64 times as large in row 4096 as in row 64.
    """
    import torch

    from auricle.models.layers.transformer import line_table

    bound = TABLE_TOLERANCE * (torch.arange(len(table)) / 64).clamp(min=1)
    return bool(((table.float() - line_table(table.shape[1], len(table))).abs() <= bound[:, None]).all())


# ---- writing
def published_content(encoder: MAEASTEncoder) -> dict[str, Any]:
    """Return an encoder in the published checkpoint layout, ready for ``torch.save`` (for fairseq and s3prl)."""
    config = encoder.config
    model = {field: getattr(config, own) for field, own, _ in SETTINGS}
    for fields in (KERNEL, STRIDE):
        model |= dict(zip(fields, config.patch))
    task = {"_name": "mae_ast_pretraining", **TASK_UNUSED, **TASK_RULES, "feature_dim": config.n_mels}
    cfg = {"_name": None, "model": {**model, **MODEL_RULES, **UNUSED, "_name": "mae_ast"}, "task": task}
    return {"args": None, "cfg": cfg, "model": published_tensors(encoder), **EMPTY}


def published_tensors(encoder: MAEASTEncoder) -> dict[str, Tensor]:
    """Return all tensors under their published names, including position tables and running statistics."""
    from auricle.models.layers.transformer import line_table
    from auricle.models.mae_ast.encoder import EPS

    config = encoder.config
    ours = {name: value.detach().cpu() for name, value in encoder.state_dict().items() if name != "norm_stats"}
    if encoder.norm_stats.tolist() != [0.0, 1.0]:  # other statistics replace the running ones
        mean, std = encoder.statistics()
        ours["batch_norm.running_mean"] = ours["batch_norm.running_mean"].new_tensor([mean])
        ours["batch_norm.running_var"] = ours["batch_norm.running_var"].new_tensor([std**2 - EPS])
    sizes = ((config.enc_sine_pos, config.embed_dim), (config.dec_sine_pos, config.decoder_embed_dim))
    for table, (used, embed_dim) in zip(TABLES, sizes):
        if used and table not in ours:
            ours[table] = line_table(embed_dim, config.max_token_length)
    return to_published(ours)
