"""``auricle prepare``: audio to log-mel files, published data sets to manifests, and lists of training files."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from auricle.cli.flags import VerbParser, add_flags, config_from, leaves
from auricle.cli.main import EXIT_OK, EXIT_SOME_FAILED, SHOWN_FAILURES, exit_code, print_failures
from auricle.commands.prepare.hear import HearTaskConfig, prepare_hear
from auricle.commands.prepare.lists import AsListConfig, ListConfig, prepare_as_list, prepare_list
from auricle.commands.prepare.log_mel_folder import LmsConfig, prepare_lms
from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.commands.prepare.published import DatasetsConfig, PublishedConfig, prepare_published
from auricle.commands.prepare.shards import ShardsConfig, prepare_shards
from auricle.commands.prepare.speech import SpeechConfig, prepare_speech
from auricle.commands.prepare.teacher import TeacherOutputsConfig, prepare_teacher
from auricle.core.console import number_of, printable
from auricle.data.manifest.manifest import Manifest
from auricle.data.manifest.summary import summarise
from auricle.data.published.base import PublishedDataset
from auricle.data.published.table import DATASETS, published_dataset

JSON = "print the result as JSON"
R = TypeVar("R")


class Prepare:
    """Prepare audio for training: log-mel files, a manifest and statistics in one folder; or a published data set.

      auricle prepare esc10/audio --out prepared --labels esc10/meta.csv
      auricle prepare esc50 ESC-50-master --out esc50 --cache

    The folder holds manifest.csv, lms/<relative path>.npy (raw log-mel, (1, 80, frames)), statistics.json (mean and
    standard deviation of the corpus), prepare.json (the settings) and failed.csv (what could not be used, and why).
    What was understood of the source is printed first (stderr): clips, classes with their counts, one label per clip or several.
    Broken files do not stop the others; the exit code is then 1. The same command continues a run that was stopped.
    """

    @staticmethod
    def add_arguments_for(argv: Sequence[str], parser: VerbParser) -> None:
        """Add the options of a folder of audio, or of the published data set in ``argv``."""
        dataset = named_dataset(argv)
        if dataset is None:
            parser.description = f"{parser.description}\n\n{DATA_SETS}"
            add_flags(parser, PrepareConfig)
        else:
            parser.description = describe_dataset(dataset)
            add_flags(parser, PublishedConfig)
            parser.required["source"] = f"SOURCE, the folder of {dataset.title}{_folder_of_that_name(dataset)}"
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        if hasattr(args, "dataset"):
            return _run_published(config_from(PublishedConfig, args), args.json)
        config = config_from(PrepareConfig, args)
        result = _run_quietly(prepare, config)
        _print_notes((*result.restored, *result.file_notes))
        return _answer(result, "clips prepared", "already finished", args.json, str(result.out / "failed.csv"))


def named_dataset(argv: Sequence[str]) -> PublishedDataset | None:
    """Return the published data set that is the first argument which is not an option nor the value of one."""
    takes_value = {
        leaf.option for config in (PrepareConfig, PublishedConfig) for leaf in leaves(config) if leaf.kind is not bool
    }
    before = ""
    for word in argv:
        if not word.startswith("-") and before not in takes_value:
            return DATASETS.get(word)
        before = word
    return None


def describe_dataset(dataset: PublishedDataset) -> str:
    """Return the help text of a published data set."""
    counts = dataset.expected_text()
    lines = [
        f"Prepare {dataset.title}: a manifest with labels, splits and folds as published.",
        "",
        f"  auricle prepare {dataset.name} FOLDER --out {dataset.name}",
        f"  auricle finetune {dataset.name} --model mn10_as --out runs/{dataset.name}",
        "",
        f"Source: {dataset.url} ({dataset.licence}).",
        f"The folder holds {dataset.layout}.",
        f"Published clips: {counts}.",
        *([dataset.note] if dataset.note else []),
        "",
        PUBLISHED_OUTPUT,
    ]
    return "\n".join(lines)


PUBLISHED_OUTPUT = """\
OUT holds manifest.csv, failed.csv (listed files that are missing or cannot be used, and why; the exit code is then 1) and, with
--cache, waveforms/ with the recordings as samples. The same command continues a run that was stopped."""
DATA_SETS = f"""\
Published data sets, from their official folders (auricle prepare NAME FOLDER --out OUT; 'auricle prepare datasets' describes
them; a folder of audio with such a name is written ./NAME):
  {", ".join(DATASETS)}"""


def _folder_of_that_name(dataset: PublishedDataset) -> str:
    if not os.path.exists(dataset.name):
        return ""
    return f" ('{dataset.name}' is taken as the name of the data set; ./{dataset.name} is the folder of audio)"


def _run_quietly(prepare_source: Callable[..., R], config: Any) -> R:
    """Run one of the ways to prepare a source: print what was understood of it; the notes say what warnings would."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return prepare_source(config, on_read=lambda manifest: _print_source(config.source, manifest))


