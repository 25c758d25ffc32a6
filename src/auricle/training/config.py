"""Settings of the loop. No PyTorch here: the command line reads these for its help."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.errors import AuricleError
from auricle.options import check_choices, check_ranges, option

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
