"""Pre-train an encoder: start a run or continue one, with evaluations on the way, loggers, a preview and a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.options import differences, names_of, old_names_of, with_values
from auricle.methods.config import PretrainConfig, TrainConfig
from auricle.methods.registry import method_of, read_settings
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import TrainProgress
    from auricle.models.base import Encoder
    from auricle.training.loop import Trainer
    from auricle.training.run import CallbackFactory, RunParts, RunResult

    Evaluate = Callable[[Encoder, TrainProgress], dict[str, float]]

POSITION = ("kind", "micro_step", "step", "epoch")  # of every row of the log


def pretrain(
    config: PretrainConfig,
    *,
    evaluate: Evaluate | None = None,
    callbacks: Sequence[CallbackFactory] = (),
    quiet: bool = False,
) -> RunResult:
    """Start a run.

    Args:
        evaluate: gives scores of the encoder on the way, the first of which marks the best; None: ``config.quick_eval``.
        callbacks: functions of the parts and the folder of the run that return further callbacks.
        quiet: no progress.

    Raises:
        AuricleError: for what cannot be trained.
        KeyboardInterrupt: after Ctrl-C, with a message how to continue.
    """
    from auricle.training.run import train

    return train(config, callbacks=run_callbacks(config, evaluate, callbacks), quiet=quiet)


def continue_run(
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    allow: tuple[str, ...] = (),
    evaluate: Evaluate | None = None,
    callbacks: Sequence[CallbackFactory] = (),
    quiet: bool = False,
) -> RunResult:
    """Continue a run exactly where it stopped.

    Args:
        changes: settings by field name; they are refused unless their names are in ``allow``.
        evaluate, callbacks, quiet: as of ``pretrain``.

    Raises:
        AuricleError: for a folder without a run, changed data, and settings that may not change.
    """
    from auricle.hub.run_folder import RunFolder
    from auricle.training.run import train

    run = RunFolder.open(folder)
    saved = replace(read_settings(run.read_config(), str(run.config)), out=str(folder))
    verb = method_of(saved).verb
    if verb != "pretrain":
        raise AuricleError(f"{folder} is a run of auricle {verb}; continue it with auricle {verb} --continue {folder}")
    config = apply_changes(saved, changes or {}, allow)
    return train(config, run, callbacks=run_callbacks(config, evaluate, callbacks), quiet=quiet)


def apply_changes(config: PretrainConfig, changes: dict[str, Any], allow: tuple[str, ...]) -> PretrainConfig:
    """Return the saved settings with allowed changes. Raises AuricleError that names every other one."""
    changed = with_values(config, changes)
    known, old = names_of(config), old_names_of(config)
    allow = tuple(old.get(name, name) for name in allow)
    if unknown := [name for name in allow if name not in known]:
        raise AuricleError(f"--allow {unknown[0]}: there is no such setting{nearest(unknown[0], tuple(sorted(known)))}")
    names = differences(config, changed)
    refused = [name for name in names if name.rsplit(".", 1)[-1] not in allow]
    if refused:
        flags = " ".join(name.rsplit(".", 1)[-1].replace("_", "-") for name in refused)
        raise AuricleError(
            f"the run was started with other settings: {', '.join(refused)}; continuing exactly means keeping them. "
            f"To change them knowingly add --allow {flags}"
        )
    return changed


def run_callbacks(
    config: PretrainConfig, evaluate: Evaluate | None, more: Sequence[CallbackFactory]
) -> tuple[CallbackFactory, ...]:
    """Return the callbacks of a run in the order in which they are called. The card comes last: it completes the run."""
    from auricle.commands.evaluate_suite import periodic

    quick = periodic(config.quick_eval) if config.quick_eval and evaluate is None else None
    final = periodic(config.all_eval) if config.all_eval else None

    def evaluations(parts: RunParts, run: RunFolder) -> list[Callback]:
        on_the_way = evaluate or _in_folder(quick, run)
        at_the_end = _in_folder(final, run)
        return [Evaluations(on_the_way, at_the_end, config.train)] if on_the_way or at_the_end else []

    def loggers(parts: RunParts, run: RunFolder) -> list[Callback]:
        from auricle.training.log import make_loggers

        return make_loggers(config.train, run.path)

    return (
        evaluations,
        lambda parts, run: [PreviewFile(parts, run)],
        loggers,
        *more,
        lambda parts, run: [RunCard(parts, run)],
    )


def _in_folder(
    evaluate: Callable[[Encoder, TrainProgress, Path], dict[str, float]] | None, run: RunFolder
) -> Evaluate | None:
    return None if evaluate is None else lambda encoder, progress: evaluate(encoder, progress, run.path)


class Evaluations(Callback):
    """Evaluate the encoder every ``eval_freq`` epochs, and at the end. A failing evaluation never stops the run."""

    def __init__(self, on_the_way: Evaluate | None, at_the_end: Evaluate | None, config: TrainConfig):
        self.on_the_way, self.at_the_end, self.config = on_the_way, at_the_end, config
        self.decides_best = on_the_way is not None  # scores at the end are of another kind and do not compare

    def on_epoch_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        if self.on_the_way is not None and self._due(trainer, round(progress.epoch)):
            scores = self._measure(self.on_the_way, trainer, progress)
            if scores:
                trainer.mark_best(next(iter(scores.values())), progress)

    def _due(self, trainer: Trainer, epoch: int) -> bool:
        """The last epoch is left out if the evaluation at the end follows ([m2d 5.5](docs/specification/m2d.md#s5-5))."""
        every = self.config.eval_freq
        followed = self.at_the_end is not None and trainer.micro_step == trainer.last_micro_step()
        return every is not None and epoch % every == 0 and epoch >= self.config.eval_after and not followed

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        """Evaluate, unless the log holds scores of this end of the run (it was stopped between them and the card)."""
        from auricle.training.log import read_log

        rows = read_log(trainer.folder.metrics, "evaluation")
        measured = any(row["step"] == progress.step and len(row) > len(POSITION) for row in rows)
        if self.at_the_end is not None and not measured:
            self._measure(self.at_the_end, trainer, progress)

    def _measure(self, evaluate: Evaluate, trainer: Trainer, progress: TrainProgress) -> dict[str, float]:
        trainer.objective.eval()
        try:
            scores = evaluate(trainer.objective.encoder(), progress)
        except Exception as error:
            scores = {}
            trainer.console.log(f"the evaluation failed ({type(error).__name__}: {error}); the run goes on")
        trainer.objective.train()
        trainer.log_row("evaluation", progress, scores)
        return scores


class PreviewFile(Callback):
    """Save a few clips at the end, with what was hidden of them and how well it was predicted, for the report."""

    def __init__(self, parts: RunParts, run: RunFolder):
        self.parts, self.run = parts, run

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        from auricle.core.randomness import BatchKey
        from auricle.reports.snapshot import CLIPS, save_snapshot, take_snapshot, training_facts

        data = self.parts.data
        batch = data.first_clips(CLIPS).to(self.parts.dist.device)
        manifest = data.dataset.manifest
        facts = training_facts(manifest, data.replaced())
        key = BatchKey(self.parts.config.train.seed, batch.epoch, batch.positions)
        snapshot = take_snapshot(self.parts.objective, batch, key, manifest=manifest, facts=facts)
        if snapshot is not None:
            save_snapshot(snapshot, self.run.path)


class RunCard(Callback):
    """Write ``card.md`` at the end. With it a run is complete."""

    def __init__(self, parts: RunParts, run: RunFolder):
        self.parts, self.run = parts, run

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        from auricle.hub.run_folder import write_card
        from auricle.training.log import updates_and_epochs
        from auricle.training.run import last_loss

        config, data = self.parts.config, self.parts.data
        repeated = {"an epoch": f"the list repeated to {data.clips} clips"} if data.clips > data.listed_clips else {}
        facts = {
            "trained on": f"{data.listed_clips} clips of {config.source}",
            **repeated,
            "length": updates_and_epochs(progress.step, progress.epoch),
            "loss at the end": f"{last_loss(self.run):.4f}",
            **data.facts(),
            "seed": config.train.seed,
        }
        write_card(self.run, self.parts.objective.encoder().info, facts)
