"""Without the [serve] extra there is nothing to test here."""

from __future__ import annotations

import pytest

pytest.importorskip("fastapi", reason="the [serve] extra is not installed")
pytest.importorskip("httpx", reason="the test client of FastAPI needs httpx")
