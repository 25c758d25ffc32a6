"""Read a weight file in a published layout as an Encoder. The tensors determine the family, a record the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import differences
from auricle.data.audioset import audioset_classes_by_id
from auricle.hub.convert import efficientat, m2d, mae_ast
from auricle.hub.pickles import read_pickle
from auricle.hub.weight_file import reading
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.label_space import LabelSpace
from auricle.models.m2d.config import ViTConfig
from auricle.models.mae_ast.config import RATES, MAEASTConfig

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.hub.published.record import Classes, Config, PublishedRecord
    from auricle.models.base import Encoder


def read_published(
    path: Path | str,
    record: PublishedRecord | None = None,
    *,
    same_classes: bool = True,
    input_size: str | None = None,
    sample_rate: int | None = None,
) -> Encoder:
    """Read the encoder in ``path``, in evaluation mode.

    Args:
        path: the file.
        record: the published weight; None: the architecture is inferred from the tensors.
        same_classes: the file must have the record's number of classes; False: a fine-tuned file of that network.
        input_size: mel bins x frames ("80x608") of an M2D file whose folder name does not state it.
        sample_rate: hertz, of such a file.

    Raises:
        AuricleError: if the layout is unknown, the file is truncated, or it does not match the record.
    """
    from safetensors.torch import load_file

    path = Path(path)
    with reading(path):
        content = load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
        if efficientat.is_published(content):
            return _efficientat(efficientat.published_tensors(content, path), path, record, same_classes)
        if m2d.is_published(content):
            return _m2d(content, path, record, same_classes, input_size=input_size, sample_rate=sample_rate)
        if mae_ast.is_published(content):
            return _mae_ast(content, path, record)
    if path.suffix == ".safetensors":
        raise AuricleError(
            f"{path} is a safetensors file without Auricle's description, and no state dict of EfficientAT or M2D; "
            "'auricle models convert' makes one that describes itself"
        )
    raise AuricleError(
        f"{path} has an unknown layout; known: EfficientAT's state dict, M2D's four layouts, MAE-AST's checkpoint"
    )


def _efficientat(tensors: dict[str, Tensor], path: Path, record: PublishedRecord | None, same_classes: bool) -> Encoder:
    if record is None:
        encoder = efficientat.build(tensors, efficientat.infer_config(tensors), path, name=path.stem)
        encoder.set_label_space(None)  # the file does not name its classes
        return encoder
    kind = MNConfig if "features.0.0.weight" in tensors else DyMNConfig
    if not isinstance(record.config, kind):
        raise AuricleError(f"{path} is an EfficientAT network ({kind.__name__}), '{record.name}' is of another kind")
    config = efficientat.infer_config(tensors, **_settings_from_record(record.config))
    _check_network(replace(config, num_classes=record.config.num_classes), path, record)
    classes = _classes(record, config.num_classes, path, same_classes)
    encoder = efficientat.build(tensors, config, path, name=record.name, classes=classes)
    encoder.set_label_space(_label_space(record, classes, config.num_classes))
    encoder.update_info(licence=record.licence, source=record.urls[0])
    return encoder


def _settings_from_record(config: MNConfig | DyMNConfig) -> dict[str, Any]:
    """Return the settings that the tensors do not determine.

    Source: [efficientat 1.1](docs/specification/efficientat.md#s1-1), [3.4](docs/specification/efficientat.md#s3-4).
    """
    settings = {"strides": config.strides, "front_end": config.front_end}
    return settings | ({"temperature": config.temperature} if isinstance(config, DyMNConfig) else {})


def _classes(record: PublishedRecord, count: int, path: Path, same: bool) -> Classes | None:
    """Return the record's classes; None for a file with other classes, if that is allowed."""
    if record.classes is None or count == len(record.classes):
        return record.classes
    if not same:
        return None
    raise AuricleError(
        f"{path} has {count} classes, '{record.name}' has {len(record.classes)}; "
        f"if it was fine-tuned from it, use record='{record.name}' in place of weights="
    )


def _label_space(record: PublishedRecord, classes: Classes | None, count: int) -> LabelSpace | None:
    """Return the label space of ``count`` logits of the record's network; ``classes`` if they are known."""
    if record.label_type is None:
        return None
    if classes is None:
        return LabelSpace.unnamed(count, record.label_type)
    return LabelSpace.of(classes, record.label_type)


def _m2d(content: Any, path: Path, record: PublishedRecord | None, same_classes: bool, **sizes: Any) -> Encoder:
    tensors = m2d.published_tensors(content, path)
    if record is None:
        encoder = m2d.build(tensors, m2d.infer_config(content, path, **sizes), path)
        if encoder.head is not None and encoder.head.config.num_classes == 527 and "AS-FT" in encoder.info.name:
            encoder.set_label_space(LabelSpace.of(audioset_classes_by_id(), "multilabel"))
        return encoder
    if not isinstance(record.config, ViTConfig):
        raise AuricleError(f"{path} is an M2D checkpoint, '{record.name}' is of another kind")
    config = m2d.infer_config(content, path, input_size=record.config.input_size, sample_rate=record.config.sample_rate)
    _check_network(config, path, record)
    encoder = m2d.build(tensors, config, path)
    if encoder.head is not None:
        classes = _classes(record, encoder.head.config.num_classes, path, same_classes)
        encoder.set_label_space(_label_space(record, classes, encoder.head.config.num_classes))
    encoder.update_info(name=record.name, licence=record.licence, source=record.urls[0])
    return encoder


def _mae_ast(content: Any, path: Path, record: PublishedRecord | None) -> Encoder:
    encoder = mae_ast.build(content, path)
    if record is None:
        return encoder
    if not isinstance(record.config, MAEASTConfig):
        raise AuricleError(f"{path} is a MAE-AST checkpoint, '{record.name}' is of another kind")
    _check_network(_as_trained(encoder.config, record.config), path, record)
    encoder.update_info(name=record.name, licence=record.licence, source=record.urls[0])
    return encoder


def check_recorded(encoder: Encoder, path: Path, record: PublishedRecord, *, same_classes: bool = True) -> None:
    """Raise AuricleError if an encoder is not the network of the record, or has other classes."""
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
    """Copy the settings of training (dropout and the like) from ``known``, so that they do not count as a difference."""
    return replace(config, **{name: getattr(known, name) for name in (*RATES, "max_token_length", "stored_positions")})


def _check_network(config: Config, path: Path, record: PublishedRecord) -> None:
    """Raise AuricleError if ``config`` differs from that of the record."""
    if changed := differences(config, record.config):
        differing = ", ".join(f"{n} {getattr(config, n)} (not {getattr(record.config, n)})" for n in changed)
        raise AuricleError(f"{path} is another network than '{record.name}': {differing}")
