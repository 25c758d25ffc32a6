"""The house: floors import one way, nothing loops, importing does nothing and costs little."""

from __future__ import annotations

import ast
import functools
import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

import auricle

PACKAGE = Path(auricle.__file__).parent
FLOORS = "core audio frontends data models hub metrics methods training inference embeddings evaluation detectors"
FLOORS += " index review exporting reports"
FLOORS = [*FLOORS.split(), "commands", "serve", "compat", "cli"]
DOWNWARDS = {
    ("models.pretrained", "hub.huggingface.publish")
}  # methods that users of other libraries look for on the encoder


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(PACKAGE).with_suffix("").parts): path for path in PACKAGE.rglob("*.py")}


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    return list(ast.walk(tree_of(path)))


def imports_of(name: str, path: Path, *, top_only: bool) -> set[str]:
    """Names inside the package that a module imports, relative to it; ``top_only`` leaves out imports inside functions."""
    nodes = tree_of(path).body if top_only else nodes_of(path)
    found = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("auricle"):
            base = node.module.removeprefix("auricle").lstrip(".")
            found |= {".".join(part for part in (base, alias.name) if part) for alias in node.names} | {base}
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("auricle.") for alias in node.names if alias.name.startswith("auricle.")}
    return found - {""}


def floor_of(name: str) -> int | None:
    top = name.split(".")[0]
    return FLOORS.index(top) if top in FLOORS else None


def test_every_folder_imports_only_from_floors_above_it():
    breaches, known = set(), modules()
    for name, path in known.items():
        for other in imports_of(name, path, top_only=False):
            here, there = floor_of(name), floor_of(other)
            if here is not None and there is not None and there > here:
                module = other if other in known else other.rpartition(".")[0]
                breaches |= {(name, module)}
    assert breaches == DOWNWARDS


def test_no_imports_loop():
    known = modules()
    graph = {name: {o for o in imports_of(name, path, top_only=True) if o in known} for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, f"import loop: {' -> '.join((*above, name))}"
        if name not in done:
            for other in graph[name] - {name}:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


FAMILY_CLASSES = {
    "Ensemble",
    "LogMelStats",
    "M2DEncoder",
    "MAEASTEncoder",
    "MAEASTNetwork",
    "EfficientAT",
    "MN",
    "DyMN",
}


def test_no_two_classes_share_a_name():
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(name)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_only_models_and_hub_ask_for_the_class_of_a_family():
    """Everything else uses the contract of ``models/base.py``."""
    breaches = []
    for name, path in modules().items():
        if name.split(".")[0] in ("models", "hub"):
            continue
        for node in nodes_of(path):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("isinstance", "issubclass"):
                asked = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
                asked |= {part.attr for part in ast.walk(node.args[1]) if isinstance(part, ast.Attribute)}
                breaches += [f"{name}:{node.lineno} {family}" for family in asked & FAMILY_CLASSES]
    assert not breaches


def test_importing_loads_no_heavy_package():
    code = "import auricle, sys; print([m for m in ('torch', 'sklearn', 'scipy', 'matplotlib') if m in sys.modules])"
    assert run(code).stdout.strip() == "[]"


HELP_OF_EVERY_VERB = """
import contextlib, io, json, sys
from auricle.cli.main import VERBS, main
printed = {}
for verb in VERBS:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main([*verb.split(), "--help"])
    printed[verb] = (out.getvalue(), "torch" in sys.modules)
print(json.dumps(printed))
"""


def test_every_verb_prints_its_help_without_pytorch():
    """One process for all: a module that a verb imports stays imported, and so does PyTorch."""
    from auricle.cli.main import VERBS

    result = run(HELP_OF_EVERY_VERB)
    assert result.returncode == 0, result.stderr
    printed = json.loads(result.stdout)
    assert printed.keys() == VERBS.keys()
    for verb, (text, torch_imported) in printed.items():
        assert "usage: auricle" in text, verb
        assert not torch_imported, verb


def test_the_published_weights_are_listed_without_pytorch():
    code = "import sys; from auricle.cli.main import main; main(['models', 'list']); print('torch' in sys.modules)"
    assert run(code).stdout.splitlines()[-1] == "False"


def test_help_is_printed_at_once():
    times = []
    for _ in range(3):
        start = processor_seconds()
        assert (
            "usage: auricle VERB"
            in subprocess.run([sys.executable, "-m", "auricle", "--help"], capture_output=True, text=True).stdout
        )
        times.append(processor_seconds() - start)
    assert min(times) < 2.0  # 0.1 s on an idle machine; the bar of 0.5 s is kept by importing nothing heavy (above)


def processor_seconds() -> float:
    """Processor time of the child processes that have ended: unlike the clock, it does not count waiting for others."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_the_version_and_unknown_verbs_print_one_line():
    version = subprocess.run([sys.executable, "-m", "auricle", "--version"], capture_output=True, text=True)
    assert version.stdout.strip() == f"auricle {auricle.__version__}"
    wrong = subprocess.run([sys.executable, "-m", "auricle", "pretrian"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "did you mean 'auricle pretrain'" in wrong.stderr


def test_auricle_models_can_be_called_for_the_table():
    assert "logmel-stats" in str(auricle.models())
    with pytest.raises(AttributeError):
        auricle.nothing  # noqa: B018