def _run_published(config: PublishedConfig, as_json: bool) -> int:
    """Prepare a published data set and print the result; return the exit code."""
    result = _run_quietly(prepare_published, config)
    _print_notes(result.restored)
    what = "recordings kept" if config.cache else "recordings read"
    return _answer(result, what, "already finished", as_json, str(result.out / "failed.csv"))


class Datasets:
    """List the published data sets that 'auricle prepare NAME FOLDER --out OUT' reads.

      auricle prepare datasets
      auricle prepare datasets esc50

    A name prints all that is known of that data set: where it is published, its licence, what its folder must hold, and the
    published number of clips.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, DatasetsConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        config = config_from(DatasetsConfig, args)
        chosen = [published_dataset(name) for name in config.names] or list(DATASETS.values())
        if args.json:
            print(json.dumps([dataset.as_plain() for dataset in chosen], indent=1))
        elif config.names:
            print("\n\n".join(map(describe_dataset, chosen)))
        else:
            width = max(map(len, DATASETS)) + 2
            print("\n".join(f"{d.name:<{width}}{d.title}: {d.expected_text()}" for d in chosen))
        return EXIT_OK


class Lms:
    """Turn a folder of audio into a folder of log-mel files with the same relative paths, as the original M2D converter.

      auricle prepare lms FSD50K.dev_audio --out data/fsd50k_lms

    Each OUT/<relative path>.npy is (1, 80, frames), float32 (half precision with --float16), natural log-mel, not
    normalised. Files that exist are kept, so the same command continues a run that was stopped. Broken files are counted
    and listed; the exit code is then 1. 'auricle prepare list' lists the files.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, LmsConfig)
        parser.add_argument("--verbose", action="store_true", help="print the name of every file (stderr)")
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        on_file = (lambda name: print(name, file=sys.stderr)) if args.verbose else None
        result = prepare_lms(config_from(LmsConfig, args), on_file=on_file)
        for note in result.file_notes:
            print(f"note: {printable(note)}", file=sys.stderr)
        return _answer(result, "files converted", "already there", args.json)


class Speech:
    """Prepare speech with the features of a speech model beside the log-mel files, for M2D-S.

      auricle prepare speech LibriSpeech/train-clean-100 --out ls100
      auricle pretrain ls100 --method m2d-s --csv-bg-noise audioset --noise-ratio 0.2

    The folder is what 'auricle prepare' writes, and features/<id>.npy, (1, features, width), 50 a second. The speech
    model comes from the transformers library ([hf] extra), by name or folder. Broken files are counted and listed; the
    exit code is then 1. The same command continues a run that was stopped.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, SpeechConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        config = config_from(SpeechConfig, args)
        result = _run_quietly(prepare_speech, config)
        _print_notes(result.restored)
        return _answer(result, "clips with features", "already finished", args.json)


class TeacherOutputs:
    """Store what a teacher gives for every clip: logits, clip embedding, and with --frames the features over time.

      auricle prepare teacher recordings --model mn10_as --out teacher
      auricle distill recordings --teacher teacher --model mn01_as --out small

    The teacher then runs once, not in every epoch. OUT is an embedding store: outputs are found by clip id, of the whole
    clip, or of its first --seconds. Broken files are counted and listed; the exit code is then 1. The same command continues
    a store that was stopped, adds clips that are new, and computes those again whose file changed.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, TeacherOutputsConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        config = config_from(TeacherOutputsConfig, args)
        result = prepare_teacher(config, on_read=lambda manifest: _print_source(config.source, manifest))
        _print_notes(result.notes)
        return _answer(result, "clips with the outputs of the teacher", "already there", args.json)


