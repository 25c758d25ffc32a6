"""MAE-AST as a method, and SSAST as a special case: settings, published recipes, how the objective is built. PyTorch is
imported when it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, option
from auricle.data.loading.variable_length import BucketConfig
from auricle.methods.config import Method, Preset, PretrainConfig, TrainConfig
from auricle.models.mae_ast.config import MAEASTConfig

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.mae_ast.objective import MAEAST


MASKS = ("random_mask", "random_mask_batched", "chunk_mask", "retain_spans", "mask_spans", "ssast_patch", "ssast_frame")
SPANS = ("retain_spans", "mask_spans")


@dataclass(frozen=True)
class MAEASTObjectiveConfig:
    """Joint matching and reconstruction of masked tokens; the defaults are the published ones.

    Source: [mae_ast 2](docs/specification/mae_ast.md#s2).

    SSAST's objective is the same with mask_type ssast_patch or ssast_frame, random_mask_prob 0.78125, matching predictions,
    separate_passes, encoder_mask_tokens and mlp_heads ([mae_ast 12](docs/specification/mae_ast.md#s12)).
    """

    mask_type: str = option(
        "random_mask",
        "which tokens the encoder does not see; chunk_mask and random_mask_batched share one mask in the batch; "
        "retain_spans shows the drawn spans (the published code), mask_spans hides them (its text)",
        choices=MASKS,
    )
    random_mask_prob: float = option(
        0.75, "ratio of the tokens that are masked; for spans: number times length over tokens"
    )
    mask_length: int = option(10, "tokens of a span")
    mask_selection: str = option(
        "static",
        "lengths of spans: all mask_length; uniform from mask_other to 2 mask_length; normal with standard deviation "
        "mask_other; poisson",
        choices=("static", "uniform", "normal", "poisson"),
    )
    mask_other: float = option(0.0, "second parameter of the lengths of spans")
    separate_spans: bool = option(False, "spans do not overlap (no_mask_overlap of the original)")
    mask_min_space: int = option(0, "least tokens between two spans that do not overlap")
    chunk_per_clip: bool = option(
        False, "chunks drawn per clip, not one mask for the batch; then ranks and accumulation equal one large batch"
    )
    classification_weight: float = option(1.0, "weight of the matching loss; 0: not computed")
    reconstruction_weight: float = option(10.0, "weight of the reconstruction loss; 0: not computed")
    matching: str = option(
        "targets",
        "find the target of each prediction, or the prediction of each target (SSAST)",
        choices=("targets", "predictions"),
    )
    separate_passes: bool = option(False, "one mask and forward pass for each of the two losses (SSAST)")
    encoder_mask_tokens: bool = option(
        False, "the encoder sees all tokens, a learnt one in place of masked ones, and there is no decoder (SSAST)"
    )
    mlp_heads: bool = option(False, "heads of two layers with ReLU between (SSAST) instead of one")

    def __post_init__(self) -> None:
        check_choices(self)
        if self.mask_type not in SPANS and not 0 < self.random_mask_prob < 1:
            raise AuricleError(
                f"--random-mask-prob must lie between 0 and 1 for {self.mask_type}, not {self.random_mask_prob}"
            )
        if self.random_mask_prob <= 0 or self.mask_length < 1 or self.mask_min_space < 0 or self.mask_other < 0:
            raise AuricleError(
                "spans need a positive --random-mask-prob and --mask-length, and --mask-other and --mask-min-space of 0 or more"
            )
        if self.mask_selection == "uniform" and self.mask_other > 2 * self.mask_length:
            raise AuricleError(
                f"spans of uniform length reach from --mask-other to {2 * self.mask_length}, not below it"
            )
        weights = self.classification_weight, self.reconstruction_weight
        if min(weights) < 0 or max(weights) == 0:
            raise AuricleError(f"the weights of the losses must be 0 or more and not both 0, got {weights}")


def published_training() -> TrainConfig:
    """Return the published settings of training ([mae_ast 2.3](docs/specification/mae_ast.md#s2-3))."""
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

    data: BucketConfig = option(factory=BucketConfig, group="data", advanced=True)
    model: MAEASTConfig = option(factory=MAEASTConfig, group="network", advanced=True)
    objective: MAEASTObjectiveConfig = option(factory=MAEASTObjectiveConfig, group="objective", advanced=True)
    train: TrainConfig = option(factory=published_training, group="training", advanced=True)

    def __post_init__(self) -> None:
        if self.train.batch_size is None or self.train.lr is None:
            raise AuricleError(
                "batches of this method are made by --max-tokens (with at most --batch-size clips), and its learning rate is --lr: "
                "neither may be auto"
            )

    @property
    def front_end(self) -> str:
        suffix = "" if self.model.n_mels == 128 else f"-m{self.model.n_mels}"
        return f"mae-ast-fbank/16k{suffix}"

    def tokens(self) -> tuple[int, int]:
        """Return the tokens of a clip of ten seconds (998 frames), and how many of them the encoder sees."""
        from auricle.core.randomness import BatchKey
        from auricle.methods.mae_ast.masks import draw_mask

        grid = (self.model.rows, 998 // self.model.patch[1])
        return grid[0] * grid[1], draw_mask(self.objective, grid, BatchKey(self.train.seed, 0, (0,))).len_keep


FRAMES = {"patch_size": "128x2"}
# Measured on ten-second clips in batches of 32 (as --max-tokens makes of AudioSet), 1.57 hides 75.0 % of the tokens (standard
# deviation 1.5 %); in batches of 8, 4 and 1 it hides 77, 78 and 82 %. The published 1.45 hides 72 % in batches of 32.
SPAN_MASKS = {"mask_type": "mask_spans", "random_mask_prob": 1.57}
# Where SSAST differs ([mae_ast 12](docs/specification/mae_ast.md#s12)), without its learnt positions, class tokens and
# plateau schedule.
SSAST = {
    "random_mask_prob": 400 / 512,
    "matching": "predictions",
    "separate_passes": True,
    "encoder_mask_tokens": True,
    "mlp_heads": True,
    "layer_norm_first": True,
    **dict.fromkeys(("dropout", "attention_dropout", "dropout_input", "encoder_layerdrop"), 0.0),
    "batch_size": 24,
    "warmup_updates": 1000,
}

MAE_AST_SOURCE = "docs/specification/mae_ast.md#s2"
SSAST_SOURCE = "docs/specification/mae_ast.md#s12"
# [mae_ast 13](docs/specification/mae_ast.md#s13)
PATCH_SCORES = "AudioSet 20K 0.306 mAP, ESC-50 0.900, Speech Commands V2-35 0.979"
FRAME_SCORES = "AudioSet 20K 0.230 mAP, ESC-50 0.889, Speech Commands V2-35 0.980"

PRESETS = {
    "patch-chunk": Preset({"mask_type": "chunk_mask"}, MAE_AST_SOURCE, PATCH_SCORES),
    "frame-random": Preset({**FRAMES, "mask_type": "random_mask"}, MAE_AST_SOURCE, FRAME_SCORES),
    "frame-spans": Preset({**FRAMES, **SPAN_MASKS}, MAE_AST_SOURCE),
    "ssast-patch": Preset({**SSAST, "mask_type": "ssast_patch"}, SSAST_SOURCE),
    "ssast-frame": Preset({**FRAMES, **SSAST, "mask_type": "ssast_frame"}, SSAST_SOURCE),
}


def open_data(config: MAEASTPretrain, processes: Processes) -> TrainingData:
    """Open audio of any lengths, in batches of clips of similar length."""
    from auricle.methods.mae_ast.data import open_lists

    return open_lists(config, processes)


def build_mae_ast(config: MAEASTPretrain, data: TrainingData) -> MAEAST:
    from auricle.methods.mae_ast.objective import MAEAST

    name = Path(config.out or config.method).name
    return MAEAST(config.model, config.objective, seed=config.train.seed, name=name)


MAE_AST = Method(MAEASTPretrain, build_mae_ast, open_data, PRESETS)
