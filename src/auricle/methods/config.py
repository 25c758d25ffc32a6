"""Settings that all methods share: the training loop, the data, and a pre-training run.

PyTorch is not imported here, because the command line reads these classes for its help.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, check_ranges, option
from auricle.data.datasets.base import CropConfig

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.methods.base import Objective
    from auricle.methods.data import Processes, TrainingData

NONE: dict[str, Any] = {"none": None}  # special values of the command line for "not set"
AUTO: dict[str, Any] = {"auto": None}
ZERO: dict[Any, Any] = {0: None}  # "not set" in the first edition
EMPTY: dict[Any, Any] = {"": None}

POSITIVE = (
    "effective_batch",
    "accum_iter",
    "log_interval",
    "health_interval",
    "keep_checkpoints",
    "save_freq",
    "batch_size",
    "shuffle_buffer",
    "decay_start",
    "decay_every",
)
NOT_NEGATIVE = (
    "max_updates", "stop_at", "schedule_updates", "eps", "lr", "blr", "min_lr", "warmup_epochs", "warmup_updates", "weight_decay",
    "clip_grad", "workers", "save_interval_updates", "keep_interval_updates", "checkpoint_minutes", "checkpoint_steps",
    "eval_freq", "eval_after", "validate_interval", "validate_interval_updates", "decay_factor",
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the loop, the same for every objective. The defaults are those of M2D.

    Source: [m2d 5.1](docs/specification/m2d.md#s5-1).
    """

    OLD_NAMES: ClassVar[dict[str, str]] = {
        "state_minutes": "checkpoint_minutes",
        "state_steps": "checkpoint_steps",
        "keep_states": "keep_checkpoints",
    }

    epochs: int = option(300, "length of the schedule in passes over the data", advanced=False)
    max_updates: int | None = option(
        None, "length of the schedule in weight updates instead of epochs", special=NONE, old=ZERO, advanced=False
    )
    stop_at: int | None = option(
        None, "stop after this epoch; the length of the schedule stays", special=NONE, old=ZERO
    )
    start_epoch: int = option(0, "first epoch of a new run; earlier epochs of the schedule count as done")
    batch_size: int | None = option(
        512,
        "clips per process and micro-step; auto: as many as fit into memory",
        special=AUTO,
        old=ZERO,
        advanced=False,
    )
    effective_batch: int = option(512, "clips per weight update with --batch-size auto, reached by accumulation")
    accum_iter: int = option(1, "micro-steps per weight update")
    optim: str = option(
        "adamw",
        "optimiser (adam: MAE-AST's own; adam-l2: PyTorch's Adam)",
        choices=("adamw", "adam", "adam-l2", "sgd", "lars", "lamb"),
    )
    amsgrad: bool = option(False, "AdamW and adam-l2 with the largest second moment so far")
    betas: tuple[float, ...] = option((), "two decays of the optimiser; none: adamw 0.9 0.95, adam 0.9 0.98")
    eps: float | None = option(None, "epsilon of the optimiser; auto: adamw 1e-8, adam 1e-6", special=AUTO, old=ZERO)
    schedule: str = option(
        "cosine",
        "learning rate after the warm-up (efficientat, evar, cosine-annealing, step: as those programs)",
        choices=("cosine", "polynomial", "constant", "efficientat", "evar", "cosine-annealing", "step"),
    )
    ramp_down_start: float = option(80.0, "efficientat: epoch from which the rate falls")
    ramp_down_epochs: float = option(95.0, "efficientat: epochs over which it falls")
    last_lr_ratio: float = option(0.01, "efficientat: last rate as a share of the peak")
    annealing_epochs: float = option(40.0, "cosine-annealing: epochs from the highest to the lowest rate")
    decay_start: int = option(10, "step: epochs before the rate falls for the first time")
    decay_every: int = option(5, "step: epochs from one fall of the rate to the next")
    decay_factor: float = option(0.5, "step: the rate after a fall as a share of the one before")
    power: float = option(1.0, "exponent of the polynomial schedule")
    schedule_updates: int | None = option(
        None,
        "weight updates that the schedule spans (polynomial, or with max-updates); auto: the whole run",
        special=AUTO,
        old=ZERO,
    )
    lr: float | None = option(
        None, "peak learning rate; auto: blr * effective batch / 256", special=AUTO, old=ZERO, advanced=False
    )
    blr: float = option(3e-4, "base learning rate, for an effective batch of 256")
    min_lr: float = option(0.0, "learning rate at the end")
    warmup_epochs: float | None = option(
        20.0,
        "epochs of linear warm-up (with --max-updates use --warmup-updates); auto: a tenth of the run",
        special=AUTO,
    )
    warmup_updates: int | None = option(
        0,
        "weight updates of linear warm-up (polynomial, or with max-updates); auto: a tenth of the schedule",
        special=AUTO,
    )
    long_warmup: bool = option(False, "allow a warm-up that is longer than the run, as the original programs do")
    weight_decay: float = option(0.05, "decoupled weight decay of matrices and tokens")
    clip_grad: float | None = option(3.0, "largest global L2 norm of the gradient", special=NONE, old=ZERO)
    precision: str = option(
        "auto",
        "arithmetic of the networks",
        choices=("auto", "float32", "bf16", "fp16"),
        old={"bfloat16": "bf16"},
        advanced=False,
    )
    checkpoint_activations: bool = option(False, "recompute activations in the backward pass: less memory, more time")
    parallel: str = option(
        "auto",
        "how several processes (torchrun) share the work: ddp, each holds the whole network; fsdp, its weights, gradients and "
        "optimiser state are spread over them, for networks that do not fit; auto: ddp",
        choices=("auto", "ddp", "fsdp"),
    )
    compile: bool = option(False, "compile the networks (faster on GPUs only)")
    seed: int = option(0, "seed of every random draw", advanced=False)
    device: str = option("auto", "cpu, cuda, cuda:1, …; auto: a GPU where there is one", advanced=False)
    shuffle: str = option(
        "clips",
        "order of an epoch: clips, or shards: one shard of the source after the other, mixed within --shuffle-buffer clips, so "
        "that few shards are read at a time",
        choices=("clips", "shards"),
    )
    shuffle_buffer: int = option(16384, "shuffle shards: clips that are mixed")
    workers: int = option(
        2, "number of processes that read data, 0 or more; does not change the results", advanced=False
    )
    log_interval: int = option(20, "weight updates between two lines of the log")
    health_interval: int = option(50, "weight updates between two health checks")
    save_freq: int = option(100, "epochs between two saved encoders (encoder-epoch<k>.safetensors)")
    save_interval_updates: int | None = option(
        None,
        "weight updates between two saved encoders (encoder-update<k>.safetensors), each with a checkpoint",
        special=NONE,
        old=ZERO,
    )
    keep_interval_updates: int | None = option(
        None, "number of the newest of these encoders to keep", special={"all": None}, old=ZERO
    )
    checkpoint_minutes: float = option(10.0, "minutes between two checkpoints; a run continues from the last one")
    checkpoint_steps: int | None = option(
        None,
        "weight updates between two checkpoints; auto: by time and at the end of each epoch",
        special=AUTO,
        old=ZERO,
    )
    keep_checkpoints: int = option(2, "number of newest checkpoints to keep, beside the best one")
    eval_freq: int | None = option(
        10, "epochs between two evaluations of the encoder (with --quick-eval)", special=NONE, old=ZERO
    )
    eval_after: int = option(0, "no evaluation before this epoch")
    early_stop_epochs: int | None = option(
        None, "stop after more than so many epochs without a better score (with a validation part)", special=NONE
    )
    validate_interval: int | None = option(1, "epochs between two validations (with --valid)", special=NONE, old=ZERO)
    validate_interval_updates: int | None = option(
        None, "weight updates between two validations (with --valid)", special=NONE, old=ZERO
    )
    tensorboard: bool = option(False, "write TensorBoard scalars too (needs the [train] extra)")
    wandb: str | None = option(
        None, "project of Weights & Biases to log to as well (install wandb yourself)", special=NONE, old=EMPTY
    )

    def __post_init__(self) -> None:
        check_ranges(self, POSITIVE, 1)
        check_ranges(self, NOT_NEGATIVE, 0)
        check_choices(self)
        if self.epochs < 1 and not self.max_updates:
            raise AuricleError("a run needs --epochs or --max-updates of at least 1")
        if self.stop_at is not None and self.start_epoch >= self.stop_at:
            raise AuricleError(
                f"--start-epoch {self.start_epoch} lies behind --stop-at {self.stop_at}: nothing is left"
            )
        if self.start_epoch < 0 or (self.start_epoch >= self.epochs and not self.max_updates):
            raise AuricleError(f"--start-epoch must lie between 0 and the last of {self.epochs} epochs")
        self._check_warmup()
        self._check_parallel()
        if len(self.betas) not in (0, 2) or not all(0 <= beta < 1 for beta in self.betas):
            raise AuricleError(f"--betas takes two numbers from 0 to below 1, not {' '.join(map(str, self.betas))}")

    def _check_warmup(self) -> None:
        """Raise AuricleError for a warm-up longer than the run: it never reaches the peak rate, usually by mistake."""
        if self.long_warmup:
            return
        epochs = self.warmup_epochs or 0.0
        if not self.max_updates and self.schedule == "cosine" and epochs >= self.epochs > 1:
            raise AuricleError(
                f"the warm-up ({epochs} epochs) must be shorter than the run ({self.epochs} epochs); "
                "set --warmup-epochs (auto: a tenth of the run), or allow it with --long-warmup"
            )
        span = self.schedule_updates or self.max_updates
        if span and (self.warmup_updates or 0) >= span:
            raise AuricleError(
                f"the warm-up ({self.warmup_updates} weight updates) must be shorter than the schedule ({span} weight "
                "updates); set --warmup-updates (auto: a tenth of it), or allow it with --long-warmup"
            )

    def _check_parallel(self) -> None:
        """Raise AuricleError for settings that do not go with spread parameters."""
        if self.parallel != "fsdp":
            return
        if self.compile:
            raise AuricleError("--parallel fsdp does not go with --compile: leave one of them out")
        if self.batch_size is None:
            raise AuricleError(
                "--batch-size auto measures the whole network on one device; with --parallel fsdp give the clips per process"
            )

    def peak_lr(self, world: int) -> float:
        """Return ``lr``, or blr * effective batch / 256 over ``world`` processes ([m2d 5.3](docs/specification/m2d.md#s5-3))."""
        if self.lr is not None:
            return self.lr
        assert self.batch_size is not None, "a batch size of auto is resolved before"
        return self.blr * self.batch_size * self.accum_iter * world / 256


