"""The published M2D layouts, read and written by name (specification m2d 6.2, 6.6); tensors say the architecture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import AuricleError
from auricle.hub.convert.m2d_names import parse_name
from auricle.hub.files import load_strictly
from auricle.hub.pickles import read_pickle
from auricle.models.config import ViTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.m2d import M2DEncoder

# (published, ours) beginnings of names; the first that fits counts. "online." is the encoder inside an objective.
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
)
WRAPPERS = ("module.ar.runtime.backbone.", "backbone.")


def to_ours(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names of an objective of ours; names without a counterpart stay."""
    return {_renamed(name, NAMES): value for name, value in published.items()}


def to_published(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    return {_renamed(name, tuple((b, a) for a, b in NAMES)): value for name, value in ours.items()}


def encoder_part(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the encoder alone, without the "online." in front."""
    return {name.removeprefix("online."): value for name, value in ours.items() if name.startswith("online.")}


def _renamed(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for old, new in table:
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def read_published(path: Path, *, input_size: str | None = None, sample_rate: int | None = None) -> M2DEncoder:
    """A published ``.pth`` as an encoder. Raises AuricleError for anything that is not an M2D file.

    Sizes come from the tensors, the input length and the rate from the folder's name (or the file's), unless given.
    """
    tensors = published_tensors(read_pickle(path), path)
    return build(tensors, config_of(tensors, path, input_size=input_size, sample_rate=sample_rate), path)


def config_of(
    tensors: dict[str, Tensor], path: Path, *, input_size: str | None = None, sample_rate: int | None = None
) -> ViTConfig:
    """The network of these published tensors; the name of the folder, or the file, says what is not given."""
    said = parse_name(path.resolve().parent.name) or parse_name(path.stem)
    if said is not None:
        input_size, sample_rate = input_size or said.input_size, sample_rate or said.sample_rate
    return infer_config(tensors, input_size, sample_rate, path)


def build(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> M2DEncoder:
    """The encoder of ``config`` with these published tensors; those of predictor, target and heads are left out."""
    from auricle.models.m2d import M2DEncoder

    folder = path.resolve().parent.name
    encoder = M2DEncoder(config, name=folder if parse_name(folder) else path.stem)
    own = encoder_part(to_ours(tensors))
    own.setdefault("norm_stats", encoder.norm_stats)  # files of 2022-23 hold none (specification m2d 6.2)
    load_strictly(encoder, {name: value for name, value in own.items() if name in encoder.state_dict()}, path)
    encoder.rename(source=str(path.name))
    return encoder.eval()


def recognises(content: Any) -> bool:
    """Whether the contents of a pickle are one of the four layouts (specification m2d 6.2)."""
    state = _state(content)
    return state is not None and {"patch_embed.proj.weight", "pos_embed"} <= state.keys()


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The flat published names of any of the four layouts (specification m2d 6.2)."""
    state = _state(content)
    if state is None:
        raise AuricleError(f"{path} holds no state dictionary; expected one of the published M2D layouts")
    if not recognises(content):
        raise AuricleError(f"{path} is not an M2D checkpoint: it has no patch_embed.proj.weight and pos_embed")
    return state


def _state(content: Any) -> dict[str, Tensor] | None:
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        return None
    for wrapper in WRAPPERS:
        if any(name.startswith(wrapper) for name in state):
            return {k.removeprefix(wrapper): v for k, v in state.items() if k.startswith(wrapper)}
    return state


def infer_config(tensors: dict[str, Tensor], input_size: str | None, sample_rate: int | None, path: Path) -> ViTConfig:
    width, _, height, columns = tensors["patch_embed.proj.weight"].shape
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}
    if not blocks:
        raise AuricleError(f"{path} has no transformer blocks: it is cut short, or not an M2D checkpoint")
    rows = 80 // height
    steps = (tensors["pos_embed"].shape[1] - 1) // rows
    config = ViTConfig(
        input_size=input_size or f"80x{steps * columns}",
        patch_size=f"{height}x{columns}",
        width=width,
        depth=max(blocks) + 1,
        sample_rate=sample_rate or 16000,
    )
    if config.grid != (rows, steps):
        raise AuricleError(
            f"{path}: the positions cover {rows}x{steps} patches, an input of {config.input_size} gives {config.grid}"
        )
    return config
