"""Train the whole network from a head that was fitted on its frozen features, alone or as a rival of the frozen heads.

All training is one run of ``training.run.train`` whose ``--model`` is ``start.safetensors`` of the run folder: the encoder with
the fitted head.
"""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Callable, Collection
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auricle.commands.finetune.detector import FULL, Fitted, detector_files, options_of_training, say
from auricle.core.console import duration
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.methods.supervised.config import FinetuneConfig

if TYPE_CHECKING:
    from auricle.detectors.files import PartScores
    from auricle.detectors.frozen_heads import FrozenHead
    from auricle.detectors.whole_network import NetworkComparison
    from auricle.methods.supervised.data import LabelledData
    from auricle.training.run import CallbackFactory

LONGER = 1.2  # than the median clip: clips of unequal lengths
Train = Callable[..., Any]  # (config, callbacks=, quiet=) -> the result of a run
Result = TypeVar("Result")


@dataclass(frozen=True)
class Plan:
    """A training of the whole network that is tried beside frozen heads: its settings, and about how long it takes."""

    config: FinetuneConfig
    seconds: float


def follows_a_head(config: FinetuneConfig, named: Collection[str], recipe: str) -> bool:
    """Return True if training of the whole network begins from a fitted head: no option of training and no recipe is given."""
    several = int(os.environ.get("WORLD_SIZE", 1)) > 1
    return not (recipe or several or options_of_training(config, named))


def of_training(config: FinetuneConfig, named: Collection[str], recipe: str = "") -> FinetuneConfig:
    """Return the settings by which the whole network is trained, without the head that is fitted before."""
    from auricle.detectors.whole_network import FROM_FITTED_HEAD

    config = with_values(config, {"how": FULL})
    if config.method != "supervised" or not follows_a_head(config, named, recipe):
        return config
    return with_values(config, FROM_FITTED_HEAD)


def with_fitted_start(config: FinetuneConfig, *, quiet: bool = False) -> FinetuneConfig:
    """Fit the best frozen head, and return the settings of a training that begins from it.

    Clips that are stored spectrograms alone have no frozen features: the settings are then returned as they are.

    Raises:
        AuricleError: for what cannot be learnt, and for a folder that holds something; nothing is written then.
    """
    from auricle.detectors.frozen import chosen_metric, kinds_of, select_head
    from auricle.detectors.whole_network import FROM_FITTED_HEAD
    from auricle.hub.run_folder import RunFolder
    from auricle.training.run import default_folder

    config = replace(config, out=config.out or default_folder(config))
    RunFolder.check_free(Path(str(config.out)))
    data = open_quietly(config)
    assert data.space is not None
    if data.dataset.manifest.clips[0].path is None:
        if not quiet:
            say("stored spectrograms: the head begins anew, for a frozen head is fitted on recordings")
        return config
    features = reader_of(data, config, quiet)(data.dataset.manifest)[0]
    kind, metric = data.space.kind, chosen_metric(config, data.space)
    selection = select_head(features, kinds_of(config), kind, metric, seed=config.train.seed)
    if not quiet:
        say(f"{selection.reason}; the whole network is trained from it, at a low rate (--lr or --epochs: as you say)")
    values = {**FROM_FITTED_HEAD, **clip_windows(config, data)}
    return save_start(with_values(config, values), data, selection.kept.choice, features)


def clip_windows(config: FinetuneConfig, data: LabelledData) -> dict[str, Any]:
    """Return settings by which clips are learnt at about their own length, and scored in consecutive windows of it.

    A head that was fitted on whole clips would not know clips that are mostly zeros behind their end, as short ones are where
    the longest clip is the length of all. {} where clips are about as long as the longest, or a length is given.
    """
    import numpy as np

    lengths = data.dataset.manifest.table.seconds()
    median, seconds = float(np.nanmedian(lengths)), 0.0 if data.description is None else data.description.seconds
    cut = data.parts is not None and data.parts.seconds is not None
    if config.data.seconds is not None or cut or seconds <= LONGER * median:
        return {}
    return {"seconds": round(median, 3), "eval_windows": "consecutive"}


