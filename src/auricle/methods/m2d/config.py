"""M2D and its variants (M2D-X, M2D-AS, M2D-S, D2V) as methods: settings, how each objective is built from them, and which
data it reads. PyTorch is imported when an objective is built.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, option
from auricle.methods.config import AUTO, EMPTY, NONE, ZERO, DataConfig, Method, PretrainConfig, TrainConfig
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.m2d.objective import MaskedObjective
    from auricle.models.base import Encoder

    Kind = TypeVar("Kind", bound=MaskedObjective)


@dataclass(frozen=True)
class MaskConfig:
    """The part of the input that is hidden from the encoder ([m2d 3](docs/specification/m2d.md#s3))."""

    mask_ratio: float = option(0.7, "share of the patches that the encoder does not see")
    cont_mask: int | None = option(
        None,
        "hide spans of this many patch columns, at all frequencies; none: single patches",
        special=NONE,
        old=ZERO,
    )

    jitter: float = option(
        0.0,
        "random level and spectral tilt of the encoder's input (not of its targets): standard deviation in dB; "
        "0: as published",
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.jitter < math.inf:
            raise AuricleError(f"the jitter must be 0 dB or more, not {self.jitter}")
        if not 0 < self.mask_ratio < 1:
            raise AuricleError(f"the mask ratio must lie between 0 and 1, not {self.mask_ratio}")
        if self.cont_mask is not None and self.cont_mask < 1:
            raise AuricleError(f"--cont-mask takes none (single patches), or 1 or more columns, not {self.cont_mask}")

    def visible(self, grid: tuple[int, int]) -> int:
        """Return how many patches of a grid (F, T) the encoder sees.

        Source: [m2d 3.1](docs/specification/m2d.md#s3-1), [3.3](docs/specification/m2d.md#s3-3).
        """
        rows, columns = grid
        if self.cont_mask:
            return rows * (columns - int(columns * self.mask_ratio))
        return int(rows * columns * (1 - self.mask_ratio))


@dataclass(frozen=True)
class M2DConfig(MaskConfig):
    """Masked modeling duo; the defaults are the published ones ([m2d 5.1](docs/specification/m2d.md#s5-1))."""

    loss_fn: str = option("norm_mse", "distance between prediction and target", choices=("norm_mse", "mse"))
    norm_targets: bool = option(True, "standardise every target token over its channels", flag="norm_pix_loss")
    target_layers: tuple[int, ...] = option(
        (), "0-based blocks of the target encoder whose outputs are averaged; none: the last one"
    )
    ema_decay_init: float = option(0.99995, "decay of the target encoder at the first step")
    ema_decay: float = option(0.99999, "decay of the target encoder at the last step")
    centring: str = option(
        "none",
        "what is subtracted from the targets: the running mean of each position, the mean of each clip, or both; "
        "none: as published",
        choices=("none", "position", "clip", "position-clip"),
    )
    reconstruct: float = option(0.0, "weight of a loss that reconstructs the hidden patches; 0: as published")
    noise_on: str = option(
        "student",
        "which input gets the background noise; teacher: as the published program does for M2D and M2D-X",
        choices=("student", "teacher"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.ema_decay_init <= 1 or not 0 <= self.ema_decay <= 1:
            raise AuricleError("the decays of the target encoder must lie between 0 and 1")
        if self.reconstruct < 0:
            raise AuricleError(f"the weight of the reconstruction must be 0 or more, not {self.reconstruct}")


@dataclass(frozen=True)
class OfflineConfig(M2DConfig):
    """M2D with a second loss: loss_m2d * M2D's own + loss_off * the second ([m2d 4.3](docs/specification/m2d.md#s4-3))."""

    loss_m2d: float = option(1.0, "weight of M2D's own loss")
    loss_off: float = option(1.0, "weight of the second loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_m2d < 0 or self.loss_off < 0:
            raise AuricleError(f"the weights of the losses must be 0 or more, not {self.loss_m2d} and {self.loss_off}")


@dataclass(frozen=True)
class M2DXConfig(OfflineConfig):
    """M2D-X: features of an offline teacher. ``loss_off`` is that of the published runs.

    Source: [m2d 5.7](docs/specification/m2d.md#s5-7).
    """


@dataclass(frozen=True)
class M2DASConfig(OfflineConfig):
    """M2D-AS: labels. ``loss_off`` is that of the published run (the original program's own default is 0.1)."""


@dataclass(frozen=True)
class M2DSConfig(OfflineConfig):
    """M2D-S: stored speech features; as the published runs ([m2d 4.5](docs/specification/m2d.md#s4-5))."""

    mask_ratio: float = option(0.6, "share of the patches that the encoder does not see")
    loss_off: float = option(0.5, "weight of the second loss")


@dataclass(frozen=True)
class ViTPretrain(PretrainConfig):
    """Settings that the methods of the M2D family share: a ViT on log-mel patches."""

    published_files: bool = option(
        False, "also write checkpoint-<epoch>.pth and log.txt as the M2D program does, see --save-freq", advanced=True
    )
    feature_eval_freq: int | None = option(
        None,
        "epochs between two measurements of the features without labels (rank and area of their spectrum)",
        special=NONE,
        old=ZERO,
        advanced=True,
    )
    data: DataConfig = option(factory=DataConfig, group="data", advanced=True)
    model: ViTConfig = option(factory=ViTConfig, group="network", advanced=True)

    @property
    def front_end(self) -> str:
        return self.model.front_end

    @property
    def crop_frames(self) -> int:
        return parse_size(self.model.input_size)[1]

    def tokens(self) -> tuple[int, int]:
        rows, columns = self.model.grid
        return rows * columns, self.objective.visible((rows, columns))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class M2DPretrain(ViTPretrain):
    """Masked modeling duo."""

    predictor: PredictorConfig = option(factory=PredictorConfig, group="predictor", advanced=True)
    objective: M2DConfig = option(factory=M2DConfig, group="objective", advanced=True)

    def __post_init__(self) -> None:
        depth, layers = self.model.depth, self.objective.target_layers
        if wrong := [layer for layer in layers if not 0 <= layer < depth]:
            raise AuricleError(f"--target-layers {wrong[0]}: the target has blocks 0 to {depth - 1}")


@dataclass(frozen=True)
class M2DXPretrain(M2DPretrain):
    """M2D with an offline teacher besides its own target."""

    teacher: str | None = option(
        None,
        "offline teacher: a published name, weight file or run; self: what --resume names; stored: features in the data",
        special=NONE,
        old=EMPTY,
    )
    objective: M2DXConfig = option(factory=M2DXConfig, group="objective", advanced=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher == "self" and not self.resume:
            raise AuricleError("--teacher self is the file that --resume names; set --resume")

    @property
    def target_frames(self) -> int | None:
        return parse_size(self.model.patch_size)[1] if self.teacher == "stored" else None


@dataclass(frozen=True)
class M2DASPretrain(M2DPretrain):
    """M2D with labels besides its own target."""

    classes: str | None = option(
        None, "file with one class a line; auto: the labels of the data, sorted", special=AUTO, old=EMPTY
    )
    objective: M2DASConfig = option(factory=M2DASConfig, group="objective", advanced=True)

    @property
    def learns_labels(self) -> bool:
        return True

    def classes_in(self, manifest: Manifest) -> tuple[str, ...] | None:
        from auricle.data.manifest.labels import read_class_list

        classes = read_class_list(self.classes) if self.classes else manifest.label_classes()
        if not classes:
            raise AuricleError(f"{self.source} has no labels to learn from; the method m2d needs none")
        return classes


@dataclass(frozen=True)
class M2DSPretrain(M2DPretrain):
    """M2D on speech, with stored features of a speech model; noise in the input unless --noise-ratio 0."""

    data: DataConfig = option(factory=lambda: DataConfig(noise_ratio=0.2), group="data", advanced=True)
    train: TrainConfig = option(
        factory=lambda: TrainConfig(epochs=1000, warmup_epochs=60.0, save_freq=500, eval_after=500),
        group="training",
        advanced=True,
    )
    model: ViTConfig = option(factory=lambda: ViTConfig("80x208", "80x4"), group="network", advanced=True)
    objective: M2DSConfig = option(factory=M2DSConfig, group="objective", advanced=True)

    @property
    def target_frames(self) -> int | None:
        return parse_size(self.model.patch_size)[1]


def open_data(config: ViTPretrain, processes: Processes) -> TrainingData:
    """Open stored spectrograms, or audio whose spectrograms are made during training."""
    from auricle.methods.m2d.data import open_clips

    return open_clips(config, processes)


def build_masked(kind: type[Kind], config: Any, data: TrainingData, *more: Any, **options: Any) -> Kind:
    """Build an objective of the M2D family; ``more`` and ``options`` are what one of them takes in addition."""
    objective = kind(
        config.model,
        config.predictor,
        config.objective,
        *more,
        stats=data.statistics,
        seed=config.train.seed,
        name=Path(config.out or config.method).name,
        **options,
    )
    objective.feature_eval_freq = config.feature_eval_freq
    return objective


def build_m2d(config: M2DPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import objective

    return build_masked(objective.M2D, config, data)


def build_m2d_d2v(config: M2DPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import objective

    return build_masked(objective.M2DD2V, config, data)


def build_m2d_x(config: M2DXPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    return build_masked(variants.M2DX, config, data, load_teacher(config), features=stored_feature_dim(data))


def build_m2d_as(config: M2DASPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    labels = data.dataset.labels
    assert labels is not None
    return build_masked(variants.M2DAS, config, data, len(labels.index))


def build_m2d_s(config: M2DSPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    return build_masked(variants.M2DS, config, data, stored_feature_dim(data))


def load_teacher(config: M2DXPretrain) -> Encoder | None:
    """Load the encoder that ``--teacher`` names; None where its features are stored, or none is named."""
    from auricle.hub.load import load

    name = config.resume if config.teacher == "self" else config.teacher
    return None if name is None or name == "stored" else load(name)


def stored_feature_dim(data: TrainingData) -> int:
    """Return the dimension of the stored features; 0 where there are none."""
    from auricle.data.datasets.speech import SpeechPairs

    return data.dataset.target_width if isinstance(data.dataset, SpeechPairs) else 0


M2D = Method(M2DPretrain, build_m2d, open_data)
M2D_D2V = Method(M2DPretrain, build_m2d_d2v, open_data)
M2D_X = Method(M2DXPretrain, build_m2d_x, open_data)
M2D_AS = Method(M2DASPretrain, build_m2d_as, open_data)
M2D_S = Method(M2DSPretrain, build_m2d_s, open_data)
