"""Where the checkout, the golden vectors and the real data stand."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
ROOT = TESTS.parent
SHARED = ROOT.parent / "shared"
GOLDEN = TESTS / "golden"
