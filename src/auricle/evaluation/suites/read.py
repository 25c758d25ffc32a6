"""Read a suite: a shipped one by its name, or a YAML file of the user.

seeds: [42]
tasks:
  - {name: esc10, source: esc10/audio, labels: esc10/meta.csv, seconds: 5, protocols: [linear, knn]}
  - {name: digits, source: fsdd/audio, labels: fsdd/meta.csv, label_column: digit, split_by: groups, seconds: 1}

Settings of the file: ``tasks`` (records of ``adapter: probe`` where they name no other), ``adapter`` (of all tasks), ``title``,
``published`` (tables of published scores: names of shipped ones, or CSV files), ``root_from`` (an environment variable that
names the folder which paths are relative to; else the current folder; without it paths are relative to the file), ``seeds`` and
``lr`` (of every task; "published": EVAR's own rate for the model's family). ``{rate}`` in a path is the model's sample rate,
"16k" or "32k". No PyTorch here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module, resources
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.io import read_yaml
from auricle.evaluation.suites.contract import SuiteFile, SuiteTask, TaskRecord

ADAPTERS = {
    "hear": "auricle.evaluation.suites.hear.tasks:HearTask",
    "superb": "auricle.evaluation.suites.superb.tasks:SuperbTask",
    "maeb": "auricle.evaluation.suites.maeb.tasks:MaebTask",
    "probe": "auricle.evaluation.suites.probe_tasks:ProbeTask",
    "tags": "auricle.evaluation.suites.tags:TagsTask",
    "zero-shot": "auricle.evaluation.suites.text_tasks:ZeroShotTask",
    "retrieval": "auricle.evaluation.suites.text_tasks:RetrievalTask",
}
DEFAULT_ADAPTER = "probe"
PUBLISHED = "published"
HOW = ("adapter", "protocols", "grid", "reshuffle")  # settings that make no other task
KNOWN = ("tasks", "root_from", "seeds", "lr", "adapter", "title", "published")


@dataclass(frozen=True)
class Suite:
    """Tasks that are measured together.

    Attributes:
        name: Name of a shipped suite, or the stem of the file.
        tasks: The tasks.
        title: The name in print.
        published: Names or paths of tables of published scores.
        file: The file.
    """

    name: str
    tasks: tuple[SuiteTask, ...]
    title: str = ""
    published: tuple[str, ...] = ()
    file: Path | None = None

    def of_tasks(self, names: Sequence[str]) -> Suite:
        """Return the suite with these tasks only; all for no names.

        Raises:
            AuricleError: The suite has no task of a name.
        """
        known = tuple(dict.fromkeys(task.name for task in self.tasks))
        for name in names:
            if name not in known:
                raise AuricleError(
                    f"the suite {self.name} has no task '{name}'{nearest(name, known)}; it has {', '.join(known)}"
                )
        return replace(self, tasks=tuple(t for t in self.tasks if t.name in names)) if names else self


def shipped_suites() -> tuple[str, ...]:
    """Return the names of the shipped suites."""
    folder = resources.files("auricle.evaluation.suites").joinpath("sets")
    return tuple(sorted(Path(str(file)).stem for file in folder.iterdir() if str(file).endswith(".yaml")))


def read_suite(source: Path | str) -> Suite:
    """Read a suite from a file, or a shipped one by its name (a file of that name wins).

    Raises:
        AuricleError: The file is not there, is no suite, or names an unknown setting, adapter or protocol.
    """
    path = _file_of(Path(source))
    content = _read_yaml(path)
    variable = _text(content, "root_from", path)
    root = Path(os.environ.get(variable, "")) if variable else path.parent
    file = SuiteFile(path, root, _shared(content, path))
    tasks = tuple(_task(values, file, content.get("adapter", DEFAULT_ADAPTER)) for values in content["tasks"])
    _check_names(tasks, content["tasks"], file)
    tables = content.get("published", [])
    if not isinstance(tables, list) or not all(isinstance(name, str) for name in tables):
        raise AuricleError(f"{path}: published should be a list of tables of published scores, found {tables!r}")
    return Suite(path.stem, tasks, _text(content, "title", path) or path.stem, tuple(tables), path)


def _file_of(source: Path) -> Path:
    if source.is_file():
        return source
    if str(source) in shipped_suites():
        return Path(str(resources.files("auricle.evaluation.suites").joinpath("sets", f"{source}.yaml")))
    hint = nearest(str(source), shipped_suites()) if source.suffix not in (".yaml", ".yml") else ""
    raise AuricleError(f"there is no suite or file {source}{hint}; shipped are {', '.join(shipped_suites())}")


def _read_yaml(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    if not isinstance(content, dict) or not isinstance(content.get("tasks"), list) or not content["tasks"]:
        raise AuricleError(f"{path} is no suite: expected 'tasks:' and a list of tasks, each with a 'source'")
    unknown = sorted(map(str, content.keys() - set(KNOWN)))
    if unknown:
        raise AuricleError(f"{path}: unknown setting {', '.join(unknown)}; a suite has {', '.join(KNOWN)}")
    return content


def _text(content: dict[str, Any], name: str, path: Path) -> str:
    value = content.get(name) or ""
    if not isinstance(value, str):
        raise AuricleError(f"{path}: {name} should be text, found {value!r}")
    return value


def _shared(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Seeds and learning rate of all tasks, where the file has them."""
    shared: dict[str, Any] = {}
    if "seeds" in content:
        seeds = content["seeds"]
        whole = isinstance(seeds, list) and seeds and all(type(seed) is int and 0 <= seed < 2**63 for seed in seeds)
        if not whole or len(set(seeds)) < len(seeds):  # a seed twice makes the deviation between seeds too small
            raise AuricleError(
                f"{path}: seeds should be a list of whole numbers from 0 up, each once, found {seeds!r:.200}"
            )
        shared["seeds"] = tuple(seeds)
    if (lr := content.get("lr")) is not None:
        if lr != PUBLISHED and not (isinstance(lr, float) and 0 < lr < math.inf):
            raise AuricleError(f"{path}: lr should be a number above 0 such as 3.0e-5, or {PUBLISHED}; found {lr!r}")
        shared["lr"] = lr
    return shared


def _task(values: Any, file: SuiteFile, adapter: Any) -> SuiteTask:
    if not isinstance(values, dict):
        raise file.fault(f"every task needs a 'source' or a 'dataset', found {values!r}")
    name = values.get("adapter", adapter)
    record = TaskRecord({key: value for key, value in values.items() if key != "adapter"}, file)
    return adapter_of(name, file).read(record)


def _check_names(tasks: Sequence[SuiteTask], records: Sequence[dict[str, Any]], file: SuiteFile) -> None:
    """Raise AuricleError for two tasks of one name, whose scores would stand in one row; how they are measured may differ."""
    before: dict[tuple[type, str], dict[str, Any]] = {}
    for task, record in zip(tasks, records):
        data = {name: value for name, value in record.items() if name not in HOW}
        if before.setdefault((type(task), task.name), data) != data:
            raise file.fault(f"two different tasks are named '{task.name}': give each its own name")


def adapter_of(name: Any, file: SuiteFile) -> type[SuiteTask]:
    """Return the class that reads the records of an adapter. Raises AuricleError for an unknown one."""
    if not isinstance(name, str) or name not in ADAPTERS:
        raise file.fault(f"unknown adapter '{name}'{nearest(str(name), tuple(ADAPTERS))}")
    module, _, kind = ADAPTERS[name].partition(":")
    return getattr(import_module(module), kind)
