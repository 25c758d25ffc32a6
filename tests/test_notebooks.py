"""The notebooks of the documentation run, cell by cell, on a small network with random weights."""

from __future__ import annotations

import json

import pytest

from auricle.hub.weight_file import save_encoder
from auricle.models.base import Encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.paths import ROOT

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def tagger() -> Encoder:
    classes = tuple((f"/m/{i}", f"class {i}") for i in range(7))
    return MN(MNConfig(width=0.1, num_classes=7), classes=classes, label_type="multilabel", seed=0)


def features() -> Encoder:
    return M2DEncoder(ViTConfig("80x208", "16x16", embed_dim=64, depth=2), seed=0)


MODELS = {"tagging": (tagger, "class"), "embeddings": (features, "nearest")}  # and a word that is printed


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_cell_runs(path, tmp_path, monkeypatch, capsys):
    make, printed = MODELS[path.stem]
    save_encoder(make(), tmp_path / "model.safetensors")
    monkeypatch.setenv("AURICLE_NOTEBOOK_MODEL", str(tmp_path / "model.safetensors"))
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
    assert printed in capsys.readouterr().out
