"""Shared facts of the test suite: where the real data stand, one thread per process, Ctrl-C, no test's modules in another."""

from __future__ import annotations

import functools
import gc
import re
import signal
import sys
from collections.abc import Iterator
from multiprocessing import spawn
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers.paths import SHARED
from helpers.preloaded import preloaded

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background commands so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let workers take tests in the order of the files, not those of the largest file first."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the pages of the documentation: they take minutes, one after the other, and would run alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_docs_run.py")


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep tests that share what is made once on one worker: those of a file with fixtures of its own, and of a named group.

    With ``--dist loadgroup``, whose own scheduler (pytest-xdist 3.8 with pytest 9) does not see the groups.
    """
    if config.option.dist != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByWhatIsShared(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return shared_by_file(config.rootpath / file) or nodeid

    return ByWhatIsShared(config, log)


@functools.cache
def shared_by_file(file: Path) -> str | None:
    """Return the name of what the tests of a file share; None if they can run anywhere."""
    text = file.read_text(encoding="utf-8")
    named = re.search(r"xdist_group\(\"(.+?)\"\)", text)
    if named:
        return named[1]
    return str(file) if 'scope="module"' in text else None


def pytest_collection_finish() -> None:
    """Leave the tests themselves, a million objects, out of every later search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real audio, weights and all golden vectors; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data: ../shared does not stand beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with ``auricle`` and ``python`` that start at once, for tests whose claim is not about the start of a process."""
    with preloaded(tmp_path_factory.mktemp("preloaded")) as folder:
        yield folder


@pytest.fixture
def quick_workers(programs: Path) -> Iterator[None]:
    """Worker processes that a test starts (``multiprocessing``) are forks as well: they need not import PyTorch again."""
    before = spawn.get_executable()
    spawn.set_executable(str(programs / "python"))
    yield
    spawn.set_executable(before)


@pytest.fixture(autouse=True)
def forget_modules_of_temporary_folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget what a test imported from its own folder: the next test may write another module of the same name."""
    before = set(sys.modules)
    yield
    base = tmp_path_factory.getbasetemp()
    for name in set(sys.modules) - before:
        place = getattr(sys.modules[name], "__file__", None)
        if place and Path(place).is_relative_to(base):
            del sys.modules[name]
