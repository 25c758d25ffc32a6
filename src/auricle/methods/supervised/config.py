"""Learning with labels as a method: its settings, how its objective is built from them, and which data it reads. PyTorch is
imported when it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.methods.config import AUTO, NONE, ZERO, Method, PretrainConfig, TrainConfig
from auricle.methods.supervised.detector_config import DetectorConfig
from auricle.methods.supervised.recipes import RECIPES

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.supervised.objective import Supervised


LOSSES = ("auto", "bce", "cross-entropy", "nll", "double-softmax", "evar")
NEW_HEADS = (
    "linear",
    "uniform-linear",
    "mlp",
    "norm-linear",
    "prototype",
    "attentive",
    "gated-layers",
    "transformer",
    "evar",
)
HEADS = ("auto", "keep", "new", *NEW_HEADS)


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
    level: str = option(
        "clip",
        "what the labels describe: clip: whole clips; frames: parts of clips (a table with a row per event, or the column "
        "events), which are learnt and scored frame by frame",
        choices=("clip", "frames"),
        advanced=False,
    )
    frame_hop: float | None = option(
        None,
        "seconds between two frames of MN and DyMN: 0.32, 0.16, 0.08, 0.04 or 0.02 with the published spectrogram; finer frames "
        "cost more, which is printed; auto: as the weights have it",
        special=AUTO,
    )
    kind: str = option(
        "auto",
        "multiclass: exactly one label a clip; multilabel: any number; auto: by the labels",
        choices=("auto", "multiclass", "multilabel"),
    )
    background: tuple[str, ...] = option(
        (),
        "classes that mean none of the others: trained, never reported; without the option those called background, noise, "
        "silence, other, none, nothing or _background_noise_; none: no class is",
    )
    negatives: tuple[str, ...] = option(
        (),
        "folders or tables of recordings where none of the classes occurs; FOLDER=dog,rain: these do not, others are not known",
    )
    unlabelled: str = option(
        "left-out",
        "recordings without a label among labelled ones, and the time beside labelled events: left-out (not annotated), or "
        "negative (none of the classes occurs)",
        choices=("left-out", "negative"),
    )
    fold: int | Literal["all"] | None = option(
        None,
        "fold that is tested and not learnt from; all: every fold in turn, and then the detector learns from all clips (frozen "
        "heads)",
        special=NONE | {"all": "all"},
        advanced=False,
    )
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
    short: str = option(
        "zeros", "what follows a clip that is shorter: zeros, or the clip again", choices=("zeros", "repeat")
    )
    fade: float | None = option(
        None, "seconds of a linear fade at both ends of every clip; crops then start where the clip does", special=NONE
    )
    front_end: str | None = option(
        None, "front end in place of the encoder's own, such as decibel-mel/16k; needs --norm-stats", special=NONE
    )
    norm_stats: tuple[float, ...] = option(
        (), "mean and standard deviation of the encoder's input; none: those of the weights"
    )
    one_chunk: bool = option(
        False,
        "encode a training clip in one chunk (M2D resizes its position tables); families without chunks ignore it",
    )
    eval_windows: str = option(
        "auto",
        "what of a longer clip is scored: its first window, the mean over consecutive windows (full: without a last one that "
        "the clip does not fill), or the whole clip; auto: first, and with --level frames consecutive",
        choices=("auto", "first", "consecutive", "full", "whole"),
    )
    validate_on: str = option(
        "auto",
        "clips that choose the best epoch; auto: a validation part, drawn from the training part where the data name none; "
        "test: the test part, as programs that have no other: its score is then too good",
        choices=("auto", "test"),
    )
    scored_by: str = option(
        "clip",
        "what a score is of: clip; both: groups (patients) too, clips choose the best epoch; group: groups choose it",
        choices=("clip", "both", "group"),
    )
    priority: tuple[str, ...] = option(
        (),
        "classes of a group's decision: it has the first of these that any of its clips has; none: the largest mean of the "
        "clips' logits",
    )
    group_metric: str = option("auto", "metric of groups; auto: that of clips")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("epoch_clips",), 1)
        check_ranges(self, ("frame_hop",), 0)
        if self.level == "frames":
            self._check_frames()
        if not 0 <= self.valid_ratio <= 0.5:  # one of two or more parts of one size
            raise AuricleError(f"--valid-ratio is a share from 0 to 0.5, not {self.valid_ratio}")
        if self.seconds is not None and self.seconds <= 0:
            raise AuricleError(f"--seconds must be above 0, not {self.seconds}")
        check_ranges(self, ("fade",), 0)
        if len(self.norm_stats) not in (0, 2) or (self.norm_stats and self.norm_stats[1] <= 0):
            raise AuricleError(f"--norm-stats takes a mean and a standard deviation above 0, not {self.norm_stats}")
        if self.scored_by == "clip" and (self.priority or self.group_metric != "auto"):
            raise AuricleError("--priority and --group-metric are about groups; set --scored-by both or group")
        if self.front_end is not None and not self.norm_stats:
            raise AuricleError(
                f"--front-end {self.front_end} needs --norm-stats MEAN STD of its spectrograms: those of the weights belong to "
                "another front end"
            )

    def _check_frames(self) -> None:
        """Raise AuricleError for settings that labels of frames cannot follow."""
        if self.kind == "multiclass":
            raise AuricleError(
                "--level frames learns whether each class holds in each frame; leave --kind multiclass out"
            )
        if self.eval_windows == "whole":
            raise AuricleError("--level frames scores windows: use --eval-windows consecutive, or first")
        if self.short == "repeat":
            raise AuricleError("--level frames scores the events of recordings as they are: leave --short repeat out")
        if self.scored_by != "clip":
            raise AuricleError(
                f"--level frames scores the events of each recording: leave --scored-by {self.scored_by} out, or learn labels of "
                "whole clips (--level clip), which can be decided for groups"
            )

    @property
    def scored_windows(self) -> str:
        """What of a longer clip is scored: first, consecutive or whole."""
        if self.eval_windows == "auto":
            return "consecutive" if self.level == "frames" else "first"
        return self.eval_windows


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
    wave_mixup: float = option(0.0, "share of the clips whose waveform is mixed with another clip's")
    wave_mixup_alpha: float = option(2.0, "alpha of these mixtures (Beta(alpha, alpha)); SSAST: 10")
    binary_labels: bool = option(
        False,
        "of clips whose waveforms were mixed, keep the labels whose share is above one half, as whole labels (EfficientAT's "
        "OpenMIC program)",
    )
    mixup: float | None = option(
        None, "alpha of mixup between clips of a batch (Beta(alpha, alpha))", special=NONE, old=ZERO, advanced=False
    )
    mixup_input: str = option("spectrogram", "what mixup mixes", choices=("spectrogram", "waveform"))
    mixup_fold: bool = option(True, "the larger share is always the clip's own, as EfficientAT; off: as EVAR")
    mixstyle: float = option(0.0, "share of the batches to which MixStyle is applied instead of mixup")
    mixstyle_alpha: float = option(0.4, "alpha of MixStyle")
    fmin_range: int = option(10, "hertz by which the lowest edge of the mel bank varies (EfficientAT); 1: fixed")
    fmax_range: int = option(2000, "hertz by which the highest edge of the mel bank varies (EfficientAT); 1: fixed")
    fmax: int | None = option(
        None, "highest edge of the mel bank in hertz (EfficientAT); auto: that of the weights", special=AUTO
    )
    freq_mask: int | None = option(None, "longest frequency mask in mel bins", special=NONE, old=ZERO)
    time_mask: int | None = option(None, "longest time mask in frames", special=NONE, old=ZERO)
    freq_stripes: int | None = option(
        None, "longest frequency stripe, a mask that each clip draws for itself, in mel bins", special=NONE, old=ZERO
    )
    time_stripes: int | None = option(None, "longest time stripe of each clip, in frames", special=NONE, old=ZERO)
    stripes: int = option(2, "stripes of each axis of a clip")
    stripe_value: str = option(
        "silence",
        "what fills stripes, before normalisation: the front end's value of digital silence, or zero",
        choices=("silence", "zero"),
    )
    published_stripes: bool = option(
        False, "stripes in those batches alone whose standard normal draw is below 1, as the respiratory programs"
    )
    spectrogram_noise: float | None = option(
        None,
        "largest factor, drawn for each clip, of uniform noise that is added to the normalised spectrogram",
        special=NONE,
        old=ZERO,
    )
    time_roll: int | None = option(
        None, "random circular shift of the spectrogram, -N to N - 1 frames", special=NONE, old=ZERO
    )
    batch_range: bool = option(
        False,
        "decibels are stretched to the range of the batch, in scoring too, as in the respiratory programs: a clip then depends "
        "on its batch (decibel-mel alone)",
    )
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
            (
                "gain",
                "roll",
                "mixup",
                "freq_mask",
                "time_mask",
                "freq_stripes",
                "time_stripes",
                "spectrogram_noise",
                "mixstyle",
                "wave_mixup",
                "impulse_ratio",
            ),
            0,
        )
        check_ranges(self, ("stripes", "time_roll"), 1)
        if not self.wave_mixup_alpha > 0:
            raise AuricleError(f"--wave-mixup-alpha must be above 0, not {self.wave_mixup_alpha}")
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
        "norm-linear (batch norm, then linear layers): a new head on the clip embedding; uniform-linear: linear, with "
        "PyTorch's initial weights; prototype: similarity with a prototype per class; attentive: scores of the frames, averaged "
        "with learnt weights; gated-layers: scores of all blocks, added with learnt weights; transformer: four blocks on the "
        "frames; evar: as EVAR's program; auto: keep where it fits, else new",
        choices=HEADS,
    )
    hidden: tuple[int, ...] = option((), "hidden widths of the heads mlp and norm-linear")
    reads: str = option(
        "clip",
        "what a new head with a choice reads: the clip embedding or every frame",
        choices=("clip", "frames"),
    )
    loss: str = option(
        "auto",
        "bce: binary cross-entropy, mean over classes; cross-entropy; nll: cross-entropy divided by the number of classes "
        "(EVAR's; the rates of its recipes depend on it); double-softmax: of softmax(logits) as if these were logits (CirCor's "
        "program); evar: nll or bce, auto: cross-entropy or bce, by the kind of labels",
        choices=LOSSES,
    )
    class_weights: str = option(
        "none",
        "balanced: classes weigh n / (C n_c) in the loss; inverse: 1 / n_c, and a batch's loss is divided by the weights of "
        "its clips",
        choices=("none", "balanced", "inverse"),
    )
    slices: int = option(
        1,
        "the loss of a batch is the sum of the means of so many equal slices; clips that fill none do not count, in scoring "
        "neither (respiratory programs)",
    )
    label_smoothing: float = option(0.0, "share of the target that is spread over all classes")
    freeze: tuple[str, ...] = option(
        (), "layer groups that are not trained: names, encoder, embed, or a number of groups from the input"
    )
    layer_decay: float = option(1.0, "rate of each layer group as a share of the next one's, from the head downwards")
    encoder_lr: float | None = option(None, "learning rate of the encoder; auto: --lr", special=AUTO)
    head_lr: float | None = option(None, "learning rate of the head; auto: --lr", special=AUTO)
    last_layer_lr: float | None = option(None, "learning rate of the head's last layer; auto: --head-lr", special=AUTO)
    decay_all: bool = option(False, "weight decay of norms and biases too, as the original programs")
    no_decay: tuple[str, ...] = option(
        (), "parameters without weight decay by the last part of their names, such as cls_token"
    )
    unfreeze_epochs: float = option(
        0.0,
        "gradual unfreezing: the encoder's groups join one by one from the head downwards, each after so many epochs",
    )
    norm_warmup: bool = option(
        True,
        "running statistics of batch norms begin as plain averages over the batches, which short runs from random weights need; "
        "off: with the family's momentum from the first update on, as the original programs",
    )
    fixed_norms: bool = option(
        False,
        "batch norms of the network use the running statistics of the weights in training too, which stay as they are: for a head "
        "that was fitted on such features, as --how full without options of training does",
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
        check_ranges(self, ("slices",), 1)
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
    detector: DetectorConfig = option(factory=DetectorConfig, group="what learns, and thresholds", advanced=False)
    train: TrainConfig = option(factory=_training, group="training", advanced=True)
    data: LabelConfig = option(factory=LabelConfig, group="labels and clips", advanced=True)
    augment: AugmentConfig = option(factory=AugmentConfig, group="augmentation", advanced=True)
    learning: LearningConfig = option(factory=LearningConfig, group="head, loss and rates", advanced=True)

    def __post_init__(self) -> None:
        check_choices(self)

    def tokens(self) -> tuple[int, int]:
        """Return 0 tokens: the cost of a clip depends on the network that is loaded."""
        return 0, 0


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
