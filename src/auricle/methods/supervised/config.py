"""Settings of learning with labels. PyTorch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.methods.config import AUTO, NONE, ZERO, PretrainConfig, TrainConfig

LOSSES = ("auto", "bce", "cross-entropy", "nll")
HEADS = ("auto", "keep", "new", "linear", "mlp", "norm-linear", "evar")


@dataclass(frozen=True)
class LabelConfig:
    """Which clips and classes are learnt, and how clips of a batch are chosen."""

    labels: str | None = option(
        None, "table of labels that is joined to the recordings by id or file name", special=NONE
    )
    label_column: str | None = option(None, "column of the labels; auto: label, labels, category, …", special=AUTO)
    group_column: str | None = option(
        None, "column of groups (speaker, patient, site) that stay in one part", special=AUTO
    )
    classes: str | None = option(
        None, "file of the class list in the order of the logits; auto: the sorted labels", special=AUTO
    )
    kind: str = option(
        "auto",
        "multiclass: exactly one label a clip; multilabel: any number; auto: by the labels",
        choices=("auto", "multiclass", "multilabel"),
    )
    fold: int | None = option(None, "fold that is tested and not learnt from", special=NONE, advanced=False)
    valid_ratio: float = option(
        0.15, "share of the training clips that is drawn for validation where the data name no such part"
    )
    sampling: str = option(
        "shuffle",
        "clips of an epoch: shuffle takes each once; balanced draws rare classes more often; weighted follows the column weight",
        choices=("shuffle", "balanced", "weighted"),
    )
    balance_constant: float = option(
        100.0, "balanced: a clip weighs the sum over its classes of 1000 / (constant + clips of the class)"
    )
    epoch_clips: int | None = option(
        None, "clips drawn in an epoch by balanced and weighted sampling, without replacement; auto: all", special=AUTO
    )
    seconds: float | None = option(
        None, "length of training clips in seconds; auto: the longest clip, at most 10", special=AUTO, advanced=False
    )
    crop: str = option("random", "where a crop of a longer clip starts", choices=("random", "start"))
    one_chunk: bool = option(
        False,
        "encode a training clip in one chunk (M2D resizes its position tables); families without chunks ignore it",
    )
    eval_windows: str = option(
        "first",
        "what of a longer clip is scored: its first window, the mean over consecutive windows, or the whole clip",
        choices=("first", "consecutive", "whole"),
    )

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("epoch_clips",), 1)
        if not 0 <= self.valid_ratio < 1:
            raise AuricleError(f"--valid-ratio is a share from 0 to below 1, not {self.valid_ratio}")
        if self.seconds is not None and self.seconds <= 0:
            raise AuricleError(f"--seconds must be above 0, not {self.seconds}")


@dataclass(frozen=True)
class AugmentConfig:
    """Augmentations of training clips, in the order in which they are applied. The defaults change nothing."""

    gain: int | None = option(None, "random gain of -GAIN to GAIN - 1 dB", special=NONE, old=ZERO)
    roll: int | None = option(
        None, "random circular shift of up to this many samples to either side", special=NONE, old=ZERO
    )
    impulse_responses: str | None = option(
        None, "folder of device impulse responses (WAV) that clips are convolved with", special=NONE
    )
    impulse_ratio: float = option(0.0, "share of the clips that are convolved with an impulse response")
    wave_mixup: float = option(0.0, "share of the clips whose waveform is mixed with another clip's (Beta(2, 2))")
    mixup: float | None = option(
        None, "alpha of mixup between clips of a batch (Beta(alpha, alpha))", special=NONE, old=ZERO, advanced=False
    )
    mixup_input: str = option("spectrogram", "what mixup mixes", choices=("spectrogram", "waveform"))
    mixup_fold: bool = option(True, "the larger share is always the clip's own, as EfficientAT; off: as EVAR")
    mixstyle: float = option(0.0, "share of the batches to which MixStyle is applied instead of mixup")
    mixstyle_alpha: float = option(0.4, "alpha of MixStyle")
    fmin_range: int = option(10, "hertz by which the lowest edge of the mel bank varies (EfficientAT); 1: fixed")
    fmax_range: int = option(2000, "hertz by which the highest edge of the mel bank varies (EfficientAT); 1: fixed")
    freq_mask: int | None = option(None, "longest frequency mask in mel bins", special=NONE, old=ZERO)
    time_mask: int | None = option(None, "longest time mask in frames", special=NONE, old=ZERO)
    resize_crop: bool = option(False, "random resize crop of the spectrogram (M2D's recipes)")
    training_mask: float | None = option(
        None,
        "share of the patches that transformers do not see in training (structured patch-out)",
        special=NONE,
        old=ZERO,
    )
    published_mask: bool = option(False, "hide those patches that the original program hides")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(
            self,
            ("gain", "roll", "mixup", "freq_mask", "time_mask", "mixstyle", "wave_mixup", "impulse_ratio"),
            0,
        )
        for name in ("mixstyle", "wave_mixup", "impulse_ratio"):
            if getattr(self, name) > 1:
                raise AuricleError(f"--{name.replace('_', '-')} is a share from 0 to 1, not {getattr(self, name)}")
        if self.training_mask is not None and not 0 < self.training_mask < 1:
            raise AuricleError(f"--training-mask is a share between 0 and 1, not {self.training_mask}")


@dataclass(frozen=True)
class LearningConfig:
    """Head, loss, and which parameters are trained at which rate."""

    head: str = option(
        "auto",
        "keep: the head of the weights (same number of classes); new: the family's own kind, new last layer; linear, mlp, "
        "norm-linear (batch norm, then linear layers): a new head on the clip embedding; evar: as EVAR's program; "
        "auto: keep where it fits, else new",
        choices=HEADS,
    )
    hidden: tuple[int, ...] = option((), "hidden widths of the heads mlp and norm-linear")
    reads: str = option("clip", "what a new head reads: the clip embedding or every frame", choices=("clip", "frames"))
    loss: str = option(
        "auto",
        "bce: binary cross-entropy, mean over classes; cross-entropy; nll: cross-entropy divided by the number of classes "
        "(EVAR's; the rates of its recipes depend on it); auto: by the kind of labels",
        choices=LOSSES,
    )
    class_weights: str = option("none", "balanced: classes weigh n / (C n_c) in the loss", choices=("none", "balanced"))
    label_smoothing: float = option(0.0, "share of the target that is spread over all classes")
    freeze: tuple[str, ...] = option(
        (), "layer groups that are not trained: names, encoder, embed, or a number of groups from the input"
    )
    layer_decay: float = option(1.0, "rate of each layer group as a share of the next one's, from the head downwards")
    encoder_lr: float | None = option(None, "learning rate of the encoder; auto: --lr", special=AUTO)
    head_lr: float | None = option(None, "learning rate of the head; auto: --lr", special=AUTO)
    last_layer_lr: float | None = option(None, "learning rate of the head's last layer; auto: --head-lr", special=AUTO)
    decay_all: bool = option(False, "weight decay of norms and biases too, as the original programs")
    unfreeze_epochs: float = option(
        0.0,
        "gradual unfreezing: the encoder's groups join one by one from the head downwards, each after so many epochs",
    )
    kernel_temperature: float | None = option(
        None,
        "temperature of dynamic convolutions (DyMN) in the first epoch; it falls by 1 an epoch to 1; auto: as the weights have it",
        special=AUTO,
    )
    select: str = option(
        "auto",
        "weights that the run gives: best on the validation part, or last; auto: best where there is a validation part",
        choices=("auto", "best", "last"),
    )
    metric: str = option("auto", "metric that chooses the best epoch; auto: accuracy (multiclass) or mAP (multilabel)")
    extra_metrics: tuple[str, ...] = option((), "metrics that are computed beside --metric, such as roc_auc")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("encoder_lr", "head_lr", "last_layer_lr", "unfreeze_epochs"), 0)
        if not 0 < self.layer_decay <= 1:
            raise AuricleError(f"--layer-decay is above 0 and at most 1, not {self.layer_decay}")
        if not 0 <= self.label_smoothing < 1:
            raise AuricleError(f"--label-smoothing is a share from 0 to below 1, not {self.label_smoothing}")


def _training() -> TrainConfig:
    return TrainConfig(
        epochs=30,
        batch_size=32,
        optim="adamw",
        betas=(0.9, 0.999),
        lr=1e-4,
        warmup_epochs=3.0,
        weight_decay=0.01,
        eval_freq=None,
        log_interval=10,
    )


@dataclass(frozen=True)
class FinetuneConfig(PretrainConfig):
    """Learning with labels."""

    model: str = option(
        "mn04_as", "what to start from: a published name, a weight file, or a run folder", advanced=False
    )
    weights: str | None = option(None, "a local file of that published name", special=NONE, advanced=False)
    initial: str = option(
        "weights",
        "weights to start from; random: the same network untrained",
        choices=("weights", "random"),
        advanced=True,
    )
    train: TrainConfig = option(factory=_training, group="training", advanced=True)
    data: LabelConfig = option(factory=LabelConfig, group="labels and clips", advanced=True)
    augment: AugmentConfig = option(factory=AugmentConfig, group="augmentation", advanced=True)
    learning: LearningConfig = option(factory=LearningConfig, group="head, loss and rates", advanced=True)

    def __post_init__(self) -> None:
        check_choices(self)

    def tokens(self) -> tuple[int, int]:
        """Return 0 tokens: the cost of a clip depends on the network that is loaded."""
        return 0, 0
