"""Parse command lines of the original projects: shell lines (``OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m train_audio …``)
and Hydra's (``--config-dir D --config-name N group.name=value …``).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import yaml

from auricle.core import io
from auricle.core.errors import AuricleError, nearest

PYTHON = re.compile(r"(.*/)?python[\d.]*$")
SHELLS = ("bash", "sh")
LAUNCHERS = ("torch.distributed.run", "torch.distributed.launch")
INTERRUPTED = 130
RENDEZVOUS = ("--standalone", "--master", "--rdzv", "--nnodes", "--node")


@dataclass(frozen=True)
class ShellLine:
    """A parsed line.

    Attributes:
        environment: variables in front of the command (``OMP_NUM_THREADS=1``).
        launch: options of torchrun; None without torchrun.
        script: "train_as" for ``audioset/train_as.py`` and ``-m audioset.train_as``; a shell script keeps its ``.sh``.
        args: arguments of the script.
    """

    environment: dict[str, str] = field(default_factory=dict)
    launch: tuple[str, ...] | None = None
    script: str = ""
    args: tuple[str, ...] = ()


class LineParser(argparse.ArgumentParser):
    """Parse the options of one original script. Mistakes are an AuricleError of one line that names the nearest option."""

    def __init__(self, prog: str, **kwargs: Any):
        super().__init__(prog=prog, allow_abbrev=False, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise AuricleError(f"{self.prog}: {message.removeprefix('argument ')}")

    def add_option(self, *names: str, **how: Any) -> None:
        """Add an option in the original's spelling and with dashes for underscores."""
        self.add_argument(*dict.fromkeys([*names, *(name.replace("_", "-") for name in names)]), **how)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        values, unknown = self.parse_known_args(args, namespace)
        if not unknown:
            return values
        name = unknown[0].partition("=")[0]
        if not name.startswith("-"):
            raise AuricleError(f"{self.prog} does not take '{name}'")
        options = [option for option in self._option_string_actions if "_" in option or "-" not in option[2:]]
        raise AuricleError(f"{self.prog} has no option {name}{nearest(name, options)}")


