"""Run MAE-AST's command lines without fairseq or Hydra: ``auricle original mae-ast fairseq-hydra-train task.data=… …``.

Every setting of the published lines and of their YAML file is translated, accepted with a note, or refused by name
([mae_ast 2](docs/specification/mae_ast.md#s2)). Settings of ``auricle pretrain`` may follow after ``--``; they take precedence. If
``hydra.run.dir`` holds a run, the line continues it. ``run_downstream.py`` of SUPERB trains our own heads.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from auricle.compat.lines import ShellLine, parse_hydra_line, parse_shell_line, run_torchrun, split_at_dashes
from auricle.compat.s3prl import command_line as superb
from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.methods.config import PretrainConfig
    from auricle.methods.mae_ast.config import MAEASTPretrain
    from auricle.training.run import RunResult

Change = Callable[[Sequence[str], "PretrainConfig"], "PretrainConfig"]
TRAINERS = ("fairseq-hydra-train", "hydra_train")
LATER = ("run_superb", "run_pretrain")


def run(line: Sequence[str], *, change: Change | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        line: the arguments after ``auricle original mae-ast``.
        change: applies the arguments after ``--`` to the settings.

    Raises:
        AuricleError: if the program or a setting is not supported.
    """
    from auricle.compat.mae_ast.settings import map_line

    args, extra = split_at_dashes(line)
    if parse_shell_line(args).script == superb.RUN:
        return superb.run(line)
    shell = parse_program(args)
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    translated = map_line(parse_hydra_line(shell.args))
    config = apply_extra(translated.config, extra, change)
    if "WORLD_SIZE" not in os.environ and (translated.processes > 1 or shell.launch is not None):
        command = ["original", "mae-ast", *shell.args, *(["--", *extra] if extra else [])]
        return run_torchrun(shell.launch or (f"--nproc_per_node={translated.processes}",), command, shell.environment)
    if not int(os.environ.get("RANK", 0)):
        for note in translated.notes:
            print(f"note: {note}", file=sys.stderr)
    return print_result(start_or_continue(config))


def apply_extra(config: MAEASTPretrain, extra: Sequence[str], change: Change | None) -> MAEASTPretrain:
    """Apply the settings after ``--`` to a config."""
    if not extra:
        return config
    if change is None:
        raise AuricleError("settings after -- work only on the command line: auricle original mae-ast … -- …")
    return cast("MAEASTPretrain", change(extra, config))


def parse_program(args: Sequence[str]) -> ShellLine:
    """Parse the line; the name of the program is optional. Raise AuricleError for an unsupported program."""
    bare = not args or args[0].startswith("-") or ("." in args[0].partition("=")[0] and "=" in args[0])
    shell = parse_shell_line(["fairseq-hydra-train", *args] if bare else args)
    if shell.script in TRAINERS:
        return shell
    if shell.script in LATER or shell.script.endswith(".sh"):
        raise AuricleError(
            f"{shell.script}: SSAST's recipes are not implemented yet; pre-training "
            "(fairseq-hydra-train) and SUPERB (run_downstream.py) run now. To measure "
            "frozen embeddings: auricle evaluate DATA --model NAME"
        )
    raise AuricleError(f"unknown program '{shell.script}'{nearest(shell.script, (*TRAINERS, *LATER))}")


def start_or_continue(config: MAEASTPretrain) -> RunResult:
    """Start a run, or continue the one in the run folder, as the original does.

    Raises:
        AuricleError: if the run in the folder has other settings.
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


def print_result(result: RunResult) -> int:
    """Print the result of a run. Return 0, or 1 if unreadable clips were replaced."""
    from auricle.training.log import updates_and_epochs

    if not int(os.environ.get("RANK", 0)):
        print(f"{result.run}: {updates_and_epochs(result.steps, result.epochs)}, loss {result.loss:.4f}")
    return 1 if result.replaced else 0
