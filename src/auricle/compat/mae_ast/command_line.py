"""Run MAE-AST's command lines without fairseq or Hydra: ``auricle original mae-ast fairseq-hydra-train task.data=… …``.

Every setting of the published lines and of their YAML file is translated, accepted with a note, or refused by name
(specification mae_ast 2). Settings of ``auricle pretrain`` follow after ``--`` and win. A line whose ``hydra.run.dir`` holds a
run continues it. Fine-tuning on SUPERB is refused with a message until it is built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from auricle.compat.hydra_line import read_line
from auricle.compat.shell_line import ShellLine, divided, launched, taken_apart
from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.methods.config import PretrainConfig
    from auricle.methods.mae_ast.config import MAEASTPretrain
    from auricle.training.run import RunResult

Change = Callable[[Sequence[str], "PretrainConfig"], "PretrainConfig"]
TRAINERS = ("fairseq-hydra-train", "hydra_train")
LATER = ("run_downstream", "run_superb", "run_pretrain")


def run(line: Sequence[str], *, change: Change | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        change: applies the words after ``--`` to the settings.

    Raises:
        AuricleError: for a program that does not run here, and settings that cannot be run.
    """
    from auricle.compat.mae_ast.settings import mapped

    words, own = divided(line)
    shell = program(words)
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    translated = mapped(read_line(shell.words))
    config = changed(translated.config, own, change)
    if "WORLD_SIZE" not in os.environ and (translated.processes > 1 or shell.launch is not None):
        again = ["original", "mae-ast", *shell.words, *(["--", *own] if own else [])]
        return launched(shell.launch or (f"--nproc_per_node={translated.processes}",), again, shell.environment)
    if not int(os.environ.get("RANK", 0)):
        for note in translated.notes:
            print(f"note: {note}", file=sys.stderr)
    return answer(started(config))


def changed(config: MAEASTPretrain, own: Sequence[str], change: Change | None) -> MAEASTPretrain:
    if not own:
        return config
    if change is None:
        raise AuricleError("settings after -- are read by the command line only: auricle original mae-ast … -- …")
    return cast("MAEASTPretrain", change(own, config))


def program(words: Sequence[str]) -> ShellLine:
    """Parse the line, whose program name may be left out. Raises AuricleError for a program that does not run here."""
    bare = not words or words[0].startswith("-") or ("." in words[0].partition("=")[0] and "=" in words[0])
    shell = taken_apart(["fairseq-hydra-train", *words] if bare else words)
    if shell.script in TRAINERS:
        return shell
    if shell.script in LATER or shell.script.endswith(".sh"):
        raise AuricleError(
            f"{shell.script}: fine-tuning on SUPERB and SSAST's recipes comes with a later version of auricle; pre-training "
            "(fairseq-hydra-train) runs now. To measure frozen embeddings: auricle evaluate DATA --model NAME"
        )
    raise AuricleError(f"unknown program '{shell.script}'{nearest(shell.script, (*TRAINERS, *LATER))}")


def started(config: MAEASTPretrain) -> RunResult:
    """Start a run; or continue the one that the run folder holds, as the original does.

    Raises AuricleError if that one has other settings.
    """
    from auricle.commands.pretrain import continue_run, pretrain
    from auricle.core.options import differences
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.registry import read_settings

    run = RunFolder(Path(config.out or ""))
    if config.out is None or not run.config.is_file():
        return pretrain(config)
    other = differences(read_settings(run.read_config(), str(run.config)), config)
    if other:
        raise AuricleError(
            f"hydra.run.dir: {run.path} holds a run with other settings ({', '.join(other)}); name another folder"
        )
    return continue_run(run.path)


def answer(result: RunResult) -> int:
    """Print where the run is, and return 0, or 1 if clips could not be read and were replaced."""
    if not int(os.environ.get("RANK", 0)):
        print(f"{result.run}: {result.steps} weight updates, {result.epochs:g} epochs, loss {result.loss:.4f}")
    return 1 if result.replaced else 0
