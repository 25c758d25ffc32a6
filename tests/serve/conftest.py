"""Without the [serve] extra (or httpx, which the test client of FastAPI needs) nothing here can run: nothing is collected."""

from __future__ import annotations

from importlib.util import find_spec

NEEDED = ("fastapi", "uvicorn", "python_multipart", "httpx")
collect_ignore_glob = [] if all(find_spec(name) for name in NEEDED) else ["test_*.py"]
