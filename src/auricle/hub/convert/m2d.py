"""Read and write the published M2D layouts; the tensors determine the architecture, the names of folders (``m2d_names.py``)
state sizes and sample rate.

Source: [m2d 6.1](docs/specification/m2d.md#s6-1), [6.2](docs/specification/m2d.md#s6-2), [6.6](docs/specification/m2d.md#s6-6).
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.hub.convert.m2d_names import RATES, SIZE, PublishedName, parse_name
from auricle.hub.pickles import read_pickle
from auricle.hub.weight_file import as_tensors, build_strictly, reading
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.m2d.encoder import M2DEncoder

# (published, Auricle's) prefixes of names; the first that matches applies. "online." is the encoder of an objective.
NAMES = (
    ("norm_stats", "online.norm_stats"),
    ("cls_token", "online.cls_token"),
    ("pos_embed", "online.pos_embed"),
    ("patch_embed.", "online.patch_embed."),
    ("blocks.", "online.transformer.blocks."),
    ("norm.", "online.transformer.norm."),
    ("mask_token", "predictor.mask_token"),
    ("decoder_pos_embed", "predictor.pos_embed"),
    ("decoder_embed.", "predictor.embed."),
    ("decoder_blocks.", "predictor.transformer.blocks."),
    ("decoder_norm.", "predictor.transformer.norm."),
    ("decoder_pred.", "predictor.project."),
    ("target_blocks.", "target.blocks."),
    ("target_norm.", "target.norm."),
    ("module.head.norm.", "online.head.norm."),
    ("module.head.mlp.mlp.0.", "online.head.linear."),
)
RUNTIME, OTHER = "backbone.", "beside backbone: "  # if a file has names with this prefix, the others are ignored
FINE_TUNED = "module.ar.runtime.backbone."  # beside the classifier's names
CLASSIFIER = "module.head.mlp.mlp.0.weight"
BLOCK = re.compile(r"[0-9]{1,4}")  # the number of a block
AXES = {"patch_embed.proj.weight": 4, "pos_embed": 3, CLASSIFIER: 2}  # of the tensors that determine the architecture
# tensors that an encoder does not use: of pre-training, of M2D-CLAP and of the front end (Auricle's names)
UNUSED = (
    "predictor.", "target.", "offline_predictor.", "logit_scale", "audio_proj.", "module.ar.runtime.to_spec.", f"{OTHER}to_spec.",
)  # fmt: skip


def to_ours(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename published tensors as in Auricle's objective; names without a counterpart stay."""
    return {_renamed(name, NAMES): value for name, value in published.items()}


