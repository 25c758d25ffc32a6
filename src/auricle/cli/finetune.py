"""Teach an encoder the labels of recordings.

auricle finetune FOLDER --model mn04_as --out RUN             folders named by class, or a table with a column label: seconds
auricle finetune sounds --labels labels.csv --fold 1          a table beside the recordings; fold 1 is tested (all: every fold)
auricle finetune night --unlabelled negative                  recordings with label tracks (Audacity, Raven) beside them
auricle finetune sounds --how full                            train the whole network; any option of training means it too
auricle finetune sounds --model RUN --freeze encoder          from a run of yours; only the head learns
auricle finetune sounds --recipe m2d-esc50 --model W          the settings of a published recipe; options given beside win
auricle finetune NEW --from RUN                               a detector of yours grows: more clips, more classes, nothing forgotten
auricle finetune --continue RUN                               continue exactly where it stopped
auricle tag new-recordings --model RUN                        use it
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import MISSING, asdict
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.cli.flags import VerbParser, add_flags, config_from, typed_options
from auricle.cli.main import EXIT_OK, EXIT_SOME_FAILED
from auricle.cli.run_length import follow_typed_length, typed_values
from auricle.core.errors import AuricleError
from auricle.core.io import dumps
from auricle.methods.registry import find_method, preset_values
from auricle.methods.supervised.config import FinetuneConfig

if TYPE_CHECKING:
    from auricle.commands.finetune.finetune import FinetuneResult


OF_TRAINING = {"max_updates", "batch_size", "lr", "precision", "seed", "threshold_for", "false_alarms_per_hour"}


def add_arguments_for(argv: Sequence[str], parser: VerbParser) -> None:
    add_options(argv, parser, FinetuneConfig, "supervised")
    parser.advanced |= OF_TRAINING  # most detectors need no option of training


def add_options(argv: Sequence[str], parser: VerbParser, settings: type[FinetuneConfig], method: str) -> None:
    """Add the settings of a method that learns from labels or a teacher, and what every training verb has."""
    add_flags(parser, settings)
    parser.set_defaults(method=method, settings=settings, verb_name=find_method(method).verb)
    follow_typed_length(argv, parser)
    for name in ("method", "source"):  # not needed with --continue
        parser.required.pop(name, None)
    recipes = find_method(method).presets
    parser.add_argument("--recipe", metavar="NAME", help=f"published settings: {', '.join(recipes)}")
    if names := typed_values("recipe", argv):
        parser.set_defaults(**preset_values(method, names[-1]))
    parser.add_argument("--continue", dest="continue_from", metavar="RUN", help="continue this run where it stopped")
    parser.add_argument("--allow", nargs="+", default=(), metavar="NAME", help="settings that --continue may change")
    parser.add_argument("--dry-run", action="store_true", help="print what the run would cost; train nothing")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.advanced |= {"allow", "method", "resume", "recipe"}


def run(args: argparse.Namespace) -> int:
    from auricle.commands.finetune.finetune import continue_finetune, detector_run, finetune_run
    from auricle.compat.original_run import original_callbacks
    from auricle.hub.run_folder import RunFolder

    if args.continue_from:
        if args.dry_run:
            raise AuricleError("--dry-run is about a new run, --continue about an old one; say one of them")
        allow = tuple(name.replace("-", "_") for name in args.allow)
        changes, folder = typed_options(args, args.settings), Path(args.continue_from)
        watchers = original_callbacks(folder)
        result = continue_finetune(
            folder, changes, verb=args.verb_name, allow=allow, callbacks=watchers, quiet=args.quiet
        )
        return answer(result, args.json)
    if args.source is MISSING:
        verb = args.verb_name
        raise AuricleError(
            f"name the recordings: auricle {verb} DATA --model mn04_as (or auricle {verb} --continue RUN)"
        )
    config = config_from(args.settings, args)
    if args.dry_run:
        from auricle.commands.finetune.whole_network import of_training
        from auricle.training.run import dry_run

        cost = dry_run(of_training(config, typed_options(args, args.settings), args.recipe or ""))
        print(dumps(asdict(cost)) if args.json else cost)
        return EXIT_OK
    if config.out and RunFolder(Path(config.out)).is_of_this_launch():  # torchrun started these processes again
        watchers = original_callbacks(Path(config.out))
        result = continue_finetune(Path(config.out), verb=args.verb_name, callbacks=watchers, quiet=args.quiet)
        return answer(result, args.json)
    if args.method != "supervised":
        return answer(finetune_run(config, quiet=args.quiet), args.json)
    named = typed_options(args, args.settings)
    return answer(detector_run(config, named, recipe=args.recipe or "", quiet=args.quiet), args.json)


def answer(result: FinetuneResult, as_json: bool) -> int:
    """Print the scores and where the run is; return 1 when clips could not be read and were replaced."""
    if int(os.environ.get("RANK", 0)):
        return EXIT_OK
    training = result.training
    if as_json:
        values = {} if training is None else asdict(training)
        values |= {"run": str(result.run), "validation": result.validation, "test": result.test}
        more = {"detector": result.detector, "classes": result.classes, "frames": result.frames}
        print(dumps(values | {name: value for name, value in more.items() if value}))
    else:
        print(length_of(result))
        held_out = "train" in result.detector.get("scores", {}) and "valid" not in result.detector["scores"]
        validation = f"{result.detector['folds']} held-out folds of the training clips" if held_out else "validation"
        for name, scores in ((validation, result.validation), ("test", result.test)):
            if scores:
                print(f"{name}: " + ", ".join(f"{key} {_score(key, value)}" for key, value in scores.items()))
        if result.classes:
            print(class_table(result.classes))
        if result.detector.get("grown_from"):
            from auricle.detectors.growing import comparison_lines

            print("\n".join(comparison_lines(result.detector["grown_from"])))
        report = result.run / "report.html"
        if report.is_file():
            print(f"report: {report}")
        if line := thresholds_of(result):
            print(line)
            for note in (result.detector or result.frames)["thresholds"]["notes"]:
                print(f"note: {note}")
        for part, scores in result.frames.get("scores_at_thresholds", {}).items():
            print(f"at these thresholds, {part}: " + ", ".join(f"{key} {value:.4f}" for key, value in scores.items()))
        print(f"use it: auricle tag RECORDINGS --model {result.run}")
    sys.stdout.flush()
    return EXIT_SOME_FAILED if result.replaced else EXIT_OK


CLASSES_SHOWN = 30


def class_table(classes: dict[str, dict[str, float]]) -> str:
    """Return a table with a line per class, those with the most events first."""
    names = sorted(classes, key=lambda name: -classes[name]["events"])
    width = max(5, *(len(name) for name in names[:CLASSES_SHOWN]))
    lines = [f"{'class':{width}}  segment F  event F  onset F  events  found"]
    for name in names[:CLASSES_SHOWN]:
        row = classes[name]
        scores = f"{row['segment_f']:9.3f}  {row['event_f']:7.3f}  {row['onset_f']:7.3f}"
        lines.append(f"{name:{width}}  {scores}  {row['events']:6d}  {row['found']:5d}")
    if len(names) > CLASSES_SHOWN:
        lines.append(f"and {len(names) - CLASSES_SHOWN} more (--json has all)")
    return "\n".join(lines)


def thresholds_of(result: FinetuneResult) -> str:
    """Return a line about calibration and thresholds; "" where there are none."""
    calibration, thresholds = ((result.detector or result.frames).get(name) for name in ("calibration", "thresholds"))
    if not calibration or not thresholds:
        return ""
    before, after = (calibration[name] for name in ("ece_before", "ece_after"))
    error = f"; calibration error {before:.4f} before, {after:.4f} after" if before is not None else ""
    if reason := calibration.get("reason"):
        error += f" ({reason})"
    elif before is not None and after > before:
        error += " (with few clips, certain scores are made less certain on purpose)"
    return f"thresholds for {thresholds['goal']['in_words']}, from {calibration['fitted_on']}{error}"


def length_of(result: FinetuneResult) -> str:
    """Return a line about how long was learnt, or which head was fitted."""
    from auricle.training.log import updates_and_epochs

    training, detector = result.training, result.detector
    if training is None:
        clips = detector["parts"].get("train", {}).get("clips", "all")
        return f"{result.run}: {detector['head']['kind']} head on the frozen encoder, {clips} clips, {detector['seconds']:.1f} s"
    length = updates_and_epochs(training.steps, training.epochs)
    if training.already:
        return f"{result.run} is finished: {length}; nothing to continue"
    return f"{result.run}: {length}, loss {training.loss:.4f}"


def _score(name: str, value: float) -> str:
    return f"{value:.0f}" if name == "classes_scored" else f"{value:.4f}"  # the one that counts
