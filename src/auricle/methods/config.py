"""Settings of the loop. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option

POSITIVE = ("effective_batch", "accum_iter", "log_interval", "health_interval", "keep_states", "save_freq")
NOT_NEGATIVE = (
    "max_updates", "stop_at", "schedule_updates", "eps", "lr", "blr", "min_lr", "warmup_epochs", "warmup_updates", "weight_decay",
    "clip_grad", "workers", "save_interval_updates", "keep_interval_updates", "state_minutes", "state_steps", "eval_freq",
    "eval_after", "validate_interval", "validate_interval_updates",
)  # fmt: skip


@dataclass(frozen=True)
class TrainConfig:
    """One loop for every objective. The defaults are M2D's published ones (specification m2d 5.1)."""

    epochs: int = option(300, "passes over the data that the schedule spans")
    max_updates: int = option(0, "span this many weight updates instead of epochs; 0: use epochs")
    stop_at: int = option(0, "stop after this epoch while the schedule still spans all; 0: do not")
    start_epoch: int = option(0, "epoch of the schedule at which a new run begins, as if those before had been made")
    batch_size: int = option(512, "clips per process and micro-step, or auto: the most that fit", words={"auto": 0})
    effective_batch: int = option(512, "clips per weight update that --batch-size auto keeps by accumulation")
    accum_iter: int = option(1, "micro-steps per weight update")
    optim: str = option("adamw", "optimiser (adam: MAE-AST's own)", choices=("adamw", "adam", "sgd"))
    betas: tuple[float, ...] = option((), "the optimiser's two decays; none: adamw 0.9 0.95, adam 0.9 0.98")
    eps: float = option(0.0, "the optimiser's epsilon; 0: adamw 1e-8, adam 1e-6")
    schedule: str = option("cosine", "course of the learning rate after warm-up", choices=("cosine", "polynomial"))
    power: float = option(1.0, "exponent of the polynomial schedule")
    schedule_updates: int = option(
        0, "weight updates that the schedule spans (polynomial, or with max-updates); 0: the whole run"
    )
    lr: float = option(0.0, "peak learning rate; 0: blr * effective batch / 256")
    blr: float = option(3e-4, "base learning rate, for an effective batch of 256")
    min_lr: float = option(0.0, "learning rate at the end")
    warmup_epochs: float = option(
        20.0, "epochs of linear warm-up (with max-updates: warm-up steps are --warmup-updates)"
    )
    warmup_updates: int = option(0, "weight updates of linear warm-up (polynomial, or with max-updates)")
    long_warmup: bool = option(False, "a warm-up may be longer than the run, as in the original programs")
    weight_decay: float = option(0.05, "decoupled weight decay of matrices and tokens")
    clip_grad: float = option(3.0, "largest global L2 norm of the gradient; 0: no clipping")
    precision: str = option("auto", "arithmetic of the networks", choices=("auto", "float32", "bf16", "fp16"))
    checkpoint_activations: bool = option(False, "recompute activations in the backward pass: less memory, more time")
    compile: bool = option(False, "compile the networks (pays on GPUs only)")
    seed: int = option(0, "every random draw is a function of this number")
    device: str = option("auto", "cpu, cuda, cuda:1, …; auto: a GPU where there is one")
    workers: int = option(2, "processes that read data; 0: none. Changes nothing in the numbers")
    log_interval: int = option(20, "weight updates between two lines of the log")
    health_interval: int = option(50, "weight updates between two looks at the targets")
    save_freq: int = option(100, "epochs between two kept encoders (encoder-epoch<k>.safetensors)")
    save_interval_updates: int = option(
        0, "weight updates between two kept encoders (encoder-update<k>.safetensors), each with a saved state; 0: none"
    )
    keep_interval_updates: int = option(0, "of those, how many to keep, the newest; 0: all")
    state_minutes: float = option(10.0, "minutes between two saved states, from which a run continues")
    state_steps: int = option(0, "weight updates between two saved states; 0: by time and at the end of each epoch")
    keep_states: int = option(2, "saved states to keep (the best is kept besides)")
    eval_freq: int = option(10, "epochs between two evaluations of the encoder (with --quick-eval); 0: none")
    eval_after: int = option(0, "no evaluation before this epoch")
    validate_interval: int = option(1, "epochs between two validations (with --valid); 0: none")
    validate_interval_updates: int = option(0, "weight updates between two validations (with --valid); 0: none")
    tensorboard: bool = option(False, "write TensorBoard scalars too (needs the [train] extra)")
    wandb: str = option("", "project name: log to Weights & Biases too (needs wandb, installed by you)")

    def __post_init__(self) -> None:
        check_ranges(self, POSITIVE, 1)
        check_ranges(self, NOT_NEGATIVE, 0)
        check_choices(self)
        if self.batch_size < 0:
            raise AuricleError(f"--batch-size must be positive or auto, not {self.batch_size}")
        if self.epochs < 1 and self.max_updates < 1:
            raise AuricleError("a run needs --epochs or --max-updates of at least 1")
        if self.stop_at and self.start_epoch >= self.stop_at:
            raise AuricleError(
                f"--start-epoch {self.start_epoch} lies behind --stop-at {self.stop_at}: nothing is left"
            )
        if self.start_epoch < 0 or (self.start_epoch >= self.epochs and not self.max_updates):
            raise AuricleError(f"--start-epoch must lie between 0 and the last of {self.epochs} epochs")
        self._check_warmup()
        if len(self.betas) not in (0, 2) or not all(0 <= beta < 1 for beta in self.betas):
            raise AuricleError(f"--betas are two numbers from 0 to below 1, not {' '.join(map(str, self.betas))}")

    def _check_warmup(self) -> None:
        """Longer than the run it keeps the rate from its peak: nearly always a slip."""
        if self.long_warmup:
            return
        if not self.max_updates and self.schedule == "cosine" and self.warmup_epochs >= self.epochs and self.epochs > 1:
            raise AuricleError(
                f"the warm-up ({self.warmup_epochs} epochs) must be shorter than the run ({self.epochs} epochs); "
                "say --warmup-epochs, or --long-warmup if it is meant"
            )
        span = self.schedule_updates or self.max_updates
        if span and self.warmup_updates >= span:
            raise AuricleError(
                f"the warm-up ({self.warmup_updates} weight updates) must be shorter than the schedule ({span} weight "
                "updates); say --warmup-updates, or --long-warmup if it is meant"
            )

    def peak_lr(self, ranks: int) -> float:
        """lr, or blr * effective batch / 256 (specification m2d 5.3)."""
        return self.lr or self.blr * self.batch_size * self.accum_iter * ranks / 256


