"""``auricle finetune``: teach an encoder the labels of recordings, and score what it learnt on clips that it did not see."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.finetune.detector import (
    FULL,
    detector_files,
    fit_frozen,
    open_frozen,
    store_trials,
    way_of,
    write_frozen,
)
from auricle.commands.finetune.grown_network import grown_config, remove_start, trained_whole
from auricle.commands.finetune.whole_network import (
    Plan,
    finish_kept,
    follows_a_head,
    planned,
    trained_from_start,
    try_whole_network,
    with_fitted_start,
)
from auricle.commands.pretrain import apply_changes, run_callbacks
from auricle.core.errors import AuricleError, nearest
from auricle.core.options import names_of, with_values
from auricle.methods.registry import method_of, read_settings
from auricle.methods.supervised.config import FinetuneConfig
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.hub.run_folder import RunFolder
    from auricle.training.run import CallbackFactory, RunParts, RunResult

POSITION = ("kind", "micro_step", "step", "epoch")


@dataclass(frozen=True)
class FinetuneResult:
    """The end of a fine-tuning run.

    Attributes:
        run: the run folder; ``auricle tag DATA --model RUN`` uses it.
        training: length, seconds and loss of the training; None where a head was fitted on the frozen encoder.
        validation: scores of what the run gives on the validation part; without one those on held-out folds of the training
            part, or empty.
        test: likewise of the test part.
        detector: what ``evaluations/detector.json`` holds; {} for a run that was not made a detector.
        classes: of labels of frames, the scores of each class on the test part, or else on the validation part.
        frames: what ``evaluations/frame-thresholds.json`` holds; {} for a run that learnt no labels of frames.
    """

    run: Path
    training: RunResult | None
    validation: dict[str, float]
    test: dict[str, float]
    detector: dict[str, Any] = field(default_factory=dict)
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    frames: dict[str, Any] = field(default_factory=dict)

    @property
    def replaced(self) -> int:
        """Clips that could not be read: those that training replaced, or that frozen features lack."""
        return self.training.replaced if self.training is not None else len(self.detector.get("left_out", ()))


def finetune(
    data: str | Path,
    *,
    model: str | Path = "mn04_as",
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> FinetuneResult:
    """Teach an encoder the labels of recordings.

    Args:
        data: a folder of folders named by class, a table with labels, or a folder with ``labels="labels.csv"``.
        model: what to start from: a published name, a weight file, or a run folder.
        out: the run folder; None: ``runs/supervised-<time>``.
        quiet: no progress.
        settings: options of ``auricle finetune --help all`` by name, such as ``how="head"``, ``epochs=10`` or
            ``freeze=("encoder",)``. Without an option of training, heads are fitted on the frozen encoder.

    Returns:
        The run folder, which ``auricle.load`` and ``auricle.tag`` take, and the scores on the validation and test part.

    Raises:
        AuricleError: for an unknown setting, and for what cannot be trained; nothing is written then.

    Example:
        result = auricle.finetune("sounds", model="mn04_as", out="detector", epochs=2, warmup_epochs=1)
        print(result.training.steps, result.validation)
        print(auricle.tag("metro.wav", model=result.run))
    """
    return detector_run(_config(FinetuneConfig, "supervised", data, model, out, settings), settings.keys(), quiet=quiet)


def distill(
    data: str | Path,
    *,
    teacher: str | Path | Sequence[str | Path],
    model: str | Path = "mn01_as",
    out: str | Path | None = None,
    quiet: bool = False,
    **settings: Any,
) -> FinetuneResult:
    """Teach a small encoder what a large one gives, from recordings with or without labels.

    Args:
        data: a folder or table of recordings.
        teacher: one or several published names, weight files or run folders.
        model: the network that learns; with ``initial="weights"`` it starts from its weights, else from random ones.
        out: the run folder; None: ``runs/distillation-<time>``.
        quiet: no progress.
        settings: options of ``auricle distill --help all`` by name, such as ``features="clip"``.

    Raises:
        AuricleError: for an unknown setting, and for what cannot be trained; nothing is written then.

    Example:
        result = auricle.distill("sounds", teacher="mn10_as", model="mn01_as", out="small", epochs=2, warmup_epochs=1)
        print(result.training.loss)
    """
    from auricle.methods.distillation.config import DistillConfig

    teachers = (teacher,) if isinstance(teacher, (str, os.PathLike)) else tuple(teacher)
    named = {"teacher": tuple(_text(name, "teacher") for name in teachers), **settings}
    return finetune_run(_config(DistillConfig, "distillation", data, model, out, named), quiet=quiet)


def _config(
    kind: type[FinetuneConfig],
    method: str,
    data: str | Path,
    model: str | Path,
    out: str | Path | None,
    settings: dict[str, Any],
) -> Any:
    """Return the settings of a run. Raises AuricleError for a name that is none."""
    folder = None if out is None else _text(out, "out")
    config = kind(method, _text(data, "data"), folder, model=_text(model, "model"))
    known = names_of(config)
    for name in settings.keys() - known:
        raise AuricleError(f"there is no setting '{name}'{nearest(name, tuple(sorted(known)))}")
    return with_values(config, settings)


def _text(value: str | Path, name: str) -> str:
    """Return a path or a published name as text. Raises AuricleError for anything else."""
    if not isinstance(value, (str, os.PathLike)):
        raise AuricleError(f"{name}: expected a path or a name, got {type(value).__name__}")
    return os.fsdecode(value)


def detector_run(
    config: FinetuneConfig, named: Collection[str] = (), *, recipe: str = "", quiet: bool = False
) -> FinetuneResult:
    """Make a detector: fit heads on the frozen encoder, or train the whole network, as the settings and the data ask for.

    Args:
        config: the settings.
        named: the options that were typed or given by name: one of training means that the whole network is trained.
        recipe: a published recipe that was named.
        quiet: no progress.

    Raises:
        AuricleError: for what cannot be trained; nothing is written then.
        KeyboardInterrupt: after Ctrl-C, with a message how to continue.
    """
    if trained_whole(config):
        return grown_run(config, named, recipe, quiet=quiet)
    how, why = way_of(config, named, recipe)
    if why and not quiet:
        print(why, file=sys.stderr)
    result = None
    if how != FULL:
        result = frozen_heads_run(config, named, quiet=quiet)
    if result is None:
        result = whole_network_run(config, named, recipe, quiet=quiet)
    if result.detector and not int(os.environ.get("RANK", 0)):
        _write_report(result.run)
    return result


def grown_run(
    config: FinetuneConfig, named: Collection[str], recipe: str = "", *, quiet: bool = False
) -> FinetuneResult:
    """Let a run that trained the whole network learn on, with its earlier clips beside the new ones.

    Args:
        config, named, recipe, quiet: as of ``detector_run``.
    """
    from auricle.hub.run_folder import RunFolder

    config, heads = grown_config(config, named, recipe, quiet=quiet)
    named = {*named, "model"}
    run = RunFolder(Path(str(config.out)))
    if heads:
        result = frozen_heads_run(config, named, quiet=quiet)
        assert result is not None
    else:
        wanted = "off" if config.detector.calibrate == "off" else "on"
        config = with_values(config, {"calibrate": wanted})
        try:
            result = finetune_run(config, callbacks=detector_files(config), quiet=quiet)
        except AuricleError:
            remove_start(run)
            raise
    if result.detector and not int(os.environ.get("RANK", 0)):
        _write_report(result.run)
    return result


def whole_network_run(
    config: FinetuneConfig, named: Collection[str], recipe: str = "", *, quiet: bool = False
) -> FinetuneResult:
    """Train the whole network: as the settings say, or where they say nothing about training from a fitted head.

    Args:
        config, named, recipe, quiet: as of ``detector_run``.
    """
    wanted = config.detector.calibrate
    if wanted == "auto":  # published recipes give what their programs give, unless thresholds are asked for
        wanted = "off" if recipe and not names_of(config.detector.goal) & set(named) else "on"
    config = with_values(config, {"how": FULL, "calibrate": wanted})
    if follows_a_head(config, named, recipe):
        config = with_fitted_start(config, quiet=quiet)
    return trained_from_start(config, partial(finetune_run, config, callbacks=detector_files(config), quiet=quiet))


def frozen_heads_run(config: FinetuneConfig, named: Collection[str], *, quiet: bool = False) -> FinetuneResult | None:
    """Fit heads on the frozen encoder, and with ``--how auto`` try the whole network beside them where the data carry it.

    Args:
        config, named, quiet: as of ``detector_run``.

    Returns:
        The result; None where ``--how auto`` finds stored spectrograms alone, of which the whole network learns.
    """
    from auricle.detectors.features import NoRecordings

    opened = open_frozen(config, named, quiet=quiet)
    config, minutes, plan = opened.config, opened.config.detector.autotune, None
    may_train = config.detector.how == "auto" and opened.kept is None
    if may_train and opened.data.dataset.manifest.clips[0].path is not None:
        plan = planned(config, named, opened.data, quiet)
        if isinstance(plan, Plan) and minutes:
            minutes = max(0.0, minutes - plan.seconds / 60)
    try:
        fitted = fit_frozen(opened, minutes=minutes, quiet=quiet)
    except NoRecordings:
        if not may_train:
            raise
        if not quiet:
            print("the clips are stored spectrograms alone: the whole network is trained (--how full)", file=sys.stderr)
        return None
    rivalry, note = None, ""
    if isinstance(plan, Plan) and fitted.detector.selection.folds > 1:
        rivalry = try_whole_network(plan, fitted, finetune_run, quiet=quiet)
        note = rivalry.reason
    elif isinstance(plan, str):
        note = f"the whole network is not trained: {plan}"
    if note and not quiet:
        print(note, file=sys.stderr)
    if rivalry is not None and rivalry.kept:
        store_trials(fitted, rivalry.result.run, [rivalry.trial], network_kept=True, quiet=quiet)
        return replace(rivalry.result, detector=finish_kept(rivalry, fitted))
    more = [rivalry.trial] if rivalry is not None and rivalry.trial else []
    run, described = write_frozen(fitted, more, note, quiet=quiet)
    scores = described["scores"]
    held_out = scores.get("valid") or scores.get("train", {})
    return FinetuneResult(run, None, held_out, scores.get("test", {}), described)


def _write_report(run: Path) -> None:
    """Write the page of a detector; a page that cannot be written costs no detector."""
    from auricle.reports.page import build_report

    try:
        build_report(run)
    except (AuricleError, OSError) as error:
        print(f"the report could not be written ({error}); try auricle report {run}", file=sys.stderr)


def finetune_run(
    config: FinetuneConfig, *, callbacks: Sequence[CallbackFactory] = (), quiet: bool = False
) -> FinetuneResult:
    """Start a run of fine-tuning or distillation.

    Args:
        config: the settings.
        callbacks: functions of the parts and the folder of the run that return further callbacks.
        quiet: no progress.

    Raises:
        AuricleError: for what cannot be trained; nothing is written then.
        KeyboardInterrupt: after Ctrl-C, with a message how to continue.
    """
    from auricle.training.run import train

    factories = run_callbacks(config, None, (*callbacks, *([] if quiet else [describe_data])))
    return result_of(train(config, callbacks=factories, quiet=quiet))


def continue_finetune(
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    verb: str | None = None,
    allow: tuple[str, ...] = (),
    callbacks: Sequence[CallbackFactory] = (),
    quiet: bool = False,
) -> FinetuneResult:
    """Continue a run exactly where it stopped.

    Args:
        folder: the run folder.
        verb: "finetune" or "distill", by which the run must have been started; None: either.
        changes: settings by field name; they are refused unless their names are in ``allow``.
        callbacks, quiet: as of ``finetune_run``.

    Raises:
        AuricleError: for a folder without such a run, changed data, and settings that may not change.
    """
    from auricle.hub.run_folder import RunFolder
    from auricle.training.run import train

    run = RunFolder.open(folder)
    saved = read_settings(run.read_config(), str(run.config))
    own = method_of(saved).verb
    if own != verb and (verb is not None or not isinstance(saved, FinetuneConfig)):
        raise AuricleError(f"{folder} is a run of auricle {own}; continue it with auricle {own} --continue {folder}")
    if run.detector.is_file() and not run.has_checkpoints():
        raise AuricleError(
            f"{folder} is a detector whose head was fitted at once: nothing is left to continue; use it with auricle tag "
            f"RECORDINGS --model {folder}"
        )
    config = apply_changes(replace(saved, out=str(folder)), changes or {}, allow)
    made = detector_files(config) if isinstance(config, FinetuneConfig) and config.method == "supervised" else ()
    watchers = (*callbacks, *made)
    return result_of(train(config, run, callbacks=run_callbacks(config, None, watchers), quiet=quiet))


def describe_data(parts: RunParts, run: RunFolder) -> list[Callback]:
    """Print what was understood of the data before training begins."""
    for note in getattr(parts.data, "notes", ()):
        print(note, file=sys.stderr)
    return []


def result_of(training: RunResult) -> FinetuneResult:
    """Return the result of a run with the scores of its log: of the validation part, the best ones."""
    from auricle.detectors.files import load_description
    from auricle.hub.run_folder import RunFolder
    from auricle.training.log import read_log

    rows = read_log(RunFolder(training.run).metrics, "validation")
    test = [row for row in rows if "test_loss" in row]
    run = RunFolder(training.run)
    return FinetuneResult(
        run.path,
        training,
        best_scores(run.path, rows),
        scores_of(test[-1], "test_") if test else {},
        load_description(run.path) if run.detector.is_file() else {},
        class_scores(run.path),
        json.loads(run.frame_thresholds.read_text(encoding="utf-8")) if run.frame_thresholds.is_file() else {},
    )


def best_scores(run: Path, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the validation scores of the epoch whose weights the run gives."""
    rows = [row for row in rows if "val_loss" in row]
    return scores_of(row_of_weights(run, rows), "val_") if rows else {}


def row_of_weights(run: Path, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the row of the log that belongs to the weights that the run gives, or the last one."""
    from auricle.hub.run_folder import RunFolder
    from auricle.hub.weight_file import describe

    step = describe(RunFolder(run).encoder)["lineage"].get("step")
    return ([row for row in rows if row["step"] == step] or rows)[-1]


def class_scores(run: Path) -> dict[str, dict[str, float]]:
    """Return the scores of each class on the test part of a run, or else on the validation part; {} where none were logged."""
    from auricle.hub.run_folder import RunFolder
    from auricle.training.log import read_log

    rows = read_log(RunFolder(run).metrics, "classes")
    for part in ("test", "val"):
        if scored := [row for row in rows if row.get("part") == part]:
            return row_of_weights(run, scored)["classes"]
    return {}


def scores_of(row: dict[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): value for name, value in row.items() if name.startswith(prefix)}
