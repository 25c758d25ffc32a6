"""``auricle VERB …``: find the verb, read its options, run it. Answers go to stdout, progress and errors to stderr.

Exit codes: 0 all done, 1 some items failed (the others are done), 2 nothing could be done, 130 interrupted.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import warnings
from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from auricle.cli import aliases
from auricle.cli.flags import VerbParser, with_dashes
from auricle.core import interrupts
from auricle.core import io as temporary
from auricle.core.console import ReaderGoneError, command_streams, printable
from auricle.core.devices import POLICY
from auricle.core.errors import AuricleError, nearest
from auricle.core.interrupts import EXIT_INTERRUPTED
from auricle.core.io import failure_of_machine
from auricle.version import __version__

EXIT_OK, EXIT_SOME_FAILED, EXIT_NOTHING_DONE = 0, 1, 2
SHOWN_FAILURES = 10
LINE_BREAK = "\n"


class Verb(NamedTuple):
    """Where a verb lives, and what it is for. Nothing is imported until it is called.

    The module, or the class ``entry`` in it, has a docstring (the help text), ``add_arguments(parser)`` or
    ``add_arguments_for(args, parser)``, and ``run(values) -> exit code or None``.
    """

    module: str
    summary: str
    entry: str = ""
    computes: bool = True  # runs networks: threads are chosen by the load of the machine


TOPICS = {
    "first steps": {
        "demo": Verb("demo", "train and measure a small encoder in minutes, with a report to look at"),
        "advise": Verb("advise", "propose a recipe for my data and machine: why, at what cost, which command"),
        "doctor": Verb("doctor", "check what works on this machine, and how to get what does not"),
    },
    "find out what is in recordings": {
        "tag": Verb("tag", "label files, folders and long recordings"),
        "stream": Verb("stream", "listen to a microphone, a network stream or a pipe, and print events as they happen"),
        "review": Verb(
            "review", "answer whether detections are right: precision, thresholds and labels from the answers"
        ),
        "embed": Verb("embed", "compute embeddings of files, folders and tables"),
        "index": Verb(
            "index", "make recordings searchable: vectors, scores and events of every window, kept up to date"
        ),
        "search": Verb("search", "find where else a sound is, or a label, in an index of recordings"),
    },
    "look at recordings in a browser": {
        "serve": Verb("serve", "open a page for recordings: labels, similar sounds, review, training; and an HTTP API"),
    },
    "run it elsewhere": {
        "export": Verb(
            "export", "write a model as one graph for ONNX Runtime, OpenVINO, LiteRT or a browser, with a certificate"
        ),
    },
    "train an encoder": {
        "prepare": Verb("prepare", "turn audio into log-mel files, a manifest and statistics", "Prepare"),
        "prepare datasets": Verb(
            "prepare", "list the published data sets that can be prepared", "Datasets", computes=False
        ),
        "prepare lms": Verb("prepare", "turn a folder of audio into log-mel files with the same paths", "Lms"),
        "prepare list": Verb("prepare", "list the training files of a folder (CSV)", "FileList"),
        "prepare as-list": Verb("prepare", "make the weighted AudioSet list of M2D-AS", "AudioSetList"),
        "prepare speech": Verb("prepare", "prepare speech with the features of a speech model (M2D-S)", "Speech"),
        "prepare shards": Verb("prepare", "write recordings and labels as tar shards (webdataset)", "Shards"),
        "prepare hear": Verb("prepare", "write a task folder in HEAR's format", "HearTaskFolder"),
        "prepare teacher": Verb("prepare", "store the outputs of a teacher for distill", "TeacherOutputs"),
        "check": Verb("check", "find what is wrong with recordings and labels, before training", computes=False),
        "pretrain": Verb("pretrain", "pre-train an encoder on recordings without labels"),
        "finetune": Verb("finetune", "teach an encoder the labels of recordings"),
        "suggest": Verb("suggest", "find the clips most worth a label, with a page to label them on"),
        "distill": Verb("distill", "teach a small encoder what a large one gives"),
    },
    "measure an encoder": {
        "evaluate": Verb("evaluate", "measure an encoder on labelled recordings, or on a suite of tasks"),
        "results": Verb("results", "show, compare and export every score measured here", "Results", computes=False),
        "report": Verb("results", "write the page of a run, or compare runs", "Report", computes=False),
        "complexity": Verb("complexity", "count parameters, operations and memory; measure speed here"),
    },
    "weights": {
        "models list": Verb("models", "list the published weights", "ListModels", computes=False),
        "models show": Verb("models", "show all that is known of a weight, a file or a run", "Show", computes=False),
        "models recipes": Verb("models", "list the published recipes", "Recipes", computes=False),
        "models get": Verb("models", "download, check, convert and keep published weights", "Get"),
        "models convert": Verb("models", "write a weight in another layout", "Convert"),
        "models merge": Verb("models", "make one detector of several on one backbone", "Merge", computes=False),
        "models push": Verb("models", "publish a model on the Hugging Face Hub", "Push", computes=False),
        "models verify": Verb("models", "check that weights are what they should be", "Verify"),
        "original": Verb("original", "run the command lines of the original programs"),
    },
}
VERBS = {name: verb for verbs in TOPICS.values() for name, verb in verbs.items()}


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code; one of several processes (torchrun) ends here."""
    if argv is None:
        interrupts.install()
        restart_in_utf8()
    with command_streams():
        code = run(argv)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        from auricle.training.distributed import exit_process

        temporary.remove_scratch_folder()
        exit_process(code)
    if argv is None:
        interrupts.uninstall()
    return code


