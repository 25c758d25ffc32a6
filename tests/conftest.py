"""Shared facts of the test suite: where the real data and the golden vectors stand, one thread per process, Ctrl-C."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from helpers.paths import SHARED

torch.set_num_threads(1)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts background commands so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the pages of the documentation: they take minutes, one after the other, and would run alone at the end."""
    items.sort(key=lambda item: item.path.name != "test_docs_run.py")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real audio, weights and all golden vectors; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("real data: ../shared does not stand beside this checkout")
    return SHARED
