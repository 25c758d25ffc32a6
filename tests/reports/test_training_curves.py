"""Curves and health of a run, from the lines of its log."""

from types import SimpleNamespace

import pytest

from auricle.reports.sections.training_curves import health_summary


@pytest.mark.parametrize("name", ["warnings", "words"])  # "words": logs of earlier versions
def test_warnings_of_the_log_are_in_the_report(name: str) -> None:
    rows = [{"kind": "health", "epoch": 1.0, "grad_norm": 1.0, name: ["the loss is not finite"]}]
    run = SimpleNamespace(name="first", rows=lambda kind: rows)
    assert "epoch 1.0: the loss is not finite" in health_summary([run])  # type: ignore[list-item]