class Shards:
    """Write recordings and their labels as tar shards in the layout of webdataset, with a manifest that training reads.

      auricle prepare shards esc50/audio --labels esc50/meta.csv --out shards
      auricle finetune shards --model mn10_as --out runs/esc50

    OUT holds <split>-000000.tar with its index, and so on (clips-… where there are no splits), manifest.csv and
    failed.csv (recordings that are damaged, and why; the exit code is then 1). A crop is read from a shard on a disk, or with
    --url from an address that fsspec knows ([cloud] extra). The same command continues a run that was stopped.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ShardsConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        config = config_from(ShardsConfig, args)
        result = _run_quietly(prepare_shards, config)
        _print_notes(result.restored)
        what = f"recordings written to {number_of(result.shards, 'shard')} of {result.size / 1e6:,.1f} MB"
        return _answer(result, what, "already there", args.json, str(result.out / "failed.csv"))


class HearTaskFolder:
    """Write a task folder in HEAR's format: audio at the sample rates of encoders, labels, splits and a vocabulary.

      auricle prepare hear esc10/audio --labels esc10/meta.csv --out tasks/esc10-v1-full
      auricle evaluate --suite suite.yaml --model mn04_as     with 'adapter: hear' in suite.yaml

    Folds of the table stay folds; parts of a table (train, valid, test) stay parts, and every tenth training clip validates where
    none does; --split-by groups makes a fold of every group. A table with events makes a task of events. Audio that is there
    already is kept, so that the same command continues.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, HearTaskConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        config = config_from(HearTaskConfig, args)
        result = prepare_hear(config, on_read=lambda manifest: _print_source(config.source, manifest))
        return _answer(result, "clips written", "already there", args.json)


class FileList:
    """List training files: a CSV with the column file_name, sorted, relative to the data root.

      auricle prepare list data/fsd50k_lms --out data/files_fsd50k.csv

    The data root is the folder of the list, unless --root names another.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, ListConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        result = prepare_list(config_from(ListConfig, args))
        answer = {"out": str(result.out), "rows": result.rows, "unlisted": result.unlisted}
        for name in result.unlisted:
            print(f"failed: the folder {name} cannot be listed", file=sys.stderr)
        print(json.dumps(answer) if args.json else f"{result.out}: {result.rows} files")
        return EXIT_SOME_FAILED if result.unlisted else EXIT_OK


class AudioSetList:
    """Make the weighted AudioSet list of M2D-AS: a CSV with the columns file_name, label (class ids) and weight.

      auricle prepare as-list data/files_audioset.csv eval_segments.csv balanced_train_segments.csv \\
          unbalanced_train_segments.csv --out data/files_as_weighted.csv

    A clip's id is the first 11 characters of its file name. A class with n clips in the list weighs 1000 / (n + 100)
    (--offset); a clip weighs the sum over its classes to the power of 1 / 1.5. Files that no segment list contains are left out and
    counted; the exit code is then 1.
    """

    @staticmethod
    def add_arguments(parser: VerbParser) -> None:
        add_flags(parser, AsListConfig)
        parser.add_argument("--json", action="store_true", help=JSON)

    @staticmethod
    def run(args: argparse.Namespace) -> int:
        result = prepare_as_list(config_from(AsListConfig, args))
        if result.unknown:
            more = ", …" if len(result.unknown) > SHOWN_FAILURES else ""
            names = ", ".join(result.unknown[:SHOWN_FAILURES]) + more
            print(f"{len(result.unknown)} files are in no segment list and were left out: {names}", file=sys.stderr)
        answer = {**asdict(result), "out": str(result.out)}
        print(json.dumps(answer) if args.json else f"{result.out}: {result.rows} clips, {result.classes} classes")
        return EXIT_SOME_FAILED if result.unknown else EXIT_OK


def _print_source(source: str, manifest: Manifest) -> None:
    """Print what was understood of a source, and the notes about it."""
    print(f"{source}: {summarise(manifest)}", file=sys.stderr)
    _print_notes(manifest.notes)


def _print_notes(notes: Sequence[str]) -> None:
    for note in notes:
        print(f"note: {note}", file=sys.stderr)


def _answer(result: Any, done: str, before: str, as_json: bool, where: str = "") -> int:
    """Print the failures and the summary of a preparation; return the exit code."""
    print_failures(result.failed, where)
    if as_json:
        print(json.dumps({**asdict(result), "out": str(result.out)}, indent=1))
    else:
        kept = f", {result.skipped} {before}" if result.skipped else ""
        failed = f", {len(result.failed)} failed" if result.failed else ""
        print(f"{result.out}: {result.done} {done} in {result.seconds:.1f} s{kept}{failed}")
    return exit_code(result.done + result.skipped, len(result.failed))
