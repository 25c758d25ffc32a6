"""The verbs, of one word or two: where each lives and what it is for. Nothing is imported until a verb is called."""

from __future__ import annotations

from typing import NamedTuple


class Verb(NamedTuple):
    module: str
    summary: str


VERBS = {
    "demo": Verb("auricle.cli.demo", "the main job on a laptop in minutes, with a report to look at"),
    "prepare": Verb("auricle.cli.prepare", "audio to a manifest, log-mel files and statistics; resumable"),
    "prepare lms": Verb("auricle.cli.prepare_lms", "a folder of sound to log-mel files with the same relative paths"),
    "prepare list": Verb("auricle.cli.prepare_list", "a list of training files (CSV) from a folder"),
    "prepare as-list": Verb("auricle.cli.prepare_as_list", "the weighted AudioSet list of M2D-AS"),
    "prepare speech": Verb(
        "auricle.cli.prepare_speech", "speech to log-mel files with a speech model's features (M2D-S)"
    ),
    "pretrain": Verb("auricle.cli.pretrain", "pre-train an encoder on unlabelled recordings"),
    "evaluate": Verb("auricle.cli.evaluate", "measure an encoder on a labelled task"),
    "evaluate set": Verb("auricle.cli.evaluate_set", "measure an encoder on every task of a task-set file"),
    "results": Verb("auricle.cli.results", "every score measured here: filter, compare, export"),
    "report": Verb("auricle.cli.report", "rebuild the report of a run, or compare several runs"),
    "tag": Verb("auricle.cli.tag", "what is heard in files, folders and long recordings"),
    "embed": Verb("auricle.cli.embed", "embeddings of files, folders and manifests"),
    "models": Verb("auricle.cli.models", "published weights: list, show, get, convert, verify"),
    "complexity": Verb("auricle.cli.complexity", "parameters, operations, memory, receptive field, speed here"),
    "advise": Verb("auricle.cli.advise", "which recipe fits my data and machine, why, at what cost, and the command"),
    "doctor": Verb("auricle.cli.doctor", "what works on this machine, and how to get what does not"),
    "original": Verb("auricle.cli.original", "the command lines of the original programs"),
}
