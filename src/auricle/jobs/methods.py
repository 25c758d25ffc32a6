"""Settings of a pre-training run, one class per method: what is common, what the method adds, its published defaults."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from auricle.data.crops import CropConfig
from auricle.errors import AuricleError, nearest
from auricle.models.config import FRONT_ENDS, PredictorConfig, ViTConfig, parse_size
from auricle.objectives.config import M2DConfig
from auricle.options import argument, from_plain, option
from auricle.training.config import TrainConfig


@dataclass(frozen=True)
class DataConfig:
    """What is trained on."""

    data_path: str = option("", "folder where the paths of lists start (default: each list's own folder)")
    stored_front_end: str = option(
        "", "front end that made the spectrograms, where no prepare.json beside them says it"
    )
    norm_stats: tuple[float, ...] = option((), "mean and deviation to normalise with; none: measured on the data")
    csv_bg_noise: str = option("", "prepared folder or manifest of background noise")
    noise_ratio: float = option(0.0, "share of noise energy mixed into the input")
    crops: CropConfig = option(factory=CropConfig)

    def __post_init__(self) -> None:
        if len(self.norm_stats) not in (0, 2) or (self.norm_stats and self.norm_stats[1] <= 0):
            raise AuricleError(f"--norm-stats takes a mean and a deviation above 0, not {self.norm_stats}")


@dataclass(frozen=True)
class PretrainConfig:
    """What every method has; saved, with what the method adds, as config.yaml in the run's folder."""

    method: str = argument("what is learnt")
    source: str = argument(
        "a prepared folder (log-mel files), a manifest, or a folder of audio (log-mel made on the fly)"
    )
    out: str = option("", "run folder; empty: runs/<method>-<time>; published: named as M2D's program does")
    resume: str = option("", "start from the weights of this run, encoder or published file (the schedule starts anew)")
    quick_eval: str = option("", "task-set file (or executable) measured every --eval-freq epochs from --eval-after on")
    all_eval: str = option("", "task-set file (or executable) measured at the end")
    data: DataConfig = option(factory=DataConfig)
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

    def tokens(self) -> tuple[int, int]:
        """Tokens of one training crop, and how many of them the encoder sees."""
        raise NotImplementedError


@dataclass(frozen=True)
class ViTPretrain(PretrainConfig):
    """What the methods of the M2D family share: a ViT on log-mel patches."""

    published_files: bool = option(
        False, "write the original's checkpoint-<epoch>.pth and log.txt too, see --save-freq"
    )
    model: ViTConfig = option(factory=ViTConfig)

    @property
    def front_end(self) -> str:
        return FRONT_ENDS[self.model.sample_rate]

    @property
    def crop_frames(self) -> int:
        return parse_size(self.model.input_size)[1]

    def tokens(self) -> tuple[int, int]:
        rows, columns = self.model.grid
        return rows * columns, int(rows * columns * (1 - self.objective.mask_ratio))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class M2DPretrain(ViTPretrain):
    """Masked modeling duo."""

    predictor: PredictorConfig = option(factory=PredictorConfig)
    objective: M2DConfig = option(factory=M2DConfig)


METHODS: dict[str, type[PretrainConfig]] = {"m2d": M2DPretrain}


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