# Settings of the objectives. No PyTorch here: the command line reads these for its help.


@dataclass(frozen=True)
class MaskConfig:
    """What is hidden from the encoder (specification m2d 3)."""

    mask_ratio: float = option(0.7, "share of the patches that the encoder does not see")
    cont_mask: int = option(0, "hide spans of this many patch columns, all frequencies alike; 0: single patches")

    jitter: float = option(
        0.0, "random level and colour of what the encoder sees, not of its targets: deviation in dB; 0: as published"
    )

    def __post_init__(self) -> None:
        check_choices(self)
        if not 0 <= self.jitter < math.inf:
            raise AuricleError(f"the jitter must be 0 dB or more, not {self.jitter}")
        if not 0 < self.mask_ratio < 1:
            raise AuricleError(f"the mask ratio must lie between 0 and 1, not {self.mask_ratio}")
        if self.cont_mask < 0:
            raise AuricleError(f"the span of a mask must be 0 (single patches) or more columns, not {self.cont_mask}")

    def visible(self, grid: tuple[int, int]) -> int:
        """How many of the patches of a grid (F, T) the encoder sees (specification m2d 3.1, 3.3)."""
        rows, columns = grid
        if self.cont_mask:
            return rows * (columns - int(columns * self.mask_ratio))
        return int(rows * columns * (1 - self.mask_ratio))


