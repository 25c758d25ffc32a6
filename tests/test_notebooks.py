"""The notebooks of the documentation run, cell by cell, on a small network with random weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from auricle.hub.files import save_encoder
from auricle.models.mn import MN
from auricle.models.mn_config import MNConfig

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, tmp_path, monkeypatch, capsys):
    classes = tuple((f"/m/{i}", f"class {i}") for i in range(7))
    network = MN(MNConfig(width=0.1, num_classes=7), classes=classes, label_type="multilabel", seed=0)
    save_encoder(network, tmp_path / "tagger.safetensors")
    monkeypatch.setenv("AURICLE_NOTEBOOK_MODEL", str(tmp_path / "tagger.safetensors"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert "class" in capsys.readouterr().out
