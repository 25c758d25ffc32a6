"""``docs/scale-plan.md`` shows what ``benchmarks/scale_plan`` holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.scale_plan import page
from benchmarks.scale_plan.results import results

ROOT = Path(__file__).resolve().parents[2]


def test_the_tables_of_the_page_are_those_of_the_kept_measurements_and_results():
    text = (ROOT / page.PAGE).read_text(encoding="utf-8")
    for name, content in page.tables().items():
        assert f"<!-- table {name} -->\n{content}\n<!-- end -->" in text, (
            f"run python -m benchmarks.scale_plan --page: {name}"
        )


def test_the_figures_of_the_page_are_drawn_from_the_results(tmp_path):
    pytest.importorskip("matplotlib", reason="needs the [plots] extra")
    page.draw(results(), tmp_path)
    drawn = sorted(file.name for file in tmp_path.iterdir())
    assert drawn == ["scale_plan_tagging.png", "scale_plan_training.png"]
    assert all((ROOT / page.IMAGES / name).is_file() for name in drawn)