def restart_in_utf8() -> None:
    """Start the interpreter again in its UTF-8 mode where the locale has another encoding: file names are UTF-8 there too."""
    if sys.platform != "win32" and sys.executable and sys.getfilesystemencoding().lower() != "utf-8":
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def run(argv: list[str] | None = None) -> int:
    """Run one command line. A mistake of the caller, a full disk or Ctrl-C becomes one clear line and an exit code."""
    try:
        try:
            return run_line(list(sys.argv[1:] if argv is None else argv))
        finally:
            sys.stdout.flush()
    except AuricleError as error:
        return refuse(str(error))
    except ReaderGoneError:
        return EXIT_OK
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        reason = failure_of_machine(error)
        if reason is None:
            raise
        return refuse(reason)


def run_line(args: list[str]) -> int:
    """Run a command line; what it cannot do is raised."""
    warnings.formatwarning = format_warning
    if args[1:] and args[0] == "help":  # auricle help VERB
        args = [*args[1:], "--help"]
    if not args or args[0] in ("help", "-h", "--help"):
        print(overview())
        return EXIT_OK if args else EXIT_NOTHING_DONE
    if args[0] == "--version":
        print(f"auricle {__version__}")
        return EXIT_OK
    family = [name for name in VERBS if name.startswith(f"{args[0]} ")]
    actions = [name.partition(" ")[2] for name in family]
    close = difflib.get_close_matches(args[1], actions, n=1, cutoff=0.7) if args[1:] else []
    if close and args[0] in VERBS and args[1] not in actions and not os.path.exists(args[1]):
        raise AuricleError(f"'{args[1]}' does not exist; did you mean 'auricle {args[0]} {close[0]}'?")
    for verb in (" ".join(args[:2]), args[0]):
        if verb in VERBS or verb in aliases.VERBS:
            return run_verb(verb, args[verb.count(" ") + 1 :])
    if family:
        return run_family(args, family)
    close = difflib.get_close_matches(args[0], VERBS, n=1)
    hint = f"did you mean 'auricle {close[0]}'?" if close else "'auricle --help' lists the verbs"
    raise AuricleError(f"unknown verb '{args[0]}'; {hint}")


