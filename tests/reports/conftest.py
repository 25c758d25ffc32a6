"""The browser of the tests of pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from helpers.chromium import chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless chromium."""
    with chromium() as opened:
        yield opened
