"""The training loop, the same for every objective.

It handles the optimiser, schedule, accumulation, precision, checkpoints and logging; of the method it uses only the
Objective contract. A run that is killed at any moment continues to the same numbers: a checkpoint is saved only between
weight updates, after everything else that is due there, so that a run that continues from it has missed nothing.
"""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from auricle.core.devices import autocast, resolve_precision
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.hub.run_folder import RunFolder
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig
from auricle.methods.data import TrainingData
from auricle.training.callbacks import Callback
from auricle.training.checkpoint import CheckpointStore, EncoderFiles
from auricle.training.distributed import DistContext
from auricle.training.health import Health, level_warnings, unusual_clips
from auricle.training.log import Console, MetricsLog
from auricle.training.optimizers import TrainingLength, make_optimizer, rate_at
from auricle.training.replica import replica_of

# ---- Ctrl-C: the first one asks the loop to save and stop between two updates, the second stops at once

REPEAT_SECONDS = 1.0


class Interrupt:
    """A context in which ``requested`` becomes True at the first SIGINT or SIGTERM. Outside the main thread it does nothing."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self.when = 0.0

    def __enter__(self) -> Interrupt:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._request) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        if self.requested and time.monotonic() - self.when < REPEAT_SECONDS:
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.when = True, time.monotonic()
        print("\nsaving at the next weight update, then stopping (once more: stop at once)", file=sys.stderr)


STARTUP_SECONDS = 10.0  # of an epoch: before, waiting for the first batches counts little


class Trainer:
    """Train an objective. ``fit`` starts at the newest checkpoint (after ``restore``), or at the beginning.

    Args:
        data: gives the batches; ``data.valid`` is scored on the way.
        length: how long the run is.
        folder: the run folder, where everything is written.
        dist: this process among those of the run.
        callbacks: called on the main process.
        quiet: no progress line.

    Attributes:
        objective: with the weights that callbacks see, on the main process.
        learner: the objective whose parameters this process updates; the same one, but with ``--parallel fsdp``.
    """

    def __init__(
        self,
        objective: Objective,
        data: TrainingData,
        length: TrainingLength,
        config: TrainConfig,
        folder: RunFolder,
        dist: DistContext,
        callbacks: Sequence[Callback] = (),
        *,
        quiet: bool = False,
    ):
        self.objective, self.data, self.length, self.config = objective, data, length, config
        self.folder, self.dist, self.callbacks = folder, dist, callbacks if dist.is_main else ()
        self.precision = resolve_precision(config.precision, dist.device)
        self.peak_lr = config.peak_lr(dist.world)
        self.replica = replica_of(objective, config, self.precision, dist)
        self.learner = self.replica.objective
        groups = self.learner.param_groups(config.weight_decay)
        self.optimizer = make_optimizer(
            groups, config.optim, self.peak_lr, config.betas, config.eps, amsgrad=config.amsgrad
        )
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.scaler = torch.amp.GradScaler(dist.device.type, enabled=self.precision == "fp16")
        self.metrics = MetricsLog(folder.metrics, self.callbacks) if dist.is_main else None
        self.checkpoints = CheckpointStore(folder.checkpoints, config.keep_checkpoints)
        self.encoder_files = EncoderFiles(self.objective, folder, config, dist.is_main, data.key)
        self.health, self.console = (
            Health(),
            Console(length.steps, verb=objective.verb, quiet=quiet or not dist.is_main),
        )
        self.micro_step = config.start_epoch * length.per_epoch
        self.saved_at, self.saved_time = -1, time.monotonic()
        self.step_log: dict[str, Tensor] = {}  # of the last weight update
        self.best_score: float | None = None  # of the next checkpoint, if it is the best so far
        self.best_epoch, self.stopped_early = 0.0, False

    def fit(self) -> TrainProgress:
        """Train to the end of the run (or ``stop_at``) and return the position there.

        Raises:
            KeyboardInterrupt: after Ctrl-C, once a checkpoint is saved.
            AuricleError: if the loss is not finite, or the disk is full.
        """
        if self.micro_step == 0:
            self.check_data()
        for objective in (self.objective, self.learner):
            objective.train()  # an encoder that was loaded comes in evaluation mode
        with Interrupt() as interrupt:
            batches, waited, began = self.data.batches(self.micro_step), 0.0, time.monotonic()
            while self.micro_step < self.last_micro_step():
                progress = self.length.at(self.micro_step)
                if self.micro_step % self.length.per_epoch == 0:
                    self.learner.on_epoch_start(progress)
                start = time.monotonic()
                batch = next(batches)
                waited += time.monotonic() - start
                step_log = self.train_batch(batch, progress)
                self.micro_step += 1
                if step_log is not None:
                    waiting = waited / max(STARTUP_SECONDS, time.monotonic() - began)
                    self.after_update(progress, step_log, batch, waiting)
                if self.micro_step % self.length.per_epoch == 0:
                    self.end_epoch()
                    waited, began = 0.0, time.monotonic()
                if self.checkpoint_due(updated=step_log is not None):
                    self.save()
                if step_log is not None and self.dist.any(interrupt.requested):
                    self.save()
                    raise KeyboardInterrupt(
                        f"stopped and saved; go on with: auricle {self.objective.verb} --continue {self.folder.path}"
                    )
        return self.finish()

    def last_micro_step(self) -> int:
        """Return where the run ends: at the end of its length, at ``stop_at``, or here if it was stopped early."""
        if self.stopped_early:
            return self.micro_step
        stop = self.config.stop_at * self.length.per_epoch if self.config.stop_at else math.inf
        return int(min(self.length.micro_steps, stop))

    def train_batch(self, batch: Batch, progress: TrainProgress) -> dict[str, Tensor] | None:
        """Run one batch forward and backward; at the end of an accumulation group, also update the weights.

        Returns:
            After a weight update, what to log of it; else None.
        """
        place = self.length.in_group(progress.micro_step)
        if place is None:
            return None
        if place == 0:
            self.optimizer.zero_grad(set_to_none=True)
            self.set_lr(rate_at(progress, self.config, self.peak_lr))
        self.replica.begin_micro_step(progress.micro_step, batch)
        last = place == self.length.accum - 1
        with self.replica.without_sync(not last):
            with autocast(self.precision, self.dist.device):
                loss, log = self.replica.network(
                    batch.to(self.dist.device, non_blocking=True), progress, self.key(batch)
                )
            self.scaler.scale(loss / self.length.accum).backward()
        return {**log, "grad_norm": self.update_weights(progress)} if last else None

    def key(self, batch: Batch) -> BatchKey:
        return BatchKey(self.config.seed, batch.epoch, batch.positions)

    def update_weights(self, progress: TrainProgress) -> Tensor:
        """Clip the gradient, step, move the teacher; return the norm of the gradient before clipping."""
        self.scaler.unscale_(self.optimizer)
        largest = math.inf if self.config.clip_grad is None else self.config.clip_grad
        norm = self.replica.number(torch.nn.utils.clip_grad_norm_(self.trained, largest, foreach=True))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.learner.after_step(progress)
        return norm

    def set_lr(self, lr: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group.get("lr_scale", 1.0)

    # Logging, health checks, validation

    def after_update(self, progress: TrainProgress, step_log: dict[str, Tensor], batch: Batch, waiting: float) -> None:
        """Log, check and score what is due after a weight update."""
        self.step_log, after = step_log, self.length.at(self.micro_step)
        last = after.step == self.length.at(self.last_micro_step()).step
        logged = progress.step % self.config.log_interval == 0 or last
        if self.dist.device.type == "cpu" or logged:
            values = self.dist.mean({name: float(value) for name, value in step_log.items()})
            lr = self.optimizer.param_groups[0]["lr"]
            self.check_finite(values, batch)
            self.health.add_loss(values["loss"])
            self.console.update(progress, values, lr, waiting)
            if logged:
                self.log_row("step", progress, {**values, "lr": lr, "data_wait": round(waiting, 4)})
            if progress.step % self.config.health_interval == 0:
                self.check_health(progress, values, batch, waiting)
        if self.data.valid is not None and self.validation_due(after.step):
            self.validate(after, self.data.valid.scored_batches())
        if self.encoder_files.due(after.step):
            self.replica.gather(self.micro_step)
            self.encoder_files.save_update(after)

    def log_row(self, kind: str, progress: TrainProgress, row: dict[str, Any]) -> None:
        """Append a row to the log, on the main process."""
        if self.metrics is not None:
            position = {"micro_step": progress.micro_step, "step": progress.step, "epoch": round(progress.epoch, 6)}
            self.metrics.write({"kind": kind, **position, **row})

    def check_finite(self, values: dict[str, float], batch: Batch | None = None) -> None:
        """Raise AuricleError if the loss or gradient is not finite: from there on no weight would be.

        The message names the clip of the batch that caused it, where there is one.
        """
        if math.isfinite(values["loss"]) and (math.isfinite(values["grad_norm"]) or self.scaler.is_enabled()):
            return
        progress = self.length.at(self.micro_step)
        numbers = f"loss {values['loss']}, gradient norm {values['grad_norm']} at weight update {progress.step}"
        unusual = unusual_clips(batch) if batch is not None else ""
        advice = "Try a lower --lr, a longer warm-up, or --precision float32"
        if unusual:
            advice = f"In this batch {unusual}: repair that recording, or leave it out of the list"
        self.log_row("health", progress, {"warnings": [f"the loss is not finite: {numbers}. {advice}"]})
        raise AuricleError(
            f"the loss is not finite ({numbers}); the last good checkpoint in {self.checkpoints.folder} is intact. {advice}"
        )

    def check_health(self, progress: TrainProgress, values: dict[str, float], batch: Batch, waiting: float) -> None:
        """Run the objective's networks on the batch once more, log its diagnosis, and print warnings."""
        with torch.no_grad(), autocast(self.precision, self.dist.device):
            diagnosis = self.learner.diagnose(batch.to(self.dist.device), self.key(batch))
        log, unusual = {**values, **diagnosis}, unusual_clips(batch)
        warnings = self.health.check(norm=values["grad_norm"], waiting=waiting, log=log, unusual=unusual)
        self.log_row("health", progress, {**diagnosis, "warnings": warnings})
        for warning in warnings:
            self.console.log(f"health: {warning}")

    def check_data(self) -> None:
        """Log and print warnings about the clips: their level, and what their labels say."""
        levels = level_warnings(self.data.statistics, self.objective.encoder().info.front_end)
        self.warn(self.length.at(0), [*levels, *(self.data.warnings() if self.dist.is_main else [])])

    def warn(self, progress: TrainProgress, warnings: Sequence[str]) -> None:
        """Log and print warnings, where there are any."""
        if warnings:
            self.log_row("health", progress, {"warnings": list(warnings)})
        for warning in warnings:
            self.console.log(f"health: {warning}")

    def validation_due(self, step: int) -> bool:
        """Return True after every so many updates, at the last update of every so many epochs, and at the end."""
        updates, epochs = self.config.validate_interval_updates, self.config.validate_interval
        epoch, inside = divmod(step, self.length.per_epoch // self.length.accum)
        return (
            step == self.length.steps
            or (updates is not None and step % updates == 0)
            or (epochs is not None and inside == 0 and epoch % epochs == 0)
        )

    def validate(self, progress: TrainProgress, batches: Iterable[Batch]) -> None:
        """Score ``batches``; the best score so far (the objective says which) marks a checkpoint, unless a callback decides."""
        scores = self.score("val", progress, batches)
        found = self.health.check_validation(
            progress.epoch, scores.get("val_loss", math.nan), self.learner.warnings(progress)
        )
        self.warn(progress, found)
        self.replica.gather(self.micro_step)
        name, sign = self.learner.best_by
        score = sign * scores.get(f"val_{name}", math.nan)
        if math.isfinite(score) and self.dist.is_main and not any(c.decides_best for c in self.callbacks):
            self.mark_best(score, progress)

    @torch.no_grad()
    def score(self, prefix: str, progress: TrainProgress, batches: Iterable[Batch]) -> dict[str, float]:
        """Score batches that are not learnt from, of which each process holds its share, and log "<prefix>_loss" …"""
        self.learner.eval()
        outputs = []
        with self.replica.scoring():
            for batch in batches:
                with autocast(self.precision, self.dist.device):
                    moved = batch.to(self.dist.device, non_blocking=True)
                    outputs.append(self.learner.validate(moved, progress, self.key(batch)))
        self.learner.train()
        rows = zip_longest(*self.dist.gather(outputs))
        metrics = self.learner.summarise([output for row in rows for output in row if output is not None])
        scores = {f"{prefix}_{name}": value for name, value in metrics.items()}
        self.log_row("validation", progress, scores)
        if classes := self.learner.class_scores():
            self.log_row("classes", progress, {"part": prefix, "classes": classes})
        self.console.log(f"update {progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in scores.items()))
        return scores

    def end_epoch(self) -> None:
        """Log the end of an epoch, save its encoder where asked for, and call the callbacks."""
        progress = self.length.at(self.micro_step)
        epoch = self.micro_step // self.length.per_epoch
        with self.replica.gathered(self.micro_step):
            if self.dist.is_main:
                facts = self.objective.on_epoch_end(epoch, self.data.sample)
                self.log_row("epoch", progress, {"epoch": epoch, **facts})
            if self.length.epochs and epoch % self.config.save_freq == 0:
                self.encoder_files.save_epoch(epoch, progress)
            for callback in self.callbacks:
                callback.on_epoch_end(self, progress)
        patience = self.config.early_stop_epochs
        self.stopped_early = self.dist.any(patience is not None and progress.epoch > self.best_epoch + patience)

    def mark_best(self, score: float, progress: TrainProgress) -> None:
        """Save the encoder as the best, and keep the next checkpoint, if the score is higher than all before."""
        best = self.checkpoints.best()
        if best is None or score > best["score"]:
            self.best_score, self.best_epoch = score, progress.epoch
            self.encoder_files.save_best(score, progress)

    # Checkpoints

    def checkpoint_due(self, updated: bool) -> bool:
        """Return True if a checkpoint is to be saved here. The main process decides what depends on the clock."""
        return self.replica.agreed(self._wants_checkpoint(updated))

    def _wants_checkpoint(self, updated: bool) -> bool:
        step, every = self.length.at(self.micro_step).step, self.config.checkpoint_steps
        at_step = every is not None and step % every == 0
        if self.best_score is not None or (updated and (self.encoder_files.due(step) or at_step)):
            return True
        if every is not None:
            return False
        at_epoch_end = self.micro_step % self.length.per_epoch == 0
        if not (updated or at_epoch_end):
            return False  # gradients of half an accumulation group are not saved
        minutes = self.config.checkpoint_minutes * (0.1 if at_epoch_end else 1.0)
        return time.monotonic() - self.saved_time > 60 * minutes

    def save(self) -> None:
        """Save a checkpoint on the main process: all processes hold the same state, or shares of it, which are gathered.

        Raises:
            AuricleError: if the loss is not finite: such a checkpoint would be of no use.
        """
        if self.step_log:
            self.check_finite({name: float(self.step_log[name]) for name in ("loss", "grad_norm")})
        self.saved_at, self.saved_time = self.micro_step, time.monotonic()
        self.replica.gather(self.micro_step)
        moments = self.replica.optimizer_tensors(self.optimizer)
        if not self.dist.is_main:
            return
        assert self.metrics is not None
        state = {
            "micro_step": self.micro_step,
            "log_size": self.metrics.size(),
            "scaler": self.scaler.state_dict(),
            **self.dependencies(),
            "health": self.health.state(),
            "best_epoch": self.best_epoch,
            "stopped_early": self.stopped_early,
        }
        path = self.checkpoints.save(state, self.objective, moments)
        if self.best_score is not None:
            self.checkpoints.mark_best(path, self.best_score)
            self.best_score = None
        for callback in self.callbacks:
            callback.on_save(self, path)

    def dependencies(self) -> dict[str, Any]:
        """Return what must be the same for a run to continue, besides its settings."""
        return {"data": self.data.key, "world": self.dist.world, "teacher": self.objective.depends_on()}

    def restore(self) -> TrainProgress:
        """Go back to the newest undamaged checkpoint of the run folder; to the beginning if none was saved yet.

        Raises:
            AuricleError: if the data, the number of processes or a frozen teacher changed.
        """
        if not self.checkpoints.checkpoints():
            if self.metrics is not None:
                self.metrics.truncate(0)
            return self.length.at(self.micro_step)
        checkpoint = self.checkpoints.read(self.console.log)
        checkpoint.check(self.dependencies())
        self.replica.restore(checkpoint.weights, self.optimizer, checkpoint.optimizer)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(checkpoint.state["scaler"])
        self.health.restore(checkpoint.state["health"])
        self.micro_step = self.saved_at = checkpoint.state["micro_step"]
        self.best_epoch = checkpoint.state.get("best_epoch", 0.0)
        self.stopped_early = checkpoint.state.get("stopped_early", False)
        if self.metrics is not None and self.micro_step < self.last_micro_step():
            self.metrics.truncate(checkpoint.state["log_size"])  # else what follows belongs to the whole run
        return self.length.at(self.micro_step)

    def finish(self) -> TrainProgress:
        """Save the last checkpoint and the encoder, and close the progress line."""
        if self.replica.agreed(self.saved_at != self.micro_step or self.best_score is not None):
            self.save()
        progress = self.length.at(self.micro_step)
        self.replica.gather(self.micro_step)
        self.encoder_files.save_last(progress)
        if self.objective.keeps_best and self.dist.broadcast(self.folder.best.is_file()):
            self.replica.restore_encoder(self.encoder_files.choose_best())
        self.console.close()
        return progress
