"""``python -m benchmarks``: the benchmarks by name, with the first line of what each says of itself."""

from __future__ import annotations

import ast
from pathlib import Path

HERE = Path(__file__).parent


def benchmarks() -> dict[str, str]:
    """name -> first line of the docstring, for every module and package here that has a ``main``."""
    found = {}
    for path in [*HERE.glob("[a-z]*.py"), *HERE.glob("[a-z]*/__main__.py")]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "main" for node in tree.body):
            name = path.parent.name if path.stem == "__main__" else path.stem
            found[name] = (ast.get_docstring(tree) or "").split("\n")[0]
    return dict(sorted(found.items()))


if __name__ == "__main__":
    for name, line in benchmarks().items():
        print(f"python -m benchmarks.{name:20} {line}")