def save_start(config: FinetuneConfig, data: LabelledData, choice: FrozenHead, features: Any) -> FinetuneConfig:
    """Write ``start.safetensors`` with a head fitted on features, and return the settings of a training that begins from it."""
    from auricle.core.io import make_folder
    from auricle.detectors.frozen_heads import fit_head
    from auricle.hub.run_folder import RunFolder
    from auricle.hub.weight_file import save_encoder

    assert data.encoder is not None
    assert data.space is not None
    run, head = RunFolder(Path(str(config.out))), fit_head(choice, features, data.space.kind)
    encoder = data.encoder.without_head().with_head(head, data.space)
    make_folder(run.path, "choose another --out")
    save_encoder(encoder, run.start, lineage={"model": config.model, "source": config.source, "head": str(choice)})
    return with_values(config, {"model": str(run.start), "weights": None})


def trained_from_start(config: FinetuneConfig, train: Callable[[], Result]) -> Result:
    """Train, and leave no start behind where that is refused before it begins."""
    from auricle.hub.run_folder import RunFolder

    try:
        return train()
    except AuricleError:
        run = RunFolder(Path(str(config.out)))
        if not run.config.exists() and run.start.exists():
            run.start.unlink()
            run.path.rmdir()
        raise


def planned(config: FinetuneConfig, named: Collection[str], data: LabelledData, quiet: bool = False) -> Plan | str:
    """Return the training that ``--how auto`` tries beside frozen heads, or why there is none.

    It is tried where the median class has enough clips to learn from, and where a few measured steps say that it ends in time.
    """
    from auricle.detectors.selection import FOLDS
    from auricle.detectors.whole_network import FROM_FITTED_HEAD, MOST_MINUTES, why_too_few
    from auricle.training.run import dry_run

    if config.data.fold == "all":
        return "--fold all tests frozen heads alone"
    if "heads" in named:
        return "--heads names what is tried"
    if reason := why_too_few(data.targets()):
        return reason
    drawn = data.valid is None and "valid_ratio" not in named
    groups = {clip.id if clip.group is None else clip.group for clip in data.dataset.manifest}
    if drawn and len(groups) < 2:
        return "one group alone cannot be divided into clips to learn from and clips to compare on"
    values = {
        **FROM_FITTED_HEAD,
        **clip_windows(config, data),
        "how": FULL,
        "select": "last",
        "calibrate": config.detector.calibrate,
    }
    values |= {"valid_ratio": 1 / min(FOLDS, len(groups))} if drawn else {}  # the first inner fold
    values |= {"calibrate": "on"} if config.detector.calibrate == "auto" else {}
    wanted = with_values(config, values)
    if not quiet:
        say("measuring what a training of the whole network would take")
    with redirect_stderr(io.StringIO()):
        seconds = dry_run(wanted).seconds
    minutes = config.detector.autotune or MOST_MINUTES
    if seconds > 60 * minutes:
        limit = "--autotune gives" if config.detector.autotune else "it is tried where it takes at most"
        return f"it would take about {duration(seconds)}, and {limit} {duration(60 * minutes)} (--how full trains it)"
    return Plan(wanted, seconds)


@dataclass(frozen=True)
class Rivalry:
    """What a try of the whole network gave.

    Attributes:
        kept: whether its run folder stays, because it is clearly better than the frozen head.
        reason: a sentence that says so, or why not.
        trial: as ``detector.json`` lists trials.
        result: of the run.
    """

    kept: bool
    reason: str
    trial: dict[str, Any]
    result: Any = None