def to_published(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of Auricle's objective as in the published layout; the inverse of ``to_ours``."""
    return {_renamed(name, tuple((b, a) for a, b in NAMES)): value for name, value in ours.items()}


def encoder_part(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the encoder alone, without the prefix "online."."""
    return {name.removeprefix("online."): value for name, value in ours.items() if name.startswith("online.")}


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def m2d_content(ours: dict[str, Tensor]) -> tuple[dict[str, Any], int]:
    """Return the content of a published file with these tensors, and their number ([m2d 6.2](docs/specification/m2d.md#s6-2)).

    With a predictor the file is a training checkpoint, with a classifier the evaluation tool's file, else encoder-only.
    """
    published = to_published(ours)
    if any(name.startswith("predictor.") for name in ours):
        return {"model": published}, len(published)
    if CLASSIFIER in published:
        published = {n if n.startswith("module.") else FINE_TUNED + n: value for n, value in published.items()}
    return published, len(published)


def read_published(path: Path | str, *, input_size: str | None = None, sample_rate: int | None = None) -> M2DEncoder:
    """Read a published ``.pth`` file as an encoder.

    Args:
        path: the file.
        input_size: mel bins x frames, such as "80x608"; None: read from the name of the folder or file.
        sample_rate: hertz; None: read from the name of the folder or file.

    Raises:
        AuricleError: if the file is not an M2D file.
    """
    path = Path(path)
    with reading(path):
        content = read_pickle(path)
        config = infer_config(content, path, input_size=input_size, sample_rate=sample_rate)
        return build(published_tensors(content, path), config, path)


def infer_config(
    content: Any, path: Path, *, input_size: str | None = None, sample_rate: int | None = None
) -> ViTConfig:
    """Infer the config of a published file.

    The tensors determine neither the input length nor the sample rate: where they are None, they are read from the name
    of the folder, the name of the file, or the training arguments in the file.

    Raises:
        AuricleError: if the input length is not stated in any of them.
    """
    tensors = published_tensors(content, path)
    depth = _depth(tensors, path)
    if input_size is None or sample_rate is None:
        stated = parse_name(path.resolve().parent.name) or parse_name(path.stem) or _name_from_args(content)
        if stated is None and input_size is None:
            raise AuricleError(
                f"{path}: the input length is neither in the folder's name (such as m2d_vit_base-80x608p16x16-NAME) nor "
                "in the file; set record= to the name of the published weight, or set input_size= and sample_rate="
            )
        input_size = input_size or (stated.input_size if stated else None)
        sample_rate = sample_rate or (stated.sample_rate if stated else 16000)
    return _check_positions(
        tensors, ViTConfig(str(input_size), **_patches(tensors), depth=depth, sample_rate=sample_rate), path
    )


def _name_from_args(content: Any) -> PublishedName | None:
    """Return the sizes and the rate that the arguments in a training checkpoint state."""
    args = vars(content["args"]) if isinstance(content, dict) and hasattr(content.get("args"), "__dict__") else {}
    size, rate = args.get("input_size"), args.get("sr", "16k")
    text = size if isinstance(size, str) else "x".join(map(str, size)) if isinstance(size, (list, tuple)) else ""
    if not SIZE.fullmatch(text) or rate not in RATES:
        return None
    return PublishedName(str(args.get("model")), text, "", RATES[rate])


def build(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> M2DEncoder:
    """Build the encoder of ``config`` with these published tensors, and with the head if there is one.

    The other tensors of pre-training are ignored. A warning names unknown tensors.
    """
    import torch

    from auricle.models.m2d.encoder import DEFAULT_STATS, M2DEncoder

    head, ours = _head_config(tensors, config, path), to_ours(tensors)
    encoder = build_strictly(
        lambda: M2DEncoder(config, seed=None, name=_name(path), head=head),
        encoder_part(ours),
        path,
        own={
            "norm_stats": torch.tensor(DEFAULT_STATS)
        },  # files of 2022-23 lack it ([m2d 6.2](docs/specification/m2d.md#s6-2))
    )
    unknown = [name for name in ours if not name.startswith(("online.", *UNUSED))]
    if unknown:
        warnings.warn(f"{path}: unknown tensors are not used: {', '.join(unknown)}", UserWarning, stacklevel=2)
    encoder.update_info(source=str(path.name))
    return encoder


def _head_config(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> M2DHeadConfig | None:
    """Infer the classifier of a fine-tuned file: D inputs are patch tokens, F * D are frames.

    Source: [m2d 6.4](docs/specification/m2d.md#s6-4).
    """
    if CLASSIFIER not in tensors:
        return None
    classes, columns = tensors[CLASSIFIER].shape
    if columns == config.embed_dim:
        return M2DHeadConfig(classes, "tokens")
    if columns == config.embed_dim * config.grid[0]:
        return M2DHeadConfig(classes, "frames")
    raise AuricleError(
        f"{path}: the classifier has {columns} inputs; expected {config.embed_dim} (patch tokens) or "
        f"{config.embed_dim * config.grid[0]} (stacked frames)"
    )


def _name(path: Path) -> str:
    """Return the name of the folder if it follows M2D's naming rule, else that of the file."""
    folder = path.resolve().parent.name
    try:
        return folder if parse_name(folder) else path.stem
    except AuricleError:
        return path.stem


def is_published(content: Any) -> bool:
    """Return True if the contents of a pickle are one of the four layouts ([m2d 6.2](docs/specification/m2d.md#s6-2))."""
    state = _state(content)
    return state is not None and {"patch_embed.proj.weight", "pos_embed"} <= state.keys()


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Return the tensors of any of the four layouts under their flat published names ([m2d 6.2](docs/specification/m2d.md#s6-2)).

    Raises:
        AuricleError: if the file has another layout.
    """
    state = _state(content)
    if state is None:
        raise AuricleError(f"{path} holds no state dictionary; expected one of the published M2D layouts")
    if not is_published(content):
        raise AuricleError(f"{path} is not an M2D checkpoint: it has no patch_embed.proj.weight and pos_embed")
    state = as_tensors(state, path)
    for name, axes in AXES.items():
        if name in state and state[name].ndim != axes:
            raise AuricleError(f"{path} holds {name} of the shape {tuple(state[name].shape)}; expected {axes} axes")
    return state


def _state(content: Any) -> dict[str, Tensor] | None:
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(name, str) for name in state):
        return None
    if any(name.startswith(RUNTIME) for name in state):
        return {_runtime(name): value for name, value in state.items()}
    return {name.removeprefix(FINE_TUNED): value for name, value in state.items()}


def _runtime(name: str) -> str:
    return name.removeprefix(RUNTIME) if name.startswith(RUNTIME) else OTHER + name


def _depth(tensors: dict[str, Tensor], path: Path) -> int:
    numbers = [name.split(".")[1] for name in tensors if name.startswith("blocks.")]
    depth = max((int(number) + 1 for number in numbers if BLOCK.fullmatch(number)), default=0)
    if not depth:
        raise AuricleError(f"{path} has no transformer blocks: it is truncated or not an M2D checkpoint")
    return depth


def _patches(tensors: dict[str, Tensor]) -> dict[str, Any]:
    embed_dim, _, height, columns = tensors["patch_embed.proj.weight"].shape
    return {"patch_size": f"{height}x{columns}", "embed_dim": embed_dim}


def _check_positions(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> ViTConfig:
    """Return ``config``. Raise AuricleError if the position table of the file belongs to another input length."""
    positions = tensors["pos_embed"].shape[1] - 1
    if positions != config.grid[0] * config.grid[1]:
        raise AuricleError(
            f"{path}: the file has positions for {positions} patches, an input of {config.input_size} in patches of "
            f"{config.patch_size} has {config.grid[0]}x{config.grid[1]}"
        )
    return config
