"""``auricle finetune --from RUN`` where RUN trained the whole network: more classes, the earlier clips beside the new ones."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import run
from auricle.commands.finetune.finetune import continue_finetune, detector_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.manifest.formats import read_manifest
from auricle.detectors.files import load_scores
from auricle.hub.run_folder import RunFolder
from auricle.methods.supervised.config import FinetuneConfig
from auricle.models.heads.make import HEADS, make_head
from auricle.models.heads.widen import widened_head, with_more_classes
from auricle.models.label_space import LabelSpace
from helpers.encoders import m2d
from helpers.finetune_runs import RATE, labelled_sounds, weight_file
from helpers.sounds import write_sound


def clicks(folder, count=8):
    """Short sounds of a class of its own."""
    for i in range(count):
        wave = np.zeros(round(0.5 * RATE), np.float32)
        wave[:: 180 + 6 * i] = 0.9
        write_sound(folder / "click" / f"{i}.wav", wave, RATE)
    return folder


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grown")
    sounds, model = labelled_sounds(folder / "sounds", 8, 0.3), weight_file(folder, "m2d")
    auricle.finetune(sounds, model=model, out=folder / "first", how="full", device="cpu", workers=0, quiet=True)
    return {"folder": folder, "new": clicks(folder / "new"), "first": folder / "first", "sounds": sounds}


@pytest.fixture(scope="module")
def grown(places):
    out = places["folder"] / "second"
    small = ["--device", "cpu", "--workers", "0"]
    assert run(["finetune", str(places["new"]), "--from", str(places["first"]), "--out", str(out), *small]) == 0
    return out


def test_old_classes_stay_and_a_new_one_is_learnt(places, grown):
    assert auricle.load(grown).info.label_space.ids == ("noise", "tone", "click")
    described = json.loads(RunFolder(grown).detector.read_text())
    growth = described["grown_from"]
    assert (growth["old_clips"], growth["new_clips"], growth["new_classes"]) == (16, 8, ["click"])
    assert growth["scores"]["after"] >= growth["scores"]["before"] - 0.01
    assert set(growth["scores"]["classes"]) <= {"noise", "tone"}
    for kind, path in (("tone", places["sounds"]), ("click", places["new"])):
        assert auricle.tag(path / kind / "1.wav", model=grown).results[0].tags[0].label == kind


def test_clips_stay_in_their_parts(places, grown):
    earlier = read_manifest(RunFolder(grown).grown_table)
    held = {clip.id for clip in earlier if clip.split == "valid" and clip.id.startswith("first: ")}
    (scores,) = (part for part in load_scores(places["first"]) if part.part == "valid")
    assert held == {f"first: {id}" for id in scores.ids}
    assert earlier.classes == ("noise", "tone", "click")


def test_a_grown_run_continues_exactly(grown, tmp_path):
    copied = tmp_path / "second"
    shutil.copytree(grown, copied)
    for later in sorted((copied / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(later)
    again = auricle.load(continue_finetune(copied, quiet=True).run).state_dict()
    for name, value in auricle.load(grown).state_dict().items():
        np.testing.assert_allclose(again[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_lost_recordings_are_said_and_heads_alone_can_be_asked_for(places, tmp_path, capsys):
    first = tmp_path / "first"
    shutil.copytree(places["first"], first)
    sounds = tmp_path / "sounds"
    shutil.copytree(places["sounds"], sounds)
    config = RunFolder(first).config
    config.write_text(config.read_text().replace(str(places["sounds"]), str(sounds)))
    result = auricle.finetune(places["new"], from_run=first, out=tmp_path / "head", how="probe")
    assert "8 new clips and 16 earlier ones" in capsys.readouterr().err
    assert result.training is None
    assert auricle.load(result.run).info.label_space.ids == ("noise", "tone", "click")
    shutil.rmtree(sounds)
    auricle.finetune(
        places["new"], from_run=first, out=tmp_path / "alone", epochs=1, warmup_epochs=0, workers=0, device="cpu"
    )
    said = capsys.readouterr().err
    assert "nothing reminds the network of its old classes" in said
    assert "8 new clips and 0 earlier ones" in said


def test_what_cannot_grow_is_refused_and_leaves_nothing(places, tmp_path):
    config = FinetuneConfig("supervised", str(places["new"]), str(tmp_path / "x"))
    with pytest.raises(AuricleError, match="leave --recipe"):
        detector_run(with_values(config, {"from_run": str(places["first"])}), recipe="esc50", quiet=True)
    with pytest.raises(AuricleError, match="leave --model"):
        auricle.finetune(places["new"], from_run=places["first"], model="mn10_as", out=tmp_path / "x", quiet=True)
    with pytest.raises(AuricleError, match="--fold"):
        auricle.finetune(places["new"], from_run=places["first"], fold=3, out=tmp_path / "x", quiet=True)
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_every_head_keeps_the_logits_of_its_classes(kind):
    encoder = m2d()
    head = make_head(kind, encoder, 2).eval()
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    space = LabelSpace("multiclass", ("a", "b"))
    wide = with_more_classes(encoder.with_head(head, space), LabelSpace("multiclass", ("a", "b", "c", "d")))
    wave = torch.randn(2, encoder.info.sample_rate)
    with torch.no_grad():
        narrow = encoder.with_head(head, space).eval()(wave).logits
        assert torch.allclose(wide(wave).logits[:, :2], narrow, atol=1e-6)
    assert wide(wave).logits.shape == (2, 4)
    assert widened_head(head, 3).num_classes == 3
    with pytest.raises(AuricleError, match="other classes"):
        with_more_classes(wide, LabelSpace("multiclass", ("b", "a", "c", "d", "e")))
