"""The published M2D layouts, read and written by name (specification m2d 6.2, 6.6); tensors say the architecture."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.hub.convert.m2d_names import RATES, SIZE, PublishedName, parse_name
from auricle.hub.weight_file import load_strictly, read_pickle
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.m2d.encoder import M2DEncoder

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
    ("module.head.norm.", "online.head.norm."),
    ("module.head.mlp.mlp.0.", "online.head.linear."),
)
RUNTIME, BESIDE = "backbone.", "beside backbone: "  # with such names in a file, only they count
FINE_TUNED = "module.ar.runtime.backbone."  # beside the classifier's names
CLASSIFIER = "module.head.mlp.mlp.0.weight"
AXES = {"patch_embed.proj.weight": 4, "pos_embed": 3, CLASSIFIER: 2}  # of the tensors that say the architecture
# what an encoder has no use for: the rest of pre-training, of M2D-CLAP, and the kernels of the front end (names of ours)
LEFT_OUT = (
    "predictor.", "target.", "offline_predictor.", "logit_scale", "audio_proj.", "module.ar.runtime.to_spec.", f"{BESIDE}to_spec.",
)  # fmt: skip


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


def m2d_content(ours: dict[str, Tensor]) -> tuple[dict[str, Any], int]:
    """What a published file of these tensors holds, and how many there are (specification m2d 6.2).

    With a predictor it is a training checkpoint, with a classifier the evaluation tool's file, else encoder-only.
    """
    published = to_published(ours)
    if any(name.startswith("predictor.") for name in ours):
        return {"model": published}, len(published)
    if CLASSIFIER in published:
        published = {n if n.startswith("module.") else FINE_TUNED + n: value for n, value in published.items()}
    return published, len(published)


def read_published(path: Path, *, input_size: str | None = None, sample_rate: int | None = None) -> M2DEncoder:
    """A published ``.pth`` as an encoder. Raises AuricleError for anything that is not an M2D file.

    Sizes come from the tensors, the input length and the rate from the folder's name (or the file's), unless given.
    """
    content = read_pickle(path)
    config = config_of(content, path, input_size=input_size, sample_rate=sample_rate)
    return build(published_tensors(content, path), config, path)


def config_of(content: Any, path: Path, *, input_size: str | None = None, sample_rate: int | None = None) -> ViTConfig:
    """The network of a published file. What is not given, the folder's name says, or the file's, or its settings.

    Raises AuricleError where none of them does: neither input length nor sample rate can be seen in the tensors.
    """
    tensors = published_tensors(content, path)
    depth = _depth(tensors, path)
    if input_size is None or sample_rate is None:
        said = parse_name(path.resolve().parent.name) or parse_name(path.stem) or _said_by_settings(content)
        if said is None and input_size is None:
            raise AuricleError(
                f"{path}: the input length is neither in the folder's name (such as m2d_vit_base-80x608p16x16-NAME) nor "
                "in the file; say which published weight it is with record=, or input_size= and sample_rate="
            )
        input_size = input_size or (said.input_size if said else None)
        sample_rate = sample_rate or (said.sample_rate if said else 16000)
    return _fitting(
        tensors, ViTConfig(str(input_size), **_patches(tensors), depth=depth, sample_rate=sample_rate), path
    )


def _said_by_settings(content: Any) -> PublishedName | None:
    """What the arguments in a training checkpoint say."""
    args = vars(content["args"]) if isinstance(content, dict) and hasattr(content.get("args"), "__dict__") else {}
    size, rate = args.get("input_size"), args.get("sr", "16k")
    text = size if isinstance(size, str) else "x".join(map(str, size)) if isinstance(size, (list, tuple)) else ""
    if not SIZE.fullmatch(text) or rate not in RATES:
        return None
    return PublishedName(str(args.get("model")), text, "", RATES[rate])


def build(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> M2DEncoder:
    """The encoder of ``config`` with these published tensors, and with the head if there is one.

    What pre-training needs beyond it is left out; tensors that nothing here knows are named in a warning.
    """
    from auricle.models.m2d.encoder import M2DEncoder

    encoder = M2DEncoder(config, name=_name(path), head=head_of(tensors, config, path))
    ours = to_ours(tensors)
    own = encoder_part(ours)
    own.setdefault("norm_stats", encoder.norm_stats)  # files of 2022-23 hold none (specification m2d 6.2)
    load_strictly(encoder, own, path)
    unknown = [name for name in ours if not name.startswith(("online.", *LEFT_OUT))]
    if unknown:
        warnings.warn(f"{path}: not used, and unknown here: {', '.join(unknown)}", UserWarning, stacklevel=2)
    encoder.update_info(source=str(path.name))
    return encoder.eval()


def head_of(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> M2DHeadConfig | None:
    """The classifier of a fine-tuned file: on D columns it reads patch tokens, on F * D whole frames (specification m2d 6.4)."""
    if CLASSIFIER not in tensors:
        return None
    classes, columns = tensors[CLASSIFIER].shape
    if columns == config.embed_dim:
        return M2DHeadConfig(classes, "tokens")
    if columns == config.embed_dim * config.grid[0]:
        return M2DHeadConfig(classes, "frames")
    raise AuricleError(
        f"{path}: the classifier reads {columns} numbers; expected {config.embed_dim} (patch tokens) or "
        f"{config.embed_dim * config.grid[0]} (stacked frames)"
    )


def _name(path: Path) -> str:
    """The folder's name where it follows M2D's rule, else the file's."""
    folder = path.resolve().parent.name
    try:
        return folder if parse_name(folder) else path.stem
    except AuricleError:
        return path.stem


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
    if odd := [name for name, value in state.items() if not hasattr(value, "shape")]:
        raise AuricleError(f"{path} holds '{odd[0]}' which is no tensor; expected a dictionary of tensors")
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
    return name.removeprefix(RUNTIME) if name.startswith(RUNTIME) else BESIDE + name


def _depth(tensors: dict[str, Tensor], path: Path) -> int:
    numbers = [name.split(".")[1] for name in tensors if name.startswith("blocks.")]
    depth = max((int(number) + 1 for number in numbers if number.isdigit()), default=0)
    if not depth:
        raise AuricleError(f"{path} has no transformer blocks: it is cut short, or not an M2D checkpoint")
    return depth


def _patches(tensors: dict[str, Tensor]) -> dict[str, Any]:
    width, _, height, columns = tensors["patch_embed.proj.weight"].shape
    return {"patch_size": f"{height}x{columns}", "embed_dim": width}


def _fitting(tensors: dict[str, Tensor], config: ViTConfig, path: Path) -> ViTConfig:
    """The configuration itself. Raises AuricleError when the file's positions are those of another input length."""
    places = tensors["pos_embed"].shape[1] - 1
    if places != config.grid[0] * config.grid[1]:
        raise AuricleError(
            f"{path}: there are positions for {places} patches, an input of {config.input_size} in patches of "
            f"{config.patch_size} has {config.grid[0]}x{config.grid[1]}"
        )
    return config
