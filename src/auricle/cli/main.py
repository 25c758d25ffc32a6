"""``auricle VERB …``: finds the verb, parses its flags, runs its job. Answers on stdout, progress and errors on stderr.

Exit codes: 0 all done, 1 some items failed (the rest is done), 2 nothing could be done (arguments, manifest, unknown model).
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import io
import os
import sys
from typing import NamedTuple

from auricle.core.errors import AuricleError
from auricle.core.threads import POLICY
from auricle.version import __version__

# The verbs, of one word or two: where each lives and what it is for. Nothing is imported until a verb is called.


class Verb(NamedTuple):
    module: str
    summary: str
    computes: bool = True  # runs networks: threads are chosen by the load of the machine


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
    "results": Verb("auricle.cli.results", "every score measured here: filter, compare, export", computes=False),
    "report": Verb("auricle.cli.report", "rebuild the report of a run, or compare several runs", computes=False),
    "tag": Verb("auricle.cli.tag", "what is heard in files, folders and long recordings"),
    "embed": Verb("auricle.cli.embed", "embeddings of files, folders and manifests"),
    "models": Verb("auricle.cli.models", "published weights: list, show, get, convert, verify"),
    "complexity": Verb("auricle.cli.complexity", "parameters, operations, memory, receptive field, speed here"),
    "advise": Verb("auricle.cli.advise", "which recipe fits my data and machine, why, at what cost, and the command"),
    "doctor": Verb("auricle.cli.doctor", "what works on this machine, and how to get what does not"),
    "original": Verb("auricle.cli.original", "the command lines of the original programs"),
}


EXIT_OK, EXIT_SOME_FAILED, EXIT_REFUSED, EXIT_INTERRUPTED = 0, 1, 2, 130


def main(argv: list[str] | None = None) -> int:
    """Run one command line; one of several processes (torchrun) ends here."""
    code = run(argv)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        from auricle.training.distributed import leave

        leave(code)
    return code


def run(argv: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":  # letters it lacks become question marks
            stream.reconfigure(errors="replace")
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help"):
        print(overview())
        return EXIT_OK
    if argv[0] == "--version":
        print(f"auricle {__version__}")
        return EXIT_OK
    if " ".join(argv[:2]) in VERBS:
        return run_verb(" ".join(argv[:2]), argv[2:])
    if argv[0] not in VERBS:
        close = difflib.get_close_matches(argv[0], VERBS, n=1)
        hint = f"; did you mean 'auricle {close[0]}'?" if close else "; 'auricle --help' lists the verbs"
        return refuse(f"unknown verb '{argv[0]}'{hint}")
    return run_verb(argv[0], argv[1:])


def run_verb(verb: str, argv: list[str]) -> int:
    """Parse and run one verb; a mistake of the caller becomes one clear line and exit code 2."""
    module = importlib.import_module(VERBS[verb].module)
    parser = argparse.ArgumentParser(
        prog=f"auricle {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    typed = with_dashes(argv)
    try:
        if hasattr(module, "add_arguments_for"):  # the flags depend on what was typed
            module.add_arguments_for(typed, parser)
        else:
            module.add_arguments(parser)
        args = parser.parse_args(typed, argparse.Namespace(typed=typed))
        if VERBS[verb].computes:
            POLICY.start()  # before PyTorch is imported
        return module.run(args) or EXIT_OK
    except AuricleError as error:
        return refuse(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OK
    except KeyboardInterrupt as stop:
        print(f"\n{str(stop) or 'interrupted'}", file=sys.stderr)
        return EXIT_INTERRUPTED


def with_dashes(argv: list[str]) -> list[str]:
    """``--batch_size=8`` means ``--batch-size=8``."""
    return [_dashed(arg) if arg.startswith("--") and "_" in arg else arg for arg in argv]


def _dashed(arg: str) -> str:
    name, equals, value = arg.partition("=")
    return name.replace("_", "-") + equals + value


def overview() -> str:
    rows = "\n".join(f"  {name:<16}{verb.summary}" for name, verb in VERBS.items())
    return (
        "usage: auricle VERB [options]\n\nPre-train, adapt, measure, shrink and run audio encoders.\n\n"
        f"verbs:\n{rows}\n\n'auricle VERB --help' says all about a verb; 'auricle --version' prints the version."
    )


def refuse(message: str) -> int:
    print(f"auricle: {message}", file=sys.stderr)
    return EXIT_REFUSED


if __name__ == "__main__":
    sys.exit(main())
