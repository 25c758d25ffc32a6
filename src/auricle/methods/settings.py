"""Settings of a pre-training run, one class per method: what is common, what the method adds, its published defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import argument, from_plain, option
from auricle.data.datasets.crops import CropConfig
from auricle.data.loading.variable_length import BucketConfig
from auricle.methods.config import (
    M2DASConfig,
    M2DConfig,
    M2DSConfig,
    M2DXConfig,
    MAEASTObjectiveConfig,
    MsmMaeConfig,
    TrainConfig,
)
from auricle.models.m2d.config import FRONT_ENDS, PredictorConfig, ViTConfig, parse_size
from auricle.models.mae_ast.config import MAEASTConfig

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    data_path: str = option("", "folder where the paths of lists start (default: each list's own folder)")
    stored_front_end: str = option(
        "", "front end that made the spectrograms, where no prepare.json beside them says it"
    )
    norm_stats: tuple[float, ...] = option((), "mean and deviation to normalise with; none: measured on the data")
    csv_bg_noise: str = option("", "prepared folder, manifest or folder of background noise")
    noise_ratio: float = option(0.0, "share of noise energy mixed into the input")
    weighted: bool = option(False, "draw clips with replacement, in proportion to the list's column weight")
    by_length: bool = option(
        False, "draw clips with replacement, in proportion to how long they are, so that every second counts the same"
    )
    crops: CropConfig = option(factory=CropConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.noise_ratio <= 1:
            raise AuricleError(f"--noise-ratio is a share from 0 to 1, not {self.noise_ratio}")
        if self.csv_bg_noise and not self.noise_ratio:
            raise AuricleError("--csv-bg-noise names noise and --noise-ratio 0 asks for none; say how much, e.g. 0.2")
        if len(self.norm_stats) not in (0, 2) or (self.norm_stats and self.norm_stats[1] <= 0):
            raise AuricleError(f"--norm-stats takes a mean and a deviation above 0, not {self.norm_stats}")


@dataclass(frozen=True)
class PretrainConfig:
    """What every method has; saved, with what the method adds, as config.yaml in the run's folder."""

    method: str = option(help="what is learnt")
    source: str = argument(
        "a prepared folder (log-mel files), a manifest, or a folder of audio (log-mel made on the fly)"
    )
    out: str = option("", "run folder; empty: runs/<method>-<time>; published: named as M2D's program does")
    resume: str = option("", "start from the weights of this run, encoder or published file (the schedule starts anew)")
    quick_eval: str = option("", "task-set file (or executable) measured every --eval-freq epochs from --eval-after on")
    all_eval: str = option("", "task-set file (or executable) measured at the end")
    valid: str = option(
        "", "list or folder that nothing is learnt from and whose loss is measured on the way, see --validate-interval"
    )
    test: str = option("", "list or folder whose loss is measured at the end")
    train: TrainConfig = option(factory=TrainConfig)

    def __post_init__(self) -> None:
        if type(self) is not settings_of(self.method):
            raise AuricleError(f"the settings of '{self.method}' are {settings_of(self.method).__name__}")

    @property
    def front_end(self) -> str:
        """Id of the front end that the network takes."""
        raise NotImplementedError

    @property
    def crop_frames(self) -> int:
        """Front-end frames of one training crop."""
        raise NotImplementedError

    @property
    def target_frames(self) -> int:
        """Front-end frames to one stored speech feature that batches must bring as targets; 0: none are needed."""
        return 0

    def classes_in(self, manifest: Manifest) -> tuple[str, ...] | None:
        """The classes that are learnt from, in order; None where no labels are needed."""
        return None

    def tokens(self) -> tuple[int, int]:
        """Tokens of one training crop, and how many of them the encoder sees."""
        raise NotImplementedError


