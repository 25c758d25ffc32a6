"""Run M2D's command lines: ``auricle original m2d OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m train_audio …``.

The four training programs and the converter accept the options of the original, with its defaults
([m2d 5.1](docs/specification/m2d.md#s5-1), [1.3](docs/specification/m2d.md#s1-3)); ``python`` or ``torchrun`` in front is
optional. EVAR's ``finetune.py`` and the scripts that call it are parsed by ``evar_options`` and run by ``evar_runs``. Settings of
``auricle pretrain`` or ``finetune`` may follow after ``--``; they take precedence: ``… --epochs 300 -- --embed-dim 384 --depth 6``.
EVAR's programs for frozen encoders are in ``evar_linear``, ``evar_text`` and ``evar_tools``; ``auricle original evar`` is another
name for these lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.compat.lines import LineParser, ShellLine, parse_shell_line, run_torchrun, split_at_dashes
from auricle.compat.m2d import applications, evar_linear, evar_options, evar_text, evar_tools
from auricle.compat.m2d.options import PROGRAMS, parse_options, without_effect
from auricle.compat.s3prl import command_line as superb
from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.methods.m2d.config import ViTPretrain

Change = Callable[[Sequence[str], Any], Any]
CONVERTER = "wav_to_lms"
FINETUNE = "finetune"
FINE_TUNERS = (FINETUNE, *evar_options.SCRIPTS, *applications.SCRIPTS)
EVALUATIONS = (*evar_linear.PROGRAMS, *evar_text.PROGRAMS, *evar_tools.TOOLS, *evar_tools.SCRIPTS)


def run(line: Sequence[str], *, change: Change | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        line: the arguments after ``auricle original m2d``.
        change: applies the arguments after ``--`` to the settings.

    Raises:
        AuricleError: if the script or an option is not supported.
    """
    args, extra = split_at_dashes(line)
    shell = parse_shell_line(args)
    if shell.script in superb.PROGRAMS:
        return superb.run(line)
    refuse_unknown(shell)
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    if shell.script == CONVERTER:
        return convert(shell.args)
    if shell.script in EVALUATIONS:
        return evaluation(shell, extra)
    if shell.script in FINE_TUNERS:
        return finetune(shell, extra, change)
    config = settings(shell, extra, change)
    if shell.launch is not None:
        command = ["original", "m2d", shell.script, *shell.args, *(["--", *extra] if extra else [])]
        return run_torchrun(shell.launch, command, shell.environment)
    return train(config)


def refuse_unknown(shell: ShellLine) -> None:
    """Raise AuricleError unless the line names a supported script."""
    known = (*PROGRAMS, CONVERTER, *FINE_TUNERS, *EVALUATIONS, *superb.PROGRAMS)
    if shell.script in known:
        return
    if shell.script.endswith(".sh"):
        raise AuricleError(
            f"{shell.script}: this command line of the original is not implemented yet; {', '.join(known)} run now"
        )
    problem = f"unknown script '{shell.script}'" if shell.script else "name a script and its options, as in the read-me"
    raise AuricleError(f"{problem}{nearest(shell.script, known)}")


# ---- train_audio.py, audioset/train_as.py, speech/train_speech.py, mae_train_audio.py
def settings(shell: ShellLine, extra: Sequence[str], change: Change | None) -> ViTPretrain:
    """Translate the line to settings and print the options that have no effect (in one process only).

    Raises:
        AuricleError: for options and models that the program does not have, and for missing lists.
    """
    from auricle.compat.m2d.settings import map_options

    line = parse_options(shell.script, shell.args)
    translated = map_options(shell.script, line)
    config = apply_extra(translated.config, extra, change)
    check_files(config)
    if shell.launch is None and not int(os.environ.get("RANK", 0)):
        print_notes((*without_effect(line, shell.script), *translated.notes))
    return config


def apply_extra(config: ViTPretrain, extra: Sequence[str], change: Change | None) -> ViTPretrain:
    """Apply the settings after ``--`` to a config."""
    if not extra:
        return config
    if change is None:
        raise AuricleError("settings after -- work only on the command line: auricle original m2d … -- …")
    return change(extra, config)


def check_files(config: ViTPretrain) -> None:
    """Raise AuricleError for missing weights and lists, before processes are started."""
    for weights in filter(None, (config.resume, getattr(config, "teacher", None))):
        check_weights(weights)
    for path in filter(None, (config.source, config.data.csv_bg_noise)):
        check_list(Path(path), config.data.data_path)


def check_weights(name: str) -> None:
    """Raise AuricleError for a missing file, with its URL if it is a published one."""
    from auricle.hub.published.table import find

    path = Path(name)
    if not path.suffix or path.exists():
        return
    record = find(path.parent.name)
    where = f"; it is published: download and unpack {record.urls[0]}" if record and record.urls else ""
    raise AuricleError(f"there is no run or weight file {name}{where}")


def check_list(path: Path, data_path: str | None) -> None:
    """Raise AuricleError for a missing list, with similar names, and for a list without rows."""
    from auricle.data.manifest.formats import read_manifest

    if not path.exists():
        read_manifest(path)  # raises, with similar names
    if path.is_file() and not has_rows(path):
        raise AuricleError(
            f"{path} holds no file names below its header; to list the spectrograms of a folder: "
            f"auricle prepare list FOLDER --out {path} --overwrite --root {data_path}"
        )


