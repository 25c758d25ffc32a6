"""A real browser for the tests of pages. Tests that ask for it are skipped where playwright or chromium is not installed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from helpers.patience import PATIENCE

QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--mute-audio",
]  # fmt: skip


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Open a headless chromium with some flags of its own."""
    playwright = pytest.importorskip("playwright.sync_api", reason="page tests need the [e2e] extra")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("page tests need chromium (Debian: apt-get install chromium)")
    with playwright.sync_playwright() as p:
        opened = p.chromium.launch(executable_path=program, args=[*QUIET, *flags])
        yield opened
        opened.close()


def watch(page: Any, troubles: list[str]) -> None:
    """Add what goes wrong in a page of one file, and what it asks of the network, to ``troubles``."""
    page.on("console", lambda message: troubles.append(message.text))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:", "blob:")) else troubles.append(r.url))


def until(page: Any, condition: str) -> None:
    """Wait until a condition (JavaScript) holds. The pages allow no evaluation of texts, so playwright's own waiting is refused."""
    for _ in range(round(PATIENCE / 0.05)):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never came true: {condition}")
