"""The journal of a preparation: a line of JSON for each recording or clip that is finished, so that a killed run can be continued.

    out/done.jsonl                     a run on this machine
    out/done-shard-03-of-16.jsonl      a run on a share of the recordings (``--shard 3/16``)
    out/done….MACHINE.jsonl            what a run on another machine had done here (``--executor ray``)

All processes of a machine append to one file. Each machine has its own: on a shared file system two would overwrite each other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.core.executors.config import CorpusShard
from auricle.core.io import append_line, machine_id, writing

JOURNAL = "done.jsonl"


@dataclass(frozen=True)
class Journal:
    """The journal that a run writes. Can be sent to another process.

    Attributes:
        folder: Where it is.
        share: The share of the recordings that the run works on; None: all.
        machine: That of the run.
    """

    folder: Path
    share: CorpusShard | None = None
    machine: str = field(default_factory=machine_id)

    def append(self, values: dict[str, Any]) -> None:
        """Append a line. Raises AuricleError when the disk is full."""
        name = "done" if self.share is None else f"done-{self.share.folder}"
        here = machine_id()
        path = self.folder / f"{name}{'' if here == self.machine else f'.{here}'}.jsonl"
        with writing(path):
            append_line(path, json.dumps(values) + "\n")


def journal_lines(folder: Path) -> Iterator[Iterator[Any]]:
    """Yield the lines of each journal in a folder as JSON values; incomplete lines of killed runs and damaged ones are left out."""
    others = sorted(path for path in folder.glob("done[-.]*.jsonl") if path.name != JOURNAL)
    for path in [folder / JOURNAL, *others]:
        if path.is_file():
            yield _values(path)


def _values(path: Path) -> Iterator[Any]:
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            yield json.loads(line)
        except (ValueError, RecursionError):
            continue
