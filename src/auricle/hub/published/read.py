"""A weight file in a published layout -> Encoder. The tensors say which family it is; a record says the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import differences
from auricle.data.audioset import audioset_classes_by_id
from auricle.hub.convert import efficientat, m2d, mae_ast
from auricle.hub.weight_file import read_pickle
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.heads import LabelSpace
from auricle.models.m2d.config import ViTConfig
from auricle.models.mae_ast.config import RATES, MAEASTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.hub.published.record import Classes, Config, Record
    from auricle.models.base import Encoder


def read_published(
    path: Path,
    record: Record | None = None,
    *,
    same_classes: bool = True,
    input_size: str | None = None,
    sample_rate: int | None = None,
) -> Encoder:
    """The encoder in ``path``, in evaluation mode.

    record        what the file is, beyond its tensors; without one the architecture is inferred
    same_classes  the file must have the record's number of classes; False: a fine-tuned file of that network
    input_size    "80x608": mel bins x frames of an M2D file whose folder's name does not say it
    sample_rate   of such a file, hertz

    Raises AuricleError for an unknown layout, a truncated file, and a file that is not what the record says.
    """
    content = read_pickle(path)
    if efficientat.recognises(content):
        return _efficientat(efficientat.published_tensors(content, path), path, record, same_classes)
    if m2d.recognises(content):
        return _m2d(content, path, record, same_classes, input_size=input_size, sample_rate=sample_rate)
    if mae_ast.recognises(content):
        return _mae_ast(content, path, record)
    raise AuricleError(
        f"{path} is a checkpoint of no layout known here; known: EfficientAT's state dict, M2D's four layouts, "
        "MAE-AST's checkpoint"
    )


def _efficientat(tensors: dict[str, Tensor], path: Path, record: Record | None, same_classes: bool) -> Encoder:
    if record is None:
        encoder = efficientat.build(tensors, efficientat.infer_config(tensors), path, name=path.stem)
        encoder.set_label_space(None)  # nobody says what its outputs are
        return encoder
    kind = MNConfig if "features.0.0.weight" in tensors else DyMNConfig
    if not isinstance(record.config, kind):
        raise AuricleError(f"{path} is an EfficientAT network ({kind.__name__}), '{record.name}' is of another kind")
    config = efficientat.infer_config(tensors, **_unsaid(record.config))
    _check_network(replace(config, num_classes=record.config.num_classes), path, record)
    classes = _classes(record, config.num_classes, path, same_classes)
    encoder = efficientat.build(tensors, config, path, name=record.name, classes=classes)
    encoder.set_label_space(_label_space(record, classes, config.num_classes))
    encoder.update_info(licence=record.licence, source=record.urls[0])
    return encoder


def _unsaid(config: MNConfig | DyMNConfig) -> dict[str, Any]:
    """What no tensor of this family says (specification efficientat 1.1, 3.4)."""
    said = {"strides": config.strides, "front_end": config.front_end}
    return said | ({"temperature": config.temperature} if isinstance(config, DyMNConfig) else {})


def _classes(record: Record, count: int, path: Path, same: bool) -> Classes | None:
    """The record's classes; None for a file with others where that is allowed."""
    if record.classes is None or count == len(record.classes):
        return record.classes
    if not same:
        return None
    raise AuricleError(
        f"{path} has {count} classes, '{record.name}' has {len(record.classes)}; "
        f"if it was fine-tuned from it, say record='{record.name}' in place of weights="
    )


def _label_space(record: Record, classes: Classes | None, count: int) -> LabelSpace | None:
    """What ``count`` logits of the record's network mean; ``classes`` where they are known."""
    if record.label_type is None:
        return None
    if classes is None:
        return LabelSpace.unnamed(count, record.label_type)
    return LabelSpace.of(classes, record.label_type)


def _m2d(content: Any, path: Path, record: Record | None, same_classes: bool, **sizes: Any) -> Encoder:
    tensors = m2d.published_tensors(content, path)
    if record is None:
        encoder = m2d.build(tensors, m2d.config_of(content, path, **sizes), path)
        if encoder.head is not None and encoder.head.config.num_classes == 527 and "AS-FT" in encoder.info.name:
            encoder.set_label_space(LabelSpace.of(audioset_classes_by_id(), "multilabel"))
        return encoder
    if not isinstance(record.config, ViTConfig):
        raise AuricleError(f"{path} is an M2D checkpoint, '{record.name}' is of another kind")
    said = record.config
    config = m2d.config_of(content, path, input_size=said.input_size, sample_rate=said.sample_rate)
    _check_network(config, path, record)
    encoder = m2d.build(tensors, config, path)
    if encoder.head is not None:
        classes = _classes(record, encoder.head.config.num_classes, path, same_classes)
        encoder.set_label_space(_label_space(record, classes, encoder.head.config.num_classes))
    encoder.update_info(name=record.name, licence=record.licence, source=record.urls[0])
    return encoder


def _mae_ast(content: Any, path: Path, record: Record | None) -> Encoder:
    encoder = mae_ast.build(content, path)
    if record is None:
        return encoder
    if not isinstance(record.config, MAEASTConfig):
        raise AuricleError(f"{path} is a MAE-AST checkpoint, '{record.name}' is of another kind")
    _check_network(_as_trained(encoder.config, record.config), path, record)
    encoder.update_info(name=record.name, licence=record.licence, source=record.urls[0])
    return encoder


def check_recorded(encoder: Encoder, path: Path, record: Record, *, same_classes: bool = True) -> None:
    """Raises AuricleError when an encoder of ours is not the network of the record, or has other classes."""
    config: Any = getattr(encoder, "config", None)
    if record.config is None or encoder.info.family != record.family or type(config) is not type(record.config):
        raise AuricleError(
            f"{path} is a network of the family {encoder.info.family}, '{record.name}' of {record.family}"
        )
    if isinstance(config, MNConfig | DyMNConfig):
        _classes(record, config.num_classes, path, same_classes)
        config = replace(config, num_classes=record.config.num_classes)  # type: ignore[union-attr]
    elif isinstance(config, MAEASTConfig):
        config = _as_trained(config, record.config)  # type: ignore[arg-type]
    _check_network(config, path, record)


def _as_trained(config: MAEASTConfig, known: MAEASTConfig) -> MAEASTConfig:
    """How it was trained is a file's own affair."""
    return replace(config, **{name: getattr(known, name) for name in (*RATES, "max_token_length", "stored_positions")})


def _check_network(config: Config, path: Path, record: Record) -> None:
    """The tensors must be those of the record's network."""
    if changed := differences(config, record.config):
        found = ", ".join(f"{n} {getattr(config, n)} (not {getattr(record.config, n)})" for n in changed)
        raise AuricleError(f"{path} is another network than '{record.name}': {found}")
