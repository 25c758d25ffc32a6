"""The published M2D layouts, read and written by name (specification m2d 6.2, 6.6). Architecture comes from the tensors."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import AuricleError
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


@dataclass(frozen=True)
class PublishedName:
    """What a folder name such as ``m2d_vit_base-80x608p16x16p16k-221006-mr7`` says (specification m2d 6.1)."""

    model: str
    input_size: str
    patch_size: str
    sample_rate: int


def parse_name(text: str) -> PublishedName | None:
    """None where the name does not follow the rule."""
    found = re.match(r"(?P<model>[^-]+)-(?P<input>\d+x\d+)p(?P<patch>\d+x\d+)(?:p(?P<rate>16|32)k)?", text)
    if not found:
        return None
    return PublishedName(found["model"], found["input"], found["patch"], int(found["rate"] or 16) * 1000)


def read_published(path: Path, *, input_size: str | None = None, sample_rate: int | None = None) -> M2DEncoder:
    """A published ``.pth`` as an encoder. Sizes come from the tensors, the input length and the rate from the folder's name
    (or the file's), unless given. Raises AuricleError for anything that is not an M2D file."""
    from auricle.models.m2d import M2DEncoder

    tensors = published_tensors(read_pickle(path), path)
    said = parse_name(path.resolve().parent.name) or parse_name(path.stem)
    config = infer_config(
        tensors, input_size or (said and said.input_size), sample_rate or (said and said.sample_rate), path
    )
    encoder = M2DEncoder(config, name=path.resolve().parent.name if said else path.stem)
    own = encoder_part(to_ours(tensors))
    own.setdefault("norm_stats", encoder.norm_stats)  # files of 2022-23 hold none (specification m2d 6.2)
    load_strictly(encoder, {name: value for name, value in own.items() if name in encoder.state_dict()}, path)
    encoder.rename(source=str(path.name))
    return encoder.eval()


def published_tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """The flat published names of any of the four layouts (specification m2d 6.2)."""
    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise AuricleError(f"{path} holds no state dictionary; expected one of the published M2D layouts")
    for wrapper in WRAPPERS:
        if any(name.startswith(wrapper) for name in state):
            state = {k.removeprefix(wrapper): v for k, v in state.items() if k.startswith(wrapper)}
            break
    if "patch_embed.proj.weight" not in state or "pos_embed" not in state:
        raise AuricleError(f"{path} is not an M2D checkpoint: it has no patch_embed.proj.weight and pos_embed")
    return state


def infer_config(tensors: dict[str, Tensor], input_size: str | None, sample_rate: int | None, path: Path) -> ViTConfig:
    width, _, height, columns = tensors["patch_embed.proj.weight"].shape
    blocks = {int(name.split(".")[1]) for name in tensors if name.startswith("blocks.")}
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
