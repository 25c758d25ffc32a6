"""Which head the encoder of a run gets: the one of the weights, a new last layer, or a new head of a chosen kind."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.data import LabelledData
from auricle.models.base import Encoder
from auricle.models.heads.base import MAIN
from auricle.models.heads.joined import with_one_head
from auricle.models.heads.make import make_head
from auricle.models.heads.vector import evar_rule
from auricle.models.label_space import LabelSpace

WITHOUT_FRAMES = ("gated-layers", "transformer")  # heads that give no logits of frames, whatever they read


def encoder_with_head(data: LabelledData, config: FinetuneConfig) -> Encoder:
    """Return a copy of the data's encoder whose main head has the data's classes.

    Raises:
        AuricleError: the head of the weights is asked for and has other classes, or frames are learnt and the head that is
            asked for gives no logits of frames.
    """
    encoder, space = with_background(with_chosen_head(data, config), data.space), data.space
    if config.data.level == "clip" or gives_frame_logits(encoder):
        return encoder
    assert space is not None
    if config.learning.head not in ("auto", "new"):
        others = "--head attentive or auto"
        if config.learning.head not in WITHOUT_FRAMES:
            others = "--reads frames, or --head auto"
        raise AuricleError(
            f"--level frames needs logits of every frame, which a head {config.learning.head} on {encoder.info.name} does not "
            f"give; use {others}"
        )
    head = make_head("linear", encoder, len(space), reads="frames", seed=config.train.seed)
    return encoder.with_head(head, space)


def with_background(encoder: Encoder, space: LabelSpace | None) -> Encoder:
    """Name the background classes of the data in the label space of an encoder; its head may spell the classes in its own way."""
    own = encoder.info.label_space
    if own is None or space is None or len(own) != len(space) or not (own.background or space.background):
        return encoder
    background = tuple(id for id, theirs in zip(own.ids, space.ids) if theirs in space.background)
    encoder.set_label_space(replace(own, background=background))
    return encoder


def gives_frame_logits(encoder: Encoder) -> bool:
    """Return True if the main head gives logits of every frame that training can learn.

    A head that normalises the clip embedding by the batch's statistics gives frames by its running ones.
    """
    prefixes = {name.partition(".")[0] for group in encoder.layer_groups()[-1:] for name in group.parameter_names}
    heads = [module for name, module in encoder.named_modules() if name.partition(".")[0] in prefixes]
    if any(isinstance(module, torch.nn.BatchNorm1d) for module in heads):
        return False
    training = encoder.training
    with torch.no_grad():
        output = encoder.eval()(torch.zeros(1, encoder.info.sample_rate))
    encoder.train(training)
    return output.frame_logits is not None


def with_chosen_head(data: LabelledData, config: FinetuneConfig) -> Encoder:
    """Return a copy of the data's encoder with the head of the settings."""
    assert data.encoder is not None
    encoder, space, learning = with_the_main_head_alone(data.encoder), data.space, config.learning
    assert space is not None
    if config.augment.training_mask:
        encoder.augment_in_training(
            mask_ratio=config.augment.training_mask
        )  # the family's own head reads what is visible
    if learning.head in ("auto", "keep"):
        if keeps(encoder, space):
            return kept_head(encoder, space)
        if learning.head == "keep":
            raise AuricleError(
                f"--head keep: {encoder.info.name} has {encoder.num_classes() or 'no'} classes, the data have "
                f"{len(space)}; use --head new"
            )
    if learning.head in ("auto", "new"):
        return encoder.with_classes(len(space), classes=space.classes, label_type=space.kind, seed=config.train.seed)
    if learning.head == "evar":
        return evar_head(encoder, space, config)
    options: dict[str, Any] = {}
    if learning.head == "uniform-linear":
        head = make_head("linear", encoder, len(space), reads=learning.reads, seed=config.train.seed, uniform=True)
        return encoder.with_head(head, space)
    if learning.hidden and learning.head == "norm-linear":
        options["hidden"] = learning.hidden
    elif learning.hidden and learning.head == "mlp":
        options["hidden_dim"] = learning.hidden[0]
    head = make_head(learning.head, encoder, len(space), reads=learning.reads, seed=config.train.seed, **options)
    return encoder.with_head(head, space)


def with_the_main_head_alone(encoder: Encoder) -> Encoder:
    """Return the encoder without its further heads, whose classes would not be learnt; the main one is named "main"."""
    names = encoder.info.head_names
    return encoder if names in ((), (MAIN,)) else with_one_head(encoder, names[0])


def evar_head(encoder: Encoder, space: LabelSpace, config: FinetuneConfig) -> Encoder:
    """Return a copy with EVAR's head on the clip embedding.

    Where patches are hidden in training, the clip embedding is the mean of the visible ones, and the family's own head reads it.
    """
    if config.augment.training_mask is None:
        options: dict[str, Any] = {"hidden": config.learning.hidden, "seed": config.train.seed}
        return encoder.with_head(make_head("norm-linear", encoder, len(space), **options), space)
    twin = encoder.with_classes(len(space), classes=space.classes, label_type=space.kind, seed=config.train.seed)
    parameters = dict(twin.named_parameters())
    for group in twin.layer_groups():
        if group.name == "head":
            for name in group.parameter_names:
                owner = twin.get_submodule(name.rpartition(".")[0])
                generator = RandomKey(config.train.seed).torch(f"heads {name}")
                with torch.no_grad():
                    evar_rule(name.rpartition(".")[2], owner, parameters[name], generator)
    return twin


def keeps(encoder: Encoder, space: LabelSpace) -> bool:
    """Return True if the head of the weights has exactly these classes, in this order, by id or by name."""
    own = encoder.info.label_space
    if own is None or len(own) != len(space):
        return False
    return not own.named or own.ids == space.ids or own.names == space.names


def kept_head(encoder: Encoder, space: LabelSpace) -> Encoder:
    """Return a copy with the head of the weights; classes that have names keep them, with the kind of the data."""
    twin = copy.deepcopy(encoder)
    own = encoder.info.label_space
    twin.set_label_space(LabelSpace.of(own.classes, space.kind) if own is not None and own.classes else space)
    return twin
