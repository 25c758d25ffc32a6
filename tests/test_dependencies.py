"""The extras: each has code, each package is pinned, and all resolve together."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import auricle

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FOR_DEVELOPERS = {"dev", "docs", "e2e", "all"}
NOT_IN_ALL = {"litert", "mteb"}  # large, and few users need them
OWN_ENVIRONMENT = {"litert"}  # needs older releases of what the others have
IMPORTED_AS = {
    "tensorboard": "torch.utils.tensorboard",
    "paho-mqtt": "paho.mqtt",
    "faiss-cpu": "faiss",
    "huggingface-hub": "huggingface_hub",
    "python-multipart": "python_multipart",
}


def name_of(requirement: str) -> str:
    """The package of a requirement or pin, spelled as the registry compares it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", requirement)[0]).lower()


def pip(*words: str, timeout: float) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *words]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=timeout)


@cache
def registry_answers() -> bool:
    try:
        return pip("index", "versions", "six", "--retries", "0", "--timeout", "5", timeout=30).returncode == 0
    except subprocess.TimeoutExpired:
        return False


@pytest.mark.slow
@pytest.mark.timeout(900)  # a minute each on an idle machine
@pytest.mark.parametrize("constraints", ["constraints.txt", "torch alone"])
def test_all_extras_resolve_together(tmp_path, constraints):
    if not registry_answers():
        pytest.skip("the package registry does not answer")
    if constraints == "torch alone":  # newer versions of torch bring gigabytes of CUDA packages
        constraints = str(tmp_path / "torch.txt")
        Path(constraints).write_text("torch==2.13.0\n", encoding="utf-8")
    everything = f".[{','.join(name for name in EXTRAS if name not in OWN_ENVIRONMENT)}]"
    words = ("install", "--dry-run", "--ignore-installed", "--quiet", "-c", constraints, everything)
    answer = pip(*words, timeout=800)
    assert answer.returncode == 0, answer.stderr


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - FOR_DEVELOPERS))
def test_an_extra_exists_only_for_packages_that_the_code_imports(extra):
    code = "\n".join(path.read_text(encoding="utf-8") for path in Path(auricle.__file__).parent.rglob("*.py"))
    for requirement in EXTRAS[extra]:
        module = re.escape(IMPORTED_AS.get(name_of(requirement), name_of(requirement)))
        named = (
            rf"^\s*(import|from) {module}\b|[\"']{module}(\.\w+)*[\"'][,)]"  # or in a table of what is imported by name
        )
        assert re.search(named, code, re.MULTILINE), f"nothing imports {requirement}"


def test_all_holds_every_extra_but_those_for_developers_and_the_large_ones():
    assert EXTRAS["all"] == [f"auricle[{','.join(name for name in EXTRAS if name not in FOR_DEVELOPERS | NOT_IN_ALL)}]"]


def test_every_required_package_is_pinned():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {name_of(line) for line in lines if not line.startswith("#")}
    extras = [
        requirement
        for name, packages in EXTRAS.items()
        if name not in {"all"} | OWN_ENVIRONMENT
        for requirement in packages
    ]
    assert {name_of(requirement) for requirement in [*PROJECT["dependencies"], *extras]} <= pinned
