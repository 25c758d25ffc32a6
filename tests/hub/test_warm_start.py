"""``--resume NAME``: further pre-training starts from a published weight by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.hub.convert.m2d import m2d_content
from auricle.hub.pickles import write_pickle
from auricle.hub.warm_start import read_tensors, resolve_source, resume
from auricle.methods.m2d.data import open_clips
from auricle.methods.registry import method_of
from auricle.training.distributed import DistContext
from helpers.training_runs import config, flags, prepared

NAME = "m2d_vit_base-80x608p16x16-221006-mr7"


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A tiny run in the published layout, at the place where the published weight is kept."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    assert main([*flags(prepared(tmp_path / "data"), tmp_path / "first", epochs=1, warmup_epochs=0.0), "--quiet"]) == 0
    content, _ = m2d_content(read_tensors(tmp_path / "first"))
    folder = tmp_path / "cache/weights/published" / NAME
    folder.mkdir(parents=True)
    write_pickle(content, folder / "checkpoint-300.pth")
    return tmp_path


def test_a_published_name_stands_for_its_file(published):
    settings = config(published / "data", published / "second")
    data = open_clips(settings, DistContext(0, 1, torch.device("cpu")))
    objective = method_of(settings).build(settings, data)
    told = resume(objective, resolve_source(Path(NAME)))
    assert not told.missing
    first = read_tensors(published / "first")
    assert all(torch.equal(value, first[name]) for name, value in objective.state_dict().items() if name in first)


def test_a_run_starts_from_a_name(published, capsys):
    words = flags(published / "data", published / "second", epochs=1, warmup_epochs=0.0)
    assert main([*words, "--resume", NAME]) == 0
    assert "tensors loaded" in capsys.readouterr().err


def test_weights_without_predictor_and_missing_files_are_refused(tmp_path):
    with pytest.raises(AuricleError, match="holds only the encoder"):
        resolve_source(Path(f"{NAME}_enconly"))
    with pytest.raises(AuricleError, match="no run or weight file"):
        read_tensors(resolve_source(tmp_path / "none.pth"))
