"""Learning with labels as a method: how its objective is built from its settings, and which data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auricle.methods.config import Method
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.recipes import RECIPES

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.supervised.objective import Supervised


def open_data(config: FinetuneConfig, processes: Processes) -> TrainingData:
    """Open labelled clips and the encoder that learns from them."""
    from auricle.methods.supervised.data import open_labelled

    return open_labelled(config, processes)


def build_supervised(config: FinetuneConfig, data: TrainingData) -> Supervised:
    from auricle.methods.supervised.data import LabelledData, check_slices, class_weights, scored_groups
    from auricle.methods.supervised.frames import SupervisedFrames
    from auricle.methods.supervised.head import encoder_with_head
    from auricle.methods.supervised.objective import Supervised

    assert isinstance(data, LabelledData)
    check_slices(data, config)
    encoder = encoder_with_head(data, config)
    encoder.update_info(name=Path(config.out or config.method).name)
    lr = config.train.peak_lr(data.processes.world)
    weights, groups = class_weights(data, config), scored_groups(data, config)
    frames = data.dataset.frame_labels
    if frames is None:
        return Supervised(encoder, config.learning, config.augment, lr=lr, class_weights=weights, groups=groups)
    scored = [part.dataset.manifest for part in (data.valid, data.test) if part is not None]
    return SupervisedFrames(
        encoder,
        config.learning,
        config.augment,
        lr=lr,
        class_weights=weights,
        windows={clip.id: clip for manifest in scored for clip in manifest},
        times=frames.times,
        seconds=frames.seconds,
        classes=frames.classes,
    )


SUPERVISED = Method(FinetuneConfig, build_supervised, open_data, RECIPES, verb="finetune")
