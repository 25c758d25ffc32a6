"""A task set: a small YAML file that names tasks and protocols, measured together, by hand or while a run trains.

tasks:
  - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [logistic, knn-vote]}
  - {name: digits, source: fsdd/audio, labels: fsdd/meta.csv, label_column: digit, folding: groups, seconds: 1}

Paths are relative to the file; with ``root_from: NAME``, to the folder that the environment variable NAME holds (else
the current one). ``{rate}`` in a path is the model's sample rate, "16k" or "32k". ``seeds: [42]`` and ``lr: 3.0e-5`` (or
``lr: published``, EVAR's own for the model's family) hold for every task. A task whose data are absent is reported and
passed over. "quick" and "all" are shipped (``task_sets/``).
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.task import SEEDS, Task

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.protocols import Protocol
    from auricle.models.base import Encoder

DEFAULT_PROTOCOLS = ("logistic",)
SHIPPED = ("quick", "all")
PUBLISHED = "published"
KNOWN = ("tasks", "root_from", "seeds", "lr")


@dataclass(frozen=True)
class Entry:
    """One task, the protocols it is measured with, their seeds, and the learning rate of those that have one."""

    task: Task
    protocols: tuple[str, ...]
    seeds: tuple[int, ...] = SEEDS
    lr: float | str | None = None

    def at(self, rate: int) -> Task:
        """The task for a model of ``rate`` hertz."""
        paths = {name: path for name in ("source", "labels") if (path := getattr(self.task, name))}
        return replace(
            self.task,
            **{name: path.replace("{rate}", f"{rate // 1000}k") for name, path in paths.items()},  # type: ignore[arg-type]
        )

    def probes(self, family: str) -> tuple[Protocol, ...]:
        """For an encoder of ``family``."""
        from auricle.evaluation.protocols import protocol

        lr, found = self.rate_of(family), map(protocol, self.protocols)
        return tuple(probe.with_lr(lr) if lr and probe.rate else probe for probe in found)

    def rate_of(self, family: str) -> float | None:
        from auricle.evaluation.probes.evar import LEARNING_RATE, PUBLISHED_RATES

        return PUBLISHED_RATES.get(family, LEARNING_RATE) if isinstance(self.lr, str) else self.lr


def read_task_set(source: Path) -> tuple[Entry, ...]:
    """A file, or a shipped set by its name ("quick", "all"; a file of that name wins).

    Raises AuricleError for a file that is not there, is no task set, or names an unknown setting or protocol.
    """
    path = path_of(source)
    content = _content(path)
    root = _root(content, path)
    shared = {"seeds": _seeds(content, path), "lr": _lr(content, path)}
    return tuple(_entry(values, path, root, shared) for values in content["tasks"])


def path_of(source: Path) -> Path:
    if source.is_file():
        return source
    if str(source) in SHIPPED:
        return Path(str(resources.files("auricle.evaluation").joinpath("task_sets", f"{source}.yaml")))
    hint = nearest(str(source), SHIPPED) if source.suffix not in (".yaml", ".yml") else ""
    raise AuricleError(f"there is no task-set file {source}{hint}")


def _content(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AuricleError(f"{path} is not readable as YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list) or not content["tasks"]:
        raise AuricleError(f"{path} is no task set: expected 'tasks:' and a list of tasks, each with a 'source'")
    strange = sorted(map(str, content.keys() - set(KNOWN)))
    if strange:
        raise AuricleError(f"{path}: unknown setting {', '.join(strange)}; a task set knows {', '.join(KNOWN)}")
    return content


def _root(content: dict[str, Any], path: Path) -> Path:
    variable = content.get("root_from")
    return Path(os.environ.get(str(variable), "")) if variable else path.parent


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


def _entry(values: Any, path: Path, root: Path, shared: dict[str, Any]) -> Entry:
    from auricle.evaluation.protocols import protocol

    known = {f.name for f in fields(Task)}
    if not isinstance(values, dict) or "source" not in values:
        raise AuricleError(f"{path}: every task needs a 'source', found {values!r}")
    settings = dict(values)
    protocols = settings.pop("protocols", DEFAULT_PROTOCOLS)
    if not isinstance(protocols, (list, tuple)) or not protocols or not all(isinstance(p, str) for p in protocols):
        raise AuricleError(f"{path}: protocols should be a list of names such as [logistic], found {protocols!r}")
    for name in protocols:
        protocol(name)
    strange = sorted(map(str, settings.keys() - known))
    if strange:
        raise AuricleError(
            f"{path}: unknown setting {', '.join(strange)}; a task knows {', '.join(sorted(known))}, protocols"
        )
    for name, value in settings.items():
        wanted: Any = (int, float) if name == "seconds" else str
        if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
            kind = "a number of seconds" if name == "seconds" else "text"
            raise AuricleError(f"{path}: {name} should be {kind}, found {value!r}")
    for name in ("source", "labels"):
        if settings.get(name):
            settings[name] = str((root / Path(settings[name]).expanduser()).resolve())
    return Entry(Task(**settings), tuple(protocols), **shared)


def evaluate_set(
    encoder: Encoder, entries: tuple[Entry, ...], *, baselines: bool = True, command: str = "", quiet: bool = True
) -> tuple[list[Evaluation], dict[str, str]]:
    """Evaluations in the order of the set, and the tasks that could not be measured with the reason."""
    from auricle.evaluation.evaluate import evaluate

    options: dict[str, Any] = {"baselines": baselines, "command": command, "quiet": quiet}
    found, absent = [], {}
    for entry in entries:
        task = entry.at(encoder.info.sample_rate)
        for probe in entry.probes(encoder.info.family):
            try:
                found.append(evaluate(encoder, task, probe, seeds=entry.seeds, **options))
            except AuricleError as error:
                absent[f"{task.title}/{probe.name}"] = str(error)
    return found, absent