@dataclass(frozen=True)
class ViTPretrain(PretrainConfig):
    """What the methods of the M2D family share: a ViT on log-mel patches."""

    published_files: bool = option(
        False, "write the original's checkpoint-<epoch>.pth and log.txt too, see --save-freq"
    )
    feature_eval_freq: int = option(
        0, "epochs between two looks at the features without labels (rank and area of their spectrum); 0: none"
    )
    data: DataConfig = option(factory=DataConfig)
    model: ViTConfig = option(factory=ViTConfig)

    @property
    def front_end(self) -> str:
        return FRONT_ENDS[self.model.sample_rate]

    @property
    def crop_frames(self) -> int:
        return parse_size(self.model.input_size)[1]

    def tokens(self) -> tuple[int, int]:
        rows, columns = self.model.grid
        return rows * columns, self.objective.visible((rows, columns))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class M2DPretrain(ViTPretrain):
    """Masked modeling duo."""

    predictor: PredictorConfig = option(factory=PredictorConfig)
    objective: M2DConfig = option(factory=M2DConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        depth, chosen = self.model.depth, self.objective.target_layers
        if wrong := [layer for layer in chosen if not 0 <= layer < depth]:
            raise AuricleError(f"--target-layers {wrong[0]}: the target has blocks 0 to {depth - 1}")


@dataclass(frozen=True)
class M2DXPretrain(M2DPretrain):
    """M2D with an offline teacher beside its own target."""

    teacher: str = option(
        "",
        "offline teacher: a published name, weight file or run; self: what --resume names; stored: features in the data",
    )
    objective: M2DXConfig = option(factory=M2DXConfig)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher == "self" and not self.resume:
            raise AuricleError("--teacher self is the file that --resume names, and none is named")

    @property
    def target_frames(self) -> int:
        return parse_size(self.model.patch_size)[1] if self.teacher == "stored" else 0


@dataclass(frozen=True)
class M2DASPretrain(M2DPretrain):
    """M2D with labels beside its own target."""

    classes: str = option("", "file that lists the classes, one a line; none: the labels of the data, sorted")
    objective: M2DASConfig = option(factory=M2DASConfig)

    def classes_in(self, manifest: Manifest) -> tuple[str, ...] | None:
        from auricle.data.manifest.labels import read_class_list

        found = read_class_list(self.classes) if self.classes else manifest.label_classes()
        if not found:
            raise AuricleError(f"{self.source} has no labels to learn from; m2d needs none")
        return found


@dataclass(frozen=True)
class M2DSPretrain(M2DPretrain):
    """M2D on speech, with stored features of a speech model; noise in the input unless --noise-ratio 0."""

    data: DataConfig = option(factory=lambda: DataConfig(noise_ratio=0.2))
    train: TrainConfig = option(
        factory=lambda: TrainConfig(epochs=1000, warmup_epochs=60.0, save_freq=500, eval_after=500)
    )
    model: ViTConfig = option(factory=lambda: ViTConfig("80x208", "80x4"))
    objective: M2DSConfig = option(factory=M2DSConfig)

    @property
    def target_frames(self) -> int:
        return parse_size(self.model.patch_size)[1]


@dataclass(frozen=True)
class MsmMaePretrain(ViTPretrain):
    """Reconstruction of the hidden patches."""

    train: TrainConfig = option(factory=lambda: TrainConfig(epochs=200, save_freq=50))
    model: ViTConfig = option(factory=lambda: ViTConfig("80x208"))
    predictor: PredictorConfig = option(factory=lambda: PredictorConfig(384, 4, 6))
    objective: MsmMaeConfig = option(factory=MsmMaeConfig)


def mae_ast_train() -> TrainConfig:
    """The published settings of training (specification mae_ast 2.3)."""
    return TrainConfig(
        max_updates=550000,
        optim="adam",
        schedule="polynomial",
        lr=1e-4,
        warmup_updates=32000,
        weight_decay=0.01,
        clip_grad=10.0,
        log_interval=200,
        health_interval=200,
        save_interval_updates=25000,
        keep_interval_updates=1,
        validate_interval=5,
        validate_interval_updates=10000,
        seed=1337,
    )


@dataclass(frozen=True)
class MAEASTPretrain(PretrainConfig):
    """MAE-AST; the defaults are the published patch model's."""

    data: BucketConfig = option(factory=BucketConfig)
    model: MAEASTConfig = option(factory=MAEASTConfig)
    objective: MAEASTObjectiveConfig = option(factory=MAEASTObjectiveConfig)
    train: TrainConfig = option(factory=mae_ast_train)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train.batch_size or not self.train.lr:
            raise AuricleError(
                "batches of this method are made by --max-tokens (with at most --batch-size clips), and its rate is --lr: "
                "neither may be 0 or auto"
            )

    @property
    def front_end(self) -> str:
        bands = "" if self.model.n_mels == 128 else f"-m{self.model.n_mels}"
        return f"mae-ast-fbank/16k{bands}"

    def tokens(self) -> tuple[int, int]:
        """Of a clip of ten seconds (998 frames)."""
        from auricle.core.randomness import BatchKey
        from auricle.methods.mae_ast.objective import draw_mask

        grid = (self.model.rows, 998 // self.model.patch[1])
        return grid[0] * grid[1], draw_mask(self.objective, grid, BatchKey(self.train.seed, 0, (0,))).len_keep


METHODS: dict[str, type[PretrainConfig]] = {
    "m2d": M2DPretrain,
    "m2d-x": M2DXPretrain,
    "m2d-as": M2DASPretrain,
    "m2d-s": M2DSPretrain,
    "m2d-d2v": M2DPretrain,
    "msm-mae": MsmMaePretrain,
    "mae-ast": MAEASTPretrain,
}


def settings_of(method: str) -> type[PretrainConfig]:
    """The settings class of a method. Raises AuricleError for an unknown one."""
    if method not in METHODS:
        raise AuricleError(f"unknown method '{method}'{nearest(method, tuple(METHODS))}")
    return METHODS[method]


def restored(values: dict[str, Any], where: str) -> PretrainConfig:
    """Settings from the mapping in a run's config.yaml."""
    if "method" not in values:
        raise AuricleError(f"{where} names no method; it is not the configuration of a pre-training run")
    return from_plain(settings_of(str(values["method"])), values, where)


def with_flags(config: Any, values: dict[str, Any]) -> Any:
    """A copy of a config (nested configs too) with fields replaced by name; fields not named stay."""
    mine = {}
    for field in fields(config):
        current = getattr(config, field.name)
        if is_dataclass(current):
            mine[field.name] = with_flags(current, values)
        elif field.name in values:
            mine[field.name] = values[field.name]
    return replace(config, **mine)
