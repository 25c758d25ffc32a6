"""A task set: a small YAML file that names tasks and protocols, measured together, by hand or while a run trains.

tasks:
  - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [logistic, knn-vote]}
  - {name: digits, source: fsdd/audio, labels: fsdd/meta.csv, label_column: digit, folding: groups, seconds: 1}

Paths are relative to the file. A task whose data are absent is reported and passed over.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import AuricleError
from auricle.evaluate.task import Task

if TYPE_CHECKING:
    from auricle.evaluate.evaluation import Evaluation
    from auricle.models.contract import Encoder

DEFAULT_PROTOCOLS = ("logistic",)


@dataclass(frozen=True)
class Entry:
    """One task and the protocols it is measured with."""

    task: Task
    protocols: tuple[str, ...]


def read_task_set(path: Path) -> tuple[Entry, ...]:
    """Raises AuricleError for a file that is not there, is no task set, or names an unknown setting or protocol."""
    import yaml

    if not path.is_file():
        raise AuricleError(f"there is no task-set file {path}")
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AuricleError(f"{path} is not readable as YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list) or not content["tasks"]:
        raise AuricleError(f"{path} is no task set: expected 'tasks:' and a list of tasks, each with a 'source'")
    return tuple(_entry(values, path) for values in content["tasks"])


def _entry(values: Any, path: Path) -> Entry:
    from auricle.evaluate.protocols import protocol

    known = {f.name for f in fields(Task)}
    if not isinstance(values, dict) or "source" not in values:
        raise AuricleError(f"{path}: every task needs a 'source', found {values!r}")
    settings = dict(values)
    protocols = tuple(settings.pop("protocols", DEFAULT_PROTOCOLS))
    for name in protocols:
        protocol(name)
    strange = sorted(settings.keys() - known)
    if strange:
        raise AuricleError(
            f"{path}: unknown setting {', '.join(strange)}; a task knows {', '.join(sorted(known))}, protocols"
        )
    for name in ("source", "labels"):
        if settings.get(name):
            settings[name] = str((path.parent / Path(settings[name]).expanduser()).resolve())
    return Entry(Task(**settings), protocols)


def evaluate_set(
    encoder: Encoder, entries: tuple[Entry, ...], *, baselines: bool = True, command: str = "", quiet: bool = True
) -> tuple[list[Evaluation], dict[str, str]]:
    """Evaluations in the order of the set, and the tasks that could not be measured with the reason."""
    from auricle.evaluate.run import evaluate

    found, absent = [], {}
    for entry in entries:
        for name in entry.protocols:
            try:
                found.append(evaluate(encoder, entry.task, name, baselines=baselines, command=command, quiet=quiet))
            except AuricleError as error:
                absent[f"{entry.task.title}/{name}"] = str(error)
    return found, absent
