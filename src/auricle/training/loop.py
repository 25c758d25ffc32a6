"""The one loop. It knows optimiser, schedule, accumulation, precision, saving and logging, and of what is learnt only the
Objective protocol. Killed at any moment, it continues to the same numbers: a state is saved only between weight updates,
and after everything else that falls due there, so that a run that goes on from it has missed nothing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from auricle.core.devices import resolve_precision
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey, key_of
from auricle.data.batch import Batch
from auricle.hub.run_folder import RunFolder
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig
from auricle.models.base import Encoder
from auricle.training.checkpoint import CheckpointStore, KeptEncoders, restore_optimizer
from auricle.training.distributed import DistContext, without_sync
from auricle.training.health import Health
from auricle.training.interrupt import Interrupt
from auricle.training.log import Console, MetricsLog
from auricle.training.optimizers import make_optimizer
from auricle.training.precision import autocast
from auricle.training.schedules import TrainingLength, rate_at
from auricle.training.validation import Validation

Batches = Callable[[int], Iterator[Batch]]  # from the micro-step to start at, endlessly
Evaluate = Callable[[Encoder, TrainProgress], dict[str, float]]
HeldOut = Callable[[], Iterable[Batch]]  # this rank's validation batches, the same every time
AtEpoch = Callable[[int], dict[str, float]]  # what the log's line of an epoch says besides its number
STARTING = 10.0  # seconds of an epoch before which waiting for the first batches counts little


class Trainer:
    """``fit`` runs from where the run folder's newest state stands (``restore``) or from the beginning."""

    def __init__(
        self,
        objective: Objective,
        batches: Batches,
        plan: TrainingLength,
        config: TrainConfig,
        run: RunFolder,
        ranks: DistContext,
        *,
        evaluate: Evaluate | None = None,
        final: Evaluate | None = None,
        held_out: HeldOut | None = None,
        at_epoch: AtEpoch | None = None,
        sinks: tuple[Any, ...] = (),
        data_key: str = "",
        quiet: bool = False,
    ):
        self.objective, self.batches, self.plan, self.config = objective.to(ranks.device), batches, plan, config
        self.run, self.ranks, self.evaluate, self.final, self.data_key = run, ranks, evaluate, final, data_key
        self.held_out, self.at_epoch = held_out, at_epoch
        self.precision = resolve_precision(config.precision, ranks.device)
        self.peak = config.peak_lr(ranks.world)
        groups = objective.param_groups(config.weight_decay)
        self.optimizer = make_optimizer(groups, config.optim, self.peak, config.betas, config.eps)
        self.trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.scaler = torch.amp.GradScaler(ranks.device.type, enabled=self.precision == "fp16")
        self.log = MetricsLog(run.metrics, sinks) if ranks.first else None
        self.states = CheckpointStore(run.state, config.keep_states)
        self.kept = KeptEncoders(self.objective, run, config, ranks.first, data_key)
        self.validation = Validation(self.objective, plan, config, ranks, self.precision)
        self.health, self.console = Health(), Console(plan.steps, quiet=quiet or not ranks.first)
        self.network = ranks.wrap(objective, unused=objective.unused_parameters)
        if config.compile:
            self.network = torch.compile(self.network)  # type: ignore[assignment]
        self.micro_step, self.saved_at, self.saved_time = config.start_epoch * plan.per_epoch, -1, time.monotonic()
        self.done: dict[str, Tensor] = {}  # what the last weight update said of itself
        self.best: float | None = None  # a score that the next state is to be kept for

    # ------------------------------------------------------------------------------------------------------------ the loop
    def fit(self) -> TrainProgress:
        """Train to the end of the plan (or ``stop_at``); returns where the run stands then."""
        with Interrupt() as interrupt:
            source, waited, began = self.batches(self.micro_step), 0.0, time.monotonic()
            while self.micro_step < self.last_micro_step():
                progress = self.plan.at(self.micro_step)
                if self.micro_step % self.plan.per_epoch == 0:
                    self.objective.on_epoch_start(progress)
                start = time.monotonic()
                batch = next(source)
                waited += time.monotonic() - start
                done = self.micro(batch, progress)
                self.micro_step += 1
                if done is not None:
                    self.after_update(progress, done, batch, waited / max(STARTING, time.monotonic() - began))
                if self.micro_step % self.plan.per_epoch == 0:
                    self.end_of_epoch()
                    waited, began = 0.0, time.monotonic()
                if self.due(updated=done is not None):
                    self.save()
                if done is not None and self.ranks.any(interrupt.asked):
                    self.save()
                    raise KeyboardInterrupt(
                        f"stopped and saved; go on with: auricle pretrain --continue {self.run.path}"
                    )
        return self.finish()

    def last_micro_step(self) -> int:
        stop = self.config.stop_at * self.plan.per_epoch if self.config.stop_at else math.inf
        return int(min(self.plan.micro_steps, stop))

    def micro(self, batch: Batch, progress: TrainProgress) -> dict[str, Tensor] | None:
        """One batch; at the end of an accumulation group also the weight update, and then what to log of it."""
        place = self.plan.in_group(progress.micro_step)
        if place is None:
            return None
        if place == 0:
            self.optimizer.zero_grad(set_to_none=True)
            self.set_rate(rate_at(progress, self.config, self.peak))
        torch.manual_seed(key_of(self.config.seed, progress.micro_step, self.ranks.rank, "dropout") & 0x7FFF_FFFF)
        last = place == self.plan.accum - 1
        with without_sync(self.network, not last):
            with autocast(self.precision, self.ranks.device):
                loss, log = self.network(batch.to(self.ranks.device, non_blocking=True), progress, self.key(batch))
            self.scaler.scale(loss / self.plan.accum).backward()
        return {**log, "grad_norm": self.update(progress)} if last else None

    def key(self, batch: Batch) -> BatchKey:
        return BatchKey(self.config.seed, batch.epoch, batch.positions)

    def update(self, progress: TrainProgress) -> Tensor:
        """Clip, step, move the teacher; returns the norm of the gradient before clipping."""
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.trained, self.config.clip_grad or math.inf, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.objective.after_step(progress)
        return norm

    def set_rate(self, rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)

    # ------------------------------------------------------------------------------------------- logging, health, evaluation
    def after_update(self, progress: TrainProgress, done: dict[str, Tensor], batch: Batch, waiting: float) -> None:
        self.done, after = done, self.plan.at(self.micro_step)
        logged = (
            progress.step % self.config.log_interval == 0 or after.step == self.plan.at(self.last_micro_step()).step
        )
        if self.ranks.device.type == "cpu" or logged:
            values = self.ranks.mean({name: float(value) for name, value in done.items()})
            self.check_finite(values)
            self.console.update(progress, values, self.optimizer.param_groups[0]["lr"], waiting)
            if logged:
                self.write("step", progress, {**values, "lr": self.rate(), "data_wait": round(waiting, 4)})
            self.look(progress, values, batch, waiting)
        if self.held_out is not None and self.validation.due(after.step):
            self.validate(after, self.held_out())
        if self.kept.due(after.step):
            self.kept.of_update(after)

    def rate(self) -> float:
        return self.optimizer.param_groups[0]["lr"]

    def check_finite(self, values: dict[str, float]) -> None:
        """Raises AuricleError for a loss or gradient that is no number: from there on all weights are none."""
        if math.isfinite(values["loss"]) and (math.isfinite(values["grad_norm"]) or self.scaler.is_enabled()):
            return
        progress = self.plan.at(self.micro_step)
        found = f"loss {values['loss']}, gradient norm {values['grad_norm']} at weight update {progress.step}"
        self.write("health", progress, {"words": [f"the loss is not finite: {found}"]})
        raise AuricleError(
            f"the loss is not finite ({found}); the last good state in {self.states.folder} is intact. "
            "Try a lower --lr, a longer warm-up, or --precision float32"
        )

    def look(self, progress: TrainProgress, values: dict[str, float], batch: Batch, waiting: float) -> None:
        """Every ``health_interval`` updates: the objective's own diagnosis, and warnings in words."""
        if progress.step % self.config.health_interval:
            return
        with torch.no_grad(), autocast(self.precision, self.ranks.device):
            found = self.objective.diagnose(batch.to(self.ranks.device), self.key(batch))
        words = self.health.look(norm=values["grad_norm"], waiting=waiting, log={**values, **found})
        self.write("health", progress, {**found, "words": words})
        for word in words:
            self.console.say(f"health: {word}")

    def end_of_epoch(self) -> None:
        progress = self.plan.at(self.micro_step)
        epoch = self.micro_step // self.plan.per_epoch
        facts = self.at_epoch(epoch) if self.at_epoch is not None and self.ranks.first else {}
        self.write("epoch", progress, {"epoch": epoch, **facts})
        if self.plan.epochs and epoch % self.config.save_freq == 0:
            self.kept.of_epoch(epoch, progress)
        if self.evaluate is not None and self.measuring_due(epoch):
            self.measure(progress, self.evaluate)

    def measuring_due(self, epoch: int) -> bool:
        """At an epoch's end, but for the last one where the final evaluation follows (specification m2d 5.5)."""
        every, final = self.config.eval_freq, self.final is not None and self.micro_step == self.last_micro_step()
        return every > 0 and epoch % every == 0 and epoch >= self.config.eval_after and not final

    def measure(self, progress: TrainProgress, evaluate: Evaluate) -> None:
        """Evaluate the encoder; a failing evaluation is said and never stops the run. The best is kept by the evaluation on
        the way alone: scores of another kind do not compare."""
        if not self.ranks.first:
            return
        self.objective.eval()
        try:
            scores = evaluate(self.objective.encoder(), progress)
        except Exception as error:
            scores = {}
            self.console.say(f"the evaluation failed ({type(error).__name__}: {error}); the run goes on")
        self.objective.train()
        self.write("evaluation", progress, scores)
        if scores and evaluate is self.evaluate:
            self.keep_best(next(iter(scores.values())), progress)

    def validate(self, progress: TrainProgress, batches: Iterable[Batch]) -> None:
        """Score ``batches``; the best state is kept by val_loss, unless an evaluation decides."""
        found = self.score("val", progress, batches)
        if self.evaluate is None and "val_loss" in found and self.ranks.first:
            self.keep_best(-found["val_loss"], progress)

    def score(self, name: str, progress: TrainProgress, batches: Iterable[Batch]) -> dict[str, float]:
        """What the objective says of batches that it does not learn from, of which each rank holds its share: logged as
        <name>_loss and so on."""
        found = {f"{name}_{key}": value for key, value in self.validation.scores(progress, batches).items()}
        self.write("validation", progress, found)
        self.console.say(f"update {progress.step}: " + ", ".join(f"{k} {v:.4f}" for k, v in found.items()))
        return found

    def keep_best(self, score: float, progress: TrainProgress) -> None:
        best = self.states.best()
        if best is None or score > best["score"]:
            self.best = score
            self.kept.best(score, progress)

    def write(self, kind: str, progress: TrainProgress, row: dict[str, Any]) -> None:
        if self.log is not None:
            place = {"micro_step": progress.micro_step, "step": progress.step, "epoch": round(progress.epoch, 6)}
            self.log.write({"kind": kind, **place, **row})

    # ------------------------------------------------------------------------------------------------- saving and continuing
    def due(self, updated: bool) -> bool:
        """Is a state to be saved here? Rank 0 decides what depends on the clock."""
        step, every = self.plan.at(self.micro_step).step, self.config.state_steps
        if self.best is not None or (updated and (self.kept.due(step) or (every and step % every == 0))):
            return True
        if every:
            return False
        return self.long_since(0.1 if self.micro_step % self.plan.per_epoch == 0 else 1.0)

    def long_since(self, share: float) -> bool:
        return time.monotonic() - self.saved_time > 60 * self.config.state_minutes * share

    def save(self) -> None:
        """Save the state on rank 0 (all ranks hold the same). Raises AuricleError instead of keeping what is no number."""
        if self.done:
            self.check_finite({name: float(self.done[name]) for name in ("loss", "grad_norm")})
        self.saved_at, self.saved_time = self.micro_step, time.monotonic()
        if not self.ranks.first:
            return
        assert self.log is not None
        where = {
            "micro_step": self.micro_step,
            "log_size": self.log.size(),
            "scaler": self.scaler.state_dict(),
            **self.depends_on(),
            "health": self.health.state(),
        }
        saved = self.states.save(where, self.objective, self.optimizer)
        if self.best is not None:
            self.states.mark_best(saved, self.best)
            self.best = None

    def depends_on(self) -> dict[str, Any]:
        """What must be the same for a run to go on, beside its settings."""
        return {"data": self.data_key, "world": self.ranks.world, "teacher": self.objective.depends_on()}

    def restore(self) -> TrainProgress:
        """Go back to the newest whole state of the run folder; to the beginning where none was saved yet.

        Raises AuricleError when the data, the number of processes or a frozen teacher changed.
        """
        if not self.states.states():
            if self.log is not None:
                self.log.cut(0)
            return self.plan.at(self.micro_step)
        saved = self.states.read(self.console.say)
        saved.check(self.depends_on())
        self.objective.load_state_dict(saved.weights)
        restore_optimizer(self.optimizer, saved.optimizer)
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(saved.where["scaler"])
        self.health.restore(saved.where["health"])
        self.micro_step = self.saved_at = saved.where["micro_step"]
        if (
            self.log is not None and self.micro_step < self.last_micro_step()
        ):  # else what follows is said of the whole run
            self.log.cut(saved.where["log_size"])
        return self.plan.at(self.micro_step)

    def finish(self) -> TrainProgress:
        if self.saved_at != self.micro_step or self.best is not None:
            self.save()
        progress = self.plan.at(self.micro_step)
        self.kept.last(progress)
        self.console.close()
        return progress
