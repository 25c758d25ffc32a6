"""Shared facts of the test suite: where the real data stand, one thread per process, Ctrl-C, no test's modules in another."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Iterator
from multiprocessing import spawn
from pathlib import Path

import pytest
import torch

from helpers.paths import SHARED
from helpers.preloaded import preloaded

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background commands so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """Let workers take groups of tests in the order of the files, not those of most tests first: see the next function."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests, and keep those that share what is made once on one worker.

    The pages of the documentation come first: they take minutes, and would run alone at the end. Tests of a module that has
    fixtures of its own are one group, or every worker would make what the fixtures make.
    """
    items.sort(key=lambda item: item.path.name != "test_docs_run.py")
    if not config.pluginmanager.hasplugin("xdist"):
        return
    for item in items:
        found = getattr(item, "_fixtureinfo").name2fixturedefs.values()  # noqa: B009
        shares = any(fixture.scope == "module" for fixtures in found for fixture in fixtures)
        if shares and not any(item.iter_markers("xdist_group")):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.split("::")[0]))


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