@dataclass(frozen=True)
class M2DConfig(MaskConfig):
    """Masked modeling duo; the defaults are the published ones (specification m2d 5.1)."""

    loss_fn: str = option("norm_mse", "distance between prediction and target", choices=("norm_mse", "mse"))
    norm_targets: bool = option(True, "standardise every target token over its channels", flag="norm_pix_loss")
    target_layers: tuple[int, ...] = option((), "0-based target blocks whose outputs are averaged; none: the last one")
    ema_decay_init: float = option(0.99995, "decay of the target encoder at the first step")
    ema_decay: float = option(0.99999, "decay of the target encoder at the last step")
    centring: str = option(
        "none",
        "what is taken from the targets: the running mean of each position, each clip's own mean, both; none: as published",
        choices=("none", "position", "clip", "position-clip"),
    )
    reconstruct: float = option(0.0, "weight of rebuilding the hidden patches beside M2D's own loss; 0: as published")
    noise_on: str = option(
        "student",
        "whose input gets the background noise; teacher: as the published program does for M2D and M2D-X",
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
    """M2D and a second loss beside it: loss_m2d * M2D's own + loss_off * the second (specification m2d 4.3)."""

    loss_m2d: float = option(1.0, "weight of M2D's own loss")
    loss_off: float = option(1.0, "weight of the second loss")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.loss_m2d < 0 or self.loss_off < 0:
            raise AuricleError(f"the weights of the losses must be 0 or more, not {self.loss_m2d} and {self.loss_off}")


@dataclass(frozen=True)
class M2DXConfig(OfflineConfig):
    """M2D-X: features of an offline teacher; ``loss_off`` is that of the published runs (specification m2d 5.7)."""


@dataclass(frozen=True)
class M2DASConfig(OfflineConfig):
    """M2D-AS: labels; ``loss_off`` is that of the published run (the entry point's own default is 0.1)."""


@dataclass(frozen=True)
class M2DSConfig(OfflineConfig):
    """M2D-S: stored speech features; as the published runs (specification m2d 4.5)."""

    mask_ratio: float = option(0.6, "share of the patches that the encoder does not see")
    loss_off: float = option(0.5, "weight of the second loss")


@dataclass(frozen=True)
class MsmMaeConfig(MaskConfig):
    """MSM-MAE: reconstruction of the hidden patches; the published defaults (specification m2d 4.6)."""

    mask_ratio: float = option(0.75, "share of the patches that the encoder does not see")
    norm_targets: bool = option(False, "standardise every patch before comparing", flag="norm_pix_loss")


# Settings of the MAE-AST objective. No PyTorch here: the command line reads these for its help.

MASKS = ("random_mask", "random_mask_batched", "chunk_mask", "retain_spans", "mask_spans", "ssast_patch", "ssast_frame")
SPANS = ("retain_spans", "mask_spans")


@dataclass(frozen=True)
class MAEASTObjectiveConfig:
    """Joint matching and reconstruction of masked tokens; the defaults are the published ones (specification mae_ast 2).

    SSAST's objective is the same with mask_type ssast_patch or ssast_frame, random_mask_prob 0.78125, matching predictions,
    separate_passes, encoder_mask_tokens and mlp_heads (specification mae_ast 12).
    """

    mask_type: str = option(
        "random_mask",
        "which tokens the encoder does not see; chunk_mask and random_mask_batched share one mask in the batch; "
        "retain_spans shows the drawn spans (the published code), mask_spans hides them (its text)",
        choices=MASKS,
    )
    random_mask_prob: float = option(
        0.75, "share of the tokens masked; of spans: their number times length over tokens"
    )
    mask_length: int = option(10, "tokens of a span")
    mask_selection: str = option(
        "static",
        "lengths of spans: all mask_length; uniform from mask_other to 2 mask_length; normal with deviation mask_other; poisson",
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
        "what a token is looked for among: each prediction its target, or each target its prediction (SSAST)",
        choices=("targets", "predictions"),
    )
    separate_passes: bool = option(False, "a mask and a forward pass of its own for each of the two losses (SSAST)")
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