def split_at_dashes(line: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split a line at ``--`` into the arguments of the original program and settings of ``auricle pretrain``."""
    args = list(line)
    cut = args.index("--") if "--" in args else len(args)
    return args[:cut], args[cut + 1 :]


def parse_shell_line(line: Sequence[str]) -> ShellLine:
    """Parse a line. Environment variables, ``python``, ``torchrun`` and ``-m`` in front of the script are optional."""
    rest = list(line)
    environment: dict[str, str] = {}
    while rest and (rest[0] == "env" or re.match(r"[A-Za-z_]\w*=", rest[0])):
        name, equals, value = rest.pop(0).partition("=")
        environment |= {name: value} if equals else {}
    launch = _launcher(rest)
    if launch is None and rest and PYTHON.match(rest[0]):
        rest.pop(0)
    if rest and rest[0] == "-m":
        rest.pop(0)
    if rest and rest[0] in SHELLS:  # the path of the script may contain spaces: bash (your m2d)/util/ft-as2m.sh
        del rest[: next((i for i, word in enumerate(rest) if word.endswith(".sh")), 1)]
    return ShellLine(environment, launch, _script(rest[0]) if rest else "", tuple(rest[1:]))


def _launcher(rest: list[str]) -> tuple[str, ...] | None:
    """Remove torchrun and its options from the front of ``rest``, so that it begins with the script, or its ``-m``."""
    if rest and rest[0].endswith("torchrun"):
        del rest[0]
    elif len(rest) > 2 and PYTHON.match(rest[0]) and rest[1] == "-m" and rest[2] in LAUNCHERS:
        del rest[:3]
    else:
        return None
    options: list[str] = []
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        options.append(rest.pop(0))
        takes_value = "=" not in options[-1] and len(rest) > 1 and not rest[0].startswith("-")
        if takes_value and not rest[0].endswith(".py"):
            options.append(rest.pop(0))
    return tuple(options)


def _script(word: str) -> str:
    """Return the last part of a path or module name: "train_as" of audioset/train_as.py and of audioset.train_as."""
    name = word.rsplit("/", 1)[-1]
    return name if name.endswith(".sh") else name.removesuffix(".py").rsplit(".", 1)[-1]


def run_torchrun(launch: Sequence[str], command: Sequence[str], environment: dict[str, str]) -> int:
    """Run ``auricle COMMAND`` under torchrun and return the exit status.

    Without a rendezvous option, ``--standalone`` is added, so that two runs on one machine use different ports. Ctrl-C
    reaches torchrun too; this process waits until torchrun has ended.

    Args:
        launch: options of torchrun.
        command: arguments of ``auricle``.
        environment: variables to set.
    """
    options = list(launch) if any(word.startswith(RENDEZVOUS) for word in launch) else ["--standalone", *launch]
    argv = [sys.executable, "-m", "torch.distributed.run", *options, "-m", "auricle", *command]
    with subprocess.Popen(argv, env={**os.environ, **environment}) as torchrun:
        return wait_for(torchrun)


def wait_for(process: subprocess.Popen) -> int:
    """Wait for a process and return its exit status; 130 after a Ctrl-C, which the process received too."""
    interrupted = False
    while True:
        try:
            status = process.wait()
        except KeyboardInterrupt:
            interrupted = True
        else:
            return INTERRUPTED if interrupted else status


FLAGS = {"--config-dir": "folder", "-cd": "folder", "--config-path": "folder", "-cp": "folder"}
FLAGS |= {"--config-name": "name", "-cn": "name"}
REFERENCE = re.compile(r"\$\{([\w.]+)\}")


@dataclass(frozen=True)
class HydraLine:
    """A parsed line: folder and name of the YAML file with the defaults ("" if there is none), values by dotted name."""

    folder: str
    name: str
    values: dict[str, Any]


def parse_hydra_line(args: Sequence[str]) -> HydraLine:
    """Parse a line.

    Raises:
        AuricleError: for an argument that is neither a known flag nor name=value.
    """
    rest, file, values = list(args), {"folder": "", "name": ""}, {}
    while rest:
        arg = rest.pop(0)
        flag, equals, text = arg.partition("=")
        if flag in FLAGS:
            file[FLAGS[flag]] = text if equals else _following(flag, rest)
        elif arg.startswith(("-", "~")) or not equals:
            raise AuricleError(f"unknown argument '{arg}'; expected {', '.join(FLAGS)} or name=value")
        else:
            values[flag.lstrip("+").replace("/", ".")] = _value(text)
    return HydraLine(file["folder"], file["name"], values)


def _following(flag: str, rest: list[str]) -> str:
    if not rest:
        raise AuricleError(f"{flag} needs a value")
    return rest.pop(0)


def _value(text: str) -> Any:
    """Parse a value as Hydra does: numbers, booleans, lists and null; anything else is text."""
    try:
        return yaml.safe_load(text)
    except Exception:  # of the reader, or of dates, numbers and deep nesting
        return text


def read_yaml(folder: str, name: str) -> dict[str, Any]:
    """Read the values of a YAML file by dotted name.

    Raises:
        AuricleError: if the file does not exist, is not YAML or has no groups.
    """
    path = Path(folder) / f"{name.removesuffix('.yaml')}.yaml"
    if not path.is_file():
        existing = [file.stem for file in Path(folder).glob("*.yaml")] if Path(folder).is_dir() else []
        raise AuricleError(
            f"there is no {path}{nearest(path.stem, existing)}; without --config-dir the published settings apply"
        )
    table = io.read_yaml(path)
    if not isinstance(table, dict):
        raise AuricleError(f"{path} holds no settings; expected groups such as 'task:' with names below them")
    return dict(_flat(table))


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def resolve_reference(name: str, values: dict[str, Any]) -> Any:
    """Return the value of a name and follow references ``${group.name}``.

    Raises:
        AuricleError: if a reference is circular or has no value.
    """
    value, seen = values[name], {name}
    while isinstance(value, str) and (match := REFERENCE.fullmatch(value.strip())):
        if match[1] in seen or match[1] not in values:
            raise AuricleError(f"{name} refers to {match[1]}, which has no value")
        seen.add(match[1])
        value = values[match[1]]
    return value