@dataclass(frozen=True)
class DataConfig:
    """Settings of the clips to train on."""

    data_path: str | None = option(
        None, "folder that the paths of a list start from; auto: the folder of the list", special=AUTO, old=EMPTY
    )
    stored_front_end: str | None = option(
        None, "front end of the stored spectrograms; auto: read from their prepare.json", special=AUTO, old=EMPTY
    )
    norm_stats: tuple[float, ...] = option((), "mean and standard deviation of the input; none: measured on the data")
    csv_bg_noise: str | None = option(
        None, "prepared folder, manifest or folder of background noise", special=NONE, old=EMPTY
    )
    noise_ratio: float = option(0.0, "ratio of noise energy mixed into the input, 0 to 1")
    weighted: bool = option(False, "draw clips with replacement, in proportion to the list's column weight")
    by_length: bool = option(
        False,
        "draw clips with replacement, in proportion to their length, so that every second of sound has the same weight",
    )
    crops: CropConfig = option(factory=CropConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.noise_ratio <= 1:
            raise AuricleError(f"--noise-ratio must lie between 0 and 1, not {self.noise_ratio}")
        if self.csv_bg_noise and not self.noise_ratio:
            raise AuricleError("--csv-bg-noise needs a --noise-ratio above 0, such as 0.2")
        if len(self.norm_stats) not in (0, 2) or (self.norm_stats and self.norm_stats[1] <= 0):
            raise AuricleError(f"--norm-stats takes a mean and a standard deviation above 0, not {self.norm_stats}")


@dataclass(frozen=True)
class PretrainConfig:
    """Settings of a pre-training run that every method has. They are saved in config.yaml of the run folder."""

    method: str = option(help="learning method (default: msm-mae)")
    source: str = argument(
        "a prepared folder (log-mel files), a manifest, or a folder of audio (log-mel made on the fly)"
    )
    out: str | None = option(
        None,
        "run folder; auto: runs/<method>-<time>; published: named as the M2D program does",
        special=AUTO,
        old=EMPTY,
    )
    resume: str | None = option(
        None,
        "start from the weights of this run, encoder or published file (the schedule starts anew)",
        special=NONE,
        old=EMPTY,
    )
    quick_eval: str | None = option(
        None,
        "task-set file (or executable) evaluated every --eval-freq epochs from --eval-after on",
        special=NONE,
        old=EMPTY,
        group="measured during training",
        advanced=True,
    )
    all_eval: str | None = option(
        None,
        "task-set file (or executable) evaluated at the end",
        special=NONE,
        old=EMPTY,
        group="measured during training",
        advanced=True,
    )
    valid: str | None = option(
        None,
        "list or folder of validation clips, whose loss is measured during training, see --validate-interval",
        special=NONE,
        old=EMPTY,
        group="measured during training",
        advanced=True,
    )
    test: str | None = option(
        None,
        "list or folder of test clips, whose loss is measured at the end",
        special=NONE,
        old=EMPTY,
        group="measured during training",
        advanced=True,
    )
    train: TrainConfig = option(factory=TrainConfig, group="training", advanced=True)

    @property
    def front_end(self) -> str:
        """Id of the front end that the network takes."""
        raise NotImplementedError

    @property
    def crop_frames(self) -> int:
        """Front-end frames of one training crop."""
        raise NotImplementedError

    @property
    def target_frames(self) -> int | None:
        """Front-end frames per stored speech feature, if these are the targets; None: no stored targets."""
        return None

    @property
    def learns_labels(self) -> bool:
        """True if the method needs the labels of clips."""
        return False

    def classes_in(self, manifest: Manifest) -> tuple[str, ...] | None:
        """Return the classes of the labels to learn from, in order; None where no labels are used."""
        return None

    def tokens(self) -> tuple[int, int]:
        """Return the number of tokens of one training crop, and how many of them the encoder sees."""
        raise NotImplementedError


@dataclass(frozen=True)
class Preset:
    """Named settings of a method (``auricle pretrain DATA --method METHOD --preset NAME``). Command-line options replace them.

    values      by field name
    source      where they come from
    expected    the score to expect, with its task; None: unknown
    tolerance   how far repeated runs lie around it; None: unknown
    generation  of the program, such as the year of its revision
    data        the data set, as "auricle prepare" names it; "" for data of one's own
    measured    what a run here gave, and at which scale; "" for none at full scale
    """

    values: Mapping[str, Any]
    source: str
    expected: str | None = None
    tolerance: str | None = None
    generation: str = ""
    data: str = ""
    measured: str = ""


@dataclass(frozen=True)
class Method:
    """What a run uses of a method: one entry of ``registry.METHODS``.

    settings   its configuration class
    build      (settings, data) -> Objective, its weights drawn with the seed of the settings
    open_data  (settings, processes) -> TrainingData
    presets    by name
    verb       of the command line

    The two functions import PyTorch when they are called, so that the table of methods can be read without it.
    """

    settings: type[PretrainConfig]
    build: Callable[[Any, TrainingData], Objective]
    open_data: Callable[[Any, Processes], TrainingData]
    presets: Mapping[str, Preset] = field(default_factory=dict)
    verb: str = "pretrain"
