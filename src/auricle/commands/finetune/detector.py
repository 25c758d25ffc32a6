"""Make a detector of labelled recordings on a frozen encoder, or add a detector's files to a run that trained the whole network."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.console import printable
from auricle.core.errors import AuricleError
from auricle.core.options import as_plain, names_of, with_values
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.detector_config import FROZEN_OPTIONS
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.training.callbacks import Callback

if TYPE_CHECKING:
    from auricle.detectors.frozen import FrozenDetector
    from auricle.detectors.growing import KeptDetector
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import TrainProgress
    from auricle.methods.supervised.data import LabelledData
    from auricle.training.loop import Trainer
    from auricle.training.run import CallbackFactory, RunParts

FULL = "full"


def way_of(config: FinetuneConfig, named: Collection[str], recipe: str = "") -> tuple[str, str]:
    """Return what learns, and a sentence that says why where the settings leave it open.

    Args:
        config: the settings.
        named: the options that were typed or given by name.
        recipe: a published recipe that was named.

    Returns:
        "probe", "head", "auto" (frozen heads, then perhaps the whole network) or "full".

    Raises:
        AuricleError: a frozen head is asked for with options of training.
    """
    how, of_training = config.detector.how, options_of_training(config, named)
    growing = config.detector.from_run is not None
    if growing and (how == FULL or recipe or of_training):
        named_option = f"--recipe {recipe}" if recipe else "--how full" if how == FULL else _option(of_training[0])
        raise AuricleError(
            f"--from {config.detector.from_run} is a detector on a frozen encoder, which grows by a new head, and {named_option} "
            "trains the whole network: leave it out, or name old and new clips in one table"
        )
    if how == FULL:
        return FULL, ""
    option = _option(of_training[0]) if of_training else ""
    if how in ("probe", "head"):
        if recipe or option:
            raise AuricleError(
                f"--how {how} fits heads on the frozen encoder, and {f'--recipe {recipe}' if recipe else option} is about "
                "training the whole network: leave one of them out"
            )
        return how, ""
    if recipe:
        return FULL, f"--recipe {recipe} trains the whole network"
    if option:
        return FULL, f"{option} is an option of training: the whole network is trained (--how full)"
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return FULL, "several processes: the whole network is trained (--how full)"
    return how, ""


def options_of_training(config: FinetuneConfig, named: Collection[str]) -> list[str]:
    """Return the names of the given options that are about training the whole network."""
    return [*sorted(set(named) - FROZEN_OPTIONS), *(["level"] if config.data.level == "frames" else [])]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class OpenedClips:
    """The clips that frozen heads learn from.

    Attributes:
        config: the settings, with the run folder.
        data: the clips and the encoder.
        doubts: sentences about the clips, for people.
        kept: the detector that grows.
    """

    config: FinetuneConfig
    data: LabelledData
    doubts: list[str]
    kept: KeptDetector | None


@dataclass(frozen=True)
class Fitted:
    """Frozen heads, fitted on the clips that were opened."""

    opened: OpenedClips
    detector: FrozenDetector


def open_frozen(config: FinetuneConfig, named: Collection[str] = (), *, quiet: bool = False) -> OpenedClips:
    """Open the clips of a detector on a frozen encoder, and say what was understood of them.

    Args:
        config: the settings.
        named: the options that were typed or given by name.
        quiet: no progress, no account of the data.

    Raises:
        AuricleError: for what cannot be learnt, and for a folder that holds something.
    """
    from auricle.detectors.growing import KeptDetector
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.supervised.data import open_labelled
    from auricle.training.distributed import dist_context
    from auricle.training.run import default_folder

    config = replace(config, out=config.out or default_folder(config))
    RunFolder.check_free(Path(str(config.out)))
    kept = None if config.detector.from_run is None else KeptDetector.open(config.detector.from_run)
    if kept is not None:
        config = growing_config(kept, config, named)
    ratio = config.data.valid_ratio if "valid_ratio" in named else 0.0  # held-out folds take its place
    with dist_context(config.train.device, quiet=quiet) as dist:
        settings = replace(config, data=replace(config.data, valid_ratio=ratio))
        data = open_labelled(settings, dist, () if kept is None else kept.space.ids)
    if kept is not None and data.encoder is not None:
        kept.check_encoder(data.encoder, config.model)
    doubts = data.warnings()
    if not quiet:
        say(*data.notes, *(f"health: {doubt}" for doubt in doubts))
    return OpenedClips(config, data, doubts, kept)


def fit_frozen(opened: OpenedClips, *, minutes: float | None = None, quiet: bool = False) -> Fitted:
    """Fit heads on the frozen encoder, and say which one is kept.

    Args:
        opened: the clips.
        minutes: of the search for more settings; None: as the settings have it.
        quiet: no progress, nothing said.

    Raises:
        AuricleError: for what cannot be learnt; nothing is written then.
    """
    from auricle.detectors.frozen import make_frozen_detector
    from auricle.detectors.selection import trial_table

    config = opened.config if minutes is None else with_values(opened.config, {"autotune": minutes})
    detector = make_frozen_detector(opened.data, config, grown=opened.kept, quiet=quiet)
    selection = detector.selection
    if not quiet and selection.trials:
        say(f"heads on {selection.folds} held-out folds of the {len(detector.features)} training clips:")
        say(*trial_table(selection.trials, selection.kept).split("\n"))
    if not quiet:
        say(selection.reason, *detector.notes, *(f"left out: {reason}" for reason in detector.failed.values()))
    return Fitted(opened, detector)


def write_frozen(
    fitted: Fitted, more: Sequence[dict[str, Any]] = (), note: str = "", *, quiet: bool = False
) -> tuple[Path, dict[str, Any]]:
    """Write the run folder of a detector on a frozen encoder, and its trials to the results store.

    Args:
        fitted: the detector.
        more: further trials, as ``detector.json`` lists them.
        note: a sentence about them.
        quiet: nothing said.

    Returns:
        The run folder, and what ``evaluations/detector.json`` holds.
    """
    from auricle.detectors.files import load_description

    opened = fitted.opened
    understood = described_data(opened.data, opened.doubts)
    run = write_run(fitted.detector, opened.config, understood, more, note)
    store_trials(fitted, run.path, more, quiet=quiet)
    return run.path, load_description(run.path)


def described_data(data: LabelledData, doubts: Sequence[str] = ()) -> dict[str, Any]:
    """Return what was understood of the clips, as JSON values."""
    described = {} if data.description is None else data.description.as_json()
    return described | {"doubts": list(doubts)}


def growing_config(kept: KeptDetector, config: FinetuneConfig, named: Collection[str]) -> FinetuneConfig:
    """Return the settings of a detector that grows: its encoder, its kind of labels, and what its thresholds are for."""
    changes: dict[str, Any] = kept_goal(kept.run, config, named)
    if "model" not in named and config.model == FinetuneConfig.model:
        changes |= {"model": str(kept.run), "weights": None}
    if config.data.kind == "auto":
        changes |= {"kind": kept.space.kind}
    return with_values(config, changes)


def kept_goal(run: Path, config: FinetuneConfig, named: Collection[str]) -> dict[str, Any]:
    """Return what the thresholds of a run are for, as options, for a detector that grows from it; {} where a goal is typed."""
    from auricle.hub.run_folder import RunFolder

    names = names_of(config.detector.goal)
    before = RunFolder.open(run).read_config().get("detector")
    goal = before.get("goal") if isinstance(before, dict) else None
    if not isinstance(goal, dict) or names & set(named) or config.detector.goal != ThresholdGoal():
        return {}
    return {name: goal[name] for name in names if goal.get(name) is not None}


def write_run(
    detector: FrozenDetector,
    config: FinetuneConfig,
    understood: dict[str, Any],
    more: Sequence[dict[str, Any]] = (),
    note: str = "",
) -> RunFolder:
    """Write the run folder of a detector on a frozen encoder.

    Args:
        detector: the detector.
        config: the settings.
        understood: of the clips (``described_data``).
        more: further trials, as ``detector.json`` lists them.
        note: a sentence about them.
    """
    from auricle.detectors.features import save_features
    from auricle.detectors.files import append_trials, describe_parts, describe_trial, save_description, save_scores
    from auricle.detectors.frozen import decide, part_scores
    from auricle.detectors.growing import backbone_of
    from auricle.hub.run_folder import RunFolder, write_card
    from auricle.hub.weight_file import save_encoder

    space, selection = detector.space, detector.selection
    scores = {part.part: part_scores(part, space, config) for part in detector.parts}
    decisions = None
    if config.detector.calibrate != "off":
        decisions = decide(detector.parts, space, config.detector.goal, selection.folds)
    run, encoder, choice = RunFolder(Path(str(config.out))), detector.encoder, selection.kept.choice
    trials = [*map(describe_trial, selection.trials), *more]
    encoder.update_info(name=run.path.name)
    if decisions is not None:
        encoder.set_label_space(decisions.space)
    described = {
        **describe_parts(detector.parts, space, decisions),
        "model": config.model,
        "backbone": backbone_of(encoder),
        "source": config.source,
        "how": config.detector.how,
        "head": {"kind": choice.kind, "settings": choice.settings()},
        "reason": selection.reason,
        "folds": selection.folds,
        "trials": trials,
        "scores": scores,
        "data": understood,
        "notes": [*detector.notes, *([note] if note else [])],
        "left_out": detector.failed,
        "seconds": round(detector.seconds, 3),
        **({"grown_from": detector.growth} if detector.growth else {}),
    }
    with RunFolder.create_whole(run.path, as_plain(config)) as draft:
        append_trials(draft, trials)
        save_features(detector.features, draft.features, space.ids)
        save_scores(draft, detector.parts)
        save_description(draft, described)
        lineage = {"model": config.model, "head": choice.kind, "source": config.source}
        save_encoder(encoder, draft.encoder, lineage=lineage)
    measured = {f"{name} {key}": f"{value:.4f}" for name, part in scores.items() for key, value in part.items()}
    facts = {
        "trained on": f"{len(detector.features)} clips of {config.source}",
        "head": f"{choice} on the frozen encoder",
        **{name: value for name, value in measured.items() if not name.endswith("classes_scored")},
        "seed": config.train.seed,
    }
    write_card(run, encoder.info, facts)
    return run


class DetectorFiles(Callback):
    """Make a run that trained the whole network a detector at its end: its scores, calibration and thresholds."""

    def __init__(self, parts: RunParts, run: RunFolder):
        from auricle.methods.supervised.data import LabelledData

        assert isinstance(parts.data, LabelledData)
        self.config, self.run, self.data = parts.config, run, parts.data

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        from auricle.commands.finetune.grown_network import growth
        from auricle.detectors.files import describe_parts, save_description, save_scores
        from auricle.detectors.frozen import decide, part_scores
        from auricle.detectors.trained import trained_parts
        from auricle.hub.load import read_run
        from auricle.hub.weight_file import describe, save_encoder

        config, run, parts = self.config, self.run, trained_parts(trainer, progress)
        assert isinstance(config, FinetuneConfig)
        encoder = read_run(run.path)
        space = encoder.info.label_space
        if not parts or space is None:
            return
        wanted = config.detector.calibrate == "on"
        decisions = decide(parts, space, config.detector.goal, 1) if wanted else None
        if decisions is not None:
            encoder.set_label_space(decisions.space)
            save_encoder(encoder, run.encoder, lineage=describe(run.encoder)["lineage"])
        save_scores(run, parts)
        start = describe(run.start)["lineage"] if run.start.is_file() else {}
        described = {
            **describe_parts(parts, space, decisions),
            "model": start.get("model", config.model),
            "source": config.source,
            "how": FULL,
            "head": {"kind": FULL, "settings": {}},
            "reason": "the whole network was trained" + (f", from a head {start['head']}" if start else ""),
            "folds": 1,
            "trials": [],
            "scores": {part.part: part_scores(part, space, config) for part in parts},
            "data": described_data(self.data),
            "notes": []
            if decisions is not None
            else ["no validation part: neither calibration nor thresholds were fitted"],
            "left_out": {},
            **growth(config, parts, space),
        }
        save_description(run, described)


class FrameThresholds(Callback):
    """Fit calibration and thresholds to the frames of the validation part at the end of a run that learnt labels of frames."""

    def __init__(self, parts: RunParts, run: RunFolder):
        from auricle.methods.supervised.data import LabelledData

        assert isinstance(parts.data, LabelledData)
        self.config, self.run, self.data = parts.config, run, parts.data

    def on_end(self, trainer: Trainer, progress: TrainProgress) -> None:
        from auricle.core.io import dumps, make_folder, write_text
        from auricle.detectors.trained_frames import decide_frames, describe_frames, scored_windows, scores_at
        from auricle.hub.load import read_run
        from auricle.hub.weight_file import describe, save_encoder

        run, encoder = self.run, read_run(self.run.path)
        space, config = encoder.info.label_space, self.config
        assert isinstance(config, FinetuneConfig)
        named = {"valid": self.data.valid, "test": self.data.test}
        parts = {name: scored_windows(trainer, progress, data) for name, data in named.items() if data is not None}
        if space is None or not parts.get("valid"):
            return
        decisions = decide_frames(parts["valid"], space, config.detector.goal)
        encoder.set_label_space(decisions.space)
        save_encoder(encoder, run.encoder, lineage=describe(run.encoder)["lineage"])
        scores = {name: scores_at(windows, decisions.space) for name, windows in parts.items()}
        make_folder(run.frame_thresholds.parent)
        write_text(run.frame_thresholds, dumps(describe_frames(decisions, scores), indent=1) + "\n")


def detector_files(config: FinetuneConfig, *, always: bool = False) -> tuple[CallbackFactory, ...]:
    """Return what makes a run a detector at its end, or fits thresholds of frames: nothing where its settings do not ask for it.

    Args:
        config: the settings.
        always: also where they ask for no calibration.
    """
    if not (always or config.detector.calibrate == "on"):
        return ()
    if config.data.level == "frames":
        return (lambda parts, run: [FrameThresholds(parts, run)],)
    return (lambda parts, run: [DetectorFiles(parts, run)],)


def store_trials(
    fitted: Fitted,
    run: Path,
    more: Sequence[dict[str, Any]] = (),
    *,
    network_kept: bool = False,
    quiet: bool = False,
) -> None:
    """Append the trials to the results store: what was kept as the model, the others as candidates.

    Args:
        fitted: the detector.
        run: its run folder.
        more: trials of the whole network, as ``detector.json`` lists them.
        network_kept: the whole network was kept, not the head.
        quiet: nothing said.
    """
    from auricle.commands.keep_scores import writable_store
    from auricle.detectors.files import describe_trial
    from auricle.evaluation.result_rows import CANDIDATE, Result
    from auricle.hub.run_folder import environment

    store, note = writable_store(None)
    if note and not quiet:
        say(note)
    machine, detector, config = environment(), fitted.detector, fitted.opened.config

    def row(trial: dict[str, Any], name: str, kept: bool) -> Result:
        scores = {f"fold {k + 1}": score for k, score in enumerate(trial["fold_scores"])}
        return Result(
            model=config.model,
            checksum="",
            task=f"{Path(config.source).name}, held-out folds",
            protocol=f"finetune {name}",
            metric=trial["metric"],
            score=trial["score"],
            std=None if len(scores) < 2 else trial["se"] * len(scores) ** 0.5,
            scores=scores,
            classes=len(detector.space),
            clips=len(detector.features),
            seconds=trial["seconds"],
            role="model" if kept else CANDIDATE,
            environment=machine,
            place=str(run.resolve()),
        )

    selection = detector.selection
    heads = [trial for trial in selection.trials if trial.fold_scores]
    rows = [row(describe_trial(t), str(t.choice), t is selection.kept and not network_kept) for t in heads]
    store.append(rows + [row(trial, trial["head"], network_kept) for trial in more])


def say(*lines: str) -> None:
    """Print lines for people to standard error."""
    print("".join(f"{printable(line)}\n" for line in lines), end="", file=sys.stderr)