def format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Return a warning of this package as one line like those of errors; another's with its place in the source."""
    if filename.startswith(os.path.dirname(os.path.dirname(__file__)) + os.sep):
        return f"auricle: {printable(str(message), keep=LINE_BREAK)}\n"
    return f"{filename}:{lineno}: {category.__name__}: {message}\n"


def run_family(args: Sequence[str], family: Sequence[str]) -> int:
    """Print the actions of a verb that needs one (``auricle models``)."""
    actions = [name.partition(" ")[2] for name in family]
    if args[1:] and args[1] not in ("-h", "--help"):
        raise AuricleError(f"'auricle {args[0]}' has no action '{args[1]}'{nearest(args[1], actions)}")
    print(
        f"usage: auricle {args[0]} {{{','.join(actions)}}} [options]\n\n{rows({name: VERBS[name] for name in family})}"
    )
    return EXIT_OK if args[1:] else EXIT_NOTHING_DONE


def rows(verbs: Mapping[str, Verb]) -> str:
    width = max(map(len, VERBS)) + 2
    return "\n".join(f"  {name:<{width}}{verb.summary}" for name, verb in verbs.items())


def run_verb(verb: str, args: Sequence[str]) -> int:
    verb, values = read(verb, args)
    if VERBS[verb].computes:
        POLICY.start()  # before PyTorch is imported
        temporary.use_for_processes()
    return entry_of(verb).run(values) or EXIT_OK


def read(verb: str, args: Sequence[str]) -> tuple[str, Namespace]:
    """Parse the arguments after a verb, including old spellings.

    Returns:
        The verb as it is named now, and the values of its options.

    Raises:
        AuricleError: An argument is unknown or missing.
    """
    verb, args = aliases.translate(verb, with_dashes(args))
    parser = parser_of(verb, args)
    values, extra = parser.read(args)
    if extra := aliases.place(verb, values, extra):
        raise AuricleError(f"{parser.prog} does not take '{extra[0]}'; {parser.prog} --help shows an example")
    parser.check_required(values)
    return verb, values


def parser_of(verb: str, args: Sequence[str] = ()) -> VerbParser:
    """Return the parser of a verb; its arguments may determine which options it has."""
    entry = entry_of(verb)
    parser = VerbParser(verb, entry.__doc__ or "")
    if hasattr(entry, "add_arguments_for"):
        entry.add_arguments_for(args, parser)
    else:
        entry.add_arguments(parser)
    return parser


def entry_of(verb: str) -> Any:
    """Import a verb; return its module, or the class in it."""
    module = importlib.import_module(f"auricle.cli.{VERBS[verb].module}")
    return getattr(module, VERBS[verb].entry) if VERBS[verb].entry else module


def overview() -> str:
    parts = [
        "usage: auricle VERB DATA … --model NAME --out OUT [options]",
        "Pre-train, measure and run audio encoders.",
    ]
    for topic, verbs in TOPICS.items():
        parts.append(f"{topic}:\n{rows(verbs)}")
    parts.append("'auricle VERB --help' shows how a verb is used, '--help all' every option; 'auricle --version'.")
    return "\n\n".join(parts)


def refuse(message: str) -> int:
    print(f"auricle: {printable(message, keep=LINE_BREAK)}", file=sys.stderr)
    return EXIT_NOTHING_DONE


def exit_code(done: int, failed: int) -> int:
    """Return the exit code of a verb that worked on several items."""
    if not failed:
        return EXIT_OK
    return EXIT_SOME_FAILED if done else EXIT_NOTHING_DONE


class Failed(Protocol):
    @property
    def error(self) -> str: ...


def print_failures(failed: Sequence[Failed], where: str = "") -> None:
    """Print the first failures on stderr, and how many more there are and ``where`` they are listed."""
    for item in failed[:SHOWN_FAILURES]:
        print(f"failed: {printable(item.error)}", file=sys.stderr)
    if len(failed) > SHOWN_FAILURES:
        print(f"failed: and {len(failed) - SHOWN_FAILURES} more{f', all in {where}' if where else ''}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