def has_rows(path: Path) -> bool:
    """Return True if a list has a line below its header."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        next(file, None)
        return any(text.strip() for text in file)


def print_notes(sentences: Iterable[str]) -> None:
    """Print sentences on standard error."""
    for sentence in sentences:
        print(f"note: {sentence}", file=sys.stderr)


def train(config: ViTPretrain) -> int:
    """Train and print the result. Return 0, or 1 if unreadable clips were replaced."""
    from auricle.commands.pretrain import pretrain
    from auricle.compat.m2d.published_files import published_files, with_published_out
    from auricle.training.log import updates_and_epochs

    result = pretrain(with_published_out(config), callbacks=(published_files,))
    if not int(os.environ.get("RANK", 0)):
        print(f"{result.run}: {updates_and_epochs(result.steps, result.epochs)}, loss {result.loss:.4f}")
    return 1 if result.replaced else 0


# ---- finetune.py of EVAR, util/ft-*.sh, the applications' scripts
def finetune(shell: ShellLine, extra: Sequence[str], change: Change | None) -> int:
    """Run EVAR's fine-tuning, or the runs of a script one after the other. Return the largest exit status.

    Raises:
        AuricleError: for arguments and weights of any run, before the first one begins.
    """
    from auricle.compat.m2d.evar_runs import finetune_line

    if extra and change is None:
        raise AuricleError("settings after -- work only on the command line: auricle original m2d … -- …")
    own = (lambda config: change(extra, config)) if extra and change else None
    if shell.script in applications.SCRIPTS:
        runs = applications.application_runs(shell.script, shell.args)
        for run in runs:
            check_weights(run.weights)
        return max((applications.run_application(run, own) for run in runs), default=0)
    if shell.script == FINETUNE:
        lines = [evar_options.parse_finetune(shell.args)]
    else:
        lines = list(evar_options.script_lines(shell.script, shell.args))
    for line in lines:
        check_weights(line.weight_file)
    return max(finetune_line(line, own) for line in lines)


# ---- EVAR's programs for frozen encoders
def evaluation(shell: ShellLine, extra: Sequence[str]) -> int:
    """Run one of EVAR's programs, or the lines of a script one after the other. Return the largest exit status."""
    if extra:
        raise AuricleError(f"{shell.script} takes no settings after --")
    if shell.script in evar_tools.SCRIPTS:
        lines = list(evar_tools.script_lines(shell.script, shell.args))
        return max(_reported(program, args) for program, args in lines)
    return evaluate_line(shell.script, shell.args)


def evaluate_line(program: str, args: Sequence[str]) -> int:
    """Run one line and return its exit status."""
    if program in evar_linear.PROGRAMS:
        line = evar_linear.parse_linear(program, args)
        check_weights(line.weight_file)
        return evar_linear.run_linear(line)
    if program in evar_text.PROGRAMS:
        line, text, data = evar_text.parse_text(program, args)
        check_weights(line.weight_file)
        return evar_text.run_text(line, text, data)
    tools = {
        evar_tools.PREPARE: evar_tools.prepare_wav,
        evar_tools.DOWNLOAD: evar_tools.download_cremad,
        evar_tools.SUMMARIZE: evar_tools.summarize,
    }
    return tools[program](args)


def _reported(program: str, args: Sequence[str]) -> int:
    """Run a line of a script; a task without data is said and costs no other."""
    try:
        return evaluate_line(program, args)
    except AuricleError as error:
        print(f"{program} {' '.join(args)}: {error}", file=sys.stderr)
        return 1


# ---- wav_to_lms.py
def convert(options: Sequence[str]) -> int:
    """Convert a folder of recordings to log-mel spectrograms. Return 0, or 1 if files failed.

    Source: [m2d 1.3](docs/specification/m2d.md#s1-3).
    """
    from auricle.commands.prepare.log_mel_folder import LmsConfig, prepare_lms

    args = converter_parser().parse_args(list(options))
    config = LmsConfig(args.source, args.out, suffix=args.suffix, skip=args.skip, min_length=args.min_length)
    result = prepare_lms(config, on_file=print if args.verbose else None)
    print_notes(f"failed: {failure.error}" for failure in result.failed)
    print(f"{result.out}: {result.done} files converted, {result.skipped} existed already, {len(result.failed)} failed")
    return 1 if result.failed else 0


def converter_parser() -> LineParser:
    from auricle.commands.prepare.log_mel_folder import MIN_LENGTH

    parser = LineParser(f"auricle original m2d {CONVERTER}")
    parser.add_argument("source", help="folder of recordings")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--suffix", default=".wav", help="of the files to convert")
    parser.add_argument("--skip", type=int, default=0, help="skip this many files of the sorted list")
    parser.add_argument("--min_length", "--min-length", type=float, default=MIN_LENGTH, help="seconds")
    parser.add_argument("--verbose", action="store_true", help="print every file")
    return parser
