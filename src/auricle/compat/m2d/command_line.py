"""Run M2D's command lines: ``auricle original m2d OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m train_audio …``.

Its four training programs and its converter run with their options and defaults unchanged (specification m2d 5.1, 1.3),
with ``python``, ``torchrun`` or nothing in front. Settings of ``auricle pretrain`` follow after ``--`` and win:
``… --epochs 300 -- --embed-dim 384 --depth 6``. Evaluation and fine-tuning are refused with a
message until they are built.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.compat.m2d.options import PROGRAMS, Parser, parsed, without_effect
from auricle.compat.shell_line import ShellLine, divided, launched, taken_apart
from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.methods.m2d.config import ViTPretrain

Change = Callable[[Sequence[str], "ViTPretrain"], "ViTPretrain"]
CONVERTER = "wav_to_lms"
LATER = (
    "lineareval",
    "2pass_lineareval",
    "finetune",
    "zeroshot",
    "run_downstream",
    "prepare_wav",
    "download_cremad",
    "summarize",
    "retrieval",
)


def run(line: Sequence[str], *, change: Change | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        change: applies the words after ``--`` to the settings.

    Raises:
        AuricleError: for a script that does not run here, and lines that cannot be run.
    """
    words, own = divided(line)
    shell = taken_apart(words)
    refuse_unknown(shell)
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    if shell.script == CONVERTER:
        return convert(shell.words)
    config = settings(shell, own, change)
    if shell.launch is not None:
        again = ["original", "m2d", shell.script, *shell.words, *(["--", *own] if own else [])]
        return launched(shell.launch, again, shell.environment)
    return train(config)


def refuse_unknown(shell: ShellLine) -> None:
    """Raise AuricleError unless the line names a script that runs here."""
    known = (*PROGRAMS, CONVERTER)
    if shell.script in known:
        return
    if shell.script in LATER or shell.script.endswith(".sh"):
        raise AuricleError(
            f"{shell.script}: evaluation and fine-tuning by the original's command lines come with a later version of "
            f"auricle; {', '.join(known)} run now. EVAR's probe: auricle evaluate DATA --model NAME --protocol evar --lr 3e-5"
        )
    problem = f"unknown script '{shell.script}'" if shell.script else "name a script and its options, as in the read-me"
    raise AuricleError(f"{problem}{nearest(shell.script, (*known, *LATER))}")


# ---- train_audio.py, audioset/train_as.py, speech/train_speech.py, mae_train_audio.py
def settings(shell: ShellLine, own: Sequence[str], change: Change | None) -> ViTPretrain:
    """Translate the line to settings, and print what has no effect here (once, if several processes read the line).

    Raises:
        AuricleError: for options and models that the program does not have, and lists that are not there.
    """
    from auricle.compat.m2d.settings import mapped

    line = parsed(shell.script, shell.words)
    translated = mapped(shell.script, line)
    config = changed(translated.config, own, change)
    check_files(config)
    if shell.launch is None and not int(os.environ.get("RANK", 0)):
        print_notes((*without_effect(line, shell.script), *translated.notes))
    return config


def changed(config: ViTPretrain, own: Sequence[str], change: Change | None) -> ViTPretrain:
    if not own:
        return config
    if change is None:
        raise AuricleError("settings after -- are read by the command line only: auricle original m2d … -- …")
    return change(own, config)


def check_files(config: ViTPretrain) -> None:
    """Raise AuricleError, before several processes are started, for weights and lists that are not there."""
    for weights in filter(None, (config.resume, getattr(config, "teacher", None))):
        check_weights(weights)
    for path in filter(None, (config.source, config.data.csv_bg_noise)):
        check_list(Path(path), config.data.data_path)


def check_weights(name: str) -> None:
    """Raise AuricleError for a file that is not there, with the address if it is the path of a published one."""
    from auricle.hub.published.table import find

    path = Path(name)
    if not path.suffix or path.exists():
        return
    record = find(path.parent.name)
    where = f"; it is published: download and unpack {record.urls[0]}" if record and record.urls else ""
    raise AuricleError(f"there is no run or weight file {name}{where}")


def check_list(path: Path, data_path: str | None) -> None:
    """Raise AuricleError for a list that is not there, with the nearest names, and for one without rows."""
    from auricle.data.manifest.formats import read_manifest

    if not path.exists():
        read_manifest(path)  # raises, with the nearest names
    if path.is_file() and not rows(path):
        raise AuricleError(
            f"{path} holds no file names below its header; to list the spectrograms of a folder: "
            f"auricle prepare list FOLDER --out {path} --overwrite --root {data_path}"
        )


def rows(path: Path) -> bool:
    """Return True if a list has a line below its header."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        next(file, None)
        return any(text.strip() for text in file)


def print_notes(sentences: Iterable[str]) -> None:
    """Print sentences on standard error."""
    for sentence in sentences:
        print(f"note: {sentence}", file=sys.stderr)


def train(config: ViTPretrain) -> int:
    """Train, print where the run is, and return 0, or 1 if clips could not be read and were replaced."""
    from auricle.commands.pretrain import pretrain
    from auricle.compat.m2d.published_files import published_files, with_published_out

    result = pretrain(with_published_out(config), callbacks=(published_files,))
    if not int(os.environ.get("RANK", 0)):
        print(f"{result.run}: {result.steps} weight updates, {result.epochs:g} epochs, loss {result.loss:.4f}")
    return 1 if result.replaced else 0


# ---- wav_to_lms.py
def convert(words: Sequence[str]) -> int:
    """Convert a folder (specification m2d 1.3); return 0, or 1 if some files failed."""
    from auricle.commands.prepare.log_mel_folder import LmsConfig, prepare_lms

    args = converter_parser().parse_args(list(words))
    config = LmsConfig(args.source, args.out, suffix=args.suffix, skip=args.skip, min_length=args.min_length)
    result = prepare_lms(config, on_file=print if args.verbose else None)
    print_notes(f"failed: {failure.error}" for failure in result.failed)
    print(f"{result.out}: {result.done} files converted, {result.skipped} there already, {len(result.failed)} failed")
    return 1 if result.failed else 0


def converter_parser() -> Parser:
    from auricle.commands.prepare.log_mel_folder import MIN_LENGTH

    parser = Parser(CONVERTER)
    parser.add_argument("source", help="folder of recordings")
    parser.add_argument("out", help="folder to write")
    parser.add_argument("--suffix", default=".wav", help="of the files to convert")
    parser.add_argument("--skip", type=int, default=0, help="leave out the first files of the sorted list")
    parser.add_argument("--min_length", "--min-length", type=float, default=MIN_LENGTH, help="seconds")
    parser.add_argument("--verbose", action="store_true", help="print every file")
    return parser