def try_whole_network(plan: Plan, fitted: Fitted, train: Train, *, quiet: bool = False) -> Rivalry:
    """Train the whole network from the kept head on all inner folds but one, and compare both on that one.

    A network that is clearly better stays in the run folder; the folder of another one is removed.

    Args:
        plan: the settings of the training.
        fitted: the frozen heads.
        train: starts a run (``commands.finetune.finetune_run``).
        quiet: no progress.
    """
    from auricle.detectors.frozen import chosen_metric
    from auricle.detectors.frozen_heads import fit_head, logits_of
    from auricle.detectors.whole_network import compare
    from auricle.hub.run_folder import RunFolder

    started = time.monotonic()
    choice, whole = fitted.detector.selection.kept.choice, fitted.opened.config.data.seconds
    data = open_quietly(plan.config)
    if data.valid is None or data.space is None:
        return Rivalry(False, "the whole network is not trained: no clips to validate on", {})
    reader = reader_of(data, with_values(plan.config, {"heads": (choice.kind,), "seconds": whole}), quiet)
    learnt, held = reader(data.dataset.manifest)[0], reader(data.valid.dataset.manifest)[0]
    if not quiet:
        say(f"training the whole network from the {choice.kind} head, about {duration(plan.seconds)}")
    config = save_start(plan.config, data, choice, learnt)
    callbacks: tuple[CallbackFactory, ...] = detector_files(config, always=True)
    result = trained_from_start(config, partial(train, config, callbacks=callbacks, quiet=quiet))
    frozen = _part(held, logits_of(fit_head(choice, learnt, data.space.kind), held))
    metric, seed = chosen_metric(config, data.space), config.train.seed
    found = compare(_validation(result.run), frozen, data.space.kind, metric, seed=seed)
    trial = _trial(found, config, time.monotonic() - started)
    if not found.clearly_better:
        shutil.rmtree(RunFolder(result.run).path)
        return Rivalry(False, f"the frozen head is kept; the whole network was trained too: {found}", trial)
    reason = f"the whole network is kept, trained from a {choice.kind} head: {found}"
    return Rivalry(True, reason, trial, result)


def finish_kept(rivalry: Rivalry, fitted: Fitted) -> dict[str, Any]:
    """Add the trials and the reason to the files of the run that trained the whole network; return its description."""
    from auricle.detectors.files import append_trials, describe_trial, load_description, save_description
    from auricle.hub.run_folder import RunFolder

    run = RunFolder(rivalry.result.run)
    trials = [*map(describe_trial, fitted.detector.selection.trials), rivalry.trial]
    described = load_description(run.path) | {"trials": trials, "reason": rivalry.reason}
    save_description(run, {name: value for name, value in described.items() if name != "format"})
    append_trials(run, trials)
    return described


def _trial(found: NetworkComparison, config: FinetuneConfig, seconds: float) -> dict[str, Any]:
    return {
        "head": FULL,
        "settings": {"lr": config.train.lr, "layer_decay": config.learning.layer_decay, "epochs": config.train.epochs},
        "metric": found.metric,
        "score": found.score,
        "se": None,
        "fold_scores": [found.score],
        "loss": found.loss,
        "seconds": round(seconds, 3),
        "clips": found.clips,
        "frozen_score": found.frozen,
        "gain": found.gain,
        "gain_se": found.error,
    }


def open_quietly(config: FinetuneConfig) -> LabelledData:
    """Open clips that the run opens too, which says what there is to say about them."""
    from auricle.methods.supervised.data import open_labelled
    from auricle.training.distributed import dist_context

    with redirect_stderr(io.StringIO()), dist_context(config.train.device, quiet=True) as dist:
        return open_labelled(config, dist)


def reader_of(data: LabelledData, config: FinetuneConfig, quiet: bool) -> Any:
    """Return what reads the frozen features of clips (``detectors.frozen.FeatureReader``)."""
    from auricle.detectors.frozen import FeatureReader
    from auricle.embeddings.cache import EmbeddingCache

    assert data.encoder is not None
    return FeatureReader(data.encoder, data, config, EmbeddingCache(), quiet)


def _part(features: Any, logits: Any) -> PartScores:
    from auricle.detectors.files import PartScores

    return PartScores.of("valid", features, logits)


def _validation(run: Path) -> PartScores:
    from auricle.detectors.files import load_scores

    return next(part for part in load_scores(run) if part.part == "valid")
