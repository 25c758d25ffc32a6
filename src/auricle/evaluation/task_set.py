"""A suite: a small YAML file that names tasks and protocols, measured together, by hand or while a run trains.

tasks:
  - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [linear, knn]}
  - {name: digits, source: fsdd/audio, labels: fsdd/meta.csv, label_column: digit, split_by: groups, seconds: 1}

Paths are relative to the file; with ``root_from: NAME``, to the folder that the environment variable NAME holds (else
the current one). ``{rate}`` in a path is the model's sample rate, "16k" or "32k". ``seeds: [42]`` and ``lr: 3.0e-5`` (or
``lr: published``, EVAR's own for the model's family) hold for every task. A task whose data are absent is reported and
skipped. "quick" and "all" are shipped (``task_sets/``). No PyTorch here until a suite is evaluated.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.io import read_yaml
from auricle.core.options import from_plain
from auricle.evaluation.probes.evar import LEARNING_RATE, PUBLISHED_RATES
from auricle.evaluation.protocols import Protocol, protocol
from auricle.evaluation.tasks import SEEDS, Task

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.inference.config import EncodeSettings
    from auricle.models.base import Encoder

DEFAULT_PROTOCOLS = ("logistic",)
SHIPPED = ("quick", "all")
PUBLISHED = "published"
KNOWN = ("tasks", "root_from", "seeds", "lr")


@dataclass(frozen=True)
class SuiteEntry:
    """One task of a suite.

    Attributes:
        task: The task.
        protocols: Names of the protocols that measure it.
        seeds: Seeds of probes that draw.
        lr: Learning rate of the protocols that have one; "published" for EVAR's own; None for the protocol's.
    """

    task: Task
    protocols: tuple[str, ...]
    seeds: tuple[int, ...] = SEEDS
    lr: float | str | None = None

    @property
    def at_several_rates(self) -> bool:
        """True if the files are kept at several sample rates: then ids tell the clips apart, not their content."""
        return any("{rate}" in (path or "") for path in (self.task.source, self.task.labels))

    def task_at(self, rate: int) -> Task:
        """Return the task for a model of ``rate`` hertz."""
        paths = {name: path for name in ("source", "labels") if (path := getattr(self.task, name))}
        return replace(
            self.task,
            **{name: path.replace("{rate}", f"{rate // 1000}k") for name, path in paths.items()},  # type: ignore[arg-type]
        )

    def protocols_for(self, family: str) -> tuple[Protocol, ...]:
        """Return the protocols for an encoder of ``family``, with the learning rate of the suite."""
        lr = PUBLISHED_RATES.get(family, LEARNING_RATE) if isinstance(self.lr, str) else self.lr
        return tuple(p.with_lr(lr) if lr and p.has_lr else p for p in map(protocol, self.protocols))


def read_task_set(source: Path | str) -> tuple[SuiteEntry, ...]:
    """Read a suite from a file, or a shipped one by its name ("quick", "all"; a file of that name wins).

    Raises:
        AuricleError: The file is not there, is no suite, or names an unknown setting or protocol.
    """
    path = _file_of(Path(source))
    content = _read_yaml(path)
    variable = content.get("root_from")
    root = Path(os.environ.get(str(variable), "")) if variable else path.parent
    shared = {"seeds": _seeds(content, path), "lr": _lr(content, path)}
    return tuple(_entry(values, path, root, shared) for values in content["tasks"])


def _file_of(source: Path) -> Path:
    if source.is_file():
        return source
    if str(source) in SHIPPED:
        return Path(str(resources.files("auricle.evaluation").joinpath("task_sets", f"{source}.yaml")))
    hint = nearest(str(source), SHIPPED) if source.suffix not in (".yaml", ".yml") else ""
    raise AuricleError(f"there is no task-set file {source}{hint}")


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list) or not content["tasks"]:
        raise AuricleError(f"{path} is no task set: expected 'tasks:' and a list of tasks, each with a 'source'")
    unknown = sorted(map(str, content.keys() - set(KNOWN)))
    if unknown:
        raise AuricleError(f"{path}: unknown setting {', '.join(unknown)}; a task set has {', '.join(KNOWN)}")
    return content


def _seeds(content: dict[str, Any], path: Path) -> tuple[int, ...]:
    seeds = content.get("seeds", list(SEEDS))
    if not isinstance(seeds, list) or not seeds or not all(type(seed) is int for seed in seeds):
        raise AuricleError(f"{path}: seeds should be a list of whole numbers, found {seeds!r}")
    return tuple(seeds)


def _lr(content: dict[str, Any], path: Path) -> float | str | None:
    lr = content.get("lr")
    if lr not in (None, PUBLISHED) and not (isinstance(lr, float) and lr > 0):
        raise AuricleError(f"{path}: lr should be a number above 0 such as 3.0e-5, or {PUBLISHED}; found {lr!r}")
    return lr


def _entry(values: Any, path: Path, root: Path, shared: dict[str, Any]) -> SuiteEntry:
    known = {f.name for f in fields(Task)}
    if not isinstance(values, dict) or "source" not in values:
        raise AuricleError(f"{path}: every task needs a 'source', found {values!r}")
    settings = dict(values)
    protocols = settings.pop("protocols", DEFAULT_PROTOCOLS)
    if not isinstance(protocols, (list, tuple)) or not protocols or not all(isinstance(p, str) for p in protocols):
        raise AuricleError(f"{path}: protocols should be a list of names such as [linear], found {protocols!r}")
    for name in protocols:
        protocol(name)
    unknown = sorted(map(str, settings.keys() - known - Task.OLD_NAMES.keys()))
    if unknown:
        raise AuricleError(
            f"{path}: unknown setting {', '.join(unknown)}; a task has {', '.join(sorted(known))}, protocols"
        )
    for name, value in settings.items():
        wanted: Any = (int, float) if name == "seconds" else str
        if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
            kind = "a number of seconds" if name == "seconds" else "text"
            raise AuricleError(f"{path}: {name} should be {kind}, found {value!r}")
    for name in ("source", "labels"):
        if settings.get(name):
            settings[name] = str((root / Path(settings[name]).expanduser()).resolve())
    return SuiteEntry(from_plain(Task, settings, str(path)), tuple(protocols), **shared)


def evaluate_task_set(
    encoder: Encoder,
    entries: tuple[SuiteEntry, ...],
    *,
    baselines: bool = True,
    encode: EncodeSettings | None = None,
    statistics: str = "own",
    place: str = "",
    command: str = "",
    quiet: bool = True,
    on_evaluation: Callable[[Evaluation], None] | None = None,
) -> tuple[list[Evaluation], dict[str, str]]:
    """Evaluate an encoder on every task of a suite.

    Args:
        encoder: The encoder.
        entries: The tasks.
        baselines, encode, statistics, place, command, quiet: As for ``runner.evaluate``.
        on_evaluation: Called with each evaluation when it is there, so that a later failure costs none.

    Returns:
        The evaluations in the order of the suite, and {"task/protocol": reason} of those that could not be measured.
    """
    from auricle.evaluation.runner import evaluate

    evaluations, skipped = [], {}
    for entry in entries:
        task = entry.task_at(encoder.info.sample_rate)
        for chosen in entry.protocols_for(encoder.info.family):
            try:
                evaluation = evaluate(
                    encoder,
                    task,
                    chosen,
                    encode=encode,
                    seeds=entry.seeds,
                    baselines=baselines,
                    statistics=statistics,
                    place=place,
                    clips_by_id=entry.at_several_rates,
                    command=command,
                    quiet=quiet,
                )
            except AuricleError as error:
                skipped[f"{task.title}/{chosen.name}"] = str(error)
                continue
            evaluations.append(evaluation)
            if on_evaluation is not None:
                on_evaluation(evaluation)
    return evaluations, skipped
