"""The file of finished results: one JSON object a line, of which ``part`` and the given names tell what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Results:
    def __init__(self, path: Path):
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.rows: list[Row] = [json.loads(line) for line in lines if line.endswith("}")]

    def have(self, **names: Any) -> bool:
        return any(all(row.get(key) == value for key, value in names.items()) for row in self.rows)

    def of(self, **names: Any) -> list[Row]:
        return [row for row in self.rows if all(row.get(key) == value for key, value in names.items())]

    def add(self, **row: Any) -> None:
        row = {key: round(value, 5) if isinstance(value, float) else value for key, value in row.items()}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self.rows.append(row)
        print(json.dumps(row), flush=True)
